package ikev2

import (
	"fmt"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// An IKE_AUTH without a child where the initiator wants it and the responder takes
// it, and the usual one in all other cases (RFC 6023 §3).
func TestChildless(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		for _, taken := range []bool{false, true} {
			for _, pfs := range []bool{false, true} {
				t.Run(fmt.Sprintf("wanted %v taken %v PFS %v", wanted, taken, pfs), func(t *testing.T) {
					w, a, b := pair(t)
					a.change(func(_ *Settings, _ *Remote, c *Child) { c.Childless = wanted })
					b.change(func(_ *Settings, r *Remote, _ *Child) { r.Childless = taken })
					for _, n := range w.nodes {
						n.change(func(_ *Settings, r *Remote, c *Child) {
							r.Grace = time.Minute
							if pfs {
								c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519}
							}
						})
					}
					a.initiate()
					a.initiate() // changes nothing
					w.settle()
					w.wantUp(a, b, 1, 1)
					creates := 0
					for _, p := range w.sent {
						if x, _ := exchangeOf(p); x == message.CREATE_CHILD_SA {
							creates++
						}
					}
					if childless := creates == 2; childless != (wanted && taken) {
						t.Errorf("%d messages of CREATE_CHILD_SA", creates)
					}
					if ke := a.e.Status()[0].Children[0].KE; ke != "" != (wanted && taken && pfs) {
						t.Errorf("the child has key exchange %q", ke)
					}
					w.advance(5 * time.Minute)
					w.wantUp(a, b, 1, 1)
					b.handle(Terminate{})
					w.settle()
					a.wantNothing()
					b.wantNothing()
				})
			}
		}
	}
}

// The child of IKE_AUTH gets a key exchange of its own by a rekeying at once: that
// child alone, by who asked for it, and whichever datagram is lost.
func TestRekeyAtOnce(t *testing.T) {
	for lost := range 10 {
		t.Run(fmt.Sprintf("datagram %d lost", lost), func(t *testing.T) {
			w, a, b := pair(t)
			for _, n := range w.nodes {
				n.change(func(_ *Settings, _ *Remote, c *Child) {
					c.RekeyAtOnce = true
					c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519}
				})
			}
			sent := 0
			w.filter = func(p Send) []Send {
				if sent++; sent-1 == lost {
					return nil
				}
				return []Send{p}
			}
			a.initiate()
			w.advance(time.Minute)
			w.wantUp(a, b, 1, 1)
			for _, n := range w.nodes {
				if c := n.e.Status()[0].Children[0]; c.KE == "" {
					t.Errorf("%s has a child without a key exchange", n.name)
				}
				if len(n.downs) != 0 {
					t.Errorf("%s reports %d children down", n.name, len(n.downs))
				}
			}
			rekeyings := 0
			for _, p := range w.sent {
				if x, response := exchangeOf(p); x == message.CREATE_CHILD_SA && !response {
					rekeyings++
				}
			}
			if rekeyings > 2 { // one, and perhaps once more on the wire
				t.Errorf("%d requests of CREATE_CHILD_SA", rekeyings)
			}
		})
	}
}

// Whichever datagram is lost once, the tunnel comes up; and one that was to be
// deleted on the way goes.
func TestChildlessMeddledWith(t *testing.T) {
	for victim := range 6 {
		w, a, b := pair(t)
		a.change(func(_ *Settings, _ *Remote, c *Child) { c.Childless = true })
		b.change(func(_ *Settings, r *Remote, _ *Child) { r.Childless = true })
		n := 0
		w.filter = func(p Send) []Send {
			if n++; n-1 == victim {
				return nil
			}
			return []Send{p}
		}
		a.initiate()
		w.advance(10 * time.Second)
		w.wantUp(a, b, 1, 1)

		w, a, b = pair(t)
		a.change(func(_ *Settings, _ *Remote, c *Child) { c.Childless = true })
		b.change(func(_ *Settings, r *Remote, _ *Child) { r.Childless = true })
		a.initiate()
		for range victim {
			if len(w.wire) > 0 {
				w.step()
			}
		}
		a.handle(Terminate{})
		w.advance(3 * time.Minute)
		a.wantNothing()
		b.wantNothing()
	}
}

// A responder that has not offered it refuses with INVALID_SYNTAX, and so does an
// initiator a child that it has not asked for.
func TestChildlessUninvited(t *testing.T) {
	rewrite := func(w *world, n *node, response bool, change func([]message.Payload) []message.Payload) {
		w.filter = func(p Send) []Send {
			if x, resp := exchangeOf(p); x == message.IKE_AUTH && resp == response && p.Local.Addr() == n.addr {
				sa := n.e.all()[0]
				data, err := sa.seal(message.IKE_AUTH, 1, resp, change(opened(w.t, sa, p)))
				if err != nil {
					w.t.Fatal(err)
				}
				p.Data = data[0]
			}
			return []Send{p}
		}
	}
	w, a, b := pair(t)
	rewrite(w, a, false, func(list []message.Payload) []message.Payload {
		var out []message.Payload
		for _, p := range list {
			switch p.Type() {
			case message.PayloadIDi, message.PayloadAUTH:
				out = append(out, p)
			}
		}
		return out
	})
	a.initiate()
	w.settle()
	wantWords(t, b.wantReason(reasonInvalidSyntax).Text, "does not accept IKE_AUTH without a child")
	a.wantNothing()
	b.wantNothing()

	w, a, b = pair(t)
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.Childless = true })
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Childless = true })
	rewrite(w, b, true, func(list []message.Payload) []message.Payload {
		ts := []message.TrafficSelector{hostTS(a.addr)}
		return append(list, &message.SA{Proposals: []message.Proposal{{Number: 1, Protocol: message.ProtocolESP, SPI: spiOctets(77)}}},
			&message.TS{Initiator: true, Selectors: ts}, &message.TS{Selectors: ts})
	})
	a.initiate()
	w.settle()
	a.wantReason(reasonInvalidSyntax)
	a.wantNothing()
}
