package ikev2

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func addrPorts(list ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		out = append(out, netip.AddrPortFrom(netip.MustParseAddr(s), 500))
	}
	return out
}

// twins is two hosts of one family, each with an address to spare.
func twins(t *testing.T, v6 bool) (w *world, a, b *node, spareA, spareB string) {
	t.Helper()
	if !v6 {
		w, a, b = pair(t)
		return w, a, b, "192.0.2.11", "192.0.2.12"
	}
	w = newWorld(t)
	a = w.add("kyoto", "2001:db8::1", testSettings("kyoto", "tokyo", "2001:db8::2", "10.0.1.0/24", "10.0.2.0/24"))
	b = w.add("tokyo", "2001:db8::2", testSettings("tokyo", "kyoto", "2001:db8::1", "10.0.2.0/24", "10.0.1.0/24"))
	return w, a, b, "2001:db8::11", "2001:db8::12"
}

// A remote's list changes while its IKE SA stands. Where the address stays nothing
// happens; where it goes another IKE SA is made at the new one, by whoever is
// told, and no child is down in between.
func TestPeerAddresses(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, began := range []bool{true, false} {
			for _, how := range []string{"PeerAddresses", "Reconfigure"} {
				t.Run(fmt.Sprintf("v6 %v, began %v, %s", v6, began, how), func(t *testing.T) {
					w, a, b, _, spare := twins(t, v6)
					first := b.addr.String()
					tell := func(list ...string) {
						if how == "PeerAddresses" {
							a.handle(PeerAddresses{Remote: "tokyo", Peers: addrPorts(list...)})
							return
						}
						changed, r := *a.e.settings, *a.e.settings.Remotes[0]
						r.Peers = addrPorts(list...)
						changed.Remotes = []*Remote{&r}
						a.handle(Reconfigure{Settings: &changed})
					}
					if began {
						a.initiate()
					} else {
						b.initiate()
					}
					w.settle()
					before := len(w.sent)
					tell(spare, first)
					tell(first)
					tell()
					tell(first)
					w.settle()
					if len(w.sent) != before {
						t.Fatalf("%d datagrams though the address stayed", len(w.sent)-before)
					}
					b.more = []netip.Addr{netip.MustParseAddr(spare)}
					tell(spare)
					w.settle()
					w.wantUp(a, b, 1, 1)
					if at := a.e.Status()[0].RemoteAddr.Addr().String(); at != spare {
						t.Errorf("the IKE SA is at %s, want %s", at, spare)
					}
					a.wantReason(reasonPeerMoved)
					if len(a.downs)+len(b.downs) > 0 {
						t.Errorf("children were down: %+v %+v", a.downs, b.downs)
					}
					a.handle(Terminate{})
					w.settle()
					a.wantNothing()
					b.wantNothing()
				})
			}
		}
	}
}

// The settings that the shards share are not written to.
func TestPeerAddressesLeavesSettings(t *testing.T) {
	_, a, _ := pair(t)
	shared := a.e.settings
	a.handle(PeerAddresses{Remote: "tokyo", Peers: addrPorts("192.0.2.12")})
	if got := shared.Remotes[0].Peers[0].Addr().String(); got != "192.0.2.2" {
		t.Errorf("the shared settings have %s now", got)
	}
	if got := a.e.settings.Remotes[0].Peers[0].Addr().String(); got != "192.0.2.12" {
		t.Errorf("the engine has %s", got)
	}
	a.handle(PeerAddresses{Remote: "nobody"})
	a.wantReason(reasonInternal)
}

// The list changes at every step of a set-up: the child comes up at the new address.
func TestPeerAddressesWhileNegotiating(t *testing.T) {
	for steps := range 5 {
		for _, alive := range []bool{true, false} {
			t.Run(fmt.Sprintf("after %d datagrams, old address alive %v", steps, alive), func(t *testing.T) {
				w, a, b := pair(t)
				a.initiate()
				for range min(steps, 4) {
					if len(w.wire) > 0 {
						w.step()
					}
				}
				b.more = addrs("192.0.2.12")
				if !alive {
					b.addr = netip.Addr{}
				}
				a.handle(PeerAddresses{Remote: "tokyo", Peers: addrPorts("192.0.2.12")})
				w.advance(3 * time.Minute)
				w.wantUp(a, b, 1, 1)
				if at := a.e.Status()[0].RemoteAddr.Addr().String(); at != "192.0.2.12" {
					t.Errorf("the IKE SA is at %s", at)
				}
			})
		}
	}
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// An address of this host goes: another IKE SA is made from the one that is left,
// and the old one is deleted from there. An address that comes disturbs nothing.
func TestLocalAddressGoes(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, began := range []bool{true, false} {
			t.Run(fmt.Sprintf("v6 %v, began %v", v6, began), func(t *testing.T) {
				w, a, b, spare, _ := twins(t, v6)
				first := a.addr.String()
				a.readdress(first)
				b.change(func(_ *Settings, r *Remote, _ *Child) { r.AnyPeer = true })
				if began {
					a.initiate()
				} else {
					b.initiate()
				}
				w.settle()
				before := len(w.sent)
				a.readdress(first, spare)
				w.settle()
				if len(w.sent) != before {
					t.Fatalf("%d datagrams for an address that came", len(w.sent)-before)
				}
				a.readdress(spare)
				if began { // as agent does, for the macros
					same, r := *a.e.settings, *a.e.settings.Remotes[0]
					same.Remotes = []*Remote{&r}
					a.handle(Reconfigure{Settings: &same})
				}
				w.settle()
				w.wantUp(a, b, 1, 1)
				if at := b.e.Status()[0].RemoteAddr.Addr().String(); at != spare {
					t.Errorf("the IKE SA is at %s, want %s", at, spare)
				}
				if len(a.downs)+len(b.downs) > 0 {
					t.Errorf("children were down: %+v %+v", a.downs, b.downs)
				}
				a.handle(Terminate{})
				w.settle()
				a.wantNothing()
				b.wantNothing()
			})
		}
	}
}

// Without another address the IKE SA waits for one; a remote that is passive
// leaves it to its peer.
func TestLocalAddressGoesForGood(t *testing.T) {
	w, a, b := pair(t)
	a.readdress("192.0.2.1")
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.AnyPeer = true })
	a.initiate()
	w.settle()
	a.readdress()
	w.advance(2 * time.Second)
	a.readdress("192.0.2.11")
	w.advance(2 * time.Minute)
	w.wantUp(a, b, 1, 1)

	w, a, b = pair(t)
	a.readdress("192.0.2.1")
	a.initiate()
	w.settle()
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Passive = true })
	before := len(w.sent)
	b.handle(PeerAddresses{Remote: "kyoto", Peers: addrPorts("192.0.2.77")})
	w.settle()
	if len(w.sent) != before {
		t.Errorf("a passive remote began")
	}
	w.wantUp(a, b, 1, 1)
}
