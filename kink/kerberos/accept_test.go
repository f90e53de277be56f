package kerberos

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/kink"
)

func TestMutualAuthentication(t *testing.T) {
	for _, e := range allETypes {
		h := testHost(t)
		tk := baseGrant(t, e).ticket(t, h)
		octets, client, err := tk.APReq(testNow, 0, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		server, err := h.Accept(testNow, octets, source)
		if err != nil {
			t.Fatalf("%v: %v", e, err)
		}
		if server.Peer() != peerA.String() || server.Local() != hostB.String() || server.UserToUser() || server.EType() != int32(e) {
			t.Errorf("%v: session of %s with %s", e, server.Local(), server.Peer())
		}
		msg := []byte("KINK message")
		sum, err := client.MIC(msg)
		if err != nil || len(sum) != server.MICSize() || server.VerifyMIC(msg, sum) != nil {
			t.Errorf("%v: the checksum does not verify: %v", e, err)
		}
		if server.VerifyMIC(msg[1:], sum) == nil || server.VerifyMIC(msg, nil) == nil {
			t.Errorf("%v: a wrong checksum verifies", e)
		}
		sealed, err := client.Encrypt(msg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := server.Decrypt(sealed); err != nil || !bytes.HasPrefix(got, msg) {
			t.Errorf("%v: %q, %v", e, got, err)
		}
		if !bytes.Equal(client.PRF(msg), server.PRF(msg)) || len(client.PRF(msg)) == 0 {
			t.Errorf("%v: the prf differs", e)
		}
		if err := server.Commit(testNow); err != nil {
			t.Errorf("%v: %v", e, err)
		}
		if code := codeOf(t, server.Commit(testNow)); code != kink.KRB_AP_ERR_REPEAT {
			t.Errorf("%v: a replay gives %v", e, code)
		}
		rep, err := server.APRep(testNow, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.VerifyAPRep(rep); err != nil {
			t.Errorf("%v: %v", e, err)
		}
		_, other, _ := tk.APReq(testNow, 0, rand.Reader)
		if code := codeOf(t, other.VerifyAPRep(rep)); code != kink.KRB_AP_ERR_MUT_FAIL {
			t.Errorf("%v: another authenticator's AP-REP gives %v", e, code)
		}
		for n := range rep {
			if client.VerifyAPRep(rep[:n]) == nil {
				t.Errorf("%v: an AP-REP of %d octets is taken", e, n)
			}
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	const e = AES256_CTS_HMAC_SHA1_96
	stranger := Principal{Name: []string{"kink", "x.example.com"}, Realm: "EXAMPLE.COM"}
	for _, c := range []struct {
		name    string
		change  func(*grant)
		request func(*apReq, *Key)
		at      time.Duration // the client's clock
		want    kink.KRBCode
		session bool
		text    string
	}{
		{name: "another host", change: func(g *grant) { g.service = stranger }, want: kink.KRB_AP_ERR_NOT_US, text: "x.example.com"},
		{name: "another realm", change: func(g *grant) { g.service.Realm = "OTHER.COM" }, want: kink.KRB_AP_ERR_NOT_US},
		{name: "another principal's key", change: func(g *grant) { g.service = hostC }, want: kink.KRB_AP_ERR_BAD_INTEGRITY},
		{name: "key version", change: func(g *grant) { g.kvno = 3 }, want: kink.KRB_AP_ERR_BADKEYVER, text: "version 3"},
		{name: "type not known", request: func(r *apReq, _ *Key) { r.ticket.part.etype = 3 }, want: kdcErrETypeNoSupp},
		{name: "short ticket", request: func(r *apReq, _ *Key) { r.ticket.part.cipher = r.ticket.part.cipher[:27] }, want: kink.KRB_AP_ERR_BAD_INTEGRITY, text: "27 octets"},
		{name: "short authenticator", request: func(r *apReq, _ *Key) { r.authenticator.cipher = r.authenticator.cipher[:27] }, want: kink.KRB_AP_ERR_BAD_INTEGRITY, text: "27 octets"},
		{name: "authenticator of another type", request: func(r *apReq, _ *Key) { r.authenticator.etype = RC4_HMAC }, want: kink.KRB_AP_ERR_BAD_INTEGRITY},
		{name: "changed ticket", request: func(r *apReq, _ *Key) { r.ticket.part.cipher[50] ^= 1 }, want: kink.KRB_AP_ERR_BAD_INTEGRITY},
		{name: "changed authenticator", request: func(r *apReq, _ *Key) { r.authenticator.cipher[30] ^= 1 }, want: kink.KRB_AP_ERR_BAD_INTEGRITY},
		{name: "no mutual authentication", request: func(r *apReq, _ *Key) { r.options = 0 }, want: kink.KRB_AP_ERR_MSG_TYPE, text: "mutual"},
		{name: "realm in the authenticator", request: forge(authenticator{client: Principal{Name: peerA.Name, Realm: "EVIL.COM"}, time: testNow}), want: kink.KRB_AP_ERR_BADMATCH, text: "EVIL.COM"},
		{name: "name in the authenticator", request: forge(authenticator{client: stranger, time: testNow}), want: kink.KRB_AP_ERR_BADMATCH},
		{name: "clock behind", at: -6 * time.Minute, want: kink.KRB_AP_ERR_SKEW, session: true, text: "6m"},
		{name: "clock ahead", at: 6 * time.Minute, want: kink.KRB_AP_ERR_SKEW, session: true},
		{name: "clock a little ahead", at: 4 * time.Minute},
		{name: "expired", change: func(g *grant) { g.end = testNow.Add(-6 * time.Minute) }, want: kink.KRB_AP_ERR_TKT_EXPIRED, session: true},
		{name: "expired within the skew", change: func(g *grant) { g.end = testNow.Add(-4 * time.Minute) }},
		{name: "not yet valid", change: func(g *grant) { g.start = testNow.Add(6 * time.Minute) }, want: kink.KRB_AP_ERR_TKT_NYV, session: true},
		{name: "invalid", change: func(g *grant) { g.flags = flagInvalid }, want: kink.KRB_AP_ERR_TKT_NYV, session: true},
		{name: "bound to another address", change: func(g *grant) { g.addresses = []netip.Addr{netip.MustParseAddr("2001:db8::1")} }, want: apErrBadAddr},
		{name: "bound to the address", change: func(g *grant) {
			g.addresses = []netip.Addr{netip.MustParseAddr("2001:db8::1"), source}
		}},
		{name: "path not checked", change: func(g *grant) { g.client.Realm, g.transited = "FAR.COM", "EVIL.COM" }, want: kdcErrPathNotAccepted},
		{name: "path checked", change: func(g *grant) {
			g.client.Realm, g.transited, g.flags = "FAR.COM", "MIDDLE.COM", flagTransitedChecked
		}},
		{name: "if-relevant data", change: func(g *grant) { g.adType = adIfRelevant }},
		{name: "critical data", change: func(g *grant) { g.adType = 512 }, want: kink.KRB_AP_ERR_MODIFIED, text: "512"},
		{name: "user-to-user without TGT", request: func(r *apReq, _ *Key) { r.options |= apUseSessionKey }, want: kink.KRB_AP_ERR_NOKEY},
		{name: "no version in the ticket", change: func(g *grant) { g.noKVNO = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := testHost(t)
			g := baseGrant(t, e)
			if c.change != nil {
				c.change(&g)
			}
			tk := g.ticket(t, h)
			octets, _, err := tk.APReq(testNow.Add(c.at), 0, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if c.request != nil {
				octets = rework(t, octets, g.session, c.request)
			}
			s, err := h.Accept(testNow, octets, source)
			if codeOf(t, err) != c.want {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if want := c.session || c.want == 0; (s != nil) != want {
				t.Errorf("session: %v, want %v", s != nil, want)
			}
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q does not say %q", err, c.text)
			}
		})
	}
}

// forge puts another authenticator into a request.
func forge(a authenticator) func(*apReq, *Key) {
	return func(r *apReq, k *Key) {
		plain, err := a.encode()
		if err != nil {
			panic(err)
		}
		if r.authenticator, err = seal(k, usageAPReqAuth, rand.Reader, plain); err != nil {
			panic(err)
		}
	}
}

// rework takes a request apart, changes it and encodes it again.
func rework(t *testing.T, octets []byte, k *Key, change func(*apReq, *Key)) []byte {
	t.Helper()
	r, err := decodeAPReq(octets)
	if err != nil {
		t.Fatal(err)
	}
	change(&r, k)
	return withTicketCipher(t, r, r.ticket.part.cipher)
}

func TestDefaultTypesRefuseOldOnes(t *testing.T) {
	h := testHost(t)
	h.conf.ETypes = DefaultETypes()
	for _, e := range allETypes {
		octets, _, _ := baseGrant(t, e).ticket(t, h).APReq(testNow, 0, rand.Reader)
		_, err := h.Accept(testNow, octets, source)
		old := e == RC4_HMAC || e == DES3_CBC_SHA1_KD
		if (codeOf(t, err) == kdcErrETypeNoSupp) != old || !old && err != nil {
			t.Errorf("%v: %v", e, err)
		}
	}
	g := baseGrant(t, AES256_CTS_HMAC_SHA1_96)
	g.session = testKey(t, RC4_HMAC, 3)
	octets, _, _ := g.ticket(t, h).APReq(testNow, 0, rand.Reader)
	if _, err := h.Accept(testNow, octets, source); codeOf(t, err) != kdcErrETypeNoSupp {
		t.Errorf("an RC4 session key: %v", err)
	}
}

// The keytab is looked at again when a key version is not there, and once a second at most.
func TestRotatedKeytab(t *testing.T) {
	const e = AES256_CTS_HMAC_SHA1_96
	h := testHost(t)
	g := baseGrant(t, e)
	g.kvno, g.under = 3, testKey(t, e, 200)
	octets, _, _ := g.ticket(t, h).APReq(testNow, 0, rand.Reader)
	if _, err := h.Accept(testNow, octets, source); codeOf(t, err) != kink.KRB_AP_ERR_BADKEYVER {
		t.Fatalf("before the rotation: %v", err)
	}
	writeKeytab(t, h.conf.Keytab,
		keytabEntry{principal: hostB, kvno: 2, key: testKey(t, e, 1)},
		keytabEntry{principal: hostB, kvno: 3, key: testKey(t, e, 200)})
	if _, err := h.Accept(testNow.Add(lookAgain/2), octets, source); codeOf(t, err) != kink.KRB_AP_ERR_BADKEYVER {
		t.Errorf("within the second: %v", err)
	}
	if _, err := h.Accept(testNow.Add(2*lookAgain), octets, source); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	old, _, _ := baseGrant(t, e).ticket(t, h).APReq(testNow, 0, rand.Reader)
	if _, err := h.Accept(testNow.Add(2*lookAgain), old, source); err != nil {
		t.Errorf("the old key: %v", err)
	}
}

func TestKeytabProblems(t *testing.T) {
	for name, octets := range map[string][]byte{
		"empty": nil, "version 1": {5, 1}, "cut off": {5, 2, 0, 0, 0, 9, 1},
		"name cut off": {5, 2, 0, 0, 0, 4, 0, 1, 0, 9}, "least number": {5, 2, 0x80, 0, 0, 0},
	} {
		if _, err := decodeKeytab(octets); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	hole := append([]byte{5, 2}, binary.BigEndian.AppendUint32(nil, ^uint32(7))...)
	hole = append(hole, make([]byte, 8)...)
	whole := append(hole, encodeKeytab(keytabEntry{principal: hostB, kvno: 258, low8: true, key: testKey(t, RC4_HMAC, 1)})[2:]...)
	k, err := decodeKeytab(whole)
	if err != nil || len(k) != 1 || !k[0].matches(2) || !k[0].matches(258) || k[0].matches(3) {
		t.Errorf("a hole before an entry: %v, %v", k, err)
	}
	h, err := New(Config{Principals: []string{hostB.String()}, Keytab: filepath.Join(t.TempDir(), "none"), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	g := baseGrant(t, AES256_CTS_HMAC_SHA1_96)
	octets, _, _ := g.ticket(t, h).APReq(testNow, 0, rand.Reader)
	if _, err := h.Accept(testNow, octets, source); codeOf(t, err) != kink.KRB_AP_ERR_NOKEY {
		t.Errorf("without keytab: %v", err)
	}
}

// User-to-user: the ticket is under the session key of this host's TGT, also of the one before.
func TestUserToUser(t *testing.T) {
	h := testHost(t)
	key := testKey(t, AES256_CTS_HMAC_SHA384_192, 77)
	first := &tgtState{raw: []byte("first"), key: key, start: testNow, end: testNow.Add(time.Hour)}
	h.accounts[hostB.String()].setTGT(first)
	g := baseGrant(t, AES256_CTS_HMAC_SHA384_192)
	g.under, g.noKVNO = key, true
	tk := g.ticket(t, h)
	tk.userToUser = true
	octets, _, err := tk.APReq(testNow, 0, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Accept(testNow, octets, source)
	if err != nil || !s.UserToUser() {
		t.Fatalf("%v", err)
	}
	for i, want := range []kink.KRBCode{0, kink.KRB_AP_ERR_NOKEY} {
		h.accounts[hostB.String()].setTGT(&tgtState{raw: []byte{byte(i)}, key: testKey(t, AES256_CTS_HMAC_SHA384_192, byte(i)), end: testNow.Add(time.Hour)})
		_, err := h.Accept(testNow, octets, source)
		if codeOf(t, err) != want {
			t.Errorf("after %d newer TGTs: %v", i+1, err)
		}
		if k, ok := err.(*kink.KRBError); ok && !k.LostTGT {
			t.Error("the error does not say that the TGT is lost")
		}
	}
	if raw, err := h.TGT(testNow, hostB.String()); err != nil || string(raw) != "\x01" {
		t.Errorf("TGT: %x, %v", raw, err)
	}
	for _, p := range []string{hostC.String(), peerA.String(), "x"} {
		if _, err := h.TGT(testNow, p); codeOf(t, err) != kink.KRB_AP_ERR_NOT_US {
			t.Errorf("TGT of %s: %v", p, err)
		}
	}
}

func TestErrorRoundTrip(t *testing.T) {
	h := testHost(t)
	octets, client, _ := baseGrant(t, AES256_CTS_HMAC_SHA1_96).ticket(t, h).APReq(testNow, -20*time.Minute, rand.Reader)
	s, err := h.Accept(testNow, octets, source)
	if codeOf(t, err) != kink.KRB_AP_ERR_SKEW {
		t.Fatalf("%v", err)
	}
	raw, err := h.Error(testNow, kink.KRB_AP_ERR_SKEW, hostB.String(), s)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.ParseError(raw)
	if err != nil || m.Code != kink.KRB_AP_ERR_SKEW || !m.CTime.Equal(client.Time()) || !m.STime.Equal(testNow) {
		t.Errorf("%+v, %v", m, err)
	}
	if raw, err = h.Error(testNow, kink.KRB_AP_ERR_NOT_US, "", nil); err != nil {
		t.Fatal(err)
	}
	if m, err = h.ParseError(raw); err != nil || !m.CTime.IsZero() {
		t.Errorf("%+v, %v", m, err)
	}
	// With the offset that the error tells, the next authenticator is accepted.
	octets, _, _ = baseGrant(t, AES256_CTS_HMAC_SHA1_96).ticket(t, h).APReq(testNow.Add(-20*time.Minute), 20*time.Minute, rand.Reader)
	if _, err := h.Accept(testNow, octets, source); err != nil {
		t.Errorf("with the offset: %v", err)
	}
}

func TestAuthenticatorsDiffer(t *testing.T) {
	h := testHost(t)
	tk := baseGrant(t, AES256_CTS_HMAC_SHA1_96).ticket(t, h)
	seen := map[time.Time]bool{}
	for i := range 100 {
		_, s, err := tk.APReq(testNow.Add(-time.Duration(i%3)*time.Microsecond), 0, rand.Reader)
		if err != nil || seen[s.Time()] {
			t.Fatalf("%v was used before (%v)", s.Time(), err)
		}
		seen[s.Time()] = true
	}
}

// A KDC's clock that is ahead takes this host's authenticators and checks with it.
func TestKDCOffset(t *testing.T) {
	h := testHost(t)
	h.setOffset("EXAMPLE.COM", 20*time.Minute)
	octets, s, _ := baseGrant(t, AES256_CTS_HMAC_SHA1_96).ticket(t, h).APReq(testNow, 0, rand.Reader)
	if !s.Time().Equal(testNow.Add(20 * time.Minute)) {
		t.Errorf("the authenticator's time is %v", s.Time())
	}
	server, err := h.Accept(testNow, octets, source)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Commit(testNow); err != nil {
		t.Error(err)
	}
	if want := testNow.Add(40 * time.Minute).Truncate(time.Second); !server.Expires().Equal(want) {
		t.Errorf("expires at %v by this host's clock, want %v", server.Expires(), want)
	}
}

func BenchmarkRefuseGarbage(b *testing.B) {
	h := testHost(b)
	g := baseGrant(b, AES256_CTS_HMAC_SHA1_96)
	g.under = testKey(b, AES256_CTS_HMAC_SHA1_96, 50)
	wrongKey, _, _ := g.ticket(b, h).APReq(testNow, 0, rand.Reader)
	g.service.Realm = "OTHER.COM"
	notUs, _, _ := g.ticket(b, h).APReq(testNow, 0, rand.Reader)
	noise := make([]byte, len(wrongKey))
	rand.Read(noise)
	for name, octets := range map[string][]byte{"noise": noise, "not-us": notUs, "wrong-key": wrongKey} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Accept(testNow, octets, source); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

func BenchmarkAccept(b *testing.B) {
	for _, e := range DefaultETypes() {
		b.Run(e.String(), func(b *testing.B) {
			h := testHost(b)
			octets, _, _ := baseGrant(b, e).ticket(b, h).APReq(testNow, 0, rand.Reader)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Accept(testNow, octets, source); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
