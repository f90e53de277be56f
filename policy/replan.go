package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// units are what the plan is made from, by what may change them.
type units struct {
	static    []*unit                       // in the configuration's order, selectors that are installed
	byName    map[string]map[*unit]struct{} // by selector
	byWatch   map[string]map[*unit]struct{} // by the names that they hold, or that their ends have
	byChild   map[string]map[*unit]struct{} // static ones
	made      map[string]map[*unit]struct{} // dynamic ones, by child
	macros    map[*unit]struct{}            // that hold macros for this host's addresses
	discovery []*unit                       // neighbour discovery's, while it needs them
}

func newUnits() units {
	return units{
		byName:  make(map[string]map[*unit]struct{}),
		byWatch: make(map[string]map[*unit]struct{}),
		byChild: make(map[string]map[*unit]struct{}),
		made:    make(map[string]map[*unit]struct{}),
		macros:  make(map[*unit]struct{}),
	}
}

// add indexes a unit.
func (us *units) add(u *unit) {
	for _, name := range u.sel.names() {
		put(us.byWatch, name, u)
	}
	put(us.byName, u.sel.Name, u)
	switch {
	case u.sel.Child == "":
	case u.dynamic != nil:
		put(us.made, u.sel.Child, u)
	default:
		put(us.byChild, u.sel.Child, u)
	}
	if u.sel.usesMacros() {
		us.macros[u] = struct{}{}
	}
}

// remove takes a unit out of the index.
func (us *units) remove(u *unit) {
	for _, name := range u.sel.names() {
		drop(us.byWatch, name, u)
	}
	drop(us.byName, u.sel.Name, u)
	drop(us.byChild, u.sel.Child, u)
	drop(us.made, u.sel.Child, u)
	delete(us.macros, u)
}

// put and drop keep a map of sets.
func put[K, V comparable](m map[K]map[V]struct{}, k K, v V) {
	if m[k] == nil {
		m[k] = make(map[V]struct{})
	}
	m[k][v] = struct{}{}
}

func drop[K, V comparable](m map[K]map[V]struct{}, k K, v V) {
	delete(m[k], v)
	if len(m[k]) == 0 {
		delete(m, k)
	}
}

// inOrderOf lists units in the configuration's order, so that runs repeat.
func inOrderOf(sets ...map[*unit]struct{}) []*unit {
	seen := make(map[*unit]struct{})
	var out []*unit
	for _, set := range sets {
		for u := range set {
			if _, twice := seen[u]; !twice {
				seen[u] = struct{}{}
				out = append(out, u)
			}
		}
	}
	slices.SortFunc(out, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.base, b.base))
	})
	return out
}

// replanAll makes the plan anew and carries out what is different.
func (m *Manager) replanAll(now time.Time, out *Outbox) {
	before := m.problems()
	m.plan = newPlan(2 * len(m.settings.Selectors))
	m.units = newUnits()
	for _, p := range m.paths {
		clear(p.users)
	}
	m.forgetManual()
	for i, sel := range m.settings.Selectors {
		if !sel.Install {
			continue
		}
		u := &unit{sel: sel, index: i}
		m.units.static = append(m.units.static, u)
		m.units.add(u)
		m.expand(u, out)
	}
	for _, d := range m.dynamic.by {
		d.unit.index, d.unit.wishes, d.unit.manual, d.unit.paths = m.indexes[d.Selector], nil, nil, nil
		m.units.add(d.unit)
		m.expand(d.unit, out)
	}
	m.forgetPaths()
	m.watchDiscovery(out)
	c := m.plan.settle()
	m.explain(before, m.problems(), out)
	for k, e := range m.entries {
		if e.want != nil && m.plan.slots[k] == nil {
			c.keys = append(c.keys, k)
		}
	}
	m.settleManual(now, out)
	m.carryOut(now, c.keys, out)
}

// replan works out what has changed for some units, and carries it out.
// Nothing that stays the same is touched, or looked at.
func (m *Manager) replan(now time.Time, out *Outbox, changed ...*unit) {
	m.rework(now, out, nil, changed)
}

// rework is replan with problems that have been explained.
func (m *Manager) rework(now time.Time, out *Outbox, before []problem, changed []*unit) {
	var after []problem
	for _, u := range changed {
		before = u.problem(before)
		m.expand(u, out)
		after = u.problem(after)
	}
	m.watchDiscovery(out)
	c := m.plan.settle()
	m.explain(append(before, c.before...), append(after, c.after...), out)
	m.settleManual(now, out)
	m.carryOut(now, c.keys, out)
}

// retire takes units out of the plan.
func (m *Manager) retire(now time.Time, out *Outbox, gone ...*unit) {
	for _, u := range gone {
		paths := u.paths
		m.takeOut(u)
		for _, p := range paths {
			m.forgetPath(p)
		}
	}
	m.replan(now, out)
}

// problem appends what a unit has to explain.
func (u *unit) problem(to []problem) []problem {
	if u.why != "" {
		to = append(to, problem{u, u.why})
	}
	return to
}

// problems lists all that there is to explain.
func (m *Manager) problems() []problem {
	out := m.plan.problems()
	for _, u := range m.units.static {
		out = u.problem(out)
	}
	for _, d := range m.dynamic.by {
		out = d.unit.problem(out)
	}
	return out
}

// expand says anew what a unit asks for.
func (m *Manager) expand(u *unit, out *Outbox) {
	wishes, err := m.wishes(u, out)
	u.why = ""
	if unknown, ok := err.(*unknownEnd); err != nil && !(ok && unknown.asking) {
		u.why = err.Error()
	}
	m.plan.put(u, wishes)
	m.putManual(u)
}

// wishes are the policies of a unit. With an error, they are none, or such as
// keep its traffic from passing in clear.
func (m *Manager) wishes(u *unit, out *Outbox) ([]*wish, error) {
	sel := u.sel
	templates, problem := m.templates(u, out)
	// An end that will be known: nothing leaves unprotected until then.
	unknown, blocked := problem.(*unknownEnd)
	switch {
	case blocked && sel.Level != kernel.Use && !unknown.asking:
		problem = unknown.blocked()
	case blocked && sel.Level != kernel.Use:
		problem = nil
	case problem != nil:
		return nil, problem
	}
	selectors, left, err := expandSelectors(sel, here{m.interfaces, &m.names, m.caps})
	if err != nil {
		return nil, err
	}
	directions := []kernel.Direction{sel.Direction}
	if m.caps.Forward && sel.Direction == kernel.In && hasTwin(sel) && !sel.builtIn {
		directions = append(directions, kernel.Forward)
	}
	wishes := make([]*wish, 0, (len(selectors)+len(left))*len(directions))
	add := func(selectors []kernel.Selector, like kernel.Policy, left bool) {
		for _, s := range selectors {
			for _, d := range directions {
				p := like
				p.Selector, p.Direction = s, d
				wishes = append(wishes, &wish{key: keyOf(&p), left: left, policy: &p})
			}
		}
	}
	// What is discarded is no work for a device.
	discard := kernel.Policy{Action: kernel.Discard, Binding: kernel.Binding{IfID: sel.Binding.IfID, Mark: sel.Binding.Mark}}
	if blocked {
		add(selectors, discard, false)
	} else {
		add(selectors, kernel.Policy{Action: sel.Action, Templates: templates, MSS: sel.MSS, Binding: sel.Binding}, false)
	}
	if m.settings.discardsLeft(sel) {
		add(left, discard, true)
	}
	return wishes, problem
}

// here is what the expansion of a selector depends on besides the selector.
type here struct {
	interfaces []Interface
	names      *names
	caps       kernel.Capabilities
}

// hasTwin tells whether an inbound policy holds for forwarded traffic as well.
func hasTwin(sel *Selector) bool { return sel.Action != kernel.Protect || sel.Mode == kernel.Tunnel }

// carryOut makes the entries of some slots what the plan has there now.
func (m *Manager) carryOut(now time.Time, keys []key, out *Outbox) {
	var changed []*entry
	added, removed := 0, 0
	for _, k := range keys {
		e := m.entries[k]
		s := m.plan.slots[k]
		if s == nil {
			if e != nil && e.want != nil {
				m.unwant(e, out)
				removed++
			}
			continue
		}
		if e == nil {
			e = newEntry(k)
			m.entries[k] = e
			added++
		}
		w := s.winner
		e.sel, e.index, e.place = w.unit.sel, w.unit.index, w.place
		if e.want == nil { // new, or wanted again
			delete(m.leaving, e)
			m.timers.Stop(&e.timer)
			e.failures = 0
		}
		if e.want == nil || !samePolicy(e.want, w.policy) {
			e.want = w.policy
			changed = append(changed, e)
		}
	}
	slices.SortFunc(changed, strongestFirst)
	for _, e := range changed {
		m.sync(now, e, out)
	}
	m.release(now, out)
	if len(changed)+removed > 0 {
		out.trace(trace.Info, "", nil, "policies: %d to add, %d to change, %d to remove, %d in all",
			added, len(changed)-added, removed, len(m.plan.slots))
	}
}

// explain reports the selectors that make no policy, each once as long as its
// reason stays the same.
func (m *Manager) explain(before, after []problem, out *Outbox) {
	if len(after) == 0 {
		return
	}
	type said struct{ name, text string }
	known := make(map[said]bool, len(before))
	for _, p := range before {
		known[said{p.unit.sel.Name, p.text}] = true
	}
	slices.SortFunc(after, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.unit.index, b.unit.index), strings.Compare(a.text, b.text))
	})
	for _, p := range after {
		sel := p.unit.sel
		if s := (said{sel.Name, p.text}); !known[s] {
			known[s] = true
			out.trace(trace.InternalWarn, ReasonSelectorUnused, sel.who(), "selector %s (%s): %s", sel.Name, sel.Where, p.text)
		}
	}
}
