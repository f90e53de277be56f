package ikev2

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// Tests of single requirements of RFC 7296 that no story of the other files tells.
// testdata/rfc7296-musts.txt says which test shows what.

// forgeWith is forge with another header, which is authentic too.
func (n *node) forgeWith(to *node, exchange message.ExchangeType, list []message.Payload, change func(*message.Header)) {
	n.w.t.Helper()
	sa := n.e.all()[0]
	h := sa.header(exchange, sa.x.next, false)
	change(&h)
	iv, err := sa.nextIV()
	if err != nil {
		n.w.t.Fatal(err)
	}
	data, err := message.Seal(h, list, sa.keys.seals, iv)
	if err != nil {
		n.w.t.Fatal(err)
	}
	sa.x.next++
	to.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data})
}

// §3.1: what stands in the header of every message that is sent.
func TestHeadersSent(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	b.expireSoft(t)
	w.settle()
	b.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	w.settle()
	a.handle(Shutdown{})
	w.settle()
	b.wantNothing()
	initiators := map[uint64]netip.Addr{} // by SPIi
	open := map[uint64]map[uint32]netip.Addr{}
	for i, p := range w.sent {
		h, err := message.DecodeHeader(p.Data)
		if err != nil || h.Major != 2 || h.Minor != 0 || p.Data[19]&^(0x08|0x20) != 0 {
			t.Fatalf("datagram %d: %+v, %v", i, h, err)
		}
		if h.SPIi == 0 || (h.SPIr == 0) != (i == 0) {
			t.Errorf("datagram %d: SPIs %x and %x", i, h.SPIi, h.SPIr)
		}
		// The successor's original initiator is who made it: tokyo.
		if _, known := initiators[h.SPIi]; !known {
			initiators[h.SPIi] = map[bool]netip.Addr{true: a.addr, false: b.addr}[len(initiators) == 0]
			open[h.SPIi] = map[uint32]netip.Addr{}
		}
		if (h.Flags&message.FlagInitiator != 0) != (p.Local.Addr() == initiators[h.SPIi]) {
			t.Errorf("datagram %d: the Initiator bit is %v", i, h.Flags&message.FlagInitiator != 0)
		}
		key := h.MessageID
		if h.Flags&message.FlagInitiator != 0 == (h.Flags&message.FlagResponse != 0) {
			key |= 1 << 31 // requests of the original responder are numbered apart
		}
		asked, outstanding := open[h.SPIi][key]
		response := h.Flags&message.FlagResponse != 0
		if response != outstanding || response && asked == p.Local.Addr() {
			t.Errorf("datagram %d: the Response bit is %v", i, response)
		}
		open[h.SPIi][key] = p.Local.Addr()
		if response {
			delete(open[h.SPIi], key)
		}
	}
}

// §3.1, §2.5: reserved bits, the Version bit and the minor version of what arrives
// count for nothing; a lower major version is no IKEv2, a higher one is answered once.
func TestHeadersReceived(t *testing.T) {
	for name, change := range map[string]func(*message.Header){
		"minor version": func(h *message.Header) { h.Minor = 7 },
		"Version bit":   func(h *message.Header) { h.Flags |= message.FlagVersion },
		"reserved bits": func(h *message.Header) { h.Flags |= 0x01 | 0x02 | 0x04 | 0x40 | 0x80 },
	} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		from := len(w.sent)
		a.forgeWith(b, message.INFORMATIONAL, nil, change)
		if len(w.sent) != from+1 {
			t.Errorf("%s: no answer; says\n%s", name, b.log())
		}
		w.wantUp(a, b, 1, 1)
	}
}

// §2.5: payloads in any order, here backwards, and unknown ones among them.
func TestPayloadsInAnyOrder(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, c *Child) { c.Proposals[0].KE = r.groups() })
	}
	shuffle := func(list []message.Payload) []message.Payload {
		slices.Reverse(list)
		return append([]message.Payload{&message.Unknown{Kind: 200, Body: []byte{1}}, &message.VendorID{Data: []byte("whoever")}}, list...)
	}
	w.filter = func(p Send) []Send {
		x, response := exchangeOf(p)
		if x == message.IKE_SA_INIT {
			return []Send{p} // its octets are signed
		}
		sender := map[bool]*node{true: a, false: b}[p.Local.Addr() == a.addr]
		sa := sender.e.all()[0]
		h, _ := message.DecodeHeader(p.Data)
		data, err := sa.seal(x, h.MessageID, response, shuffle(opened(t, sa, p)))
		if err != nil {
			t.Fatal(err)
		}
		return []Send{{Local: p.Local, Remote: p.Remote, Data: data[0]}}
	}
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	w.advance(time.Minute)
	b.expireSoft(t)
	w.settle()
	w.wantUp(a, b, 1, 1)
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	for w.step(); len(w.wire) > 0 && len(a.e.all()) == 1; {
		w.step()
	}
	w.filter = nil
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// §3.10.1: status types that nobody knows are ignored in every message, error types
// in requests; in an answer an error that nobody knows is a failure of its request.
// Vendor IDs change nothing (§3.12).
func TestUnknownNotifications(t *testing.T) {
	strange := []message.Payload{notify(40000, []byte("data")), &message.VendorID{Data: []byte("whoever")}}
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	from := len(w.sent)
	a.forge(b, message.INFORMATIONAL, append([]message.Payload{notify(8000, nil)}, strange...))
	w.settle()
	if len(w.sent) != from+1 || len(opened(t, b.e.all()[0], w.sent[from])) != 0 {
		t.Error("an INFORMATIONAL with unknown notifications has no empty answer")
	}
	w.wantUp(a, b, 1, 1)
	w.advance(time.Minute)
	b.lie(message.CREATE_CHILD_SA, func(l []message.Payload) []message.Payload { return append(l, strange...) })
	a.askAgain()
	w.settle()
	w.wantUp(a, b, 1, 2)
	w.advance(time.Minute)
	b.lie(message.CREATE_CHILD_SA, func([]message.Payload) []message.Payload { return []message.Payload{notify(8000, nil)} })
	packet := selector("10.0.1.50/32", "10.0.2.50/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
}

// §1.4: every INFORMATIONAL request is answered, whatever is in it.
func TestInformationalIsAnswered(t *testing.T) {
	for name, list := range map[string][]message.Payload{
		"nothing":       nil,
		"notification":  {notify(message.INITIAL_CONTACT, nil)},
		"configuration": {&message.Config{Kind: 1, Attributes: []message.ConfigAttribute{{Kind: 5}, {Kind: 7}, {Kind: 30000, Value: []byte{1}}}}},
		"deletion":      {&message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{77}}},
		"of IKE":        {&message.Delete{Protocol: message.ProtocolIKE}},
		"INVALID_SPI":   {notify(message.INVALID_SPI, []byte{1, 2, 3, 4})},
		"unknown":       {&message.Unknown{Kind: 201, Body: []byte("?")}},
		"3000 octets":   {&message.VendorID{Data: make([]byte, 2900)}}, // §2: up to 3000 octets
	} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		from := len(w.sent)
		a.forgeWith(b, message.INFORMATIONAL, list, func(*message.Header) {}) // in one piece
		if len(w.sent) != from+1 {
			t.Errorf("%s: %d answers", name, len(w.sent)-from)
		}
	}
}

// §1.3.1: a responder that declines transport mode gets a deletion.
func TestTransportDeclined(t *testing.T) {
	w, a, b := protected(t, false, kernel.Transport, testChildProposal())
	b.lie(message.IKE_AUTH, func(l []message.Payload) []message.Payload {
		return slices.DeleteFunc(l, func(p message.Payload) bool {
			n, ok := p.(*message.Notify)
			return ok && n.Kind == message.USE_TRANSPORT_MODE
		})
	})
	a.initiate()
	w.settle()
	wantWords(t, a.wantReason(reasonModeMismatch).Text, "peer chooses tunnel", "has transport")
	w.wantUp(a, b, 1, 0)
}

// §2.11, §2.23: a request from any port is taken, and the answer goes back to where it
// came from, from where it was sent to.
func TestAnyPort(t *testing.T) {
	w, a, b := pair(t)
	odd := uint16(31337)
	w.filter = func(p Send) []Send {
		switch {
		case p.Local.Addr() == a.addr:
			p.Local = netip.AddrPortFrom(a.addr, odd)
		case p.Remote.Port() != odd || p.Local.Port() != 500 && p.Local.Port() != 4500:
			t.Errorf("an answer from %v to %v", p.Local, p.Remote)
		default:
			p.Remote = netip.AddrPortFrom(a.addr, a.e.all()[0].local.Port())
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
}
