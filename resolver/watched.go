package resolver

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"racoon2/kernel/trace"
)

// The bounds of one name.
const (
	maxAddresses = 128              // in one answer
	maxKept      = 4 * maxAddresses // with those in their grace
)

// name is a watched name, or one that a wildcard has brought in.
type name struct {
	name    string
	watches []*watch
	own     bool // watched by itself: asked for for ever
	gated   bool
	keep    bool

	addrs      map[netip.Addr]*address
	families   [2]family // A, AAAA
	files      bool      // its addresses are the hosts file's
	fallback   bool      // they are, because DNS has none
	generation uint64    // of the last change
	stands     uint64    // the last one that the policy stands for

	used  bool // by a client, since it was asked for last
	dead  bool // forgotten
	waits []wait
	timer timer
}

// address is one address of a name.
type address struct {
	added   uint64    // the generation that brought it
	expires time.Time // as the last answer said; zero: never, it is the hosts file's
	left    bool
	gone    time.Time // when its grace ends
}

// family is what is known about a name's addresses of one kind.
type family struct {
	expires  time.Time // of the last answer
	again    time.Time // when to ask again; zero: not planned
	asking   bool
	failures int
}

// refresh is a question that waits for room.
type refresh struct {
	name *name
	kind uint16
}

// slot is the index of a family.
func slot(kind uint16) int {
	if kind == TypeAAAA {
		return 1
	}
	return 0
}

// kindOf is the family of an address.
func kindOf(a netip.Addr) uint16 {
	if a.Is4() {
		return TypeA
	}
	return TypeAAAA
}

// ofFamily picks the addresses of one kind.
func ofFamily(addrs []netip.Addr, kind uint16) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if kindOf(a) == kind {
			out = append(out, a)
		}
	}
	return out
}

// newName begins to follow a name.
func (r *Resolver) newName(canonical string, watches []*watch) *name {
	n := &name{name: canonical, addrs: make(map[netip.Addr]*address)}
	n.timer.Of = n
	n.watchedBy(watches)
	r.names[canonical] = n
	if !n.own {
		r.brought++
	}
	return n
}

// watchedBy notes who watches a name.
func (n *name) watchedBy(watches []*watch) {
	n.watches, n.own, n.gated, n.keep = watches, false, false, false
	for _, w := range watches {
		n.keep = n.keep || w.keep
		n.own = n.own || !w.wildcard()
		n.gated = n.gated || w.gated
	}
}

// update takes the addresses of one kind that an answer gives. expires is zero
// for those of the hosts file.
func (r *Resolver) update(now time.Time, n *name, kind uint16, addrs []netip.Addr, expires time.Time, out *Outbox) {
	changed := false
	for _, a := range addrs {
		known := n.addrs[a]
		if known == nil {
			known = &address{left: true}
			n.addrs[a] = known
			r.byAddr[a] = append(r.byAddr[a], n)
		}
		if known.left { // new; or back, when its policy may already be on its way out
			known.added = r.generation + 1
			changed = true
		}
		known.left, known.expires = false, expires
	}
	for a, known := range n.addrs {
		if kindOf(a) == kind && !known.left && !slices.Contains(addrs, a) {
			r.leave(now, known)
			changed = true
		}
	}
	gone := r.sweep(now, n)
	if changed || len(gone) > 0 {
		r.changed(n, gone, out)
	}
}

// leave begins the grace of an address: what was left of its TTL, because
// applications may still hold it, and Settings.Grace more.
func (r *Resolver) leave(now time.Time, a *address) {
	a.left = true
	a.gone = now
	if a.expires.After(now) {
		a.gone = a.expires
	}
	a.gone = a.gone.Add(max(r.s.Grace, 0))
}

// sweep takes out the addresses whose grace has ended, and beyond the bound
// those that would be next.
func (r *Resolver) sweep(now time.Time, n *name) []netip.Addr {
	var gone, leaving []netip.Addr
	for a, known := range n.addrs {
		switch {
		case !known.left:
		case !now.Before(known.gone):
			gone = append(gone, a)
		default:
			leaving = append(leaving, a)
		}
	}
	if over := min(len(n.addrs)-len(gone)-maxKept, len(leaving)); over > 0 {
		slices.SortFunc(leaving, func(a, b netip.Addr) int { return n.addrs[a].gone.Compare(n.addrs[b].gone) })
		gone = append(gone, leaving[:over]...)
	}
	for _, a := range gone {
		delete(n.addrs, a)
		r.unmap(a, n)
	}
	slices.SortFunc(gone, netip.Addr.Compare)
	return gone
}

// unmap takes a name off an address.
func (r *Resolver) unmap(a netip.Addr, n *name) {
	rest := slices.DeleteFunc(r.byAddr[a], func(o *name) bool { return o == n })
	if len(rest) == 0 {
		delete(r.byAddr, a)
		return
	}
	r.byAddr[a] = rest
}

// changed tells about a change.
func (r *Resolver) changed(n *name, gone []netip.Addr, out *Outbox) {
	r.generation++
	n.generation = r.generation
	present, left := n.lists()
	var watches []string
	for _, w := range n.watches {
		watches = append(watches, w.name)
	}
	out.trace(trace.Info, ReasonNamesChanged, []string{
		"name", n.name, "addresses", addrList(present), "left", addrList(left), "gone", addrList(gone),
	}, "%s has %d addresses; %d have left, %d are gone", n.name, len(present), len(left), len(gone))
	out.add(NamesChanged{
		Name: n.name, Watches: watches, Addresses: present, Left: left, Gone: gone, Generation: n.generation,
	})
}

// addrList is for the log; long ones are cut.
func addrList(addrs []netip.Addr) string {
	const shown = 8
	var words []string
	for i, a := range addrs {
		if i == shown {
			words = append(words, "…")
			break
		}
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// lists are the addresses of a name, and those in their grace, in order.
func (n *name) lists() (present, left []netip.Addr) {
	for a, known := range n.addrs {
		if known.left {
			left = append(left, a)
		} else {
			present = append(present, a)
		}
	}
	slices.SortFunc(present, netip.Addr.Compare)
	slices.SortFunc(left, netip.Addr.Compare)
	return present, left
}

// leastAgain is how long an answer is believed that lives for no time at all: who asks at
// once again would ask as fast as the upstream answers.
const leastAgain = time.Second

// answered plans the next question after an answer that lives so long.
func (r *Resolver) answered(now time.Time, n *name, kind uint16, life time.Duration) {
	f := &n.families[slot(kind)]
	f.failures = 0
	f.expires = now.Add(life)
	f.again = now.Add(max(life*9/10-r.jitter(life/20), leastAgain))
	n.used = false
	r.plan(n)
}

// failNames notes that a question about a watched name came to nothing, and
// lets addresses leave whose time is over and that nobody uses.
func (r *Resolver) failNames(now time.Time, p *pending, why string, out *Outbox) {
	n := r.names[p.question.Name]
	if n == nil || p.question != (Question{Name: n.name, Type: p.question.Type}) || p.question.Type != TypeA && p.question.Type != TypeAAAA || n.files {
		return
	}
	f := &n.families[slot(p.question.Type)]
	f.asking = false
	f.failures++
	f.again = now.Add(r.backoff(f.failures))
	if f.failures == 1 {
		out.trace(trace.InternalWarn, ReasonNameFailed, []string{"name", n.name, "why", clip(why)},
			"%s could not be asked for: %s; what is in use stays", n.name, clip(why))
	}
	if r.expire(now, n, p.question.Type) {
		r.changed(n, nil, out)
	}
	r.plan(n)
}

// expire lets addresses of one kind leave whose TTL has passed without another
// answer, except those in use. It says whether any left.
func (r *Resolver) expire(now time.Time, n *name, kind uint16) bool {
	if n.keep {
		return false
	}
	some := false
	for a, known := range n.addrs {
		if _, using := r.using[a]; using || known.left || kindOf(a) != kind || known.expires.IsZero() || now.Before(known.expires) {
			continue
		}
		r.leave(now, known)
		some = true
	}
	return some
}

// refresh asks for one kind of a name's addresses, or queues for it.
func (r *Resolver) refresh(now time.Time, n *name, kind uint16, out *Outbox) {
	f := &n.families[slot(kind)]
	f.again = time.Time{}
	if f.asking || n.files {
		return
	}
	f.asking = true
	if r.background >= maxBackground {
		r.queue = append(r.queue, refresh{n, kind})
		return
	}
	q := Question{Name: n.name, Type: kind}
	if r.pending[q] == nil {
		r.nextAttempt(now, r.begin(q, true), out)
	}
}

// refreshBoth asks for both kinds.
func (r *Resolver) refreshBoth(now time.Time, n *name, out *Outbox) {
	r.refresh(now, n, TypeA, out)
	r.refresh(now, n, TypeAAAA, out)
	r.plan(n)
}

// nextRefresh takes the questions that have waited for room.
func (r *Resolver) nextRefresh(now time.Time, out *Outbox) {
	if r.draining { // a question that fails at once comes back here
		return
	}
	r.draining = true
	for len(r.queue) > 0 && r.background < maxBackground {
		next := r.queue[0]
		r.queue = r.queue[1:]
		q := Question{Name: next.name.name, Type: next.kind}
		if next.name.dead || next.name.files || r.pending[q] != nil {
			continue
		}
		r.nextAttempt(now, r.begin(q, true), out)
	}
	r.draining = false
	if len(r.queue) == 0 {
		r.queue = nil
	}
}

// plan sets a name's timer to what comes first.
func (r *Resolver) plan(n *name) {
	var first time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for _, f := range n.families {
		sooner(f.again)
	}
	for _, a := range n.addrs {
		if a.left {
			sooner(a.gone)
		}
	}
	if n.dead || first.IsZero() {
		r.timers.Stop(&n.timer)
		return
	}
	r.timers.Set(&n.timer, first)
}

// ring is a name's timer: ask again, let go what is idle, end graces.
func (n *name) ring(r *Resolver, now time.Time, out *Outbox) {
	some := false
	for _, kind := range []uint16{TypeA, TypeAAAA} {
		f := &n.families[slot(kind)]
		if f.again.IsZero() || now.Before(f.again) {
			continue
		}
		switch {
		case n.own || n.used || r.inUse(n):
			r.refresh(now, n, kind, out)
		case now.Before(f.expires):
			f.again = f.expires
		default:
			f.again = time.Time{}
			some = r.expire(now, n, kind) || some
		}
	}
	if gone := r.sweep(now, n); some || len(gone) > 0 {
		r.changed(n, gone, out)
	}
	r.plan(n)
	if !n.own && !n.files && len(n.addrs) == 0 && !n.timer.Armed() && !n.families[0].asking && !n.families[1].asking {
		r.forget(n, out)
	}
}

// inUse says whether SAs exist for an address of a name.
func (r *Resolver) inUse(n *name) bool {
	for a := range n.addrs {
		if _, ok := r.using[a]; ok {
			return true
		}
	}
	return false
}

// forget ends the following of a name. What waits for its policy goes on.
func (r *Resolver) forget(n *name, out *Outbox) {
	n.dead = true
	r.timers.Stop(&n.timer)
	delete(r.names, n.name)
	if !n.own {
		r.brought--
	}
	for a := range n.addrs {
		r.unmap(a, n)
	}
	r.release(n, ^uint64(0), out)
}
