package userspace

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// The octets of AH, made here by the letter of RFC 4302 §3.3.3 with the standard
// library's HMAC.
func TestAHOctets(t *testing.T) {
	w := bundleWays()[0]
	p := newBundle(t, w, []kernel.Protocol{kernel.AH}, nil, nil)
	sent := w.packet("hello")
	sent[1], sent[8] = 0x2e, 17 // DSCP, ECN and TTL change on the way
	setChecksum4(sent[:20])
	if v := p.seal(slices.Clone(sent)); v != sendESP {
		t.Fatalf("verdict %d", v)
	}
	got := p.wire()
	want := slices.Clone(sent[:20])
	want[9] = protoAH
	binary.BigEndian.PutUint16(want[2:], uint16(len(sent)+28))
	copy(want[4:6], got[4:6]) // the identification is as it was
	setChecksum4(want)
	if !bytes.Equal(got[:20], want) || got[4] != sent[4] || got[5] != sent[5] {
		t.Errorf("header %x, want %x", got[:20], want)
	}
	ah := binary.BigEndian.AppendUint32([]byte{protoUDP, 5, 0, 0}, uint32(w.layer(kernel.Out, 1, kernel.AH, false).SPI))
	ah = append(binary.BigEndian.AppendUint32(ah, 1), make([]byte, 16)...)
	covered := slices.Clone(want)
	for _, i := range []int{1, 6, 7, 8, 10, 11} {
		covered[i] = 0
	}
	mac := hmac.New(sha256.New, bytes.Repeat([]byte{1}, 32))
	mac.Write(slices.Concat(covered, ah, sent[20:]))
	copy(ah[12:], mac.Sum(nil)[:16])
	if !bytes.Equal(got[20:], slices.Concat(ah, sent[20:])) {
		t.Errorf("AH %x, want %x", got[20:], ah)
	}
	// What routers change is not covered, and everything else is.
	mutable := map[int]bool{1: true, 6: true, 7: true, 8: true, 10: true, 11: true}
	for i := range got {
		damaged := slices.Clone(got)
		damaged[i] ^= 1
		if i < 4 && i != 1 || i == 9 {
			continue // version, length and protocol: no such packet arrives
		}
		q := newBundle(t, w, []kernel.Protocol{kernel.AH}, nil, nil)
		if delivered := q.arrive(damaged) != nil; delivered != mutable[i] {
			t.Errorf("octet %d changed: delivered %v", i, delivered)
		}
	}
}

// Lengths of AH are multiples of 32 bits in IPv4 and of 64 in IPv6 (RFC 4302 §2.6).
func TestAHLengths(t *testing.T) {
	for _, c := range []struct {
		integ  transform.INTEG
		v4, v6 int
	}{
		{transform.AUTH_HMAC_SHA1_96, 24, 24}, {transform.AUTH_HMAC_SHA2_256_128, 28, 32},
		{transform.AUTH_HMAC_SHA2_384_192, 36, 40}, {transform.AUTH_HMAC_SHA2_512_256, 44, 48},
		{transform.AUTH_AES_XCBC_96, 24, 24}, {transform.AUTH_HMAC_MD5_96, 24, 24},
	} {
		for i, want := range []int{c.v4, c.v6} {
			w := bundleWays()[i]
			p := newBundle(t, w, []kernel.Protocol{kernel.AH}, func(s *kernel.SA) {
				s.Integ, s.IntegKey = c.integ, make([]byte, c.integ.KeyLen())
			}, nil)
			sent := w.packet("x")
			p.seal(slices.Clone(sent))
			b := p.wire()
			if got := len(b) - len(sent); got != want || int(p.out.esp[1])+2 != want/4 {
				t.Errorf("%v in %s: AH has %d octets, want %d, and says %d words", c.integ, w.local, got, want, p.out.esp[1])
			}
			if p.arrive(b) == nil {
				t.Errorf("%v in %s: %v", c.integ, w.local, p.b.counts.values())
			}
		}
	}
}

// IPv4 options: those that change on the way are zeroes to AH, the others are
// covered (RFC 4302 Appendix A1).
func TestAHOptions4(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []byte
		ok      bool
		mutable int // an octet that may change
		fixed   int // one that may not
	}{
		{"router alert", []byte{148, 4, 0, 0}, true, -1, 22},
		{"record route", []byte{7, 7, 4, 0, 0, 0, 0, 0}, true, 24, -1},
		{"timestamp, padding", []byte{1, 68, 6, 5, 0, 0, 1, 0}, true, 24, -1},
		{"source route that is used up", []byte{131, 7, 8, 10, 0, 0, 1, 0}, true, 24, -1},
		{"source route", []byte{131, 7, 4, 10, 0, 0, 1, 0}, false, -1, -1},
		{"strict source route", []byte{137, 7, 4, 10, 0, 0, 1, 0}, false, -1, -1},
		{"too long", []byte{7, 9, 4, 0}, false, -1, -1},
		{"too short", []byte{7, 1, 4, 0}, false, -1, -1},
		{"cut off", []byte{1, 1, 1, 7}, false, -1, -1},
	} {
		w := bundleWays()[0]
		p := newBundle(t, w, []kernel.Protocol{kernel.AH}, nil, nil)
		sent := w.packet("x")
		sent = slices.Concat(sent[:20], c.options, sent[20:])
		sent[0] = 0x45 + byte(len(c.options)/4)
		setLength(sent[:20+len(c.options)], false, len(sent))
		v := p.seal(sent)
		if (v == sendESP) != c.ok {
			t.Errorf("%s: verdict %d", c.name, v)
		}
		if !c.ok {
			continue
		}
		b := p.wire()
		if c.mutable >= 0 {
			b[c.mutable] ^= 0xff
		}
		if c.fixed >= 0 {
			bad := slices.Clone(b)
			bad[c.fixed] ^= 0xff
			if p.arrive(bad) != nil {
				t.Errorf("%s: delivered with a change", c.name)
			}
		}
		if p.arrive(b) == nil {
			t.Errorf("%s: %v", c.name, p.b.counts.values())
		}
	}
}

// IPv6 extension headers in front of AH are covered, but for options that say
// that they may change (RFC 4302 Appendix A2).
func TestAHExtensions6(t *testing.T) {
	hop := []byte{protoUDP, 0, 0x05, 2, 0, 0, 0x3e, 0} // router alert, and an option that changes, without data
	changing := []byte{protoUDP, 0, 0x3e, 4, 1, 2, 3, 4}
	routing := []byte{protoUDP, 0, 4, 0, 0, 0, 0, 0}
	for _, c := range []struct {
		name    string
		first   uint8
		headers []byte
		ok      bool
		mutable int
		fixed   int
	}{
		{"hop by hop", protoHopOpts, hop, true, -1, 44},
		{"an option that changes", protoHopOpts, changing, true, 45, 42},
		{"routing, used up", protoRouting, routing, true, -1, 44},
		{"routing", protoRouting, []byte{protoUDP, 0, 4, 1, 0, 0, 0, 0}, false, -1, -1},
		{"broken option", protoHopOpts, []byte{protoUDP, 0, 0x3e, 9, 1, 2, 3, 4}, false, -1, -1},
	} {
		w := bundleWays()[1]
		p := newBundle(t, w, []kernel.Protocol{kernel.AH}, nil, nil)
		sent := w.packet("x")
		sent = slices.Concat(sent[:40], c.headers, sent[40:])
		sent[6] = c.first
		setLength(sent[:40], true, len(sent))
		v := p.seal(sent)
		if (v == sendESP) != c.ok {
			t.Errorf("%s: verdict %d", c.name, v)
		}
		if !c.ok {
			continue
		}
		b := p.wire()
		if c.mutable >= 0 {
			b[c.mutable] ^= 0xff
		}
		bad := slices.Clone(b)
		bad[c.fixed] ^= 0x01
		if p.arrive(bad) != nil {
			t.Errorf("%s: delivered with a change", c.name)
		}
		b[1], b[2], b[7] = 7, 9, 3 // traffic class, flow label, hop limit
		if p.arrive(b) == nil {
			t.Errorf("%s: %v", c.name, p.b.counts.values())
		}
	}
}

// AH's numbers are checked as ESP's are, and never come twice.
func TestAHReplay(t *testing.T) {
	for _, esn := range []bool{false, true} {
		w := bundleWays()[0]
		p := newBundle(t, w, []kernel.Protocol{kernel.AH}, func(s *kernel.SA) { s.ESN = esn }, nil)
		if esn {
			p.a.sad.byReq[1][0].sequence.last.Store(1<<32 - 2)
			x := p.b.sad.all()[0]
			x.replay.accept(1<<32 - 2)
		}
		var sent [][]byte
		for range 3 {
			p.seal(w.packet("x"))
			sent = append(sent, p.wire())
		}
		for _, i := range []int{0, 2, 1} {
			if p.arrive(sent[i]) == nil {
				t.Errorf("packet %d: %v", i, p.b.counts.values())
			}
			if p.arrive(sent[i]) != nil {
				t.Errorf("packet %d came twice", i)
			}
		}
		if n := p.b.counts[inReplay].Load(); n != 3 {
			t.Errorf("%d replays counted", n)
		}
		if s := p.do(p.b, kernel.DumpSA{}).SAs[0]; s.ReplayErr != 3 || s.Packets != 3 {
			t.Errorf("%d replays, %d packets", s.ReplayErr, s.Packets)
		}
	}
	w := bundleWays()[0]
	p := newBundle(t, w, []kernel.Protocol{kernel.AH}, nil, nil)
	p.a.sad.byReq[1][0].sequence.last.Store(1<<32 - 1)
	if v := p.seal(w.packet("x")); v != drop {
		t.Errorf("after the last number: verdict %d", v)
	}
}

// Large packets are cut up behind AH, and come together to what AH covers.
func TestFragmentsOfAH(t *testing.T) {
	for _, w := range bundleWays()[:4] {
		p := newBundle(t, w, []kernel.Protocol{kernel.AH}, nil, nil)
		sent := w.packet(string(make([]byte, 2500)))
		if !netip6(sent) {
			sent[6] = 0 // DF
			setChecksum4(sent[:20])
		}
		if p.out.packet.parse(sent) != nil {
			t.Fatal("parse")
		}
		// As if the way were wider when the packet was protected.
		for _, x := range p.a.sad.all() {
			x.pathMTU = 4000
		}
		if v := p.seal(sent); v != sendESP {
			t.Fatalf("%s: verdict %d", w.local, v)
		}
		whole := p.wire()
		pieces := fragments(whole, len(p.out.header), 1400, 77)
		var r reassembly
		var back []byte
		for i, f := range pieces {
			var q packet
			if err := q.parse(f); err != nil || len(f) > 1400 || !q.fragment {
				t.Fatalf("piece %d of %d octets: %v", i, len(f), err)
			}
			back = r.add(p.now, &q, 0)
		}
		if len(pieces) != 2 || len(back) != len(whole) {
			t.Fatalf("%d pieces, %d octets of %d", len(pieces), len(back), len(whole))
		}
		if p.arrive(back) == nil {
			t.Errorf("%s: %v", w.local, p.b.counts.values())
		}
	}
	if fragments(make([]byte, 100), 20, 20, 1) != nil {
		t.Error("an MTU without room")
	}
}

func netip6(b []byte) bool { return b[0]>>4 == 6 }
