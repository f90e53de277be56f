package ikev2

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// cookie_required: the initiator brings the cookie, and the responder keeps
// nothing before it does.
func TestCookieRequired(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.CookieRequired = true })
	a.initiate()
	w.step()
	b.wantNothing()
	b.wantReason(reasonCookieRequired)
	n := clearAnswer(t, w.sent[1])
	if n.Kind != message.COOKIE || len(n.Data) < 1 || len(n.Data) > 64 {
		t.Errorf("answered %v with %d octets", n.Kind, len(n.Data))
	}
	w.settle()
	w.wantUp(a, b, 1, 1)
	m, err := message.Decode(w.sent[2].Data)
	if err != nil {
		t.Fatal(err)
	}
	if first, ok := m.Payloads[0].(*message.Notify); !ok || first.Kind != message.COOKIE {
		t.Error("the cookie is not the first payload")
	}
	_, rest, err := message.EncodePayloads(m.Payloads[1:])
	if err != nil || !bytes.Equal(rest, w.sent[0].Data[message.HeaderLen:]) {
		t.Error("the other payloads changed")
	}
}

// A cookie and another group in one negotiation.
func TestCookieAndGroup(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.CookieRequired = true })
	a.change(func(_ *Settings, r *Remote, _ *Child) {
		r.Proposals[0].KE = []transform.KE{transform.KE_ECP_256, transform.KE_CURVE25519}
	})
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if len(w.sent) != 8 {
		t.Errorf("%d datagrams, want 8: a request each for cookie, group, success and IKE_AUTH", len(w.sent))
	}
}

// A responder that asks for ever other cookies is given up in the end.
func TestEndlessCookies(t *testing.T) {
	w, a, _ := pair(t)
	n := byte(0)
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_SA_INIT && !resp {
			h, _ := message.DecodeHeader(p.Data)
			n++
			data, err := message.Encode(&message.Message{
				Header:   message.Header{SPIi: h.SPIi, Major: 2, Exchange: message.IKE_SA_INIT, Flags: message.FlagResponse},
				Payloads: []message.Payload{notify(message.COOKIE, []byte{n})},
			})
			if err != nil {
				t.Fatal(err)
			}
			return []Send{{Local: p.Remote, Remote: p.Local, Data: data}}
		}
		return nil
	}
	a.initiate()
	w.advance(5 * time.Minute)
	a.wantReason(reasonCookieLimit)
	a.wantNothing()
	if len(w.sent) > 30 {
		t.Errorf("%d datagrams", len(w.sent))
	}
}

// A cookie is good for its request only, and lives one to two periods.
func TestCookieJar(t *testing.T) {
	w, a, _ := pair(t)
	e := a.e
	e.now = w.now
	addr, other := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("192.0.2.8")
	ni := []byte("0123456789abcdef")
	c, err := e.cookies.bake(e, 7, addr, ni)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, want bool, spi uint64, addr netip.Addr, ni, cookie []byte) {
		t.Helper()
		if got := e.cookies.check(e, cookie, spi, addr, ni); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	check("itself", true, 7, addr, ni, c)
	check("other SPI", false, 8, addr, ni, c)
	check("other address", false, 7, other, ni, c)
	check("other nonce", false, 7, addr, []byte("0123456789abcdeF"), c)
	check("short", false, 7, addr, ni, c[:8])
	bad := append([]byte(nil), c...)
	bad[5] ^= 1
	check("forged", false, 7, addr, ni, bad)
	e.now = e.now.Add(cookiePeriod)
	check("predecessor", true, 7, addr, ni, c)
	fresh, _ := e.cookies.bake(e, 7, addr, ni)
	check("successor", true, 7, addr, ni, fresh)
	e.now = e.now.Add(cookiePeriod)
	check("too old", false, 7, addr, ni, c)
	check("predecessor again", true, 7, addr, ni, fresh)
	e.now = e.now.Add(time.Hour)
	check("after an hour", false, 7, addr, ni, fresh)
}
