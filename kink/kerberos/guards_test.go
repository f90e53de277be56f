package kerberos

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"racoon2/kink"
)

// longName has one component more than a principal may have.
var longName = slices.Repeat([]string{"x"}, maxComponents+1)

// What gokrb5 takes and KINK must not: octets behind a message, names with control
// characters or without end, times that are none, data that must be understood.
func TestMessageGuards(t *testing.T) {
	authenticator := func(client Principal, cusec int64, more ...func(encoder)) []byte {
		return encoded(t, 2, func(e encoder) {
			e.integer(0, version)
			e.text(1, client.Realm)
			e.name(2, client.Name, ntPrincipal)
			e.integer(4, cusec)
			e.time(5, testNow)
			for _, m := range more {
				m(e)
			}
		})
	}
	ticket := func(kvno func(encoder)) []byte {
		return encoded(t, tagTicket, func(e encoder) {
			e.integer(0, version)
			e.text(1, hostB.Realm)
			e.name(2, hostB.Name, ntPrincipal)
			e.sequence(3, func(e encoder) {
				e.integer(0, 18)
				kvno(e)
				e.octets(2, make([]byte, 40))
			})
		})
	}
	auth := func(octets []byte) error { _, err := decodeAuthenticator(octets); return err }
	tkt := func(octets []byte) error { _, err := decodeTicket(octets); return err }
	for name, c := range map[string]struct {
		octets []byte
		decode func([]byte) error
		want   string // "" is taken
	}{
		"an authenticator":             {authenticator(peerA, 5), auth, ""},
		"a negative cusec":             {authenticator(peerA, -1), auth, "microseconds"},
		"a cusec of a second":          {authenticator(peerA, 1000000), auth, "microseconds"},
		"a line feed in a name":        {authenticator(Principal{Name: []string{"kink", "a\nb"}, Realm: "R"}, 5), auth, "control characters"},
		"a line feed in a realm":       {authenticator(Principal{Name: []string{"kink"}, Realm: "R\r\n"}, 5), auth, "control characters"},
		"too many components":          {authenticator(Principal{Name: longName, Realm: "R"}, 5), auth, "components"},
		"no component":                 {authenticator(Principal{Realm: "R"}, 5), auth, "components"},
		"a long component":             {authenticator(Principal{Name: []string{strings.Repeat("x", maxText+1)}, Realm: "R"}, 5), auth, "too long"},
		"no realm":                     {authenticator(Principal{Name: []string{"x"}}, 5), auth, "realm"},
		"a time that is none":          {[]byte(strings.Replace(string(authenticator(peerA, 5)), "20261123", "20261399", 1)), auth, "malformed"},
		"a ticket":                     {ticket(func(e encoder) { e.integer(1, 2) }), tkt, ""},
		"a ticket without kvno":        {ticket(func(encoder) {}), tkt, ""},
		"a ticket of a read-only KDC":  {ticket(func(e encoder) { e.integer(1, 0x80010002) }), tkt, ""},
		"a negative kvno":              {ticket(func(e encoder) { e.integer(1, -5) }), tkt, ""},
		"a kvno of 33 bits":            {ticket(func(e encoder) { e.integer(1, 1<<32) }), tkt, "kvno"},
		"a ticket that would change":   {ticket(func(e encoder) { e.integer(1, 0) }), tkt, "not in DER"},
		"octets behind a ticket":       {append(ticket(func(encoder) {}), 0), tkt, "follow"},
		"a ticket that is cut off":     {ticket(func(encoder) {})[:60], tkt, "length is wrong"},
		"a ticket that is a long list": {make([]byte, maxMessage+1), tkt, "too long"},
	} {
		err := c.decode(c.octets)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: the error quotes control characters: %q", name, err)
		}
	}
}

func encoded(t testing.TB, tag int, do func(encoder)) []byte {
	t.Helper()
	out, err := encode(tag, do)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// badMessage panics as gokrb5 does where something was not checked.
type badMessage struct{}

func (badMessage) Unmarshal(b []byte) error { return errors.New(string(b[:len(b)-9])) }

// A panic that no guard foresaw is an error that says so, and is counted.
func TestPanicIsCaught(t *testing.T) {
	before := Faults()
	err := unmarshal("a test", badMessage{}, []byte("short"))
	if k := krbErrorf(kink.KRB_AP_ERR_MODIFIED, "%w", err); !k.Fault || Faults() != before+1 {
		t.Errorf("%+v, %d counted", k, Faults()-before)
	}
	if k := krbErrorf(kink.KRB_AP_ERR_MODIFIED, "%w", unmarshal("a test", badMessage{}, make([]byte, 9))); k.Fault {
		t.Errorf("an error without panic is a fault: %+v", k)
	}
}

// Nothing that goes through every decoder and every key makes gokrb5 panic.
func TestNoFaults(t *testing.T) {
	before := Faults()
	h := testHost(t)
	for _, e := range allETypes {
		octets, _, err := baseGrant(t, e).ticket(t, h).APReq(testNow, 0, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decodeAPReq(octets)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(r.ticket.part.cipher) {
			_, _ = h.Accept(testNow, withTicketCipher(t, r, r.ticket.part.cipher[:n]), source)
		}
		for n := range octets {
			_, _ = h.Accept(testNow, octets[:n], source)
		}
	}
	if n := Faults() - before; n != 0 {
		t.Errorf("%d panics of gokrb5 were caught", n)
	}
}

// gokrb5 prints what it cannot read: keys must not come with it.
func TestKeytabErrorsHaveNoKeys(t *testing.T) {
	secret := []byte("SECRETsecret1234")
	key, err := NewKey(AES128_CTS_HMAC_SHA1_96, secret)
	if err != nil {
		t.Fatal(err)
	}
	file := encodeKeytab(keytabEntry{principal: hostB, kvno: 2, key: key})
	for n := range len(file) - 6 {
		entry := file[6 : 6+n]
		_, err := decodeKeytabEntry(entry)
		if n < len(file)-6-4 && err == nil { // the version in 32 bits may be missing
			t.Errorf("%d octets of an entry are taken", n)
		}
		if err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "534543")) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}
