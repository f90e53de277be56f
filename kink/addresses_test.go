package kink

import (
	"net/netip"
	"testing"
	"time"
)

// named has a remote found by a name: any address will do, whose principal is right.
func named(r *Remote, _ *Child) { r.AnyPeer = true }

// A tunnel follows its peer's name: the successor stands at the new address before
// the pair at the old one goes.
func TestPeerAddresses(t *testing.T) {
	for _, to := range []string{"192.0.2.9", "2001:db8::9", "192.0.2.10"} {
		w, a, b := pairOfHosts(t, tunnel, named)
		w.create(a)
		w.wantPairs(1)
		w.sent = nil
		if to == "2001:db8::9" { // the other family, on both hosts
			a.addr = netip.MustParseAddr("2001:db8::1")
		}
		b.addr = netip.MustParseAddr(to)
		peers := []netip.AddrPort{netip.AddrPortFrom(b.addr, 0)}
		if to == "192.0.2.10" { // a reload finds it out
			a.handle(Reconfigure{settingsFor("a", "192.0.2.1", "b", to, tunnel, named)})
		} else {
			a.handle(PeerAddresses{Remote: "b", Peers: peers})
			a.wantReason(reasonPeerAddresses)
		}
		w.settle()
		w.pass(11 * time.Second) // the grace of the old pair
		w.wantPairs(1)
		if len(a.ups) != 2 || a.ups[1].Info.Remote != b.addr || len(a.downs)+len(b.downs)+len(a.failures) != 0 {
			t.Errorf("ups %+v, downs %+v, failures %+v\n%s", a.ups, a.downs, a.failures, a.said())
		}
		for _, s := range w.sent {
			if s.Remote.Addr() == netip.MustParseAddr("192.0.2.2") {
				t.Errorf("sent to the old address: %v", s.Remote)
			}
		}
	}
}

// What leaves a tunnel where it is: the same addresses, its own among others, none
// at all, an end that is configured, and the peer's having made it.
func TestPeerAddressesThatChangeNothing(t *testing.T) {
	old, other := netip.MustParseAddrPort("192.0.2.2:0"), netip.MustParseAddrPort("192.0.2.9:0")
	fixed := func(r *Remote, c *Child) {
		if r.Name == "b" {
			c.PeerEnd = old.Addr()
		}
	}
	for name, c := range map[string]struct {
		peers  []netip.AddrPort
		change func(*Remote, *Child)
		byPeer bool
	}{
		"the same":         {peers: []netip.AddrPort{old}},
		"among others":     {peers: []netip.AddrPort{other, old}},
		"none":             {},
		"a fixed end":      {peers: []netip.AddrPort{other}, change: fixed},
		"made by the peer": {peers: []netip.AddrPort{other}, byPeer: true},
		"transport mode":   {peers: []netip.AddrPort{other}, change: func(*Remote, *Child) {}},
	} {
		t.Run(name, func(t *testing.T) {
			changes := []func(*Remote, *Child){tunnel, named}
			if c.change != nil {
				changes = append(changes, c.change)
			}
			if name == "transport mode" {
				changes = changes[1:]
			}
			w, a, b := pairOfHosts(t, changes...)
			if c.byPeer {
				w.create(b)
			} else {
				w.create(a)
			}
			w.sent = nil
			a.handle(PeerAddresses{Remote: "b", Peers: c.peers})
			a.handle(PeerAddresses{Remote: "nobody", Peers: c.peers})
			w.settle()
			w.wantLadder()
			w.wantPairs(1)
			if len(a.downs) != 0 {
				t.Errorf("downs %+v", a.downs)
			}
		})
	}
}

// What is asked for after a name has moved goes to where it is now, though the
// first address was not known when the settings were made.
func TestInitiateToALaterAddress(t *testing.T) {
	w, a, b := pairOfHosts(t, tunnel, named, func(r *Remote, _ *Child) {
		if r.Name == "b" {
			r.Peers = nil
		}
	})
	w.create(a)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.handle(PeerAddresses{Remote: "b", Peers: []netip.AddrPort{netip.AddrPortFrom(b.addr, 0)}})
	w.create(a)
	w.wantPairs(1)
}
