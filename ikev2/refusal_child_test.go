package ikev2

import (
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// The child fails alone: the IKE SA stays, the reason is told on both sides.
func TestChildFailsAlone(t *testing.T) {
	cases := map[string]struct {
		change func(*Settings, *Remote, *Child) // at the responder
		reason string
		answer message.NotifyType
		words  []string
	}{
		"no common traffic": {
			func(_ *Settings, _ *Remote, c *Child) {
				c.Outbound = []kernel.Selector{selector("10.9.0.0/24", "10.8.0.0/24")}
			},
			reasonTSUnacceptable, message.TS_UNACCEPTABLE,
			[]string{"peer asks for 10.0.2.0/24[any] any to 10.0.1.0/24[any] any", "selector tokyo_out (racoon2.conf:40) 10.9.0.0/24[any] any to 10.8.0.0/24"},
		},
		"no common proposal": {
			func(_ *Settings, _ *Remote, c *Child) {
				c.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_GCM_16, 256}}
			},
			reasonNoProposal, message.NO_PROPOSAL_CHOSEN,
			[]string{"ENCR: peer offers ENCR_AES_GCM_16-128", "selector tokyo_out (racoon2.conf:40) accepts ENCR_AES_GCM_16-256"},
		},
		"mode": {
			func(_ *Settings, _ *Remote, c *Child) {
				c.Mode = kernel.Transport
				c.Outbound = []kernel.Selector{selector("0.0.0.0/0", "0.0.0.0/0")}
			},
			reasonTSUnacceptable, message.TS_UNACCEPTABLE, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			b.change(c.change)
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 0)
			ev := b.wantReason(c.reason)
			wantWords(t, ev.Text, c.words...)
			list := opened(t, b.e.all()[0], w.sent[3])
			if kinds := notifies(list); len(kinds) != 1 || kinds[0] != c.answer {
				t.Errorf("answered %v", kinds)
			}
			if _, ok := list[1].(*message.Auth); !ok {
				t.Error("the answer has no AUTH")
			}
			a.wantReason(c.reason)
			if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, c.answer.String()) {
				t.Errorf("failures %+v", a.failures)
			}
		})
	}
}

// A mode that is configured differently is refused, not bent.
func TestModeMismatch(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, c *Child) {
			c.Outbound = []kernel.Selector{selector(n.addr.String()+"/32", r.Peers[0].Addr().String()+"/32")}
		})
	}
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.Mode = kernel.Transport })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 0)
	wantWords(t, b.wantReason(reasonModeMismatch).Text, "peer asks for transport", "selector tokyo_out (racoon2.conf:40) has tunnel")
}

// The kernel refuses: the peer hears of it, and nothing is left half-done.
func TestKernelRefuses(t *testing.T) {
	fails := map[string]func(op kernel.Op) bool{
		"GetSPI":   func(op kernel.Op) bool { _, ok := op.(kernel.GetSPI); return ok },
		"inbound":  func(op kernel.Op) bool { a, ok := op.(kernel.AddSA); return ok && a.SA.Direction == kernel.In },
		"outbound": func(op kernel.Op) bool { a, ok := op.(kernel.AddSA); return ok && a.SA.Direction == kernel.Out },
	}
	for name, fail := range fails {
		for _, who := range []string{"initiator", "responder"} {
			t.Run(name+" at the "+who, func(t *testing.T) {
				w, a, b := pair(t)
				n := a
				if who == "responder" {
					n = b
				}
				n.kernel.fail = func(op kernel.Op) error {
					if fail(op) {
						return kernel.ErrUnsupported
					}
					return nil
				}
				a.initiate()
				w.settle()
				n.wantReason(reasonKernel)
				if len(a.failures) != 1 {
					t.Errorf("failures %+v", a.failures)
				}
				if name == "GetSPI" && who == "initiator" {
					a.wantNothing()
					return
				}
				w.wantUp(a, b, 1, 0)
				if len(a.kernel.sas)+len(a.kernel.reserved)+len(b.kernel.sas)+len(b.kernel.reserved) != 0 {
					t.Error("something is left in a kernel")
				}
			})
		}
	}
}

// A group of a child is retried like that of an IKE SA, and one that the peer
// wants without our asking is granted.
func TestChildGroups(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, _ *Remote, c *Child) {
		c.Proposals[0].KE = []transform.KE{transform.KE_ECP_384, transform.KE_CURVE25519}
	})
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	packet := selector("10.0.1.1/32", "10.0.2.1/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	w.wantUp(a, b, 1, 2)
	b.wantReason(reasonInvalidKE)
	if ke := b.e.Status()[0].Children[1].KE; ke != "CURVE25519" {
		t.Errorf("key exchange %q", ke)
	}
}

// A responder that demands PFS refuses a child without it.
func TestChildWithoutPFS(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519} })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1) // IKE_AUTH has no KE
	w.advance(time.Minute)
	packet := selector("10.0.1.1/32", "10.0.2.1/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	w.wantUp(a, b, 1, 1)
	wantWords(t, b.wantReason(reasonNoProposal).Text, "KE: peer offers nothing", "accepts CURVE25519")
}
