package kerberos

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"racoon2/kink"
)

// noFaults fails the test when gokrb5 panics, though it was caught.
func noFaults(t *testing.T) func() {
	before := Faults()
	return func() {
		if Faults() != before {
			t.Error("gokrb5 panicked")
		}
	}
}

// FuzzCiphertext gives octets of every length to each type: nothing that is not sealed with
// the key opens, and no checksum is right by chance.
func FuzzCiphertext(f *testing.F) {
	var keys []*Key
	for _, e := range allETypes {
		k := testKey(f, e, 9)
		keys = append(keys, k)
		for n := range 64 {
			f.Add(make([]byte, n))
		}
		sealed, err := k.Encrypt(usageKINKEncrypt, rand.Reader, []byte("KINK_ISAKMP and more"))
		if err != nil {
			f.Fatal(err)
		}
		for n := range sealed {
			f.Add(sealed[:n])
		}
	}
	// Keys are derived when they are first used: here, so that all executions after it
	// take the same ways, or the fuzzer spends its time on what it thinks is new.
	for _, k := range keys {
		_, _ = k.Decrypt(usageTicket, make([]byte, 64))
		_ = k.VerifyChecksum(usageKINKChecksum, nil, make([]byte, 24))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		if len(octets) > 1024 {
			return // more blocks of the same
		}
		defer noFaults(t)()
		for _, k := range keys {
			// The seeds are sealed under another usage.
			if _, err := k.Decrypt(usageTicket, octets); err == nil {
				t.Errorf("%v opens %x", k.EType(), octets)
			}
			if k.VerifyChecksum(usageKINKChecksum, []byte("data"), octets) == nil {
				t.Errorf("%v takes %x for a checksum", k.EType(), octets)
			}
			if out, err := k.PRF(octets, false); err != nil || len(out) < 16 {
				t.Errorf("%v: prf of %d octets: %v", k.EType(), len(octets), err)
			}
		}
	})
}

func capturedSeeds(f *testing.F) {
	for _, name := range []string{"kinkd-2way.json", "kinkd-3way.json"} {
		for _, p := range readCapture(f, name).Packets {
			f.Add(takeApart(f, unhex(f, p)).ap)
		}
	}
}

// FuzzAPReq: nothing that is not sealed with the host's keys is accepted, and what
// decodes encodes to what decodes.
func FuzzAPReq(f *testing.F) {
	capturedSeeds(f)
	h := testHost(f)
	for _, e := range allETypes {
		octets, _, err := baseGrant(f, e).ticket(f, h).APReq(testNow, 0, rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(octets)
		if e == AES256_CTS_HMAC_SHA1_96 { // one will do: every seed is run before anything is found
			addBroken(f, octets)
		}
		r, err := decodeAPReq(octets)
		if err != nil {
			f.Fatal(err)
		}
		for n := range 64 { // every length of a ciphertext, for each type
			short := r
			short.authenticator.cipher = r.authenticator.cipher[:n]
			if out, err := short.encode(); err == nil {
				f.Add(out)
			}
			f.Add(withTicketCipher(f, r, r.ticket.part.cipher[:n]))
		}
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		defer noFaults(t)()
		s, err := h.Accept(testNow, octets, source)
		if s == nil && err == nil {
			t.Fatal("neither a session nor an error")
		}
		r, err := decodeAPReq(octets)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatalf("what decodes does not encode: %v", err)
		}
		if _, err := decodeAPReq(again); err != nil {
			t.Fatalf("%x does not decode again: %v", again, err)
		}
	})
}

// withTicketCipher is the request with its ticket as it is now but for the cipher, by the
// tests' own encoder.
func withTicketCipher(t testing.TB, r apReq, cipher []byte) []byte {
	t.Helper()
	r.ticket.part.cipher = cipher
	out, err := encode(tagAPReq, func(e encoder) {
		e.integer(0, version)
		e.integer(1, tagAPReq)
		e.flags(2, r.options)
		e.field(3, func(b *cryptobyte.Builder) {
			b.AddASN1(applicationTag(tagTicket), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					e := encoder{b}
					e.integer(0, version)
					e.text(1, r.ticket.service.Realm)
					e.name(2, r.ticket.service.Name, ntPrincipal)
					e.encrypted(3, r.ticket.part)
				})
			})
		})
		e.encrypted(4, r.authenticator)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// addBroken adds a seed for each octet that is wrong, and one for each length.
func addBroken(f *testing.F, whole []byte) {
	for i := range min(len(whole), 160) {
		broken := bytes.Clone(whole)
		broken[i] ^= 0x1F
		f.Add(broken)
		f.Add(whole[:i])
	}
}

// FuzzAPRep feeds octets to a session of every type.
func FuzzAPRep(f *testing.F) {
	capturedSeeds(f)
	var sessions []*clientSession
	for _, e := range allETypes {
		s := session{key: testKey(f, e, 5), rand: rand.Reader}
		sessions = append(sessions, &clientSession{session: s, at: testNow})
		rep, err := (&serverSession{session: s, at: testNow}).APRep(testNow, rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(rep)
		part, _ := decodeAPRep(rep)
		for n := range len(part.cipher) {
			short, _ := encodeAPRep(encryptedData{etype: e, cipher: part.cipher[:n]})
			f.Add(short)
		}
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		defer noFaults(t)()
		good := 0
		for _, s := range sessions {
			if s.VerifyAPRep(octets) == nil {
				good++
			}
		}
		if good > 1 {
			t.Errorf("%d keys take it", good)
		}
		if part, err := decodeAPRep(octets); err == nil {
			again, err := encodeAPRep(part)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := decodeAPRep(again); err != nil {
				t.Fatalf("%x does not decode again: %v", again, err)
			}
		}
	})
}

// FuzzKRBError: decode, encode, decode is stable but for what is not kept.
func FuzzKRBError(f *testing.F) {
	for _, m := range []errorMessage{
		{code: kink.KRB_AP_ERR_SKEW, ctime: testNow, stime: testNow, service: hostB},
		{code: 25, stime: testNow, service: hostB},
	} {
		octets, err := m.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(octets)
	}
	full, err := encode(tagKRBError, func(e encoder) {
		e.integer(0, version)
		e.integer(1, tagKRBError)
		e.time(2, testNow)
		e.microseconds(3, testNow)
		e.time(4, testNow)
		e.microseconds(5, testNow)
		e.integer(6, 25)
		e.text(7, peerA.Realm)
		e.name(8, peerA.Name, ntPrincipal)
		e.text(9, hostB.Realm)
		e.name(10, hostB.Name, ntPrincipal)
		e.text(11, "text with a NUL\x00")
		e.octets(12, []byte("data"))
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	addBroken(f, full)
	f.Fuzz(func(t *testing.T, octets []byte) {
		defer noFaults(t)()
		m, err := decodeKRBError(octets)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			return // a year that a KerberosTime does not have
		}
		b, err := decodeKRBError(again)
		if err != nil || b.code != m.code || !b.stime.Equal(m.stime) || !b.ctime.Equal(m.ctime) || !b.service.Equal(m.service) {
			t.Fatalf("%+v comes back as %+v, %v", m, b, err)
		}
	})
}

// FuzzTicket has the decoders behind the keys, which hostile but authentic peers and
// KDCs reach, and the Ticket itself.
func FuzzTicket(f *testing.F) {
	g := baseGrant(f, AES256_CTS_HMAC_SHA1_96)
	g.adType, g.addresses, g.transited = adIfRelevant, []netip.Addr{source}, "MIDDLE.COM"
	plain, err := g.part()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(append(plain, 0, 0, 0))
	f.Add(g.issue(f))
	auth, _ := authenticator{client: peerA, time: testNow, sum: []byte("sum"), sumType: 16}.encode()
	f.Add(auth)
	part, _ := apRepPart{time: testNow}.encode()
	f.Add(part)
	f.Add(encodedKDCPart(f))
	f.Add(encodedKDCReply(f, g))
	f.Add(encodedPreauth(f))
	for _, whole := range [][]byte{plain, auth, part, encodedKDCPart(f), encodedKDCReply(f, g), encodedPreauth(f)} {
		addBroken(f, whole)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		defer noFaults(t)()
		if p, err := decodeTicketPart(octets); err == nil && (p.key == nil || p.client.check() != nil) {
			t.Errorf("%+v", p)
		}
		if k, err := decodeTicket(octets); err == nil {
			if again, err := k.encode(); err != nil || !bytes.Equal(again, octets) {
				t.Errorf("the octets of the ticket changed: %v", err)
			}
		}
		if a, err := decodeAuthenticator(octets); err == nil && a.time.Nanosecond() < 0 {
			t.Error("time")
		}
		_, _ = decodeAPRepPart(octets)
		_, _ = decodeKDCReply(tagASRep, octets)
		_, _ = decodeKDCReply(tagTGSRep, octets)
		if p, err := decodeKDCPart(octets); err == nil && p.key == nil {
			t.Error("a reply without key")
		}
		if list, err := decodePreauth(octets); err == nil && len(list) > 64*64 {
			t.Error("a long list")
		}
	})
}

func encodedKDCPart(f *testing.F) []byte {
	out, err := encode(tagEncTGSRepPart, func(e encoder) {
		e.sessionKey(0, testKey(f, AES256_CTS_HMAC_SHA1_96, 1))
		e.sequence(1, func(encoder) {})
		e.integer(2, 77)
		e.time(3, testNow)
		e.flags(4, 0)
		e.time(5, testNow)
		e.time(6, testNow)
		e.time(7, testNow.Add(time.Hour))
		e.time(8, testNow.Add(time.Hour))
		e.text(9, hostB.Realm)
		e.name(10, hostB.Name, ntPrincipal)
	})
	if err != nil {
		f.Fatal(err)
	}
	return out
}

func encodedKDCReply(f *testing.F, g grant) []byte {
	out, err := encode(tagTGSRep, func(e encoder) {
		e.integer(0, version)
		e.integer(1, tagTGSRep)
		e.text(3, peerA.Realm)
		e.name(4, peerA.Name, ntPrincipal)
		e.raw(5, g.issue(f))
		e.encrypted(6, encryptedData{etype: 18, kvno: 1, cipher: make([]byte, 40)})
	})
	if err != nil {
		f.Fatal(err)
	}
	return out
}

func encodedPreauth(f *testing.F) []byte {
	entry, _ := encodeSequence(func(e encoder) { e.integer(0, 18) })
	info, _ := encodeSequence(func(e encoder) { e.b.AddBytes(entry) })
	pa, _ := encodeSequence(func(e encoder) {
		e.integer(1, paETypeInfo2)
		e.octets(2, info)
	})
	out, err := encodeSequence(func(e encoder) { e.b.AddBytes(pa) })
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// FuzzFiles has what is read from files: keytab, credential cache, krb5.conf, saved replays.
func FuzzFiles(f *testing.F) {
	addBroken(f, encodeKeytab(
		keytabEntry{principal: hostB, kvno: 2, key: testKey(f, RC4_HMAC, 1)},
		keytabEntry{principal: hostC, kvno: 2, low8: true, key: testKey(f, RC4_HMAC, 1)}))
	f.Add(encodeKeytab(keytabEntry{principal: hostB, kvno: 2, key: testKey(f, RC4_HMAC, 1)}))
	cache := encodeCCache(peerA, cachedCredential{
		client: peerA, server: tgs("EXAMPLE.COM", "EXAMPLE.COM"), key: testKey(f, AES256_CTS_HMAC_SHA1_96, 1),
		start: testNow, end: testNow.Add(time.Hour), ticket: []byte("ticket"),
	})
	addBroken(f, cache)
	f.Add(cache)
	f.Add(append([]byte{5, 3}, cache[4:]...))
	f.Add([]byte(sampleConf))
	c := newReplayCache(time.Minute, 10, testNow)
	_ = c.insert(testNow, testNow, 0, "a", keyOf("b", "a", testNow, nil))
	f.Add(c.save(testNow))
	f.Fuzz(func(t *testing.T, octets []byte) {
		defer noFaults(t)()
		if k, err := decodeKeytab(octets); err == nil {
			for _, e := range k {
				if e.key == nil || e.principal.check() != nil {
					t.Errorf("%+v", e)
				}
			}
		}
		if c, err := decodeCCache(octets); err == nil {
			_, _ = c.tgt()
		}
		if !bytes.Contains(octets, []byte("include")) {
			if c, err := ParseKrb5Conf(octets); err == nil {
				_ = c.Realm("host.example.com")
			}
		}
		_ = newReplayCache(time.Minute, 10, testNow).load(testNow, octets)
		if p, err := ParsePrincipal(string(octets)); err == nil {
			if q, err := ParsePrincipal(p.String()); err != nil || !q.Equal(p) {
				t.Errorf("%q comes back as %q, %v", p, q, err)
			}
		}
	})
}
