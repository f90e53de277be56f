package resolver

import (
	"io"
	"net/netip"
	"time"

	timers "racoon2/kernel/timer"
	"racoon2/kernel/trace"
)

// Resolver is the core. It is not safe for concurrent use.
type Resolver struct {
	rand io.Reader
	s    Settings // with the defaults filled in
	self special

	upstreams  []*upstream
	configured []Upstream // as the settings have them

	hosts   hostTable
	cache   cache
	limiter limiter

	pending    map[Question]*pending
	asks       map[uint64]*pending
	serial     uint64 // of the last Ask
	clients    int    // that wait: for an upstream, or at the gate
	background int    // questions under way that no client caused
	queue      []refresh
	draining   bool // the queue is being taken from

	sets       map[string]watchSet
	watches    map[string]*watch // by name
	wildcards  map[string]*watch // by what follows "*."
	names      map[string]*name
	brought    int // names that only wildcards have brought in
	byAddr     map[netip.Addr][]*name
	using      map[netip.Addr]struct{}
	generation uint64

	timers timers.Heap[alarm]
	stats  Stats
}

// New makes a resolver that knows no upstream until Reconfigure.
func New(c Config) *Resolver {
	r := &Resolver{
		rand:      c.Rand,
		pending:   make(map[Question]*pending),
		asks:      make(map[uint64]*pending),
		sets:      make(map[string]watchSet),
		watches:   make(map[string]*watch),
		wildcards: make(map[string]*watch),
		names:     make(map[string]*name),
		byAddr:    make(map[netip.Addr][]*name),
		using:     make(map[netip.Addr]struct{}),
	}
	r.settle(&Settings{})
	return r
}

// Handle takes one input and appends its effects to out.
func (r *Resolver) Handle(now time.Time, in Input, out *Outbox) {
	switch in := in.(type) {
	case Query:
		r.query(now, in, out)
	case Answer:
		r.answer(now, in, out)
	case AskFailed:
		r.askFailed(now, in, out)
	case PolicyStands:
		r.policyStands(in, out)
	case InUse:
		if in.Using {
			r.using[in.Addr] = struct{}{}
		} else {
			delete(r.using, in.Addr)
		}
	case Watch:
		r.watch(now, in, out)
	case Hosts:
		r.setHosts(now, in.Entries, out)
	case Flush:
		r.flush(now, in.Name, out)
	case Reconfigure:
		r.reconfigure(now, in.Settings, out)
	case Timeout:
	}
	for a, ok := r.timers.Due(now); ok; a, ok = r.timers.Due(now) {
		a.ring(r, now, out)
	}
}

// Deadline is when the next Timeout is due.
func (r *Resolver) Deadline() (time.Time, bool) {
	return r.timers.Next()
}

// Idle tells that no client waits for an answer.
func (r *Resolver) Idle() bool { return r.clients == 0 }

// The defaults of Settings.
const (
	defaultFloor    = 5 * time.Second
	defaultCeiling  = 24 * time.Hour
	defaultGrace    = time.Minute
	defaultGate     = time.Second
	defaultCache    = 10000
	defaultPending  = 1024
	defaultNames    = 10000
	defaultAttempt  = time.Second
	maxAnswerTTL    = 7 * 24 * time.Hour // RFC 8767 §4 caps TTLs so
	clientsByOthers = 4                  // clients that wait, for each question under way
)

// settle takes settings over, with defaults for what is zero.
func (r *Resolver) settle(s *Settings) {
	r.s = *s
	r.s.Order = order(s.Order)
	fill(&r.s.TTLFloor, defaultFloor)
	fill(&r.s.TTLCeiling, defaultCeiling)
	r.s.TTLCeiling = min(r.s.TTLCeiling, maxAnswerTTL)
	r.s.TTLFloor = max(min(r.s.TTLFloor, r.s.TTLCeiling), 0)
	fill(&r.s.Grace, defaultGrace)
	fill(&r.s.GateBound, defaultGate)
	fill(&r.s.CacheSize, defaultCache)
	fill(&r.s.MaxPending, defaultPending)
	fill(&r.s.MaxNames, defaultNames)
	fill(&r.s.AttemptTimeout, defaultAttempt)
	fill(&r.s.RateBurst, 2*s.RateLimit)
	r.self = newSpecial(s.Forward)
	r.cache.resize(max(r.s.CacheSize, 0))
}

// fill puts a default where nothing is set.
func fill[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// order is the order of look-ups, each source once.
func order(sources []Source) []Source {
	if sources == nil {
		sources = []Source{Files, DNS}
	}
	var out []Source
	seen := map[Source]bool{}
	for _, s := range sources {
		if (s == Files || s == DNS) && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// before says whether a is looked at, and ahead of b.
func (r *Resolver) before(a, b Source) bool {
	for _, s := range r.s.Order {
		if s == a {
			return true
		}
		if s == b {
			return false
		}
	}
	return false
}

// looks says whether a source is looked at, at all.
func (r *Resolver) looks(s Source) bool {
	for _, o := range r.s.Order {
		if o == s {
			return true
		}
	}
	return false
}

func (r *Resolver) reconfigure(now time.Time, s *Settings, out *Outbox) {
	if s == nil {
		return
	}
	r.settle(s)
	r.setUpstreams(s.Upstreams)
	// Whatever is in the cache was taken under other rules.
	r.cache.clear()
	r.followHosts(now, out)
}

// flush forgets answers, and asks again for what is watched.
func (r *Resolver) flush(now time.Time, name string, out *Outbox) {
	if name == "" {
		r.cache.clear()
		for _, n := range r.sortedNames() {
			r.refreshBoth(now, n, out)
		}
		return
	}
	canonical, err := Canonical(name)
	if err != nil {
		out.trace(trace.InternalWarn, ReasonNameBad, []string{"name", clip(name)}, "flush: %v", err)
		return
	}
	r.cache.forget(canonical)
	if n := r.names[canonical]; n != nil {
		r.refreshBoth(now, n, out)
	}
}

// clamp brings a TTL in seconds between floor and ceiling.
func (r *Resolver) clamp(seconds uint32) time.Duration {
	return min(max(time.Duration(seconds)*time.Second, r.s.TTLFloor), r.s.TTLCeiling)
}

// jitter is a random part of d, so that many things do not keep step.
func (r *Resolver) jitter(d time.Duration) time.Duration {
	if r.rand == nil || d <= 0 {
		return 0
	}
	var octets [2]byte
	if _, err := io.ReadFull(r.rand, octets[:]); err != nil {
		return 0 // no jitter is no harm
	}
	share := int64(octets[0])<<8 | int64(octets[1]) // of 65536
	return time.Duration(int64(d) >> 16 * share)
}

// backoff is the pause after failures in a row, 1 at least.
func (r *Resolver) backoff(failures int) time.Duration {
	pause := min(time.Second<<min(max(failures, 1)-1, 10), time.Minute)
	return pause + r.jitter(pause/4)
}
