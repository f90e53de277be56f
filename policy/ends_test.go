package policy

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"racoon2/kernel"
)

// byName is a tunnel whose peer is found by name, from the address towards it.
func byName(my End, peers ...End) *Settings {
	s := pair()
	for _, sel := range s.Selectors {
		sel.MyEnd, sel.PeerEnd = my, peers
	}
	return s
}

func gateway(generation uint64, present ...string) Names {
	return Names{Name: "gw.example.", Watches: []string{"gw.example."}, Addresses: addrs(present...), Generation: generation}
}

func (r *rig) wantRoutes(want ...string) {
	r.Helper()
	var got []string
	for _, a := range r.routes {
		got = append(got, a.String())
	}
	r.routes = nil
	if len(got) != len(want) {
		r.Errorf("asked for the way to %q, want %q", got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			r.Errorf("asked for the way to %q, want %q", got, want)
		}
	}
}

func protected(my, peer string) []string {
	return []string{
		"out 10.1.0.0/16[any] 10.2.0.0/16[any] any protect esp/tunnel/require/" + my + "-" + peer + "#1",
		"in 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/" + peer + "-" + my + "#1",
		"fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/" + peer + "-" + my + "#1",
	}
}

func blocked() []string {
	return []string{
		"out 10.1.0.0/16[any] 10.2.0.0/16[any] any discard",
		"in 10.2.0.0/16[any] 10.1.0.0/16[any] any discard",
		"fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any discard",
	}
}

// Until both ends of a tunnel are known its traffic is discarded; then the
// policies follow the name, as long as no child stands elsewhere.
func TestEndByName(t *testing.T) {
	a := netip.MustParseAddr
	r := newRig(t)
	r.run(host("192.0.2.1/24", "192.0.2.7/24", "2001:db8::1/64"))
	r.run(Start{byName(End{}, End{Name: "gw.example."})})
	r.wantTrace(ReasonSelectorUnused, "no address of gw.example, the peer's end of the tunnel, is known yet: its traffic is discarded until it is")
	r.wantPolicies(blocked()...)

	r.run(gateway(1, "198.51.100.1"))
	r.wantRoutes("198.51.100.1")
	r.wantPolicies(blocked()...)
	r.run(Routed{Remote: a("198.51.100.1"), Err: errors.New("network is unreachable")})
	r.wantTrace(ReasonSelectorUnused, "its address towards 198.51.100.1, is not known yet: network is unreachable")
	r.advance(2 * time.Second)
	r.wantRoutes("198.51.100.1") // again after a pause
	r.run(Routed{Remote: a("198.51.100.1"), Local: a("192.0.2.1")})
	r.wantPolicies(protected("192.0.2.1", "198.51.100.1")...)

	// The way leads from another address of this host now.
	r.run(host("192.0.2.7/24", "2001:db8::1/64"))
	r.wantRoutes("198.51.100.1")
	r.run(Routed{Remote: a("198.51.100.1"), Local: a("192.0.2.7")})
	r.wantPolicies(protected("192.0.2.7", "198.51.100.1")...)

	// A child stands there: the policies stay when the name loses it.
	up := ChildUp{Child: "net_out", Local: a("192.0.2.7"), Remote: a("198.51.100.1")}
	r.run(up)
	r.run(gateway(1))
	r.wantPolicies(protected("192.0.2.7", "198.51.100.1")...)

	// A child stands with the second address: there the policies are.
	r.run(gateway(2, "198.51.100.1", "198.51.100.2"))
	r.run(ChildUp{Child: "net_out", Local: a("192.0.2.7"), Remote: a("198.51.100.2")})
	r.wantPolicies(protected("192.0.2.7", "198.51.100.2")...)
	r.run(gateway(3, "198.51.100.3")) // the engine goes there by itself; until then SAs and policies stay
	r.wantPolicies(protected("192.0.2.7", "198.51.100.2")...)
	r.run(Moved{"net_out", a("192.0.2.7"), a("198.51.100.2"), a("192.0.2.7"), a("198.51.100.3")})
	r.wantPolicies(protected("192.0.2.7", "198.51.100.3")...)

	// Without a child the name decides again.
	r.run(gateway(4, "2001:db8::9"))
	r.wantPolicies(protected("192.0.2.7", "198.51.100.3")...)
	r.run(ChildDown{Child: "net_out"})
	r.wantPolicies(protected("192.0.2.7", "198.51.100.3")...)
	r.run(ChildDown{Child: "net_out"})
	r.run(Routed{Remote: a("2001:db8::9"), Local: a("2001:db8::1")})
	r.wantPolicies(protected("2001:db8::1", "2001:db8::9")...)
	r.run(gateway(5))
	r.wantPolicies(blocked()...)
	r.run(Shutdown{})
	r.wantPolicies()
}

// The peer's ends are tried in their order; a literal one needs no name server.
func TestSeveralEnds(t *testing.T) {
	r := newRig(t)
	r.run(host("192.0.2.1/24", "127.0.0.1/8"))
	s := byName(End{Macro: "MY_IPV4"}, End{Name: "gw.example."}, End{Addr: netip.MustParseAddr("198.51.100.9")})
	r.run(Start{s})
	r.wantRoutes() // there is only one address that it can be
	r.wantPolicies(protected("192.0.2.1", "198.51.100.9")...)
	r.run(gateway(1, "2001:db8::9", "198.51.100.1")) // no IPv6 here
	r.wantPolicies(protected("192.0.2.1", "198.51.100.1")...)
}

// What may pass in clear is not discarded, and a name of this host's end is one
// of its addresses.
func TestUnknownEndInClear(t *testing.T) {
	r := newRig(t)
	r.run(host("192.0.2.1/24"))
	s := byName(End{Name: "me.example."}, End{Name: "gw.example."})
	for _, sel := range s.Selectors {
		sel.Level = kernel.Use
	}
	r.run(Start{s})
	r.wantPolicies()
	r.wantTrace(ReasonSelectorUnused, "nothing is installed before it is")
	r.run(gateway(1, "198.51.100.1"))
	r.run(Names{Name: "me.example.", Watches: []string{"me.example."}, Addresses: addrs("192.0.2.66", "192.0.2.1"), Generation: 2})
	r.wantStands(1, 2)
	if got := r.spd(); len(got) != 3 || got[0] != "out 10.1.0.0/16[any] 10.2.0.0/16[any] any protect esp/tunnel/use/192.0.2.1-198.51.100.1#1" {
		t.Errorf("%q", got)
	}
}

// Addresses that children use are told to the resolver, each once.
func TestInUse(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(
		transport("a_out", "10.0.0.1", "www.example.com."), transport("a_in", "www.example.com.", "10.0.0.1", inbound("a_out")),
		transport("b_out", "10.0.0.2", "www.example.com."))})
	r.run(www(1, addrs("10.0.0.5"), nil))
	r.wantUsing()
	up := ChildUp{Child: "a_out", Local: netip.MustParseAddr("10.0.0.1"), Remote: netip.MustParseAddr("10.0.0.5")}
	r.run(up)
	r.wantUsing("+10.0.0.5")
	again := up
	again.Again = true
	r.run(again) // its successor
	r.wantUsing()
	r.run(www(2, addrs("10.0.0.5", "10.0.0.6"), nil))
	r.wantUsing("+10.0.0.6")
	r.run(ChildUp{Child: "b_out"})
	r.run(ChildDown{Child: "a_out"})
	r.wantUsing()
	r.run(www(3, addrs("10.0.0.6"), addrs("10.0.0.5")))
	r.wantUsing("-10.0.0.5")
	r.run(ChildDown{Child: "b_out"})
	r.wantUsing("-10.0.0.6")
	r.run(ChildDown{Child: "b_out"})
	if len(r.m.using)+len(r.m.children) > 0 {
		t.Errorf("left: %v %v", r.m.using, r.m.children)
	}
}

func (r *rig) wantUsing(want ...string) {
	r.Helper()
	var got []string
	for _, u := range r.using {
		sign := "-"
		if u.Using {
			sign = "+"
		}
		got = append(got, sign+u.Addr.String())
	}
	r.using = nil
	if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
		r.Errorf("in use %q, want %q", got, want)
	}
}
