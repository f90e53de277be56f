package policy

import (
	"reflect"
	"slices"
	"time"

	"racoon2/kernel"
)

// same tells whether two selectors ask for the same, wherever they are written.
func (sel *Selector) same(o *Selector) bool {
	return sel.Name == o.Name && sel.Direction == o.Direction && sel.Install == o.Install &&
		slices.Equal(sel.Src, o.Src) && slices.Equal(sel.Dst, o.Dst) &&
		sel.Proto == o.Proto && sel.SrcPort == o.SrcPort && sel.DstPort == o.DstPort &&
		sel.Order == o.Order && sel.Action == o.Action &&
		sel.Remote == o.Remote && slices.Equal(sel.Engines, o.Engines) && sel.Child == o.Child &&
		slices.Equal(sel.Bundle, o.Bundle) && sel.Mode == o.Mode && sel.Level == o.Level &&
		sel.ReqID == o.ReqID && sel.Start == o.Start && sel.MyEnd == o.MyEnd && slices.Equal(sel.PeerEnd, o.PeerEnd) &&
		sel.Binding == o.Binding && sel.MSS == o.MSS && sel.builtIn == o.builtIn && sel.dynamic == o.dynamic &&
		(len(sel.Manual)+len(o.Manual) == 0 || reflect.DeepEqual(sel.Manual, o.Manual))
}

// earlier is what settings were before.
type earlier struct {
	settings  *Settings
	selectors map[string]*Selector
	indexes   map[string]int
}

// refitting is what new settings change of the plan.
type refitting struct {
	stays map[string]bool // selectors that ask for what they did, in the order that they had
	kept  []*unit
	fresh []*unit
	gone  []*unit
	all   []*unit // kept and fresh, in the configuration's order
}

// changes finds what has changed. It is false where so much has that the plan is
// better made anew.
func (m *Manager) changes(was earlier) (*refitting, bool) {
	s := m.settings
	if s.LeftInClear != was.settings.LeftInClear || len(m.selectors) != len(s.Selectors) || len(was.selectors) != len(was.settings.Selectors) {
		return nil, false // the last two: names that are there twice
	}
	units := make(map[string]*unit, len(m.units.static))
	for _, u := range m.units.static {
		units[u.sel.Name] = u
	}
	r := &refitting{stays: make(map[string]bool, len(s.Selectors))}
	last := -1 // where the one that stayed last was
	for i, sel := range s.Selectors {
		old := was.selectors[sel.Name]
		at := was.indexes[sel.Name]
		stays := old != nil && at > last && (old == sel || old.same(sel))
		if stays {
			last = at
			r.stays[sel.Name] = true
		}
		if (!stays || old.Where != sel.Where) && (len(sel.Manual) > 0 || old != nil && len(old.Manual) > 0) {
			return nil, false // who has a static SA, and says so, is worked out for all
		}
		if !sel.Install {
			continue
		}
		u := units[sel.Name]
		if stays {
			r.kept = append(r.kept, u)
		} else {
			u = &unit{sel: sel, index: i}
			r.fresh = append(r.fresh, u)
		}
		r.all = append(r.all, u)
	}
	for _, u := range m.units.static {
		if r.stays[u.sel.Name] {
			continue
		}
		if len(u.sel.Manual) > 0 {
			return nil, false
		}
		r.gone = append(r.gone, u)
	}
	return r, len(r.fresh)+len(r.gone) <= len(m.units.static)/2
}

// refit fits the plan to new settings: what has not changed is not expanded anew.
func (m *Manager) refit(now time.Time, was earlier, out *Outbox) {
	r, few := m.changes(was)
	if !few {
		m.rebaseDynamic()
		m.replanAll(now, out)
		return
	}
	var before []problem
	for _, u := range r.gone {
		before = u.problem(before)
		m.takeOut(u)
	}
	for _, u := range r.kept {
		u.sel, u.index = m.selectors[u.sel.Name], m.indexes[u.sel.Name]
	}
	m.units.static = r.all
	for _, u := range r.fresh {
		m.units.add(u)
	}
	changed, before := m.refitDynamic(r, before)
	// Explanations and entries say where a selector is written.
	for k, s := range m.plan.slots {
		if len(s.problems) > 0 {
			m.plan.touched[k] = struct{}{}
		}
		if e := m.entries[k]; e != nil && s.winner != nil {
			e.sel, e.index = s.winner.unit.sel, s.winner.unit.index
		}
	}
	m.rework(now, out, before, append(changed, r.fresh...))
	m.forgetPaths()
}

// refitDynamic fits the dynamic policies, and lists the units to be expanded
// anew; problems of those that go are appended to before.
func (m *Manager) refitDynamic(r *refitting, before []problem) (changed []*unit, _ []problem) {
	for _, d := range m.dynamic.by {
		base := m.selectors[d.Selector]
		switch {
		case base == nil || base.Action != kernel.Protect:
			for _, u := range m.drop(d, nil) {
				before = u.problem(before)
				m.takeOut(u)
			}
		case r.stays[d.Selector]:
			m.base(d) // for the place where it is written
		default:
			m.units.remove(d.unit)
			m.base(d)
			m.units.add(d.unit)
			changed = append(changed, d.unit)
		}
	}
	return inOrderOf(setOf(changed)), before
}

func setOf(list []*unit) map[*unit]struct{} {
	set := make(map[*unit]struct{}, len(list))
	for _, u := range list {
		set[u] = struct{}{}
	}
	return set
}

// takeOut takes a unit out of the index and the plan, which is settled later.
func (m *Manager) takeOut(u *unit) {
	m.units.remove(u)
	m.plan.put(u, nil)
	m.putManual(u)
	for _, p := range u.paths {
		delete(p.users, u)
	}
	u.paths = nil
}
