package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"racoon2/kernel"
)

// key is what makes a policy one and the same in a kernel's SPD.
type key struct {
	selector  kernel.Selector
	direction kernel.Direction
	ifID      uint32
	mark      kernel.Mark
}

// keyOf is the key of a policy.
func keyOf(p *kernel.Policy) key { return key{p.Selector, p.Direction, p.IfID, p.Mark} }

// wish is a policy that the settings ask for.
type wish struct {
	sel    *Selector
	index  int // place in the configuration
	policy kernel.Policy
	left   bool // for an address that a name has left: anything else comes first
}

func (w *wish) key() key { return keyOf(&w.policy) }

// problem is a selector, or a part of one, that makes no policy, and why.
type problem struct {
	sel   *Selector
	index int
	text  string
	part  bool // the selector has policies all the same
}

// plan turns settings into policies. It is a function of its arguments alone,
// and what it says of one selector depends on others only as far as they share
// its prefixes.
type plan struct {
	wishes   []*wish
	problems []problem
	byKey    map[key]*wish
}

// here is what a plan depends on besides settings.
type here struct {
	interfaces []Interface
	names      *names
	caps       kernel.Capabilities
}

// makePlan makes the plan. nd asks for neighbour discovery to be let pass.
func makePlan(s *Settings, more []*dynamic, h here, nd bool) *plan {
	p := &plan{byKey: make(map[key]*wish, 2*len(s.Selectors))}
	for i, sel := range s.Selectors {
		if sel.Install {
			p.add(sel, i, h)
		}
	}
	if len(more) > 0 {
		index := make(map[string]int, len(s.Selectors))
		for i, sel := range s.Selectors {
			index[sel.Name] = i
		}
		for _, d := range more {
			p.add(d.sel, index[d.Selector], h)
		}
	}
	if nd {
		p.addNeighborDiscovery(h.caps)
	}
	p.rank()
	has := make(map[*Selector]bool, len(s.Selectors))
	for _, w := range p.wishes {
		has[w.sel] = true
	}
	for i := range p.problems {
		p.problems[i].part = has[p.problems[i].sel]
	}
	slices.SortFunc(p.problems, func(a, b problem) int { return cmp.Compare(a.index, b.index) })
	return p
}

// problem notes why a selector, or a part of it, makes no policy.
func (p *plan) problem(sel *Selector, index int, format string, args ...any) {
	p.problems = append(p.problems, problem{sel: sel, index: index, text: fmt.Sprintf(format, args...)})
}

// add plans the policies of one selector.
func (p *plan) add(sel *Selector, index int, h here) {
	templates, err := makeTemplates(sel)
	if err != nil {
		p.problem(sel, index, "%v", err)
		return
	}
	selectors, left, err := expandSelectors(sel, h)
	if err != nil {
		p.problem(sel, index, "%v", err)
		return
	}
	directions := []kernel.Direction{sel.Direction}
	if h.caps.Forward && sel.Direction == kernel.In && hasTwin(sel) {
		directions = append(directions, kernel.Forward)
	}
	for _, s := range selectors {
		for _, d := range directions {
			p.want(&wish{sel: sel, index: index, policy: kernel.Policy{
				Selector: s, Direction: d, Action: sel.Action, Templates: templates, MSS: sel.MSS, Binding: sel.Binding,
			}})
		}
	}
	action, ok := leavingAction(sel)
	if !ok {
		return
	}
	// What is discarded is no work for a device.
	bound := kernel.Binding{IfID: sel.Binding.IfID, Mark: sel.Binding.Mark}
	for _, s := range left {
		for _, d := range directions {
			p.want(&wish{sel: sel, index: index, left: true, policy: kernel.Policy{Selector: s, Direction: d, Action: action, Binding: bound}})
		}
	}
}

// hasTwin tells whether an inbound policy holds for forwarded traffic as well.
func hasTwin(sel *Selector) bool { return sel.Action != kernel.Protect || sel.Mode == kernel.Tunnel }

// want notes a policy. A kernel has one for each selector and direction: the
// stronger order holds, and the earlier selector among equals.
func (p *plan) want(w *wish) {
	k := w.key()
	old := p.byKey[k]
	switch {
	case old == nil:
		p.byKey[k] = w
		p.wishes = append(p.wishes, w)
		return
	case w.left:
		return
	case old.left: // it is an address of something again
		*old = *w
		return
	case w.sel.dynamic && old.sel.Name == w.sel.Name: // it takes the configured one's place
		*old = *w
		return
	case old.sel == w.sel: // two of its addresses make the same prefix
		return
	}
	winner, loser := old, w
	if w.sel.band() < old.sel.band() {
		winner, loser = w, &wish{sel: old.sel, index: old.index, policy: old.policy}
		*old = *w
	}
	if w.policy.Direction != kernel.Forward { // the twin needs no explanation of its own
		p.problem(loser.sel, loser.index, "the policy for %v is that of selector %s (%s), which is for the same traffic and comes first",
			k.selector, winner.sel.Name, winner.sel.Where)
	}
}

// rank gives each policy its priority.
func (p *plan) rank() {
	type group struct {
		direction kernel.Direction
		src, dst  netip.Prefix
		band      uint32
		ifID      uint32
		mark      kernel.Mark
	}
	groups := make(map[group][]*wish, len(p.wishes))
	for _, w := range p.wishes {
		g := group{w.policy.Direction, w.policy.Selector.Src, w.policy.Selector.Dst, w.sel.band(), w.policy.IfID, w.policy.Mark}
		groups[g] = append(groups[g], w)
	}
	for g, members := range groups {
		remote, local := g.src, g.dst
		if g.direction == kernel.Out {
			remote, local = g.dst, g.src
		}
		p.rankGroup(members, breadth(remote, local))
	}
}

// rankGroup ranks policies with the same prefixes: each is one level weaker
// than those before it that it has traffic in common with.
func (p *plan) rankGroup(members []*wish, breadth int) {
	if len(members) == 1 {
		members[0].policy.Priority = priority(members[0].sel.band(), breadth, 0)
		return
	}
	slices.SortStableFunc(members, func(a, b *wish) int {
		return cmp.Or(
			cmp.Compare(portBreadth(a.policy.Selector), portBreadth(b.policy.Selector)),
			cmp.Compare(a.index, b.index))
	})
	levels := make([]int, len(members))
	for i, w := range members {
		for j, before := range members[:i] {
			if levels[j] >= levels[i] && portsOverlap(before.policy.Selector, w.policy.Selector) {
				levels[i] = levels[j] + 1
			}
		}
		if levels[i] > maxLevel && w.policy.Direction != kernel.Forward {
			p.problem(w.sel, w.index, "more than %d selectors for %v to %v overlap in their ports, and are not told apart: give them an order",
				maxLevel, w.policy.Selector.Src, w.policy.Selector.Dst)
		}
		w.policy.Priority = priority(w.sel.band(), breadth, levels[i])
	}
}
