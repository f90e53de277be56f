package kink

import (
	"testing"

	"racoon2/kernel"
)

// Both SAs of a pair have the child's binding; the inbound one gives the mark to
// what it opens.
func TestBinding(t *testing.T) {
	bound := kernel.Binding{IfID: 7, Mark: kernel.Mark{Value: 0x10, Mask: 0xff}}
	w, a, b := pairOfHosts(t, func(_ *Remote, c *Child) { c.Binding = bound })
	for _, n := range []*node{a, b} { // the fake kernel keeps bindings where it is told so
		n.kernel.Capabilities.IfID, n.kernel.Capabilities.Marks = true, true
	}
	w.create(a)
	w.wantPairs(1)
	arriving := kernel.Binding{IfID: 7, Set: bound.Mark}
	for _, r := range a.keys {
		want := bound
		if r.Direction == kernel.In {
			want = arriving
		}
		if r.Binding != want {
			t.Errorf("%v: %+v, want %+v", r.Direction, r.Binding, want)
		}
	}
}
