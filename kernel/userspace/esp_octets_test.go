package userspace

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// The example of RFC 7634, Appendix A: a tunnel with ChaCha20-Poly1305.
func TestVectorRFC7634(t *testing.T) {
	inner := octets(t, `
		45 00 00 54 a6 f2 00 00 40 01 e7 78 c6 33 64 05 c0 00 02 05 08 00 5b 7a 3a 08 00 00 55 3b ec 10
		00 07 36 27 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20 21 22 23
		24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 30 31 32 33 34 35 36 37`)
	outer := octets(t, `
		45 00 00 8c 23 45 00 00 40 32 de 5b cb 00 71 99 cb 00 71 05 01 02 03 04 00 00 00 05 10 11 12 13
		14 15 16 17 24 03 94 28 b9 7f 41 7e 3c 13 75 3a 4f 05 08 7b 67 c3 52 e6 a7 fa b1 b9 82 d4 66 ef
		40 7a e5 c6 14 ee 80 99 d5 28 44 eb 61 aa 95 df ab 4c 02 f7 2a a7 1e 7c 4c 4f 64 c9 be fe 2f ac
		c6 38 e8 f3 cb ec 16 3f ac 46 9b 50 27 73 f6 fb 94 e6 64 da 91 65 b8 28 29 f6 41 e0 76 aa a8 26
		6b 7f b0 f7 b1 1b 36 99 07 e1 ad 43`)
	w := tunnel{mode: kernel.Tunnel, local: "203.0.113.153", peer: "203.0.113.5", inner: "198.51.100.0/24", outer: "192.0.2.0/24", reqID: 1}
	p := newPure(t, w, func(sa *kernel.SA) {
		sa.SPI, sa.Encr = 0x01020304, transform.ENCR_CHACHA20_POLY1305
		sa.EncrKey = nil
		for i := range byte(36) {
			sa.EncrKey = append(sa.EncrKey, 0x80+i)
		}
	})
	var header packet
	if err := header.parse(outer); err != nil {
		t.Fatal(err)
	}
	from := arrival{proto: kernel.ESP, src: header.src(), dst: header.dst(), tos: header.tos, hops: header.hops}
	got := p.b.inbound(p.now, &from, outer[header.upper:], p.result[:])
	if !bytes.Equal(got, inner) {
		t.Errorf("delivered %x, want %x; counters %v", got, inner, p.b.counts.values())
	}
}

// What is sealed is what a second implementation of the algorithms expects.
func TestSealedOctets(t *testing.T) {
	w := tunnel{mode: kernel.Tunnel, local: "192.0.2.1", peer: "192.0.2.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1}
	packet := ipPacket("10.1.0.1", "10.2.0.1", 17, udp(1, 2, "payload of an odd length"))
	key, macKey := bytes.Repeat([]byte{7}, 36), bytes.Repeat([]byte{9}, 32)
	for _, esn := range []bool{false, true} {
		p := newPure(t, w, func(sa *kernel.SA) {
			sa.EncrKey, sa.ESN = bytes.Clone(key), esn
		})
		const before = 5 // packets, and, with ESN, of the second subspace
		first := uint64(before)
		if esn {
			first += 1 << 32
		}
		p.a.sad.byReq[1][0].sequence.last.Store(first)
		if p.seal(packet) != sendESP {
			t.Fatal("not sealed")
		}
		esp := p.out.esp
		aad := bytes.Clone(esp[:8])
		if esn {
			aad = binary.BigEndian.AppendUint64(bytes.Clone(esp[:4]), first+1)
		}
		if binary.BigEndian.Uint32(esp[4:]) != before+1 {
			t.Errorf("sequence number %x", esp[4:8])
		}
		block, _ := aes.NewCipher(key[:32])
		gcm, _ := cipher.NewGCM(block)
		plain, err := gcm.Open(nil, append(bytes.Clone(key[32:]), esp[8:16]...), esp[16:], aad)
		if err != nil {
			t.Fatalf("ESN %v: %v", esn, err)
		}
		checkTrailer(t, plain, packet, 4)

		p = newPure(t, w, func(sa *kernel.SA) {
			sa.Encr, sa.EncrKey, sa.ESN = transform.ENCR_AES_CBC, bytes.Clone(key[:16]), esn
			sa.Integ, sa.IntegKey = transform.AUTH_HMAC_SHA2_256_128, bytes.Clone(macKey)
		})
		p.a.sad.byReq[1][0].sequence.last.Store(first)
		if p.seal(packet) != sendESP {
			t.Fatal("not sealed")
		}
		esp = p.out.esp
		mac := hmac.New(sha256.New, macKey)
		mac.Write(esp[:len(esp)-16])
		if esn { // RFC 4303 §2.2.1: the upper half behind the packet
			mac.Write([]byte{0, 0, 0, 1})
		}
		if !hmac.Equal(mac.Sum(nil)[:16], esp[len(esp)-16:]) {
			t.Errorf("ESN %v: the ICV is not HMAC-SHA-256-128 of the packet", esn)
		}
		block, _ = aes.NewCipher(key[:16])
		plain = bytes.Clone(esp[24 : len(esp)-16])
		cipher.NewCBCDecrypter(block, esp[8:24]).CryptBlocks(plain, plain)
		checkTrailer(t, plain, packet, 16)
	}
}

// checkTrailer wants payload, padding 1, 2, 3 …, pad length and next header.
func checkTrailer(t *testing.T, plain, payload []byte, align int) {
	t.Helper()
	pad := len(plain) - len(payload) - 2
	if len(plain)%align != 0 || pad < 0 || pad >= align || !bytes.HasPrefix(plain, payload) {
		t.Fatalf("plaintext %x for payload %x", plain, payload)
	}
	for i := range pad {
		if plain[len(payload)+i] != byte(i+1) {
			t.Errorf("padding %x", plain[len(payload):])
		}
	}
	if plain[len(plain)-2] != byte(pad) || plain[len(plain)-1] != protoIPv4 {
		t.Errorf("trailer %x", plain[len(plain)-2:])
	}
}
