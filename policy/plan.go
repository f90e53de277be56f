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

// unit is what is planned as a whole: the policies of one selector, or of one
// dynamic policy.
type unit struct {
	sel    *Selector
	index  int // of the selector in the configuration
	base   int // parts the places of units with the same index
	wishes []*wish
	why    string // it makes no policy, or others than it is meant to; "" otherwise

	manual []*manual // static SAs that it asks for
	paths  []*path   // that it has asked for

	dynamic *dynamic // that it is made for; nil: the selector's own
	phantom bool     // made to ask a question, and never planned
}

// unitPlaces is more than the policies of any unit.
const unitPlaces = 4 * maxPolicies

// wish is a policy that a unit asks for.
type wish struct {
	unit   *unit
	place  int // among those of all units with the same index
	band   uint32
	key    key
	policy *kernel.Policy // never changed once it has a priority
	left   bool           // for an address that a name has left: anything else comes first
}

// slot is one place in the SPD: all that ask for it, and who has it.
type slot struct {
	wishes   []*wish
	winner   *wish
	problems []problem
}

// group is what ranks policies among themselves: the same prefixes and the same
// order directive.
type group struct {
	direction kernel.Direction
	src, dst  netip.Prefix
	band      uint32
	ifID      uint32
	mark      kernel.Mark
}

// ranking is the policies of a group.
type ranking struct {
	members  []*wish
	problems []problem
}

// problem is a selector, or a part of one, that makes no policy, and why.
type problem struct {
	unit *unit
	text string
}

// plan is what the settings ask for. What it says of one selector depends on
// others only as far as they share its prefixes, and a change of one unit is
// worked out without a look at the rest.
type plan struct {
	slots    map[key]*slot
	rankings map[group]*ranking
	inTheWay int // wishes that would catch neighbour discovery

	touched map[key]struct{}   // slots to be decided anew
	shaken  map[group]struct{} // groups to be ranked anew
}

func newPlan(size int) *plan {
	return &plan{
		slots: make(map[key]*slot, size), rankings: make(map[group]*ranking, size),
		touched: make(map[key]struct{}), shaken: make(map[group]struct{}),
	}
}

// put replaces what a unit asks for; settle works out what follows.
func (p *plan) put(u *unit, wishes []*wish) {
	for _, w := range u.wishes {
		s := p.slots[w.key]
		s.wishes = slices.DeleteFunc(s.wishes, func(o *wish) bool { return o == w })
		p.touched[w.key] = struct{}{}
		p.obstacle(w, -1)
	}
	u.wishes = u.wishes[:0]
	for i, w := range wishes {
		s := p.slots[w.key]
		if s == nil {
			s = &slot{}
			p.slots[w.key] = s
		}
		if slices.ContainsFunc(s.wishes, func(o *wish) bool { return o.unit == u }) {
			continue // two of its addresses make the same prefix, or one came back
		}
		w.unit, w.place, w.band = u, u.base+i, u.sel.band()
		s.wishes = append(s.wishes, w)
		u.wishes = append(u.wishes, w)
		p.touched[w.key] = struct{}{}
		p.obstacle(w, 1)
	}
}

// obstacle counts what is in the way of neighbour discovery.
func (p *plan) obstacle(w *wish, n int) {
	s := w.key.selector
	if w.policy.Action != kernel.Bypass && s.Src.Addr().Is6() && (s.Proto == 0 || s.Proto == protoICMPv6) {
		p.inTheWay += n
	}
}

// change is what settle has worked out.
type change struct {
	keys          []key // slots whose policy may be another
	before, after []problem
}

// settle decides the slots that were touched, and ranks their groups.
func (p *plan) settle() change {
	var c change
	for k := range p.touched {
		p.decide(k, p.slots[k], &c)
		c.keys = append(c.keys, k)
	}
	clear(p.touched)
	for g := range p.shaken {
		if r := p.rankings[g]; len(r.members) == 0 {
			c.before = append(c.before, r.problems...)
			delete(p.rankings, g)
		} else {
			c.before = append(c.before, r.problems...)
			r.rank(g, &c)
			c.after = append(c.after, r.problems...)
		}
	}
	clear(p.shaken)
	return c
}

// decide finds out who has a slot.
func (p *plan) decide(k key, s *slot, c *change) {
	c.before = append(c.before, s.problems...)
	s.problems = nil
	var winner *wish
	if len(s.wishes) > 0 {
		winner = slices.MinFunc(s.wishes, precedence)
	}
	if winner != s.winner {
		p.regroup(s.winner, winner)
		s.winner = winner
	}
	if winner == nil {
		delete(p.slots, k)
		return
	}
	for _, w := range s.wishes {
		loser := w.unit.sel
		// A dynamic policy takes the place of the selector that it is made from;
		// the forward twin needs no explanation of its own.
		if w == winner || w.left || loser.Name == winner.unit.sel.Name || k.direction == kernel.Forward {
			continue
		}
		s.problems = append(s.problems, problem{w.unit, fmt.Sprintf(
			"the policy for %v is that of selector %s (%s), which is for the same traffic and comes first",
			k.selector, winner.unit.sel.Name, winner.unit.sel.Where)})
	}
	c.after = append(c.after, s.problems...)
}

// precedence is who has a slot that several ask for: the stronger order, and
// the earlier selector among equals; dynamic policies in the place of theirs.
func precedence(a, b *wish) int {
	x, y := a.unit, b.unit
	return cmp.Or(
		compareBool(a.left, b.left),
		cmp.Compare(a.band, b.band),
		cmp.Compare(x.index, y.index),
		compareBool(!x.sel.dynamic, !y.sel.dynamic),
		cmp.Compare(a.place, b.place))
}

// compareBool sorts what is true behind what is not.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// regroup takes one policy out of its group, and puts another in.
func (p *plan) regroup(out, in *wish) {
	if out != nil {
		g := out.group()
		r := p.rankings[g]
		r.members = slices.DeleteFunc(r.members, func(w *wish) bool { return w == out })
		p.shaken[g] = struct{}{}
	}
	if in != nil {
		g := in.group()
		r := p.rankings[g]
		if r == nil {
			r = &ranking{}
			p.rankings[g] = r
		}
		r.members = append(r.members, in)
		p.shaken[g] = struct{}{}
	}
}

func (w *wish) group() group {
	k := w.key
	return group{k.direction, k.selector.Src, k.selector.Dst, w.band, k.ifID, k.mark}
}

// rank gives policies with the same prefixes their priorities: each is one level
// weaker than those before it that it has traffic in common with.
func (r *ranking) rank(g group, c *change) {
	remote, local := g.src, g.dst
	if g.direction == kernel.Out {
		remote, local = g.dst, g.src
	}
	breadth := breadth(remote, local)
	r.problems = nil
	slices.SortFunc(r.members, func(a, b *wish) int {
		return cmp.Or(
			cmp.Compare(portBreadth(a.key.selector), portBreadth(b.key.selector)),
			cmp.Compare(a.unit.index, b.unit.index),
			cmp.Compare(a.place, b.place))
	})
	levels := make([]int, len(r.members))
	for i, w := range r.members {
		for j, before := range r.members[:i] {
			if levels[j] >= levels[i] && portsOverlap(before.key.selector, w.key.selector) {
				levels[i] = levels[j] + 1
			}
		}
		if levels[i] > maxLevel && g.direction != kernel.Forward {
			r.problems = append(r.problems, problem{w.unit, fmt.Sprintf(
				"more than %d selectors for %v to %v overlap in their ports, and are not told apart: give them an order",
				maxLevel, g.src, g.dst)})
		}
		if at := priority(g.band, breadth, levels[i]); w.policy.Priority != at {
			ranked := *w.policy
			ranked.Priority = at
			w.policy = &ranked
			c.keys = append(c.keys, w.key)
		}
	}
}

// problems lists what slots and groups have to explain.
func (p *plan) problems() []problem {
	var out []problem
	for _, s := range p.slots {
		out = append(out, s.problems...)
	}
	for _, r := range p.rankings {
		out = append(out, r.problems...)
	}
	return out
}
