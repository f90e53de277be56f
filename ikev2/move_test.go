package ikev2

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"racoon2/kernel"
)

// behind is a host whose network has the NAT's address, and one elsewhere that
// does not care where its peers are.
func behind(t *testing.T, v6 bool) (w *world, a, b *node, s *site) {
	t.Helper()
	w = newWorld(t)
	inner, outside, far := "10.9.9.9", "203.0.113.7", "192.0.2.2"
	if v6 {
		inner, outside, far = "fd00::9", "2001:db8:7::7", "2001:db8::2"
	}
	a = w.add("kyoto", inner, testSettings("kyoto", "tokyo", far, "10.0.1.0/24", "10.0.2.0/24"))
	b = w.add("tokyo", far, testSettings("tokyo", "kyoto", outside, "10.0.2.0/24", "10.0.1.0/24"))
	s = newSite(outside)
	a.site = s
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.AnyPeer = true })
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = time.Minute })
	return w, a, b, s
}

// The NAT gives the peer another address, and not only another port: IKE SA and
// child follow the first authentic message, with the same SPIs and keys.
func TestNATGivesAnotherAddress(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, by := range []string{"IKE", "ESP"} {
			t.Run(fmt.Sprintf("v6 %v, seen by %s", v6, by), func(t *testing.T) {
				w, a, b, s := behind(t, v6)
				a.initiate()
				w.settle()
				before, other := b.e.Status()[0].Children[0], "198.51.100.9"
				if v6 {
					other = "2001:db8:9::9"
				}
				s.rebind(other)
				if by == "IKE" {
					w.advance(65 * time.Second)
				} else {
					s.ports[netip.AddrPortFrom(a.addr, 4500)] = 31000
					id := b.kernel.one(t, kernel.In).SAID
					b.handle(KernelEvent{kernel.Mapping{ID: id, New: netip.AddrPortFrom(netip.MustParseAddr(other), 31000)}})
				}
				b.wantReason(reasonPeerMoved)
				after := b.e.Status()[0].Children[0]
				if after.SPIIn != before.SPIIn || after.Remote.String() != other {
					t.Errorf("child %v at %v, was %v", after.SPIIn, after.Remote, before.SPIIn)
				}
				in, out := b.kernel.one(t, kernel.In), b.kernel.one(t, kernel.Out)
				port := s.ports[netip.AddrPortFrom(a.addr, 4500)]
				if in.Src.String() != other || out.Dst.String() != other || out.Encap.Remote != port || in.Encap.Remote != port {
					t.Errorf("the kernel has %v from %v, %v to %v, ports %v %v", in.SPI, in.Src, out.SPI, out.Dst, in.Encap, out.Encap)
				}
				if len(b.moved) != 1 || b.moved[0].PeerAddress.String() != other || b.moved[0].OldPeer != before.Remote {
					t.Errorf("told %+v", b.moved)
				}
				w.wantUp(a, b, 1, 1)
				// The kernel's events have the new names.
				b.handle(KernelEvent{kernel.Expire{ID: out.SAID}})
				w.settle()
				w.wantUp(a, b, 1, 1)
				b.wantReason(reasonChildRekeyed)
				b.handle(Terminate{})
				w.settle()
				a.wantNothing()
				b.wantNothing()
			})
		}
	}
}

// A kernel that cannot move SAs gets new ones.
func TestKernelThatMovesNothing(t *testing.T) {
	w, a, b, s := behind(t, false)
	a.initiate()
	w.settle()
	b.kernel.fail = func(op kernel.Op) error {
		if _, ok := op.(kernel.UpdateSA); ok {
			return kernel.ErrUnsupported
		}
		return nil
	}
	s.rebind("198.51.100.9")
	w.advance(65 * time.Second)
	w.wantUp(a, b, 1, 1)
	if got := b.kernel.one(t, kernel.Out).Dst.String(); got != "198.51.100.9" {
		t.Errorf("ESP goes to %s", got)
	}
	b.wantReason(reasonKernel)
}

// The address changes while a child is being made and while one is being replaced.
func TestAddressChangesWhileNegotiating(t *testing.T) {
	for steps := range 8 {
		for _, who := range []int{0, 1} {
			t.Run(fmt.Sprintf("rekey by %d, after %d datagrams", who, steps), func(t *testing.T) {
				w, a, b, s := behind(t, false)
				a.initiate()
				w.settle()
				w.nodes[who].expireSoft(t)
				for range steps {
					if len(w.wire) > 0 {
						w.step()
					}
				}
				s.rebind("198.51.100.9")
				a.act(func(e *Engine) { e.all()[0].probe() })
				w.advance(2 * time.Minute)
				w.wantUp(a, b, 1, 1)
				if got := b.kernel.one(t, kernel.Out).Dst.String(); got != "198.51.100.9" {
					t.Errorf("ESP goes to %s", got)
				}
				b.handle(Terminate{})
				w.settle()
				a.wantNothing()
				b.wantNothing()
			})
		}
	}
}

// In transport mode the addresses are the traffic: another child is made.
func TestTransportDoesNotMove(t *testing.T) {
	w, a, b, s := behind(t, false)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) {
			c.Mode = kernel.Transport
			c.Outbound[0].Src, c.Outbound[0].Dst = prefix("0.0.0.0/0"), prefix("0.0.0.0/0")
		})
	}
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	old := b.e.Status()[0].Children[0].SPIIn
	s.rebind("198.51.100.9")
	w.advance(65 * time.Second)
	w.wantUp(a, b, 1, 1)
	if c := b.e.Status()[0].Children[0]; c.SPIIn == old || c.Remote.String() != "198.51.100.9" {
		t.Errorf("child %v at %v", c.SPIIn, c.Remote)
	}
	b.wantReason(reasonChildMoved)
}

// Several peers behind one NAT are told apart, and one that gets another port does
// not disturb the other. So are peers with the same inner address behind two NATs.
func TestPeersBehindNATs(t *testing.T) {
	for _, shared := range []bool{true, false} {
		for _, mode := range []kernel.Mode{kernel.Tunnel, kernel.Transport} {
			t.Run(fmt.Sprintf("one NAT %v, mode %v", shared, mode), func(t *testing.T) {
				w := newWorld(t)
				hub := testSettings("hub", "kyoto", "203.0.113.7", "10.0.2.0/24", "10.0.1.0/24")
				osaka := testSettings("hub", "osaka", "203.0.113.8", "10.0.2.0/24", "10.0.3.0/24").Remotes[0]
				hub.Remotes = append(hub.Remotes, osaka)
				b := w.add("hub", "192.0.2.2", hub)
				one, two, inner := newSite("203.0.113.7"), newSite("203.0.113.8"), "10.9.9.9"
				if shared {
					two, inner = one, "10.9.9.10"
				}
				var spokes []*node
				for i, name := range []string{"kyoto", "osaka"} {
					net := []string{"10.0.1.0/24", "10.0.3.0/24"}[i]
					n := w.add(name, []string{"10.9.9.9", inner}[i], testSettings(name, "hub", "192.0.2.2", net, "10.0.2.0/24"))
					n.site = []*site{one, two}[i]
					spokes = append(spokes, n)
				}
				for i, r := range hub.Remotes {
					r.AnyPeer = true
					r.Children[0].Name, r.Children[0].ReqID = r.Name, uint32(i+1)
				}
				for _, n := range w.nodes {
					for _, r := range n.e.settings.Remotes {
						if c := r.Children[0]; mode == kernel.Transport {
							c.Mode, c.Outbound[0] = mode, selector("0.0.0.0/0", "0.0.0.0/0")
						}
					}
				}
				check := func() {
					t.Helper()
					if len(b.kernel.sas) != 4 || len(b.e.Status()) != 2 {
						t.Fatalf("%d SAs and %d IKE SAs at the hub\n%s", len(b.kernel.sas), len(b.e.Status()), b.log())
					}
					for _, n := range spokes {
						n.wantPaired(b)
						for id, sa := range b.kernel.sas {
							_, mine := n.kernel.byPeerSPI(id.Proto, id.SPI)
							port := n.site.ports[netip.AddrPortFrom(n.addr, 4500)]
							if mine && sa.Direction == kernel.Out && (sa.Dst != n.site.outside || sa.Encap.Remote != port) {
								t.Errorf("to %s: ESP goes to %v, port %v, want %v", n.name, sa.Dst, sa.Encap, port)
							}
						}
					}
				}
				for _, n := range spokes {
					n.initiate()
					w.settle()
				}
				check()
				one.ports[netip.AddrPortFrom(spokes[0].addr, 4500)] = 31000
				spokes[0].act(func(e *Engine) { e.all()[0].probe() })
				w.settle()
				check()
				for _, n := range spokes {
					n.expireSoft(t)
					w.settle()
				}
				check()
			})
		}
	}
}

// A router that forwards to this host is no NAT that forgets: ESP goes in UDP, but
// keepalives are not needed, and a peer behind another NAT is followed.
func TestPublicAddress(t *testing.T) {
	w, a, b, s := behind(t, false)
	// The far host is behind its router.
	b.site = newSite("192.0.2.80")
	b.addr = netip.MustParseAddr("10.7.7.7")
	b.site.ports[netip.MustParseAddrPort("10.7.7.7:500")], b.site.ports[netip.MustParseAddrPort("10.7.7.7:4500")] = 500, 4500
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Peers = addrPorts("192.0.2.80") })
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.PublicAddresses = addrPorts("192.0.2.81", "192.0.2.80") })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	i := b.e.Status()[0]
	if !i.NATLocal || !i.NATRemote || b.kernel.one(t, kernel.Out).Encap == nil {
		t.Errorf("NATs %v %v, encapsulation %v", i.NATLocal, i.NATRemote, b.kernel.one(t, kernel.Out).Encap)
	}
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 0 })
	before := len(w.sent)
	w.advance(5 * time.Minute)
	for _, p := range w.sent[before:] {
		if p.Local.Addr() == b.site.outside {
			t.Fatalf("the host behind its router sent %x", p.Data)
		}
	}
	s.rebind("198.51.100.9")
	a.act(func(e *Engine) { e.all()[0].probe() })
	w.settle()
	if got := b.kernel.one(t, kernel.Out).Dst.String(); got != "198.51.100.9" {
		t.Errorf("ESP goes to %s", got)
	}
}
