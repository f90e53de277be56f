package policy

import (
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// dump is the look at the kernel's policies after events were lost.
type dump struct {
	serial uint64 // of the request under way; 0: none
	again  bool   // events were lost once more
	failed int    // in a row
	timer  timer
}

// event takes what the kernel noticed by itself.
func (m *Manager) event(now time.Time, ev kernel.Event, out *Outbox) {
	if m.closing || !m.started {
		return
	}
	switch ev := ev.(type) {
	case kernel.Acquire:
		m.acquire(now, ev, out)
	case kernel.PolicyDeleted:
		m.policyDeleted(now, ev, out)
	case kernel.Deleted:
		if x := m.manual[ev.ID]; x != nil {
			m.manualGone(now, x, out)
		}
	case kernel.Flushed:
		m.manualFlushed(now, ev.Proto, out)
	case kernel.Resync:
		out.trace(trace.InternalWarn, ReasonResync, nil, "events of the kernel were lost: its policies are compared with ours")
		m.startDump(out)
	}
}

// policyDeleted puts back a policy that somebody else removed.
func (m *Manager) policyDeleted(now time.Time, ev kernel.PolicyDeleted, out *Outbox) {
	e := m.byID[ev.ID]
	if e == nil {
		e = m.entries[key{selector: ev.Selector, direction: ev.Direction}]
	}
	switch {
	case e == nil:
		return // not ours
	case ev.ID != 0 && e.id != 0 && ev.ID != e.id:
		return // another program's for the same traffic, told apart by a mark or an interface
	case e.op == deleting || e.want == nil:
		return // it was to go; the answer to the removal settles it
	case e.op != idle:
		e.disturbed = true // before or after our request: the answer is followed by another
	case e.have == nil:
		return
	}
	m.lose(now, e, out)
}

// lose notes that a policy of ours is gone, says so once a minute, and puts it
// back, once a second at most.
func (m *Manager) lose(now time.Time, e *entry, out *Outbox) {
	e.lost++
	if e.warned.IsZero() || now.Sub(e.warned) >= lostWarnEvery {
		out.trace(trace.InternalWarn, ReasonPolicyLost, e.sel.who("policy", e.describe()),
			"selector %s (%s): somebody removed the policy for %v %v (removals since the last such line: %d); it is installed again",
			e.sel.Name, e.sel.Where, e.direction, e.selector, e.lost)
		e.warned, e.lost = now, 0
	} else {
		out.trace(trace.Debug, ReasonPolicyLost, e.sel.who("policy", e.describe()), "somebody removed a policy again")
	}
	if e.op != idle {
		return
	}
	m.gone(e)
	if wait := reinstallGap - now.Sub(e.restored); !e.restored.IsZero() && wait > 0 {
		m.timers.Set(&e.timer, now.Add(wait))
		e.restored = now.Add(wait)
		return
	}
	e.restored = now
	m.sync(now, e, out)
}

// ring is the next try.
func (*dump) ring(m *Manager, _ time.Time, out *Outbox) { m.startDump(out) }

// startDump asks for the kernel's policies.
func (m *Manager) startDump(out *Outbox) {
	if m.dump.serial != 0 {
		m.dump.again = true
		return
	}
	m.timers.Stop(&m.dump.timer)
	m.serial++
	m.dump.serial, m.dump.again = m.serial, false
	m.submit(m.serial, kernel.DumpPolicy{}, out)
}

// dumped compares the kernel's policies with ours. Entries with requests that
// were sent after the dump are left to the answers of those.
func (m *Manager) dumped(now time.Time, r kernel.Result, out *Outbox) {
	asked := m.dump.serial
	m.dump.serial = 0
	if m.closing {
		return
	}
	if r.Err != nil {
		m.dump.failed++
		pause := m.backoff(m.dump.failed, retryFirst, retryLimit)
		out.trace(trace.InternalErr, "", []string{"error", r.Err.Error()},
			"the kernel's policies cannot be listed: %v; next try in %v", r.Err, pause.Round(time.Millisecond))
		m.timers.Set(&m.dump.timer, now.Add(pause))
		return
	}
	m.dump.failed = 0
	there := make(map[key][]*kernel.Policy, len(r.Policies))
	for i := range r.Policies {
		p := &r.Policies[i]
		k := keyOf(p)
		there[k] = append(there[k], p)
	}
	for _, e := range m.inOrder() {
		if e.op == idle && e.have != nil && e.want != nil && e.serial < asked {
			m.compare(now, e, there[e.key], out)
		}
	}
	if m.dump.again {
		m.startDump(out)
	}
}

// compare settles one entry against the policies that the kernel has for its
// selector and direction; there may be several where marks tell them apart.
func (m *Manager) compare(now time.Time, e *entry, there []*kernel.Policy, out *Outbox) {
	at := slices.IndexFunc(there, func(p *kernel.Policy) bool { return p.ID == e.id })
	if at < 0 {
		at = slices.IndexFunc(there, func(p *kernel.Policy) bool { return sameShape(p, e.have) })
	}
	switch {
	case len(there) == 0:
		m.lose(now, e, out)
		return
	case at < 0:
		at = 0
	}
	m.setID(e, there[at].ID)
	if !sameShape(there[at], e.have) {
		out.trace(trace.InternalWarn, ReasonPolicyLost, e.sel.who("policy", e.describe()),
			"selector %s (%s): somebody changed the policy for %v %v; it is changed back",
			e.sel.Name, e.sel.Where, e.direction, e.selector)
		m.request(e, updating, e.want, out)
	}
}

// sameShape compares what every kernel reports of a policy.
func sameShape(a, b *kernel.Policy) bool {
	return a.Action == b.Action && slices.EqualFunc(a.Templates, b.Templates, func(x, y kernel.Template) bool {
		return x.Proto == y.Proto && x.Mode == y.Mode && x.ReqID == y.ReqID
	})
}

// inOrder lists the entries, strongest first.
func (m *Manager) inOrder() []*entry {
	list := make([]*entry, 0, len(m.entries))
	for _, e := range m.entries {
		if e.want != nil {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, strongestFirst)
	return list
}
