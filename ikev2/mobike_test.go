package ikev2

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
				if m := b.moved[0]; m.OldPeer.String() != first || m.PeerAddress.String() != spare || m.Child != "tokyo_out" {
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
