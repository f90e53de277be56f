package kerberos

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"racoon2/kink"
)

var (
	testNow = time.Date(2026, 11, 23, 12, 0, 0, 250_000_000, time.UTC)
	source  = netip.MustParseAddr("192.0.2.1")
	peerA   = Principal{Name: []string{"kink", "a.example.com"}, Realm: "EXAMPLE.COM"}
	hostB   = Principal{Name: []string{"kink", "b.example.com"}, Realm: "EXAMPLE.COM"}
	hostC   = Principal{Name: []string{"kink", "c.example.com"}, Realm: "EXAMPLE.COM"}
)

// grant is what a test's KDC puts into a ticket.
type grant struct {
	client, service Principal
	session, under  *Key
	kvno            uint32
	noKVNO          bool
	flags           uint32
	start, end      time.Time
	transited       string
	addresses       []netip.Addr
	adType          int64
}

func (g grant) part() ([]byte, error) {
	return encode(tagEncTicketPart, func(e encoder) {
		e.flags(0, g.flags)
		e.sessionKey(1, g.session)
		e.text(2, g.client.Realm)
		e.name(3, g.client.Name, ntPrincipal)
		e.sequence(4, func(e encoder) {
			e.integer(0, 1)
			e.octets(1, []byte(g.transited))
		})
		e.time(5, g.start)
		e.time(7, g.end)
		if g.addresses != nil {
			list, _ := encodeSequence(func(e encoder) {
				for _, a := range g.addresses {
					kind := int64(addressIPv4)
					if a.Is6() {
						kind = addressIPv6
					}
					one, _ := encodeSequence(func(e encoder) {
						e.integer(0, kind)
						e.octets(1, a.AsSlice())
					})
					e.b.AddBytes(one)
				}
			})
			e.raw(9, list)
		}
		if g.adType != 0 {
			list, _ := encodeSequence(func(e encoder) {
				one, _ := encodeSequence(func(e encoder) {
					e.integer(0, g.adType)
					e.octets(1, []byte("not looked at"))
				})
				e.b.AddBytes(one)
			})
			e.raw(10, list)
		}
	})
}

// issue makes the DER of a Ticket.
func (g grant) issue(t testing.TB) []byte {
	t.Helper()
	plain, err := g.part()
	if err != nil {
		t.Fatal(err)
	}
	part, err := seal(g.under, usageTicket, rand.Reader, plain)
	if err != nil {
		t.Fatal(err)
	}
	if !g.noKVNO {
		part.kvno = g.kvno
	}
	raw, err := encode(tagTicket, func(e encoder) {
		e.integer(0, version)
		e.text(1, g.service.Realm)
		e.name(2, g.service.Name, ntPrincipal)
		e.encrypted(3, part)
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ticket is what the client has of the grant.
func (g grant) ticket(t testing.TB, h *Host) *ticket {
	return &ticket{
		session: session{key: g.session, local: g.client.String(), peer: g.service.String(), end: g.end, rand: rand.Reader},
		host:    h, client: g.client, raw: g.issue(t),
	}
}

func baseGrant(t testing.TB, e EType) grant {
	return grant{
		client: peerA, service: hostB, session: testKey(t, e, 33), under: testKey(t, e, 1), kvno: 2,
		start: testNow.Add(-time.Hour), end: testNow.Add(time.Hour),
	}
}

// encodeKeytab writes a keytab file's octets.
func encodeKeytab(entries ...keytabEntry) []byte {
	out := []byte{5, 2}
	text := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	for _, e := range entries {
		b := binary.BigEndian.AppendUint16(nil, uint16(len(e.principal.Name)))
		b = text(b, e.principal.Realm)
		for _, c := range e.principal.Name {
			b = text(b, c)
		}
		b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, byte(e.kvno))
		b = binary.BigEndian.AppendUint16(b, uint16(e.key.etype))
		b = text(b, string(e.key.value))
		if !e.low8 {
			b = binary.BigEndian.AppendUint32(b, e.kvno)
		}
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
	}
	return out
}

func writeKeytab(t testing.TB, path string, entries ...keytabEntry) {
	t.Helper()
	if err := os.WriteFile(path+".new", encodeKeytab(entries...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// testHost is kink/b and kink/c with keys of every type, version 2, which allows all types.
func testHost(t testing.TB) *Host {
	t.Helper()
	var entries []keytabEntry
	for _, e := range allETypes {
		entries = append(entries,
			keytabEntry{principal: hostB, kvno: 2, key: testKey(t, e, 1)},
			keytabEntry{principal: hostC, kvno: 2, key: testKey(t, e, 99)})
	}
	path := filepath.Join(t.TempDir(), "keytab")
	writeKeytab(t, path, entries...)
	h, err := New(Config{
		Principals: []string{hostB.String(), hostC.String()}, Keytab: path,
		ETypes: allETypes, Start: testNow.Add(-time.Hour), Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func codeOf(t testing.TB, err error) kink.KRBCode {
	t.Helper()
	if err == nil {
		return 0
	}
	k, ok := err.(*kink.KRBError)
	if !ok {
		t.Fatalf("%v is a %T", err, err)
	}
	return k.Code
}
