package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/message"
)

// forge sends an authentic message of an IKE SA, as a malicious but
// authenticated peer could.
func (n *node) forge(to *node, exchange message.ExchangeType, list []message.Payload) {
	n.w.t.Helper()
	sa := n.e.all()[0]
	data, err := sa.seal(exchange, sa.x.next, false, list)
	if err != nil {
		n.w.t.Fatal(err)
	}
	sa.x.next++
	to.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data[0]})
}

// What an authenticated peer may get wrong, and what becomes of it.
func TestAuthenticButWrong(t *testing.T) {
	nonce := &message.Nonce{Data: make([]byte, 32)}
	ts := []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.1.1"))}
	tsi, tsr := &message.TS{Initiator: true, Selectors: ts}, &message.TS{Selectors: ts}
	spi := func(b ...byte) *message.SA {
		return &message.SA{Proposals: offer((&Child{Proposals: []ChildProposal{testChildProposal()}}).alternatives(keNever, nil), b)}
	}
	cases := []struct {
		name     string
		exchange message.ExchangeType
		list     []message.Payload
		reason   string
		answer   message.NotifyType
		stays    bool
	}{
		{"critical payload", message.INFORMATIONAL, []message.Payload{&message.Unknown{Kind: 200, Critical: true}}, reasonCritical, message.UNSUPPORTED_CRITICAL_PAYLOAD, true},
		{"no nonce", message.CREATE_CHILD_SA, []message.Payload{spi(0, 0, 1, 0), tsi, tsr}, reasonInvalidSyntax, message.INVALID_SYNTAX, false},
		{"IKE_AUTH again", message.IKE_AUTH, []message.Payload{nonce}, reasonUnexpected, message.INVALID_SYNTAX, false},
		{"no such exchange", 99, nil, reasonUnexpected, message.INVALID_SYNTAX, false},
		{"child without SPI", message.CREATE_CHILD_SA, []message.Payload{spi(0, 0, 0, 0), nonce, tsi, &message.TS{Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.2.1"))}}}, reasonInvalidSyntax, message.INVALID_SYNTAX, false},
		{"traffic of another family", message.CREATE_CHILD_SA, []message.Payload{spi(0, 0, 1, 0), nonce, tsi, &message.TS{Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("2001:db8::1"))}}}, reasonTSUnacceptable, message.TS_UNACCEPTABLE, true},
		{"rekeying of protocol 0", message.CREATE_CHILD_SA, []message.Payload{&message.Notify{Kind: message.REKEY_SA}, spi(0, 0, 1, 0), nonce, tsi, tsr}, reasonChildNotFound, message.CHILD_SA_NOT_FOUND, true},
		{"rekeying of nothing", message.CREATE_CHILD_SA, []message.Payload{&message.Notify{Kind: message.REKEY_SA, Protocol: message.ProtocolESP, SPI: []byte{1, 2, 3, 4}}, spi(0, 0, 1, 0), nonce, tsi, tsr}, reasonChildNotFound, message.CHILD_SA_NOT_FOUND, true},
		{"IKE rekeying to SPI 0", message.CREATE_CHILD_SA, []message.Payload{&message.SA{Proposals: offer((&Remote{Proposals: []IKEProposal{testIKEProposal()}}).ikeAlternatives(), make([]byte, 8))}, nonce, &message.KE{Method: 31, Data: make([]byte, 32)}}, reasonInvalidSyntax, message.INVALID_SYNTAX, false},
		{"IKE rekeying with a bad value", message.CREATE_CHILD_SA, []message.Payload{&message.SA{Proposals: offer((&Remote{Proposals: []IKEProposal{testIKEProposal()}}).ikeAlternatives(), []byte("abcdefgh"))}, nonce, &message.KE{Method: 31, Data: make([]byte, 32)}}, reasonInvalidSyntax, message.INVALID_SYNTAX, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			keys := keepKeys(b.e.all()[0])
			a.forge(b, c.exchange, c.list)
			b.wantReason(c.reason)
			kinds := notifies(opened(t, keys, w.sent[4]))
			if len(kinds) != 1 || kinds[0] != c.answer {
				t.Errorf("answered %v, want %v", kinds, c.answer)
			}
			if c.stays {
				if len(b.e.Status()) != 1 || len(b.kernel.sas) != 2 {
					t.Error("the IKE SA is gone, or its child")
				}
				return
			}
			b.wantNothing()
		})
	}
}

// Deletions of strange things are answered and harm nothing.
func TestStrangeDeletes(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.forge(b, message.INFORMATIONAL, []message.Payload{
		&message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{0, 1, 2, 0xffffffff}},
		&message.Delete{Protocol: message.ProtocolAH, SPIs: []uint32{5}},
		&message.Notify{Kind: message.INVALID_SPI, Data: []byte{1, 2, 3, 4}},
	})
	if list := opened(t, b.e.all()[0], w.sent[4]); len(list) != 0 {
		t.Errorf("answered %+v", list)
	}
	w.wantUp(a, b, 1, 1)
	spi := uint32(a.kernel.one(t, 1).SPI)
	a.forge(b, message.INFORMATIONAL, []message.Payload{&message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{spi, spi, spi}}})
	if list := opened(t, b.e.all()[0], w.sent[5]); len(list) != 1 || len(list[0].(*message.Delete).SPIs) != 1 {
		t.Errorf("answered %+v", list)
	}
}

// A peer may not make children without end.
func TestTooManyChildren(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	sa := b.e.all()[0]
	for len(sa.children) < maxChildren {
		sa.children = append(sa.children, &childSA{sa: sa, conf: sa.children[0].conf, state: childUp})
	}
	w.advance(time.Minute)
	packet := selector("10.0.1.1/32", "10.0.2.1/32")
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Passive = false })
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	b.wantReason(reasonNoAdditionalSAs)
	a.wantReason(reasonNoAdditionalSAs)
	up := 0
	for _, i := range a.e.Status() {
		up += len(i.Children)
	}
	if up != 2 {
		t.Errorf("%d children, want the second one in another IKE SA", up)
	}
}
