package ikev2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// expireSoft tells a host that its outbound SA nears its end.
func (n *node) expireSoft(t *testing.T) {
	t.Helper()
	for id, sa := range n.kernel.sas {
		if sa.Direction == kernel.Out {
			n.handle(KernelEvent{Event: kernel.Expire{ID: id, ReqID: sa.ReqID}})
			return
		}
	}
	t.Fatal("no outbound SA")
}

// A soft limit makes a successor with other keys, and the old child goes.
func TestRekeyChild(t *testing.T) {
	for _, pfs := range []bool{false, true} {
		for _, byResponder := range []bool{false, true} {
			t.Run(fmt.Sprintf("PFS %v by responder %v", pfs, byResponder), func(t *testing.T) {
				w, a, b := pair(t)
				if pfs {
					for _, n := range w.nodes {
						n.change(func(_ *Settings, r *Remote, c *Child) { c.Proposals[0].KE = r.groups() })
					}
				}
				a.initiate()
				w.settle()
				old := a.kernel.one(t, kernel.Out)
				who := a
				if byResponder {
					who = b
				}
				who.expireSoft(t)
				who.expireSoft(t) // the other direction's limit comes too
				w.settle()
				w.wantUp(a, b, 1, 1)
				fresh := a.kernel.one(t, kernel.Out)
				if fresh.SPI == old.SPI || string(fresh.EncrKey) == string(old.EncrKey) {
					t.Error("the same SA, or the same key again")
				}
				if fresh.Selector != old.Selector {
					t.Errorf("selector %+v, want %+v", fresh.Selector, old.Selector)
				}
				if len(a.downs)+len(b.downs) != 0 {
					t.Error("a rekeyed child was reported down")
				}
				if len(w.sent) != 4+2+2 {
					t.Errorf("%d datagrams, want 8", len(w.sent))
				}
			})
		}
	}
}

// The successor is in the kernel before the old one leaves it.
func TestRekeyOrder(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.kernel.ops, b.kernel.ops = nil, nil
	a.expireSoft(t)
	w.settle()
	for _, n := range w.nodes {
		var seen []string
		for _, op := range n.kernel.ops {
			switch op := op.(type) {
			case kernel.AddSA:
				seen = append(seen, fmt.Sprint("add ", op.SA.Direction))
			case kernel.DeleteSA:
				seen = append(seen, "delete")
			}
		}
		want := fmt.Sprint([]string{fmt.Sprint("add ", kernel.In), fmt.Sprint("add ", kernel.Out), "delete", "delete"})
		if fmt.Sprint(seen) != want {
			t.Errorf("%s: %v, want %v", n.name, seen, want)
		}
	}
}

// Both ends rekey the child at the same moment, with every kind of crossing:
// one child is left, and both ends mean the same one.
func TestRekeyChildCollision(t *testing.T) {
	for _, order := range []string{"crossing", "first lost", "second lost", "both answers lost"} {
		t.Run(order, func(t *testing.T) {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			a.expireSoft(t)
			b.expireSoft(t)
			lost := map[string]bool{}
			w.filter = func(p Send) []Send {
				x, resp := exchangeOf(p)
				from := "b"
				if p.Local.Addr() == a.addr {
					from = "a"
				}
				key := fmt.Sprint(from, resp)
				drop := map[string][]string{"first lost": {"afalse"}, "second lost": {"bfalse"}, "both answers lost": {"atrue", "btrue"}}[order]
				for _, d := range drop {
					if x == message.CREATE_CHILD_SA && d == key && !lost[key] {
						lost[key] = true
						return nil
					}
				}
				return []Send{p}
			}
			from := len(w.sent)
			keys := map[netip.Addr]*ikeSA{a.addr: keepKeys(a.e.all()[0]), b.addr: keepKeys(b.e.all()[0])}
			w.advance(time.Minute)
			w.wantUp(a, b, 1, 1)
			if len(a.downs)+len(b.downs) != 0 {
				t.Errorf("%d and %d children reported down", len(a.downs), len(b.downs))
			}
			if order == "crossing" {
				// RFC 7296 §2.8.1: the exchange with the lowest of the four nonces loses.
				low, loser := "", kernel.SPI(0)
				requests := map[bool]kernel.SPI{}
				for _, p := range append(w.sent[from-2:from:from], w.sent[from:]...) {
					x, resp := exchangeOf(p)
					if x != message.CREATE_CHILD_SA {
						continue
					}
					m := &received{payloads: opened(t, keys[p.Local.Addr()], p)}
					byA := (p.Local.Addr() == a.addr) != resp // of the exchange that a began
					if !resp {
						requests[byA] = kernel.SPI(binary.BigEndian.Uint32(find[*message.SA](m).Proposals[0].SPI))
					}
					if n := string(find[*message.Nonce](m).Data); low == "" || n < low {
						low, loser = n, requests[byA]
					}
				}
				for _, n := range w.nodes {
					if _, ok := n.kernel.byPeerSPI(kernel.ESP, loser); ok {
						for id, sa := range n.kernel.sas {
							if id.SPI == loser && sa.Direction == kernel.In && requests[n == a] == loser {
								t.Errorf("%s kept the child with the lowest nonce", n.name)
							}
						}
					}
				}
			}
			a.handle(Terminate{})
			w.advance(time.Minute)
			a.wantNothing()
			b.wantNothing()
		})
	}
}

// The IKE SA gets a successor before its lifetime is over; children and
// addresses move, Message IDs begin again.
func TestRekeyIKE(t *testing.T) {
	for _, who := range []string{"initiator", "responder"} {
		t.Run(who, func(t *testing.T) {
			w, a, b := pair(t)
			n := a
			if who == "responder" {
				n = b
			}
			n.change(func(_ *Settings, r *Remote, _ *Child) { r.Lifetime = 100 * time.Second })
			a.initiate()
			w.settle()
			before := a.e.Status()[0]
			w.advance(91 * time.Second)
			w.wantUp(a, b, 1, 1)
			after := a.e.Status()[0]
			if after.SPIi == before.SPIi || after.Children[0].SPIIn != before.Children[0].SPIIn {
				t.Errorf("IKE SPI %x and child %x after %x and %x", after.SPIi, after.Children[0].SPIIn, before.SPIi, before.Children[0].SPIIn)
			}
			if after.Initiator != (who == "initiator") {
				t.Errorf("original initiator is %v", after.Initiator)
			}
			n.wantReason(reasonIKERekeyed)
			if len(a.downs)+len(b.downs) != 0 {
				t.Error("a child was reported down")
			}
			a.expireSoft(t)
			w.settle()
			w.wantUp(a, b, 1, 1)
			w.advance(10 * time.Minute) // several times more
			w.wantUp(a, b, 1, 1)
			b.handle(Terminate{})
			w.settle()
			a.wantNothing()
			b.wantNothing()
		})
	}
}

// Both ends rekey the IKE SA at the same moment.
func TestRekeyIKECollision(t *testing.T) {
	for _, order := range []string{"crossing", "first lost", "second lost", "both answers lost", "first answer lost"} {
		t.Run(order, func(t *testing.T) {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			for _, n := range w.nodes {
				n.handle(Timeout{})
				sa := n.e.all()[0]
				var out Outbox
				n.e.out = &out
				sa.enqueue(&rekeyTask{})
				n.e.out = nil
				for _, f := range out.Effects {
					n.carryOut(f)
				}
			}
			lost := map[string]bool{}
			w.filter = func(p Send) []Send {
				x, resp := exchangeOf(p)
				from := "b"
				if p.Local.Addr() == a.addr {
					from = "a"
				}
				key := fmt.Sprint(from, resp)
				drop := map[string][]string{"first lost": {"afalse"}, "second lost": {"bfalse"},
					"both answers lost": {"atrue", "btrue"}, "first answer lost": {"btrue"}}[order]
				for _, d := range drop {
					if x == message.CREATE_CHILD_SA && d == key && !lost[key] {
						lost[key] = true
						return nil
					}
				}
				return []Send{p}
			}
			w.advance(3 * time.Minute)
			w.wantUp(a, b, 1, 1)
			if a.e.Status()[0].SPIi != b.e.Status()[0].SPIi {
				t.Error("the ends kept different IKE SAs")
			}
			if len(a.downs)+len(b.downs) != 0 {
				t.Errorf("%d and %d children reported down", len(a.downs), len(b.downs))
			}
			a.handle(Terminate{})
			w.advance(time.Minute)
			a.wantNothing()
			b.wantNothing()
		})
	}
}

// A child that the peer does not know is made anew.
func TestChildNotFound(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	// The responder loses the child without a word.
	c := b.e.all()[0].children[0]
	var out Outbox
	b.e.out = &out
	c.remove("lost")
	b.e.out = nil
	for _, f := range out.Effects {
		b.carryOut(f)
	}
	a.expireSoft(t)
	w.settle()
	b.wantReason(reasonChildNotFound)
	w.wantUp(a, b, 1, 1)
}

// TEMPORARY_FAILURE is not answered with haste: the rekeying of the IKE SA
// refuses a child, which comes later.
func TestTemporaryFailure(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	sa := b.e.all()[0]
	var out Outbox
	b.e.out, b.e.now = &out, w.now
	b.holdJobs = true
	sa.enqueue(&rekeyTask{})
	b.e.out = nil
	for _, f := range out.Effects {
		b.carryOut(f)
	}
	b.releaseJobs() // the request is out now
	packet := selector("10.0.1.1/32", "10.0.2.1/32")
	var held []Send
	w.filter = func(p Send) []Send { // the rekeying is delayed behind the child's request
		if x, resp := exchangeOf(p); x == message.CREATE_CHILD_SA && !resp && p.Local.Addr() == b.addr && len(held) == 0 {
			held = append(held, p)
			return nil
		}
		return []Send{p}
	}
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	b.wantReason(reasonTemporary)
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 2)
	if len(a.failures) != 0 {
		t.Errorf("failures %+v", a.failures)
	}
}

// A responder sends on the old child until the peer has shown that it knows the
// new one (RFC 7296 §2.8): an answer that is lost makes no black hole.
func TestResponderSendsOnOldChild(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	old := b.kernel.one(t, kernel.Out)
	lost := false
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.CREATE_CHILD_SA && resp && !lost {
			lost = true
			return nil
		}
		return []Send{p}
	}
	a.expireSoft(t)
	w.settle()
	if out := b.kernel.one(t, kernel.Out); out.SPI != old.SPI {
		t.Error("the responder sends on a child that the initiator does not have yet")
	}
	if len(b.kernel.sas) != 3 {
		t.Errorf("%d SAs, want both inbound ones and the old outbound one", len(b.kernel.sas))
	}
	w.advance(2 * time.Second)
	w.wantUp(a, b, 1, 1)
	if out := b.kernel.one(t, kernel.Out); out.SPI == old.SPI {
		t.Error("the old child is still there")
	}

	// The whole IKE SA may go in between.
	a.expireSoft(t)
	w.step()
	b.handle(Terminate{})
	w.advance(time.Minute)
	a.wantNothing()
	b.wantNothing()
}

// A successor whose outbound SA is refused when its time comes is deleted.
func TestTakeOverRefused(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	b.kernel.fail = func(op kernel.Op) error {
		if add, ok := op.(kernel.AddSA); ok && add.SA.Direction == kernel.Out {
			return kernel.ErrUnsupported
		}
		return nil
	}
	a.expireSoft(t)
	w.advance(time.Minute)
	b.wantReason(reasonKernel)
	w.wantUp(a, b, 1, 0)
}

// A deletion that waits behind the rekeying of the IKE SA deletes the successor.
func TestTerminateWhileRekeying(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	a.handle(Terminate{})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}
