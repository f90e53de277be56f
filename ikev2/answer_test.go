package ikev2

import (
	"net/netip"
	"testing"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// lie makes the first CREATE_CHILD_SA or IKE_AUTH response of a host say
// something else, as an authenticated but dishonest peer would.
func (n *node) lie(exchange message.ExchangeType, change func([]message.Payload) []message.Payload) {
	done := false
	n.w.filter = func(p Send) []Send {
		x, resp := exchangeOf(p)
		if x != exchange || !resp || p.Local.Addr() != n.addr || done {
			return []Send{p}
		}
		done = true
		sa := n.e.all()[0]
		h, _ := message.DecodeHeader(p.Data)
		data, err := sa.seal(x, h.MessageID, true, change(opened(n.w.t, sa, p)))
		if err != nil {
			n.w.t.Fatal(err)
		}
		p.Data = data[0]
		return []Send{p}
	}
}

// with replaces the payload of one type.
func with(kind message.PayloadType, p message.Payload) func([]message.Payload) []message.Payload {
	return func(list []message.Payload) []message.Payload {
		for i := range list {
			if list[i].Type() == kind {
				list[i] = p
			}
		}
		return list
	}
}

// Answers that choose what was not offered: the child does not come up, both
// ends are told, and nothing is left of it.
func TestDishonestAnswers(t *testing.T) {
	wide := []message.TrafficSelector{ts("0.0.0.0/0", 0)}
	good := func(spi ...byte) message.Proposal {
		return message.Proposal{Number: 1, Protocol: message.ProtocolESP, SPI: spi,
			Transforms: []message.Transform{encrT(transform.ENCR_AES_GCM_16, 128), snT(0)}}
	}
	null := good(1, 2, 3, 4)
	null.Transforms[0] = encrT(transform.ENCR_NULL)
	sa := func(p message.Proposal) *message.SA { return &message.SA{Proposals: []message.Proposal{p}} }
	cases := []struct {
		name   string
		change func([]message.Payload) []message.Payload
		reason string
		words  string
	}{
		{"wider TSi", with(message.PayloadTSi, &message.TS{Initiator: true, Selectors: wide}), reasonTSUnacceptable, "peer chooses 0.0.0.0/0"},
		{"wider TSr", with(message.PayloadTSr, &message.TS{Selectors: wide}), reasonTSUnacceptable, "0.0.0.0/0"},
		{"no TSr", with(message.PayloadTSr, &message.TS{Selectors: []message.TrafficSelector{ts("2001:db8::/32", 0)}}), reasonTSUnacceptable, "2001:db8::/32"},
		{"transport mode", func(l []message.Payload) []message.Payload {
			return append(l, notify(message.USE_TRANSPORT_MODE, nil))
		}, reasonModeMismatch, "peer chooses transport"},
		{"another cipher", with(message.PayloadSA, sa(null)), reasonNoProposal, "ENCR_NULL, which was not offered"},
		{"SPI 0", with(message.PayloadSA, sa(good(0, 0, 0, 0))), reasonInvalidSyntax, "SPI is 0"},
		{"short SPI", with(message.PayloadSA, sa(good(1))), reasonNoProposal, "SPI has 1 octets"},
	}
	for _, c := range cases {
		for _, exchange := range []message.ExchangeType{message.IKE_AUTH, message.CREATE_CHILD_SA} {
			t.Run(c.name+" in "+exchange.String(), func(t *testing.T) {
				w, a, b := pair(t)
				children := 0
				if exchange == message.CREATE_CHILD_SA {
					a.initiate()
					w.settle()
					w.advance(freshChild * 2)
					children = 1
				}
				b.lie(exchange, c.change)
				if children == 0 {
					a.initiate()
				} else {
					a.askAgain()
				}
				w.settle()
				wantWords(t, a.wantReason(c.reason).Text, c.words)
				if len(a.failures) != 1 {
					t.Errorf("failures %+v", a.failures)
				}
				w.wantUp(a, b, 1, children)
			})
		}
	}
}

// Answers that break the exchange itself end the IKE SA.
func TestBrokenAnswers(t *testing.T) {
	for name, change := range map[string]func([]message.Payload) []message.Payload{
		"nothing":        func([]message.Payload) []message.Payload { return nil },
		"two SAs":        func(l []message.Payload) []message.Payload { return append(l, l[1]) },
		"a rekeyed IKE":  func([]message.Payload) []message.Payload { return rekeyPayloads() },
		"KE unasked for": func(l []message.Payload) []message.Payload { return l[:2] },
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			w.advance(freshChild * 2)
			b.lie(message.CREATE_CHILD_SA, change)
			a.askAgain()
			w.settle()
			a.wantReason(reasonInvalidSyntax)
			if len(a.failures) != 1 {
				t.Errorf("failures %+v", a.failures)
			}
			a.wantNothing()
		})
	}
}

func rekeyPayloads() []message.Payload {
	return []message.Payload{
		&message.SA{Proposals: offer((&Remote{Proposals: []IKEProposal{testIKEProposal()}}).ikeAlternatives(), []byte("12345678"))},
		&message.Nonce{Data: make([]byte, 32)}, &message.KE{Method: transform.KE_CURVE25519, Data: make([]byte, 32)},
	}
}

// The child's group must be the one whose value was sent, and the value a good one.
func TestDishonestGroups(t *testing.T) {
	for name, ke := range map[string]*message.KE{
		"another group": {Method: transform.KE_ECP_256, Data: make([]byte, 64)},
		"a bad value":   {Method: transform.KE_CURVE25519, Data: make([]byte, 32)},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			for _, n := range w.nodes {
				n.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519} })
			}
			a.initiate()
			w.settle()
			w.advance(freshChild * 2)
			b.lie(message.CREATE_CHILD_SA, with(message.PayloadKE, ke))
			a.askAgain()
			w.settle()
			a.wantReason(reasonInvalidSyntax)
			a.wantNothing()
		})
	}
}

// A rekeyed IKE SA is checked like a new one.
func TestDishonestRekeying(t *testing.T) {
	for name, change := range map[string]func([]message.Payload) []message.Payload{
		"SPI 0": with(message.PayloadSA, &message.SA{Proposals: []message.Proposal{{Number: 1, Protocol: message.ProtocolIKE, SPI: make([]byte, 8),
			Transforms: []message.Transform{encrT(transform.ENCR_AES_GCM_16, 128), prfT(transform.PRF_HMAC_SHA2_256), keT(transform.KE_CURVE25519)}}}}),
		"bad value": with(message.PayloadKE, &message.KE{Method: transform.KE_CURVE25519, Data: make([]byte, 32)}),
		"not offered": with(message.PayloadSA, &message.SA{Proposals: []message.Proposal{{Number: 1, Protocol: message.ProtocolIKE, SPI: []byte("12345678"),
			Transforms: []message.Transform{encrT(transform.ENCR_AES_GCM_16, 256), prfT(transform.PRF_HMAC_SHA2_256), keT(transform.KE_CURVE25519)}}}}),
		"a child": func([]message.Payload) []message.Payload {
			host := []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.1.1"))}
			return []message.Payload{rekeyPayloads()[0], &message.Nonce{Data: make([]byte, 32)}, &message.TS{Initiator: true, Selectors: host}, &message.TS{Selectors: host}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			b.lie(message.CREATE_CHILD_SA, change)
			a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
			w.settle()
			a.wantReason(reasonInvalidSyntax)
			a.wantNothing()
			if len(a.kernel.sas) != 0 {
				t.Error("SAs are left")
			}
		})
	}
}
