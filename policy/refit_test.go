package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// Every field of a selector but the place where it is written makes it another.
func TestSame(t *testing.T) {
	base := Selector{Name: "a"}
	if b := base; !base.same(&b) {
		t.Fatal("not the same as itself")
	}
	values := map[string]any{
		"Src": []Address{{Macro: "MY_IP"}}, "Dst": []Address{{Macro: "MY_IP"}}, "Engines": []kernel.EngineID{kernel.KINK},
		"Bundle": []kernel.Protocol{kernel.AH}, "SrcPort": kernel.Port(1), "DstPort": kernel.Port(1),
		"MyEnd": End{Macro: "MY_IP"}, "PeerEnd": []End{{Macro: "MY_IP"}}, "Binding": kernel.Binding{IfID: 1},
		"Manual": []kernel.SA{{ReqID: 1}},
	}
	kind := reflect.TypeFor[Selector]()
	for i := range kind.NumField() {
		f := kind.Field(i)
		other := base
		switch at := reflect.ValueOf(&other).Elem().Field(i); {
		case f.Name == "builtIn":
			other.builtIn = true
		case f.Name == "dynamic":
			other.dynamic = true
		case values[f.Name] != nil:
			at.Set(reflect.ValueOf(values[f.Name]))
		case at.Kind() == reflect.Bool:
			at.SetBool(true)
		case at.Kind() == reflect.String:
			at.SetString("b")
		case at.CanUint():
			at.SetUint(1)
		default:
			t.Fatalf("what makes %s another one?", f.Name)
		}
		if got := base.same(&other); got != (f.Name == "Where") {
			t.Errorf("another %s: the same is %v", f.Name, got)
		}
	}
}

// A reload of a file in which one line was added costs the work of the selector
// that changed, though every other one is written elsewhere now.
func TestReloadIsTheWorkOfTheChange(t *testing.T) {
	work := func(n int) float64 {
		s := manySelectors(n)
		m, k := newBench(s)
		round := 0
		allocs := testing.AllocsPerRun(20, func() {
			round++
			next := &Settings{Selectors: slices.Clone(s.Selectors)}
			changed := *s.Selectors[n/2]
			changed.ReqID = uint32(100000 + round)
			next.Selectors[n/2] = &changed
			k.run(m, Reconfigure{next})
		})
		return allocs / float64(n)
	}
	if few, many := work(100), work(3000); many > 2+few/2 {
		t.Errorf("%.1f allocations for each of 100 selectors, %.1f for each of 3000", few, many)
	}
}

// A dynamic policy that has gone does not come back when the way to its peer
// changes.
func TestGoneDynamicStaysGone(t *testing.T) {
	r := newRig(t)
	s := pair()
	for _, sel := range s.Selectors {
		sel.MyEnd = End{}
	}
	r.run(host("192.0.2.1/24"))
	r.run(Start{s})
	peer := netip.MustParseAddr("192.0.2.2")
	r.run(Routed{Remote: peer, Local: netip.MustParseAddr("192.0.2.1")})
	before := r.spd()
	d := Dynamic{Selector: "net_out", Mode: kernel.Tunnel, Src: prefix("10.1.0.0/16"), Dst: prefix("10.9.0.0/16"), Lifetime: time.Minute}
	r.run(AddPolicy{d})
	if len(r.spd()) != len(before)+2 && len(r.spd()) != len(before)+3 {
		t.Fatalf("SPD %q", r.spd())
	}
	r.run(DeletePolicy{Selector: "net_out", Src: d.Src, Dst: d.Dst})
	r.run(Routed{Remote: peer, Local: netip.MustParseAddr("192.0.2.7")})
	for _, p := range r.m.Entries() {
		if p.Policy.Selector.Dst == d.Dst || p.Policy.Selector.Src == d.Dst {
			t.Errorf("%+v", p)
		}
	}
	if len(r.spd()) != len(before) {
		t.Errorf("SPD %q, before %q", r.spd(), before)
	}
}
