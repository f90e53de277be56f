package ikev2

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// at gives a datagram to a host as if it came from remote.
func (n *node) at(remote string, data []byte) {
	n.w.t.Helper()
	n.handle(Datagram{Local: netip.AddrPortFrom(n.addr, 500), Remote: netip.MustParseAddrPort(remote), Data: slices.Clone(data)})
}

func initOf(t *testing.T, spi uint64, extra ...message.Payload) []byte {
	t.Helper()
	data, err := message.Encode(&message.Message{
		Header: message.Header{SPIi: spi, Major: 2, Exchange: message.IKE_SA_INIT, Flags: message.FlagInitiator},
		Payloads: append([]message.Payload{
			&message.SA{Proposals: offer((&Remote{Proposals: []IKEProposal{testIKEProposal()}}).ikeAlternatives(), nil)},
			&message.KE{Method: 31, Data: append([]byte{9}, make([]byte, 31)...)},
			&message.Nonce{Data: make([]byte, 32)},
		}, extra...),
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Datagrams that are no valid request: each with its reason, and whether it is
// answered.
func TestBadDatagrams(t *testing.T) {
	good := initOf(t, 77)
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	cases := []struct {
		name   string
		data   []byte
		reason string
		answer message.NotifyType // 0: none
	}{
		{"empty", nil, reasonInvalidSyntax, 0},
		{"one octet", []byte{0}, reasonInvalidSyntax, 0},
		{"garbage", []byte(strings.Repeat("garbage ", 20)), reasonInvalidSyntax, 0},
		{"truncated", good[:60], reasonInvalidSyntax, 0},
		{"header alone", good[:28], reasonInvalidSyntax, 0},
		{"longer than its header says", append(slices.Clone(good), 0), reasonInvalidSyntax, 0},
		{"oversized", make([]byte, 70000), reasonInvalidSyntax, 0},
		{"IKEv1", edit(func(b []byte) []byte { b[17] = 0x10; return b }), reasonMajorVersion, 0},
		{"IKEv3", edit(func(b []byte) []byte { b[17] = 0x30; return b }), reasonMajorVersion, message.INVALID_MAJOR_VERSION},
		{"IKEv3 response", edit(func(b []byte) []byte { b[17] = 0x30; b[19] |= 0x20; return b }), reasonMajorVersion, 0},
		{"SPI 0", edit(func(b []byte) []byte { clear(b[:8]); return b }), reasonUnexpected, 0},
		{"SPIr set", edit(func(b []byte) []byte { b[15] = 1; return b }), reasonUnexpected, 0},
		{"Message ID 1", edit(func(b []byte) []byte { b[23] = 1; return b }), reasonUnexpected, 0},
		{"response to nothing", edit(func(b []byte) []byte { b[19] = 0x20; return b }), reasonUnknownSPI, 0},
		{"unknown exchange", edit(func(b []byte) []byte { b[18] = 99; return b }), reasonUnknownSPI, message.INVALID_IKE_SPI},
		{"IKE_AUTH for nothing", edit(func(b []byte) []byte { b[18] = 35; b[15] = 5; return b }), reasonUnknownSPI, message.INVALID_IKE_SPI},
		{"IKE_AUTH response for nothing", edit(func(b []byte) []byte { b[18] = 35; b[19] |= 0x20; b[15] = 5; return b }), reasonUnknownSPI, 0},
		{"header of an unknown SPI", []byte{7: 1, 15: 2, 17: 0x20, 18: 37, 19: 8, 27: 28}, reasonUnknownSPI, 0}, // an answer would be longer
		{"critical payload", initOf(t, 78, &message.Unknown{Kind: 99, Critical: true}), reasonCritical, message.UNSUPPORTED_CRITICAL_PAYLOAD},
		{"payload that does not belong", initOf(t, 79, &message.EAP{Data: []byte{1, 1, 0, 4}}), reasonInvalidSyntax, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w, _, b := pair(t)
			b.at("192.0.2.1:500", c.data)
			b.wantReason(c.reason)
			b.wantNothing()
			if (len(w.sent) != 0) != (c.answer != 0) {
				t.Fatalf("%d datagrams in answer", len(w.sent))
			}
			if c.answer == 0 {
				return
			}
			if n := clearAnswer(t, w.sent[0]); n.Kind != c.answer {
				t.Errorf("answered %v, want %v", n.Kind, c.answer)
			}
			h, _ := message.DecodeHeader(w.sent[0].Data)
			if h.SPIi != binary.BigEndian.Uint64(c.data) || h.MessageID != 0 || len(w.sent[0].Data) > len(c.data) {
				t.Errorf("answer %+v of %d octets", h, len(w.sent[0].Data))
			}
		})
	}
	w, _, b := pair(t)
	b.at("192.0.2.1:4500", []byte{0xff})
	if len(b.traces) != 0 || len(w.sent) != 0 {
		t.Error("a NAT keepalive is worth no word")
	}
}

// Bad public values end the negotiation quietly.
func TestBadKeyExchangeValues(t *testing.T) {
	for name, value := range map[string][]byte{"all zero": make([]byte, 32), "too short": make([]byte, 5), "too long": make([]byte, 4000)} {
		t.Run(name, func(t *testing.T) {
			w, _, b := pair(t)
			data, err := message.Encode(&message.Message{
				Header: message.Header{SPIi: 5, Major: 2, Exchange: message.IKE_SA_INIT, Flags: message.FlagInitiator},
				Payloads: []message.Payload{
					&message.SA{Proposals: offer(b.e.settings.Remotes[0].ikeAlternatives(), nil)},
					&message.KE{Method: 31, Data: value}, &message.Nonce{Data: make([]byte, 32)},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			b.at("192.0.2.1:500", data)
			b.wantReason(reasonInvalidKE)
			b.wantNothing()
			if len(w.sent) != 0 {
				t.Errorf("%d datagrams in answer", len(w.sent))
			}
		})
	}
}

// 100,000 requests from forged addresses: half-open IKE SAs stay bounded,
// cookies are asked for, nothing grows, and the tunnel that stands goes on.
func TestFlood(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(s *Settings, r *Remote, _ *Child) { s.CookieThreshold, s.MaxHalfOpen, r.AnyPeer = 20, 50, true })
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = time.Hour })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)

	data := initOf(t, 1)
	w.filter = func(p Send) []Send { return nil }
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var out Outbox
	var before uint64
	sent, answers := 0, 0
	for n := range 100000 {
		if n == 1000 {
			before = heap()
		}
		binary.BigEndian.PutUint64(data, uint64(n)+1)
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), uint16(1024+n>>16))
		w.now = w.now.Add(10 * time.Microsecond)
		out.Effects = out.Effects[:0]
		b.e.Handle(w.now, Datagram{Local: netip.AddrPortFrom(b.addr, 500), Remote: src, Data: slices.Clone(data)}, &out)
		sent += len(data)
		for _, f := range out.Effects {
			switch f := f.(type) {
			case Send:
				answers += len(f.Data)
			case Job:
				b.finish(f)
			}
		}
		w.wire, w.sent = nil, nil
	}
	if h := b.e.cfg.Shared.HalfOpen.Load(); h != 20 {
		t.Errorf("%d half-open IKE SAs, want 20", h)
	}
	if c := b.e.Counters()[reasonCookieRequired]; c != 100000-20 {
		t.Errorf("%d cookies asked for, want %d", c, 100000-20)
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("99,000 requests left %d octets behind", grown)
	}
	if answers > sent {
		t.Errorf("%d octets answered for %d received", answers, sent)
	}

	// The tunnel still rekeys, and an honest peer still gets in, with a cookie.
	w.filter = nil
	b.traces = nil
	a.expireSoft(t)
	w.settle()
	if len(a.kernel.sas) != 2 || len(b.kernel.sas) != 2 {
		t.Errorf("%d and %d SAs in the kernels", len(a.kernel.sas), len(b.kernel.sas))
	}
	c := w.add("nara", "198.51.100.3", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
	c.initiate()
	w.settle()
	if len(c.ups) != 1 {
		t.Errorf("an honest peer did not get in\n%s", c.log())
	}

	// The flood's remains go by themselves.
	w.advance(2 * time.Minute)
	if h := b.e.cfg.Shared.HalfOpen.Load(); h != 0 {
		t.Errorf("%d half-open IKE SAs, want 0", h)
	}
}

// With cookies that come back, the bound on half-open IKE SAs still holds.
func TestHalfOpenLimit(t *testing.T) {
	_, _, b := pair(t)
	b.change(func(s *Settings, r *Remote, _ *Child) { s.CookieThreshold, s.MaxHalfOpen, r.AnyPeer = 0, 10, true })
	for n := range 30 {
		b.at(fmt.Sprintf("198.51.100.%d:500", n+1), initOf(t, uint64(n+1)))
	}
	if h := b.e.cfg.Shared.HalfOpen.Load(); h != 10 {
		t.Errorf("%d half-open IKE SAs, want 10", h)
	}
	b.wantReason(reasonHalfOpenLimit)
	if c := b.e.Counters()[reasonHalfOpenLimit]; c != 20 {
		t.Errorf("%d refused, want 20", c)
	}
}

// Answers to unknown SPIs are few, however many ask.
func TestUnknownSPIRate(t *testing.T) {
	w, _, b := pair(t)
	data := initOf(t, 5)
	data[15], data[18] = 9, byte(message.INFORMATIONAL)
	for range 1000 {
		b.at("192.0.2.1:500", data)
	}
	if len(w.sent) != 5 {
		t.Errorf("%d answers in one instant, want 5", len(w.sent))
	}
	if c := b.e.Counters()[reasonUnknownSPI]; c != 1000 {
		t.Errorf("counted %d", c)
	}
}

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

// Random changes of real messages, in every state: no panic, no lasting harm
// beyond what an unauthenticated message may do, and bounded memory.
func TestMutatedDatagrams(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, a, b := pair(t)
		b.change(func(s *Settings, r *Remote, _ *Child) { r.AnyPeer, s.MaxHalfOpen = true, 64 })
		w.filter = func(p Send) []Send {
			all := []Send{}
			for range 4 {
				m := p
				m.Data = mutate(r, p.Data)
				if x, _ := exchangeOf(p); x == message.IKE_SA_INIT {
					m.Local = netip.AddrPortFrom(m.Local.Addr(), uint16(1024+r.IntN(4))) // a forger elsewhere
					if p.Local.Addr() == b.addr {
						continue // a forged answer may well win: it is not authenticated
					}
				}
				all = append(all, m)
			}
			return append(all, p)
		}
		a.initiate()
		w.advance(5 * time.Second)
		if len(a.ups) != 1 || len(b.ups) != 1 {
			t.Fatalf("seed %d: the tunnel did not come up\n%s\n%s", seed, a.log(), b.log())
		}
		a.expireSoft(t)
		w.advance(5 * time.Second)
		a.handle(Terminate{})
		w.advance(5 * time.Minute)
		a.wantNothing()
		b.wantNothing()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func mutate(r *rand.Rand, data []byte) []byte {
	b := slices.Clone(data)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			break
		}
		switch r.IntN(5) {
		case 0:
			b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
		case 1:
			b = b[:r.IntN(len(b)+1)]
		case 2:
			b[r.IntN(len(b))] = byte(r.Uint32())
		case 3:
			b = append(b, byte(r.Uint32()))
		case 4: // a length that fits again, so that the payloads are looked at
			if len(b) >= 28 {
				binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
			}
		}
	}
	if slices.Equal(b, data) {
		return nil
	}
	return b
}

// FuzzDatagram gives one datagram to engines in every state.
func FuzzDatagram(f *testing.F) {
	w := newWorld(new(testing.T))
	a := w.add("kyoto", "192.0.2.1", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
	w.add("tokyo", "192.0.2.2", testSettings("tokyo", "kyoto", "192.0.2.1", "10.0.2.0/24", "10.0.1.0/24"))
	a.initiate()
	w.settle()
	for _, p := range w.sent {
		f.Add(p.Data)
	}
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		w, a, b := pair(t)
		inject := func() {
			for _, n := range w.nodes {
				for _, sa := range n.e.all() { // as if it were for an SA that is there
					forged := slices.Clone(data)
					if len(forged) >= 28 {
						binary.BigEndian.PutUint64(forged, sa.spii)
						binary.BigEndian.PutUint64(forged[8:], sa.spir)
					}
					n.at("198.51.100.1:500", forged)
				}
				n.at("198.51.100.1:500", data)
			}
		}
		inject()
		a.initiate()
		for range 20 { // not until silence: an injection may be answered each time
			if len(w.wire) > 0 {
				inject()
				w.step()
			}
		}
		w.advance(time.Minute)
		a.handle(Terminate{})
		b.handle(Terminate{})
		inject()
		w.advance(time.Minute)
	})
}

// FuzzAuthentic gives payloads that an authenticated peer sends to an
// established IKE SA.
func FuzzAuthentic(f *testing.F) {
	for _, list := range [][]message.Payload{
		nil,
		{&message.Delete{Protocol: message.ProtocolIKE}},
		{&message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{0x1001}}},
		{&message.SA{Proposals: offer((&Child{Proposals: []ChildProposal{testChildProposal()}}).alternatives(keNever, nil), []byte{1, 2, 3, 4})},
			&message.Nonce{Data: make([]byte, 32)},
			&message.TS{Initiator: true, Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.1.1"))}},
			&message.TS{Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.2.1"))}}},
		{compPayload(0x1234, transform.COMP_DEFLATE), notify(message.ADDITIONAL_TS_POSSIBLE, nil),
			&message.SA{Proposals: offer((&Child{Proposals: []ChildProposal{testChildProposal()}}).alternatives(keNever, nil), []byte{1, 2, 3, 4})},
			&message.Nonce{Data: make([]byte, 32)},
			&message.TS{Initiator: true, Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.1.1"))}},
			&message.TS{Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.2.1"))}}},
		{&message.Delete{Protocol: message.ProtocolAH, SPIs: []uint32{0x1001}}, &message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{0x1001}}},
	} {
		first, body, err := message.EncodePayloads(list)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(message.INFORMATIONAL), uint8(first), body)
		f.Add(uint8(message.CREATE_CHILD_SA), uint8(first), body)
	}
	f.Fuzz(func(t *testing.T, exchange, first uint8, body []byte) {
		list, err := message.DecodePayloads(message.PayloadType(first), slices.Clone(body))
		if err != nil || len(body) > 8000 {
			return
		}
		w, a, b := pair(t)
		if len(body)%2 == 0 {
			w, a, b = protected(t, false, kernel.Tunnel, testChildProposal(), transform.COMP_DEFLATE)
		}
		a.initiate()
		w.settle()
		sa := a.e.all()[0]
		data, err := sa.seal(message.ExchangeType(exchange), sa.x.next, false, list)
		if err != nil {
			return // contains what cannot be encoded again
		}
		b.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data[0]})
		w.advance(time.Minute)
		b.handle(Shutdown{})
		w.advance(time.Minute)
		b.wantNothing()
	})
}
