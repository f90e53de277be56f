package policy

import (
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// The times of an attempt.
const (
	attemptLimit = 30 * time.Second // without word from the engine, an acquire asks it again
	restFirst    = time.Second
	restLimit    = time.Minute
	forgetAfter  = 5 * time.Minute // failures further back do not count
)

// phase is where an attempt stands.
type phase uint8

const (
	trying  phase = iota // an engine has been asked
	resting              // all engines gave up: a pause
	over                 // nothing under way; past failures still count
)

// attempt is the asking for one child.
type attempt struct {
	child    string
	sel      *Selector // the one that was met; names remote and engines
	phase    phase
	engine   int // index into the selector's engines
	packet   *kernel.Selector
	wanted   bool // it was asked for again meanwhile
	held     int  // how often
	failures int  // rounds through all engines that came to nothing
	why      string
	timer    timer
}

// acquire answers traffic that met a policy without SA.
func (m *Manager) acquire(now time.Time, ev kernel.Acquire, out *Outbox) {
	sel := m.selectorOf(ev)
	if sel == nil || sel.Action != kernel.Protect {
		out.trace(trace.Debug, ReasonAcquireForeign, []string{"packet", ev.Packet.String()},
			"an acquire for policy %d, reqid %d is not for a selector of ours", ev.Policy, ev.Template.ReqID)
		return
	}
	if len(sel.Manual) > 0 {
		out.trace(trace.Debug, ReasonAcquireForeign, sel.who("packet", ev.Packet.String()), "traffic met a policy whose static SA is not there")
		return
	}
	delete(m.held, sel.Child)
	out.trace(trace.Debug, ReasonAcquire, sel.who("packet", ev.Packet.String()), "traffic met a policy without SA")
	packet := ev.Packet
	m.want(now, sel, &packet, false, out)
}

// selectorOf finds the selector that an acquire is for: by the policy's number;
// by the template's reqid when the selector's policies are installed by somebody
// else (install off) or one of its own covers the packet; by the packet alone
// when the kernel does not say which policy it was.
func (m *Manager) selectorOf(ev kernel.Acquire) *Selector {
	if e := m.byID[ev.Policy]; e != nil {
		return e.sel
	}
	if sel := m.byReqID[ev.Template.ReqID]; sel != nil {
		if ev.Policy == 0 || !sel.Install || m.match(ev.Packet, sel) != nil {
			return sel
		}
	}
	if ev.Policy != 0 {
		return nil
	}
	if e := m.match(ev.Packet, nil); e != nil {
		return e.sel
	}
	return nil
}

// match finds the strongest outbound policy that a packet meets, of one
// selector or of all; nil when that one is no Protect policy, or there is none.
func (m *Manager) match(packet kernel.Selector, of *Selector) *entry {
	var best *entry
	for _, e := range m.entries {
		if e.have == nil || e.direction != kernel.Out || of != nil && e.sel.Name != of.Name || !e.selector.Matches(packet) {
			continue
		}
		if best == nil || e.have.Priority < best.have.Priority {
			best = e
		}
	}
	if best == nil || best.have.Action != kernel.Protect {
		return nil
	}
	return best
}

// want asks for a child, unless that is under way. A pause is kept unless the
// wish is an operator's.
func (m *Manager) want(now time.Time, sel *Selector, packet *kernel.Selector, force bool, out *Outbox) {
	a := m.attemptOf(sel)
	if a.phase == trying || a.phase == resting && !force {
		a.wanted = true
		a.held++
		if packet != nil {
			a.packet = packet
		}
		out.trace(trace.Debug, ReasonAcquireHeld, sel.who("child", sel.Child), "child %s is asked for again while %s", sel.Child, a.phase)
		return
	}
	a.sel, a.packet = sel, packet
	if force {
		a.failures = 0
	}
	m.begin(now, a, out)
}

// attemptOf is the attempt for a selector's child, a new one if there is none.
func (m *Manager) attemptOf(sel *Selector) *attempt {
	a := m.attempts[sel.Child]
	if a == nil {
		a = &attempt{child: sel.Child, sel: sel, phase: over}
		a.timer.Of = a
		m.attempts[sel.Child] = a
	}
	return a
}

// String completes "is asked for again while …".
func (p phase) String() string {
	switch p {
	case trying:
		return "an engine sets it up"
	case resting:
		return "it rests after a failure"
	}
	return "nothing is under way"
}

// begin starts a round through the engines.
func (m *Manager) begin(now time.Time, a *attempt, out *Outbox) {
	a.engine, a.wanted, a.held = -1, false, 0
	if m.next(now, a, out) {
		return
	}
	out.trace(trace.InternalWarn, ReasonNoEngine, a.sel.who("child", a.child),
		"selector %s (%s): no engine that acceptable_kmp of remote %s names runs here", a.sel.Name, a.sel.Where, a.sel.Remote)
	m.rest(now, a)
}

// next asks the next engine of the round; false when there is none.
func (m *Manager) next(now time.Time, a *attempt, out *Outbox) bool {
	for a.engine++; a.engine < len(a.sel.Engines); a.engine++ {
		if engine := a.sel.Engines[a.engine]; slices.Contains(m.engines, engine) {
			a.phase = trying
			m.timers.Set(&a.timer, now.Add(attemptLimit))
			attrs := a.sel.who("child", a.child, "remote", a.sel.Remote, "engine", engine.String())
			if a.packet != nil {
				attrs = append(attrs, "packet", a.packet.String())
			}
			out.trace(trace.Info, ReasonInitiate, attrs, "child %s is asked for", a.child)
			out.Effects = append(out.Effects, Initiate{Engine: engine, Remote: a.sel.Remote, Child: a.child, Packet: a.packet})
			return true
		}
	}
	return false
}

// rest begins the pause after a round that came to nothing.
func (m *Manager) rest(now time.Time, a *attempt) time.Duration {
	a.failures++
	a.phase = resting
	a.wanted = a.wanted || m.keeps(a.sel)
	pause := m.backoff(a.failures, restFirst, restLimit)
	m.timers.Set(&a.timer, now.Add(pause))
	return pause
}

// initiateFailed goes on to the next engine, or rests.
func (m *Manager) initiateFailed(now time.Time, f InitiateFailed, out *Outbox) {
	a := m.attempts[f.Child]
	if a == nil || a.phase == resting || a.engine < 0 || a.engine >= len(a.sel.Engines) || a.sel.Engines[a.engine] != f.Engine {
		return // late word of what is no longer asked
	}
	a.why = f.Reason
	if m.next(now, a, out) {
		out.trace(trace.InternalWarn, ReasonInitiateFailed, a.sel.who("child", a.child, "engine", f.Engine.String(), "why", f.Reason),
			"child %s: %v gave up (%s); the next engine is asked", a.child, f.Engine, f.Reason)
		return
	}
	pause := m.rest(now, a)
	out.trace(trace.InternalWarn, ReasonInitiateFailed, a.sel.who("child", a.child, "engine", f.Engine.String(), "why", f.Reason),
		"child %s: %v gave up (%s); not asked for again within %v", a.child, f.Engine, f.Reason, pause.Round(time.Millisecond))
}

// ring is an attempt's timer: the engine said nothing, the pause is over, or the
// failures are long past.
func (a *attempt) ring(m *Manager, now time.Time, out *Outbox) {
	switch {
	case a.phase == over:
		m.forget(a)
	case a.wanted:
		m.begin(now, a, out)
	default:
		a.phase = over
		m.timers.Set(&a.timer, now.Add(forgetAfter))
	}
}

func (m *Manager) forget(a *attempt) {
	m.timers.Stop(&a.timer)
	delete(m.attempts, a.child)
}
