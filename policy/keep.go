package policy

import (
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// up asks for the child of a selector at an operator's wish.
func (m *Manager) up(now time.Time, name string, out *Outbox) {
	sel := m.selectors[name]
	switch {
	case m.closing:
	case sel == nil:
		out.trace(trace.InternalWarn, ReasonUnknownSelector, []string{"selector", name}, "there is no selector %s", name)
	case sel.Action != kernel.Protect:
		out.trace(trace.InternalWarn, ReasonNotProtected, sel.who(),
			"selector %s (%s) has action %v: it has no child to bring up", sel.Name, sel.Where, sel.Action)
	default:
		delete(m.held, sel.Child)
		m.want(now, sel, nil, true, out)
	}
}

// down has the child of a selector stay down until somebody or traffic asks for it.
func (m *Manager) down(name string) {
	sel := m.selectors[name]
	if sel == nil || sel.Child == "" {
		return
	}
	m.held[sel.Child] = struct{}{}
	if a := m.attempts[sel.Child]; a != nil {
		m.forget(a)
	}
}

// keeps tells whether the child of a selector is to stand without being asked
// for (start on).
func (m *Manager) keeps(sel *Selector) bool {
	_, held := m.held[sel.Child]
	return sel.Start && !held && sel.Direction == kernel.Out && sel.Action == kernel.Protect && sel.Child != ""
}

// childUp ends an attempt well. The failures of a child that is kept up count on,
// so that one which comes and goes is asked for ever less often.
func (m *Manager) childUp(now time.Time, up ChildUp, out *Outbox) {
	if a := m.attempts[up.Child]; a != nil {
		if a.sel.Start && a.failures > 0 {
			a.phase, a.wanted, a.why = over, false, ""
			m.timers.Set(&a.timer, now.Add(forgetAfter))
		} else {
			m.forget(a)
		}
	}
	if !up.Again {
		m.standUp(up.Child)
	}
	m.standAt(up.Child, up.Remote, out)
	m.follow(now, up.Child, tunnelEnds{up.Local, up.Remote}, out)
	m.roadWarrior(now, up, out)
}

// childDown has a child that is to stand asked for again.
func (m *Manager) childDown(now time.Time, in ChildDown, out *Outbox) {
	if !m.standDown(in.Child, out) || m.closing {
		return
	}
	users := inOrderOf(m.units.byChild[in.Child])
	for _, u := range users {
		m.leaveAddress(u)
	}
	m.replan(now, out, users...)
	sel := m.selectors[in.Child]
	if sel == nil || !m.keeps(sel) {
		return
	}
	a := m.attemptOf(sel)
	if a.phase != over {
		return // it is under way
	}
	a.why = in.Reason
	pause := m.rest(now, a)
	out.trace(trace.Info, ReasonStartAgain, sel.who("child", in.Child, "why", in.Reason),
		"child %s is down (%s) and is to stand: it is asked for again in %v", in.Child, in.Reason, pause.Round(time.Millisecond))
}

// retry ends the pauses of a remote's children: it may be elsewhere now.
func (m *Manager) retry(now time.Time, remote string, out *Outbox) {
	for _, child := range sortedKeys(m.attempts) {
		a := m.attempts[child]
		switch {
		case a.sel.Remote != remote || a.phase != resting:
		case a.wanted:
			m.begin(now, a, out)
		default:
			m.forget(a)
		}
	}
}

// reviewAttempts fits the attempts to new settings: those whose selector is
// gone or leads elsewhere now are forgotten.
func (m *Manager) reviewAttempts(now time.Time, out *Outbox) {
	for _, a := range m.attempts {
		sel := m.selectors[a.sel.Name]
		if sel == nil || sel.Action != kernel.Protect || sel.Child != a.child || sel.Remote != a.sel.Remote ||
			!slices.Equal(sel.Engines, a.sel.Engines) {
			m.forget(a)
			continue
		}
		a.sel = sel
	}
	for child := range m.held {
		if m.selectors[child] == nil {
			delete(m.held, child)
		}
	}
	for _, sel := range m.settings.Selectors {
		if m.keeps(sel) && !m.stands(sel.Child) && m.attempts[sel.Child] == nil {
			m.want(now, sel, nil, false, out)
		}
	}
}

// Attempt is one child that is being asked for, or rests after a failure.
type Attempt struct {
	Child, Remote string
	Engine        kernel.EngineID // that is asked; NoEngine while it rests
	Failures      int             // rounds through all engines that came to nothing
	Why           string          // the last engine's word
	Next          time.Time       // of the next try; zero: when traffic comes, or none is needed
}

// Attempts lists them in the order of their names.
func (m *Manager) Attempts() []Attempt {
	var out []Attempt
	for _, child := range sortedKeys(m.attempts) {
		a := m.attempts[child]
		if a.phase == over {
			continue
		}
		s := Attempt{Child: child, Remote: a.sel.Remote, Failures: a.failures, Why: a.why}
		switch {
		case a.phase == trying && a.engine < len(a.sel.Engines):
			s.Engine = a.sel.Engines[a.engine]
		case a.wanted:
			s.Next = a.timer.When()
		}
		out = append(out, s)
	}
	return out
}

// CanInitiate tells whether a selector has a child that Up would ask for.
func (m *Manager) CanInitiate(name string) bool {
	sel := m.selectors[name]
	return sel != nil && sel.Action == kernel.Protect && sel.Child != ""
}
