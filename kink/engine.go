package kink

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// Engine is the KINK agent. It is used by one goroutine.
type Engine struct {
	cfg      Config
	settings *Settings
	epoch    uint32
	now      time.Time // of the input being handled
	out      *Outbox   // of the input being handled
	serial   uint64    // of the last pair, job or request
	xid      uint32    // the next one
	closing  bool      // Shutdown was asked for

	peers     map[string]*peer // by principal
	outgoing  map[uint32]*transaction
	joinable  map[target]*transaction // a CREATE that still waits for its ticket
	incoming  map[answerKey]*answer
	answersOf map[string][]*answer // by principal, the oldest first
	pairs     map[uint64]*pair     // by serial
	pairsOf   map[string][]*pair   // by principal, the oldest first
	bySAID    map[kernel.SAID]*pair

	jobs      map[uint64]func(any, error)
	tickets   map[uint64]func(Ticket, error)
	routes    map[uint64]func(netip.Addr, error)
	kernelOps map[uint64]func(kernel.Result)
	timers    timers
	counters  map[string]uint64

	debts     map[string]*debt // by principal
	strangers strangers
	refusals  bucket // answers in the clear
}

// New makes an engine without any SA.
func New(cfg Config) *Engine {
	if cfg.Settings == nil {
		cfg.Settings = new(Settings)
	}
	e := &Engine{
		cfg: cfg, settings: cfg.Settings, epoch: uint32(cfg.Start.Unix()),
		peers: make(map[string]*peer), outgoing: make(map[uint32]*transaction), joinable: make(map[target]*transaction), incoming: make(map[answerKey]*answer),
		answersOf: make(map[string][]*answer),
		pairs:     make(map[uint64]*pair), pairsOf: make(map[string][]*pair), bySAID: make(map[kernel.SAID]*pair),
		jobs: make(map[uint64]func(any, error)), tickets: make(map[uint64]func(Ticket, error)),
		routes: make(map[uint64]func(netip.Addr, error)), kernelOps: make(map[uint64]func(kernel.Result)),
		counters: make(map[string]uint64), debts: make(map[string]*debt), refusals: bucket{rate: 100},
	}
	// XIDs count from a random number, so that those of two runs differ (RFC 4430
	// §4 allows both). Without randomness they count from 0, and sending will fail.
	var first [4]byte
	if _, err := io.ReadFull(cfg.Rand, first[:]); err == nil {
		e.xid = binary.BigEndian.Uint32(first[:])
	}
	return e
}

// Handle takes one input and appends all of its effects to out, in order.
// now never goes back between two calls.
func (e *Engine) Handle(now time.Time, in Input, out *Outbox) {
	e.now, e.out = now, out
	switch in := in.(type) {
	case Datagram:
		e.datagram(in)
	case Timeout:
		e.expireTimers()
	case KernelResult:
		take(e.kernelOps, in.Result.Request.Owner.Serial, func(done func(kernel.Result)) { done(in.Result) })
	case KernelEvent:
		e.kernelEvent(in.Event)
	case JobDone:
		take(e.jobs, in.Serial, func(done func(any, error)) { done(in.Value, in.Err) })
	case TicketReady:
		take(e.tickets, in.Serial, func(done func(Ticket, error)) { done(in.Ticket, in.Err) })
	case Routed:
		take(e.routes, in.Serial, func(done func(netip.Addr, error)) { done(in.Local, in.Err) })
	case Initiate:
		e.initiate(in)
	case Terminate:
		e.terminate(in)
	case Reconfigure:
		e.reconfigure(in.Settings)
	case PeerAddresses:
		e.peerAddresses(in)
	case Shutdown:
		e.shutdown()
	}
	e.out = nil
}

// take removes who waits for a result and hands it over.
func take[F any](waiting map[uint64]F, serial uint64, call func(F)) {
	if done, ok := waiting[serial]; ok {
		delete(waiting, serial)
		call(done)
	}
}

// Deadline is the time of the earliest timer; false when no timer runs.
func (e *Engine) Deadline() (time.Time, bool) {
	if len(e.timers.list) == 0 {
		return time.Time{}, false
	}
	return e.timers.list[0].at, true
}

// Idle says that no SA, no command and no unanswered kernel request is left.
func (e *Engine) Idle() bool {
	for _, t := range e.outgoing {
		if t.state != stateAcking {
			return false
		}
	}
	return len(e.pairs) == 0 && len(e.kernelOps) == 0
}

// job gives work to the pool.
func (e *Engine) job(name string, run func() (any, error), done func(any, error)) {
	serial := e.nextSerial()
	e.jobs[serial] = done
	e.do(Job{Serial: serial, Name: name, Run: run})
}

// kernelOp asks the kernel and hands the result to done.
func (e *Engine) kernelOp(op kernel.Op, done func(kernel.Result)) {
	serial := e.nextSerial()
	e.kernelOps[serial] = done
	e.do(KernelRequest{Request: kernel.Request{Owner: kernel.Owner{Engine: kernel.KINK, Serial: serial}, Op: op}})
}

// nextSerial numbers pairs, jobs and requests.
func (e *Engine) nextSerial() uint64 {
	e.serial++
	return e.serial
}

// random is n octets from the injected source.
func (e *Engine) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		return nil, fmt.Errorf("the random source fails: %w", err)
	}
	return b, nil
}

// between is a random time from low to high; low when there is no randomness.
func (e *Engine) between(low, high time.Duration) time.Duration {
	b, err := e.random(8)
	if err != nil || high <= low {
		return low
	}
	return low + time.Duration(binary.BigEndian.Uint64(b)%uint64(high-low))
}

// do appends one effect of the input being handled.
func (e *Engine) do(f Effect) { e.out.Effects = append(e.out.Effects, f) }

// trace reports an event and counts its reason.
func (e *Engine) trace(tag trace.Tag, reason, text string, attrs ...trace.Attr) {
	if reason != "" {
		e.counters[reason]++
	}
	e.do(Trace{Event: trace.Event{Tag: tag, Reason: reason, Text: text, Attrs: attrs}})
}

func attr(key, value string) trace.Attr { return trace.Attr{Key: key, Value: value} }
