package ikev2

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// mobile is two hosts with MOBIKE whose first addresses the engines know; peers are
// taken from anywhere by b.
func mobile(t *testing.T, v6 bool) (w *world, a, b *node, spareA, spareB string) {
	t.Helper()
	w, a, b, spareA, spareB = twins(t, v6)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, _ *Child) { r.MOBIKE, r.AnyPeer, r.DPDDelay = true, true, 30*time.Second })
		n.readdress(n.addr.String())
	}
	return w, a, b, spareA, spareB
}

// wantAt says that the IKE SA and its child are between two addresses, at both ends
// and in both kernels, and that the child is the one that it was.
func (w *world) wantAt(a, b *node, at, far string, spi kernel.SPI) {
	w.t.Helper()
	w.wantUp(a, b, 1, 1)
	for i, n := range []*node{a, b} {
		local, remote := at, far
		if i == 1 {
			local, remote = far, at
		}
		s := n.e.Status()[0]
		if s.LocalAddr.Addr().String() != local || s.RemoteAddr.Addr().String() != remote {
			w.t.Errorf("%s: IKE SA at %v - %v, want %s - %s\n%s", n.name, s.LocalAddr, s.RemoteAddr, local, remote, n.log())
		}
		out, in := n.kernel.one(w.t, kernel.Out), n.kernel.one(w.t, kernel.In)
		if out.Src.String() != local || out.Dst.String() != remote || in.Src.String() != remote || in.Dst.String() != local {
			w.t.Errorf("%s: the kernel has %v to %v and %v to %v, want %s - %s\n%s", n.name, out.Src, out.Dst, in.Src, in.Dst, local, remote, n.log())
		}
		if i == 0 && spi != 0 && in.SPI != spi {
			w.t.Errorf("%s: the child is another one", n.name)
		}
		if len(n.downs) > 0 {
			w.t.Errorf("%s: children were down: %+v", n.name, n.downs)
		}
	}
}

func (w *world) end(a, b *node) {
	w.t.Helper()
	a.handle(Terminate{})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}

func spiOf(n *node) kernel.SPI { return n.e.Status()[0].Children[0].SPIIn }

func TestMobikeAgreed(t *testing.T) {
	for _, c := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
		w, a, b, _, _ := mobile(t, false)
		a.change(func(_ *Settings, r *Remote, _ *Child) { r.MOBIKE = c[0] })
		b.change(func(_ *Settings, r *Remote, _ *Child) { r.MOBIKE = c[1] })
		a.readdress("192.0.2.1", "198.51.100.1", "127.0.0.1", "10.0.1.1", "fe80::1")
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		both := c[0] && c[1]
		for _, n := range w.nodes {
			if got := n.e.all()[0].mob.agreed; got != both {
				t.Errorf("%v: %s has agreed %v", c, n.name, got)
			}
			// RFC 4555 §3.3: port 4500 where MOBIKE may come.
			if got := n.e.Status()[0].LocalAddr.Port() == 4500; got != c[0] {
				t.Errorf("%v: %s is at %v", c, n.name, n.e.Status()[0].LocalAddr)
			}
		}
		// The one inside the tunnel and those that mean nothing elsewhere are not told.
		if got, want := b.e.Status()[0].Extensions, "MOBIKE (the peer also has 198.51.100.1)"; slices.Contains(got, want) != both {
			t.Errorf("%v: status says %q", c, got)
		}
	}
}

// The initiator's address goes, or the way to the peer is from another one: the
// child stays what it is, and moves at both ends.
func TestMobikeInitiatorMoves(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, how := range []string{"gone", "better route", "gone before the next came"} {
			t.Run(fmt.Sprintf("v6 %v, %s", v6, how), func(t *testing.T) {
				w, a, b, spare, _ := mobile(t, v6)
				a.initiate()
				w.settle()
				first, far, spi := a.more[0].String(), b.more[0].String(), spiOf(a)
				switch how {
				case "gone":
					a.readdress(spare)
				case "better route":
					a.readdress(spare, first)
				default:
					a.readdress()
					w.advance(time.Second)
					a.wantReason(reasonNoRoute)
					a.readdress(spare)
				}
				w.settle()
				w.wantAt(a, b, spare, far, spi)
				for _, n := range w.nodes {
					if len(n.moved) != 1 {
						t.Errorf("%s told %+v", n.name, n.moved)
					}
				}
				if m := b.moved[0]; m.OldRemote.String() != first || m.Remote.String() != spare || m.Child != "tokyo_out" {
					t.Errorf("told %+v", m)
				}
				// And back, after a rekey of both by the other end.
				b.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
				w.settle()
				b.expireSoft(t)
				w.settle()
				spi = spiOf(a)
				a.readdress(first)
				w.settle()
				w.wantAt(a, b, first, far, spi)
				w.end(a, b)
			})
		}
	}
}

// The responder's address goes: it tells from the one that is left, and the
// initiator moves.
func TestMobikeResponderMoves(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("v6 %v, known before %v", v6, known), func(t *testing.T) {
				w, a, b, _, spare := mobile(t, v6)
				at, first := a.more[0].String(), b.more[0].String()
				if known {
					b.readdress(first, spare)
				}
				a.initiate()
				w.settle()
				spi := spiOf(a)
				if known {
					if got := a.e.all()[0].mob.peers; len(got) != 1 || got[0].String() != spare {
						t.Errorf("the peer told %v", got)
					}
				}
				b.readdress(spare)
				w.settle()
				w.wantAt(a, b, at, spare, spi)
				// One more that comes is told, and one that goes.
				b.readdress(spare, first)
				w.settle()
				if got := a.e.all()[0].mob.peers; len(got) != 1 || got[0].String() != first {
					t.Errorf("the peer told %v", got)
				}
				b.readdress(spare)
				w.settle()
				if got := a.e.all()[0].mob.peers; len(got) != 0 {
					t.Errorf("the peer told %v", got)
				}
				w.end(a, b)
			})
		}
	}
}

// A path dies without a word: a request is asked on all others, and what answers is
// the new path.
func TestMobikePathDies(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, which := range []string{"from the initiator's address", "to the responder's address", "both"} {
			t.Run(fmt.Sprintf("v6 %v, %s", v6, which), func(t *testing.T) {
				w, a, b, spareA, spareB := mobile(t, v6)
				firstA, firstB := a.more[0].String(), b.more[0].String()
				a.readdress(firstA, spareA)
				b.readdress(firstB, spareB)
				a.initiate()
				w.settle()
				spi := spiOf(a)
				dead := map[string]bool{}
				at, far := spareA, firstB
				if which != "to the responder's address" {
					dead[firstA] = true
				}
				if which != "from the initiator's address" {
					dead[firstB] = true
					if at, far = firstA, spareB; which == "both" {
						at = spareA
					}
				}
				w.filter = func(p Send) []Send {
					if dead[p.Local.Addr().String()] || dead[p.Remote.Addr().String()] {
						return nil
					}
					return []Send{p}
				}
				w.advance(90 * time.Second)
				w.wantAt(a, b, at, far, spi)
				a.wantNoReason(reasonRetransmitLimit)
				if b.e.Counters()[reasonRetransmitLimit] != 0 {
					t.Error("the responder did not wait")
				}
				w.end(a, b)
			})
		}
	}
}

// Each datagram of a move is lost once, or all of them come thrice.
func TestMobikeLosses(t *testing.T) {
	for lost := range 10 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			w, a, b, spare, spareB := mobile(t, false)
			b.readdress("192.0.2.2", spareB)
			a.initiate()
			w.settle()
			spi, n := spiOf(a), 0
			w.filter = func(p Send) []Send {
				if n++; lost == 9 {
					return []Send{p, p, p}
				}
				if n == lost {
					return nil
				}
				return []Send{p}
			}
			a.readdress(spare)
			w.advance(30 * time.Second)
			w.wantAt(a, b, spare, "192.0.2.2", spi)
			b.readdress(spareB)
			w.advance(30 * time.Second)
			w.wantAt(a, b, spare, spareB, spi)
			w.end(a, b)
		})
	}
}

// The address changes at every step of every other exchange of either end, with
// windows of one and of four.
func TestMobikeAmongOtherExchanges(t *testing.T) {
	exchanges := map[string]func(*world, *node){
		"child rekey": func(w *world, n *node) { n.expireSoft(w.t) },
		"IKE rekey":   func(_ *world, n *node) { n.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) }) },
		"liveness":    func(_ *world, n *node) { n.act(func(e *Engine) { e.all()[0].probe() }) },
		"new child":   func(_ *world, n *node) { n.handle(Initiate{Remote: n.e.settings.Remotes[0].Name, Child: "more_out"}) },
	}
	for name, begin := range exchanges {
		for _, window := range []int{1, 4} {
			for who := range 2 {
				for mover := range 2 {
					for steps := range 7 {
						t.Run(fmt.Sprintf("%s by %d, %d moves after %d, window %d", name, who, mover, steps, window), func(t *testing.T) {
							w, a, b, spareA, spareB := mobile(t, false)
							children2(a, b)
							for _, n := range w.nodes {
								n.change(func(_ *Settings, r *Remote, _ *Child) { r.Window = window })
							}
							a.initiate()
							w.settle()
							begin(w, w.nodes[who])
							for range steps {
								if len(w.wire) > 0 {
									w.step()
								}
							}
							at, far := "192.0.2.1", "192.0.2.2"
							if mover == 0 {
								at = spareA
								a.readdress(spareA)
							} else {
								far = spareB
								b.readdress(spareB)
							}
							w.advance(time.Minute)
							children := 1
							if name == "new child" {
								children = 2
							}
							w.wantUp(a, b, 1, children)
							for i, n := range w.nodes {
								local, remote := at, far
								if i == 1 {
									local, remote = far, at
								}
								for _, sa := range n.kernel.sas {
									src, dst := local, remote
									if sa.Direction == kernel.In {
										src, dst = remote, local
									}
									if sa.Src.String() != src || sa.Dst.String() != dst {
										t.Errorf("%s: SA %v is at %v - %v, want %s - %s", n.name, sa.SPI, sa.Src, sa.Dst, src, dst)
									}
								}
							}
							if len(a.downs)+len(b.downs)+len(a.failures)+len(b.failures) > 0 {
								t.Errorf("down or failed: %+v %+v %+v %+v", a.downs, b.downs, a.failures, b.failures)
							}
							w.end(a, b)
						})
					}
				}
			}
		}
	}
}

// From one family to the other.
func TestMobikeOtherFamily(t *testing.T) {
	w, a, b, _, _ := mobile(t, false)
	b.readdress("192.0.2.2", "2001:db8::2")
	a.initiate()
	w.settle()
	spi := spiOf(a)
	a.readdress("2001:db8::1")
	w.settle()
	w.wantAt(a, b, "2001:db8::1", "2001:db8::2", spi)
	a.readdress("192.0.2.1")
	w.settle()
	w.wantAt(a, b, "192.0.2.1", "192.0.2.2", spi)
	w.end(a, b)
}

// Into a network behind a NAT and out of it: ESP gets into UDP and out of it.
func TestMobikeNATComesAndGoes(t *testing.T) {
	w, a, b, _, _ := mobile(t, false)
	a.initiate()
	w.settle()
	spi := spiOf(a)
	if b.kernel.one(t, kernel.Out).Encap != nil {
		t.Fatal("encapsulated without a NAT")
	}
	s := newSite("203.0.113.7")
	a.site = s
	a.readdress("10.9.9.9")
	w.settle()
	w.wantUp(a, b, 1, 1)
	port := s.ports[netip.MustParseAddrPort("10.9.9.9:4500")]
	if e := b.kernel.one(t, kernel.Out).Encap; e == nil || e.Remote != port || b.kernel.one(t, kernel.Out).Dst.String() != "203.0.113.7" {
		t.Errorf("the responder sends to %v, %v", b.kernel.one(t, kernel.Out).Dst, e)
	}
	if a.kernel.one(t, kernel.Out).Encap == nil || spiOf(a) != spi || !a.e.Status()[0].NATLocal {
		t.Error("the initiator does not know of the NAT, or has another child")
	}
	// RFC 4555 §3.8: the NAT forgets, and the initiator finds out by itself.
	s.rebind("203.0.113.99")
	w.advance(35 * time.Second)
	w.wantUp(a, b, 1, 1)
	if got := b.kernel.one(t, kernel.Out); got.Dst.String() != "203.0.113.99" || got.Encap.Remote != s.ports[netip.MustParseAddrPort("10.9.9.9:4500")] {
		t.Errorf("the responder sends to %v, %v", got.Dst, got.Encap)
	}
	b.wantReason(reasonPeerMoved)
	before := len(w.sent)
	w.advance(25 * time.Second)
	if len(w.sent) == before {
		t.Error("no keepalive")
	}
	a.site = nil
	a.readdress("192.0.2.1")
	w.settle()
	w.wantAt(a, b, "192.0.2.1", "192.0.2.2", spi)
	for _, n := range w.nodes {
		if n.kernel.one(t, kernel.Out).Encap != nil || n.kernel.one(t, kernel.In).Encap != nil {
			t.Errorf("%s is still encapsulated", n.name)
		}
	}
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 0 })
	w.advance(time.Minute)
	before = len(w.sent)
	w.advance(2 * time.Minute)
	for _, p := range w.sent[before:] {
		if len(p.Data) == 1 {
			t.Fatal("a keepalive without a NAT")
		}
	}
	w.end(a, b)
}

// A NAT that rebinds does not move the peer by any packet, for it could be
// anybody's: RFC 4555 §3.8.
func TestMobikeNoDynamicUpdate(t *testing.T) {
	w, a, b, _, _ := mobile(t, false)
	s := newSite("203.0.113.7")
	a.site = s
	a.readdress("10.9.9.9")
	a.initiate()
	w.settle()
	at := b.e.Status()[0].RemoteAddr
	s.rebind("203.0.113.99")
	a.act(func(e *Engine) { e.all()[0].enqueue(&informTask{}) })
	w.settle()
	if got := b.e.Status()[0].RemoteAddr; got != at {
		t.Errorf("moved to %v", got)
	}
}

// Without NAT traversal NO_NATS_ALLOWED protects the addresses (RFC 4555 §3.9).
func TestMobikeNoNATs(t *testing.T) {
	setup := func(t *testing.T) (*world, *node, *node) {
		w, a, b, _, _ := mobile(t, false)
		for _, n := range w.nodes {
			n.change(func(s *Settings, r *Remote, _ *Child) { r.NATTraversal, s.NATPort = false, 0 })
		}
		return w, a, b
	}
	t.Run("none", func(t *testing.T) {
		w, a, b := setup(t)
		a.initiate()
		w.settle()
		spi := spiOf(a)
		a.readdress("192.0.2.11")
		w.settle()
		w.wantAt(a, b, "192.0.2.11", "192.0.2.2", spi)
		b.readdress("192.0.2.12")
		w.settle()
		w.wantAt(a, b, "192.0.2.11", "192.0.2.12", spi)
		b.wantNoReason(reasonUnexpectedNAT)
		a.wantNoReason(reasonUnexpectedNAT)
	})
	t.Run("in the beginning", func(t *testing.T) {
		w, a, b := setup(t)
		a.site = newSite("203.0.113.7")
		a.initiate()
		w.advance(time.Minute)
		if len(a.e.Status())+len(b.e.Status()) > 0 || len(a.failures) != 1 {
			t.Errorf("an IKE SA stands: %v %v, failures %+v", a.e.Status(), b.e.Status(), a.failures)
		}
		if c := b.e.Counters()[reasonUnexpectedNAT]; c != 6 {
			t.Errorf("tried %d times, want once and 5 times again", c)
		}
		a.wantNothing()
	})
	t.Run("later", func(t *testing.T) {
		w, a, b := setup(t)
		a.readdress("192.0.2.1", "192.0.2.13")
		a.initiate()
		w.settle()
		spi := spiOf(a)
		lies := 2
		w.filter = func(p Send) []Send {
			if p.Local.Addr().String() == "192.0.2.13" && lies > 0 {
				lies--
				p.Local = netip.MustParseAddrPort("192.0.2.13:777")
			}
			return []Send{p}
		}
		a.readdress("192.0.2.13")
		w.advance(20 * time.Second)
		w.wantAt(a, b, "192.0.2.13", "192.0.2.2", spi)
		b.wantReason(reasonUnexpectedNAT)
	})
}

// The responder's tunnels follow when the peer has answered from the new address
// (RFC 4555 §3.7), and not before.
func TestMobikeReturnRoutability(t *testing.T) {
	w, a, b, spare, _ := mobile(t, false)
	a.initiate()
	w.settle()
	a.readdress(spare)
	w.step() // UPDATE_SA_ADDRESSES
	if got := b.kernel.one(t, kernel.Out).Dst.String(); got != "192.0.2.1" {
		t.Errorf("the tunnel is at %s before the check", got)
	}
	w.settle()
	w.wantAt(a, b, spare, "192.0.2.2", 0)
	before := len(w.sent)
	a.readdress("192.0.2.1")
	w.settle()
	if n := len(w.sent) - before; n != 2 {
		t.Errorf("%d datagrams for a move to an address that was checked, want 2", n)
	}

	// An answer without the cookie ends the IKE SA, at either end.
	for _, liar := range []string{"responder", "initiator"} {
		w, a, b, spare, _ := mobile(t, false)
		a.initiate()
		w.settle()
		a.readdress(spare)
		victim, other := a, b
		if liar == "initiator" {
			w.step()
			victim, other = b, a
		}
		sa, peer := victim.e.all()[0], other.e.all()[0]
		r := sa.x.flights[0]
		data, err := peer.seal(message.INFORMATIONAL, r.id, true, []message.Payload{notify(message.COOKIE2, make([]byte, 16))})
		if err != nil {
			t.Fatal(err)
		}
		victim.handle(Datagram{Local: sa.local, Remote: sa.peer, Data: data[0]})
		victim.wantReason(reasonCookie2)
		w.advance(2 * time.Minute)
		victim.wantNothing()
	}
}

// What a peer may say about addresses, and what becomes of it.
func TestMobikeHostile(t *testing.T) {
	many := func(n int) (list []message.Payload) {
		for i := range n {
			list = append(list, notify(message.ADDITIONAL_IP4_ADDRESS, []byte{198, 51, 100, byte(i)}))
		}
		return list
	}
	for _, c := range []struct {
		name string
		from string // where the request comes from; "" is where the peer is
		list []message.Payload
		want func(t *testing.T, b *node)
	}{
		{"more addresses than anybody has", "", many(60), func(t *testing.T, b *node) {
			if n := len(b.e.all()[0].mob.peers); n != maxAdditional {
				t.Errorf("%d are kept", n)
			}
		}},
		{"addresses that are none", "", []message.Payload{
			notify(message.ADDITIONAL_IP4_ADDRESS, make([]byte, 16)), notify(message.ADDITIONAL_IP6_ADDRESS, make([]byte, 4)),
			notify(message.ADDITIONAL_IP4_ADDRESS, nil), notify(message.ADDITIONAL_IP4_ADDRESS, []byte{127, 0, 0, 1}),
			notify(message.ADDITIONAL_IP4_ADDRESS, []byte{224, 0, 0, 1}), notify(message.ADDITIONAL_IP6_ADDRESS, netip.IPv6Unspecified().AsSlice()),
		}, func(t *testing.T, b *node) {
			if got := b.e.all()[0].mob.peers; len(got) != 0 {
				t.Errorf("%v are kept", got)
			}
		}},
		{"to multicast", "224.0.0.1:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to everybody", "255.255.255.255:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to nowhere", "0.0.0.0:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to port 0", "192.0.2.1:0", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to the loopback", "127.0.0.1:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to the host itself", "192.0.2.2:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b, _, _ := mobile(t, false)
			a.initiate()
			w.settle()
			sa := a.e.all()[0]
			data, err := sa.seal(message.INFORMATIONAL, sa.x.next, false, c.list)
			if err != nil {
				t.Fatal(err)
			}
			sa.x.next++
			from := sa.local
			if c.from != "" {
				from = netip.MustParseAddrPort(c.from)
			}
			at := b.e.Status()[0].RemoteAddr
			b.handle(Datagram{Local: sa.peer, Remote: from, Data: data[0]})
			if got := b.e.Status()[0].RemoteAddr; got != at {
				t.Errorf("moved to %v", got)
			}
			if c.want != nil {
				c.want(t, b)
			} else {
				b.wantReason(reasonAddresses)
			}
			w.settle()
			w.wantUp(a, b, 1, 1)
		})
	}

	// The end that did not begin decides nothing, and without agreement nobody does.
	w, a, b, _, _ := mobile(t, false)
	a.initiate()
	w.settle()
	at := a.e.Status()[0].RemoteAddr
	sa := b.e.all()[0]
	data, _ := sa.seal(message.INFORMATIONAL, sa.x.next, false, []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)})
	a.handle(Datagram{Local: sa.peer, Remote: netip.MustParseAddrPort("192.0.2.77:4500"), Data: data[0]})
	if got := a.e.Status()[0].RemoteAddr; got != at {
		t.Errorf("the responder moved to %v", got)
	}
	w, a, b = pair(t)
	a.initiate()
	w.settle()
	sa = a.e.all()[0]
	data, _ = sa.seal(message.INFORMATIONAL, sa.x.next, false, []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil), notify(message.COOKIE2, make([]byte, 8))})
	before := len(w.sent)
	b.handle(Datagram{Local: sa.peer, Remote: netip.MustParseAddrPort("192.0.2.77:4500"), Data: data[0]})
	if got := b.e.Status()[0].RemoteAddr.Addr().String(); got != "192.0.2.1" {
		t.Errorf("moved without agreement to %v", got)
	}
	if len(w.sent) != before+1 {
		t.Error("no answer")
	}
	w.step()
}

// The responder refuses addresses: others are tried, and in the end the first again.
func TestMobikeRefused(t *testing.T) {
	w, a, b, spare, _ := mobile(t, false)
	a.readdress("192.0.2.1", "192.0.2.21")
	a.initiate()
	w.settle()
	spi := spiOf(a)
	b.e.locals = append(b.e.locals, netip.MustParseAddr(spare)) // it takes the new one for its own
	a.readdress(spare, "192.0.2.21")
	w.advance(10 * time.Second)
	w.wantAt(a, b, "192.0.2.21", "192.0.2.2", spi)
	b.wantReason(reasonAddresses)
	w.end(a, b)
}

// Requests that were passed by newer ones change nothing any more (RFC 4555 §3.5).
func TestMobikeOldRequests(t *testing.T) {
	w, a, b, _, _ := mobile(t, false)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Window = 4 })
	a.initiate()
	w.settle()
	sa := a.e.all()[0]
	send := func(id uint32, from string, last byte) {
		data, err := sa.seal(message.INFORMATIONAL, id, false, []message.Payload{
			notify(message.UPDATE_SA_ADDRESSES, nil), notify(message.ADDITIONAL_IP4_ADDRESS, []byte{198, 51, 100, last}),
		})
		if err != nil {
			t.Fatal(err)
		}
		b.handle(Datagram{Local: sa.peer, Remote: netip.MustParseAddrPort(from), Data: data[0]})
	}
	next := sa.x.next
	send(next+1, "192.0.2.32:4500", 2)
	send(next, "192.0.2.31:4500", 1)
	got := b.e.all()[0]
	if got.peer.Addr().String() != "192.0.2.32" || len(got.mob.peers) != 1 || got.mob.peers[0].String() != "198.51.100.2" {
		t.Errorf("at %v, also %v", got.peer, got.mob.peers)
	}
	if got.x.expected != next+2 {
		t.Error("the older one was not answered")
	}
}

// A remote's name has another address: MOBIKE moves what this host has begun, and
// what it has not is made anew.
func TestMobikePeerAddresses(t *testing.T) {
	for _, began := range []bool{true, false} {
		w, a, b, _, spare := mobile(t, false)
		b.readdress("192.0.2.2", spare)
		if began {
			a.initiate()
		} else {
			b.initiate()
		}
		w.settle()
		spi := spiOf(a)
		a.change(func(_ *Settings, r *Remote, _ *Child) { r.AnyPeer = false })
		a.handle(PeerAddresses{Remote: "tokyo", Peers: addrPorts(spare)})
		w.advance(time.Minute)
		if !began {
			spi = 0
		}
		w.wantAt(a, b, "192.0.2.1", spare, spi)
		w.end(a, b)
	}
}

// Addresses that change all the time end in the last one.
func TestMobikeFlapping(t *testing.T) {
	for step := range 6 {
		w, a, b, spare, _ := mobile(t, false)
		a.initiate()
		w.settle()
		spi := spiOf(a)
		for i := range 9 {
			a.readdress([]string{spare, "192.0.2.31", "192.0.2.1"}[i%3])
			for range step {
				if len(w.wire) > 0 {
					w.step()
				}
			}
		}
		a.readdress(spare)
		w.advance(time.Minute)
		w.wantAt(a, b, spare, "192.0.2.2", spi)
		w.end(a, b)
	}
}

// The responder's address goes and is back before anybody heard of the other one:
// both ends use the same pair all the same.
func TestMobikeResponderFlaps(t *testing.T) {
	for steps := range 5 {
		for _, lost := range []bool{false, true} {
			w, a, b, _, spare := mobile(t, false)
			b.readdress("192.0.2.2", spare)
			a.initiate()
			w.settle()
			b.readdress(spare)
			for range steps {
				if len(w.wire) > 0 {
					w.step()
				}
			}
			if lost {
				w.wire = nil
				until := w.now.Add(4 * time.Second)
				w.filter = func(p Send) []Send {
					if p.Local.Addr().String() == spare && w.now.Before(until) {
						return nil
					}
					return []Send{p}
				}
			}
			b.readdress(spare, "192.0.2.2")
			w.advance(time.Minute)
			w.wantAt(a, b, "192.0.2.1", a.e.Status()[0].RemoteAddr.Addr().String(), 0)
			w.end(a, b)
		}
	}
}

// A child in transport mode is closed and made anew, by the end that moves; one
// whose end points are configured apart from the IKE SA stays there.
func TestMobikeTransportAndFixedEnds(t *testing.T) {
	w, a, b, spare, _ := mobile(t, false)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) {
			c.Mode, c.Outbound[0] = kernel.Transport, selector("0.0.0.0/0", "0.0.0.0/0")
		})
	}
	a.initiate()
	w.settle()
	old := spiOf(a)
	a.readdress(spare)
	w.settle()
	w.wantUp(a, b, 1, 1)
	if got := b.kernel.one(t, kernel.Out).Dst.String(); got != spare || spiOf(a) == old {
		t.Errorf("the child is at %s, SPI %v", got, spiOf(a))
	}
	a.wantReason(reasonChildMoved)
	w.end(a, b)

	w, a, _, spare, _ = mobile(t, false)
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.PeerEnd = netip.MustParseAddr("192.0.2.200") })
	a.initiate()
	w.settle()
	a.readdress(spare)
	w.settle()
	if out := a.kernel.one(t, kernel.Out); out.Src.String() != spare || out.Dst.String() != "192.0.2.200" {
		t.Errorf("the child is at %v - %v", out.Src, out.Dst)
	}
	// A child that was configured for the address that went follows, as do later ones.
	w, a, b, spare, _ = mobile(t, false)
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.MyEnd = netip.MustParseAddr("192.0.2.1") })
	a.initiate()
	w.settle()
	a.readdress(spare)
	w.settle()
	a.expireSoft(t)
	w.settle()
	w.wantAt(a, b, spare, "192.0.2.2", 0)
}
