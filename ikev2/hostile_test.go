package ikev2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
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
