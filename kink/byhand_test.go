package kink

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink/message"
)

// encrypt is the counterpart of decrypt, with a confounder of zeros.
func (k aesKey) encrypt(usage byte, plain []byte) []byte {
	text := append(make([]byte, 16), plain...)
	return append(k.usage(usage, 0xaa).cts(text, false), hmacSHA1(k.usage(usage, 0x55), text)[:12]...)
}

// byHand puts a message together as RFC 4430 §4 has it, without this project's encoder:
// an AP-REQ, KINK_ENCRYPT where there is something for it, and the checksum.
func (k aesKey) byHand(kind byte, xid, epoch uint32, apReq []byte, first byte, plain []byte) []byte {
	pad := func(b []byte) []byte { return append(b, make([]byte, (4-len(b)%4)%4)...) }
	next := byte(0)
	if plain != nil {
		next = 7 // KINK_ENCRYPT
	}
	b := []byte{kind, 0x10, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0}
	binary.BigEndian.PutUint32(b[8:], xid)
	b = append(b, next, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(apReq)))
	b = append(binary.BigEndian.AppendUint32(b, epoch), apReq...)
	b = pad(b)
	if plain != nil {
		sealed := k.encrypt(39, append([]byte{first, 0, 0, 0}, plain...))
		b = append(b, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(4+len(sealed)))
		b = pad(append(b, sealed...))
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	sum := hmacSHA1(k.usage(40, 0x99), b)[:12]
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+12))
	binary.BigEndian.PutUint16(b[14:], 12)
	return append(b, sum...)
}

// TestMessagesByHand gives messages to an engine that neither its encoder nor its
// Kerberos has made, one of every type, and reads the answers in the same way: the
// AP-REQ is that of the original kinkd, encryption and checksums are the tests' own.
func TestMessagesByHand(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "kink", "kinkd-2way.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c capture
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	captured := unhex(t, c.Packets["CREATE"])
	apReq := captured[24 : 16+binary.BigEndian.Uint16(captured[18:])]
	k := sessionKey(t, apReq, unhex(t, c.ServiceKey))
	w := newWorld(t)
	b := w.add("b", "10.9.0.2", settingsFor("b", "10.9.0.2", "a", "10.9.0.1", tunnel, func(_ *Remote, c *Child) {
		c.Proposals = []Proposal{{Protocol: kernel.ESP, Encr: []Encryption{{ID: transform.ENCR_AES_CBC, KeyBits: 128}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA1_96}}}
	}))
	s := goldenSession{k: k, testSession: &testSession{key: k[:16], local: principal("b"), peer: principal("a"), host: b.krb}}
	accepting := &capturedKerberos{s: s, testKerberos: *b.krb}
	b.e = New(Config{Rand: b.e.cfg.Rand, Settings: b.settings, Start: b.e.cfg.Start, Kerberos: accepting})
	local, remote := netip.MustParseAddrPort("10.9.0.2:910"), netip.MustParseAddrPort("10.9.0.1:910")
	give := func(octets []byte) []byte {
		t.Helper()
		w.sent = nil
		clear(b.krb.seen) // the same AP-REQ each time
		b.handle(Datagram{Local: local, Remote: remote, Data: octets})
		if len(w.sent) == 0 {
			return nil
		}
		return w.sent[0].Data
	}
	// answer takes a REPLY apart by hand and returns what is inside KINK_ENCRYPT.
	answer := func(name string, octets []byte, xid uint32) []byte {
		t.Helper()
		if len(octets) < 28 || octets[0] != 3 || octets[1] != 0x10 || int(binary.BigEndian.Uint16(octets[2:])) != len(octets) ||
			binary.BigEndian.Uint32(octets[8:]) != xid || octets[12] != 2 || binary.BigEndian.Uint16(octets[14:]) != 12 {
			t.Fatalf("%s is answered with %x\n%s", name, octets, b.said())
		}
		covered := bytes.Clone(octets[:len(octets)-12])
		binary.BigEndian.PutUint16(covered[2:], uint16(len(covered)))
		binary.BigEndian.PutUint16(covered[14:], 0)
		if !bytes.Equal(hmacSHA1(k.usage(40, 0x99), covered)[:12], octets[len(octets)-12:]) {
			t.Errorf("%s: the answer's checksum is wrong", name)
		}
		at := 16 + (int(binary.BigEndian.Uint16(octets[18:]))+3)&^3
		if octets[16] == 0 {
			return nil
		}
		plain, err := k.decrypt(39, octets[at+4:at+int(binary.BigEndian.Uint16(octets[at+2:]))])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return plain
	}

	if inner := answer("STATUS", give(k.byHand(6, 1, 77, apReq, 0, nil)), 1); inner != nil {
		t.Errorf("the answer to STATUS has %x", inner)
	}
	// KINK_ISAKMP with a status notification: INITIAL-CONTACT, which is logged.
	notify := unhex(t, "00000014 0b100000"+"0000000c 00000001 03006002")
	answer("STATUS with a notification", give(k.byHand(6, 2, 77, apReq, 6, notify)), 2)
	b.wantReason(reasonNotify)

	// CREATE with SA, Ni, IDci and IDcr (RFC 2407 §4.6.2): a tunnel between two networks.
	s0 := b.settings.Remotes[0].Children[0].Outbound[0]
	ids := "05000010 04000000" + hexOf(s0.Dst) + "00000010 04000000" + hexOf(s0.Src)
	create := "00000074 01100000" + // KINK_ISAKMP: SA first, Quick Mode 1.0
		"0a000034 00000001 00000001 00000028 01030401 0a0b0c0d 0000001c 010c0000 80010001 80020e10 80040001 80060080 80050002" +
		"05000014 000102030405060708090a0b0c0d0e0f" + ids
	plain := unhex(t, create)
	binary.BigEndian.PutUint16(plain[2:], uint16(len(plain)))
	inner := answer("CREATE", give(k.byHand(1, 3, 77, apReq, 6, plain)), 3)
	if len(b.ups) != 1 || b.ups[0].Info.SPIOut != 0x0a0b0c0d || b.ups[0].Info.Selector != s0 {
		t.Fatalf("CREATE: %x, ups %+v\n%s", inner, b.ups, b.said())
	}
	// The answer: SA with our SPI in the same transform, and the IDs as they came.
	spi := binary.BigEndian.AppendUint32(nil, uint32(b.ups[0].Info.SPIIn))
	want := unhex(t, "06000000"+"0000000001100000"+"05000034 00000001 00000001 00000028 01030401"+hex.EncodeToString(spi)+
		"0000001c 010c0000 80010001 80020e10 80040001 80060080 80050002"+ids)
	binary.BigEndian.PutUint16(want[6:], uint16(len(want)-4))
	if !bytes.Equal(inner, want) {
		t.Errorf("the answer to CREATE is\n%x, want\n%x", inner, want)
	}
	// DELETE of the initiator's inbound SPI; the answer lists ours (RFC 4430 §3.3).
	inner = answer("DELETE", give(k.byHand(2, 4, 77, apReq, 6, unhex(t, "00000018 0c100000 00000010 00000001 03040001 0a0b0c0d"))), 4)
	if want := unhex(t, "06000000 00000018 0c100000 00000010 00000001 03040001"+hex.EncodeToString(spi)); !bytes.Equal(inner, want) {
		t.Errorf("the answer to DELETE is %x, want %x", inner, want)
	}
	// CREATE once more, in three ways: the outbound SA waits for an ACK.
	b.settings.Remotes[0].ThreeWay = true
	binary.BigEndian.PutUint32(plain[28:], 0x0a0b0c0e)
	octets := give(k.byHand(1, 5, 77, apReq, 6, plain))
	answer("CREATE", octets, 5)
	if octets[13] != 0x80 || len(b.ups) != 1 {
		t.Errorf("ACKREQ is %02x", octets[13])
	}
	if give(k.byHand(5, 5, 77, apReq, 0, nil)); len(b.ups) != 2 {
		t.Errorf("after the ACK: %d pairs\n%s", len(b.ups), b.said())
	}

	// In the clear: GETTGT, and what cannot be a command.
	name := principal("b")
	ask := binary.BigEndian.AppendUint16(unhex(t, "0410"), uint16(20+len(name)))
	ask = append(append(ask, unhex(t, "00000001 00000009 04000000 0000")...), binary.BigEndian.AppendUint16(nil, uint16(4+len(name)))...)
	tgt, err := b.krb.TGT(w.now, name)
	if err != nil {
		t.Fatal(err)
	}
	got := give(append(ask, name...))
	wantTGT := binary.BigEndian.AppendUint16(unhex(t, "0310"), uint16(20+len(tgt)))
	wantTGT = append(append(wantTGT, unhex(t, "00000001 00000009 05000000 0000")...), binary.BigEndian.AppendUint16(nil, uint16(4+len(tgt)))...)
	if wantTGT = append(wantTGT, tgt...); !bytes.Equal(got, wantTGT) {
		t.Errorf("GETTGT is answered with\n%x, want\n%x", got, wantTGT)
	}
	for _, c := range []struct{ what, sent, want string }{
		{"another DOI", "01100010 00000002 00000006 00000000", "03100018 00000001 00000006 08000000 00000008 00000002"},
		{"version 2", "01200010 00000001 00000007 00000000", "03100018 00000001 00000007 08000000 00000008 00000003"},
		{"CREATE without AP-REQ", "01100010 00000001 00000008 00000000", "03100018 00000001 00000008 08000000 00000008 00000001"},
	} {
		if got := hex.EncodeToString(give(unhex(t, c.sent))); got != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%s is answered with %s, want %s", c.what, got, c.want)
		}
	}
	accepting.refuse = &KRBError{Code: KRB_AP_ERR_NOT_US}
	krb, err := b.krb.Error(w.now, KRB_AP_ERR_NOT_US, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	got = give(k.byHand(1, 10, 77, apReq, 0, nil))
	m, err := message.Decode(got)
	if err != nil || len(got) != 20+len(krb) || hex.EncodeToString(got[:2]) != "0310" || got[12] != 3 || !bytes.Equal(got[20:], krb) || len(m.Checksum) != 0 {
		t.Errorf("a KRB-ERROR is %x, want %x at its end", got, krb)
	}
}

func hexOf(p netip.Prefix) string {
	mask := make([]byte, 4)
	binary.BigEndian.PutUint32(mask, ^uint32(0)<<(32-p.Bits()))
	return hex.EncodeToString(append(p.Addr().AsSlice(), mask...))
}
