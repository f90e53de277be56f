package transform

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// suite is a cipher with its integrity algorithm and key length.
type suite struct {
	encr  ENCR
	bits  uint16
	integ INTEG
}

func (s suite) String() string {
	return fmt.Sprintf("%v-%d/%v", s.encr, s.bits, s.integ)
}

// suites is every shape of cipher that is built.
func suites() []suite {
	return []suite{
		{ENCR_AES_GCM_16, 128, AUTH_NONE},
		{ENCR_AES_GCM_16, 192, AUTH_NONE},
		{ENCR_AES_GCM_16, 256, AUTH_NONE},
		{ENCR_AES_GCM_12, 128, AUTH_NONE},
		{ENCR_CHACHA20_POLY1305, 0, AUTH_NONE},
		{ENCR_AES_CBC, 128, AUTH_HMAC_SHA1_96},
		{ENCR_AES_CBC, 192, AUTH_HMAC_SHA2_384_192},
		{ENCR_AES_CBC, 256, AUTH_HMAC_SHA2_256_128},
		{ENCR_AES_CBC, 256, AUTH_HMAC_SHA2_512_256},
		{ENCR_NULL, 0, AUTH_HMAC_SHA2_256_128},
		{ENCR_AES_CTR, 128, AUTH_AES_XCBC_96},
		{ENCR_AES_CTR, 256, AUTH_HMAC_SHA2_256_128},
		{ENCR_AES_CBC, 128, AUTH_AES_CMAC_96},
		{ENCR_AES_CCM_8, 128, AUTH_NONE},
		{ENCR_AES_CCM_12, 192, AUTH_NONE},
		{ENCR_AES_CCM_16, 256, AUTH_NONE},
		{ENCR_3DES, 0, AUTH_HMAC_MD5_96},
		{ENCR_DES, 0, AUTH_HMAC_SHA1_96},
		{ENCR_AES_GCM_8, 128, AUTH_NONE},
		{ENCR_NULL_AUTH_AES_GMAC, 256, AUTH_NONE},
		{ENCR_AES_GCM_16_IIV, 128, AUTH_NONE},
		{ENCR_AES_CCM_8_IIV, 256, AUTH_NONE},
		{ENCR_CHACHA20_POLY1305_IIV, 0, AUTH_NONE},
	}
}

// pattern is n octets counting up from first.
func pattern(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func (s suite) cipher(t testing.TB) Cipher {
	t.Helper()
	n, err := s.encr.KeyLen(s.bits)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCipher(s.encr, pattern(1, n), s.integ, pattern(0x80, s.integ.KeyLen()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSealOpen(t *testing.T) {
	for _, s := range suites() {
		t.Run(s.String(), func(t *testing.T) {
			c := s.cipher(t)
			if c.IVSize() != s.encr.IVLen() || c.BlockSize() != s.encr.BlockLen() ||
				c.ICVSize() != s.encr.ICVLen()+s.integ.ICVLen() {
				t.Errorf("sizes IV %d, block %d, ICV %d differ from the registry's",
					c.IVSize(), c.BlockSize(), c.ICVSize())
			}
			aad, tail, iv := pattern(3, 8), pattern(9, 4), pattern(7, c.IVSize())
			for _, n := range []int{0, 16, 48, 1408} {
				plaintext := pattern(5, n)
				packet := c.Seal([]byte("head"), iv, plaintext, aad, tail)
				packet, isHead := bytes.CutPrefix(packet, []byte("head"))
				if !isHead || len(packet) != c.IVSize()+n+c.ICVSize() || !bytes.HasPrefix(packet, iv) {
					t.Fatalf("%d octets sealed to %d, IV %x", n, len(packet), packet[:c.IVSize()])
				}
				got, err := c.Open(bytes.Clone(packet), aad, tail)
				if err != nil || !bytes.Equal(got, plaintext) {
					t.Fatalf("%d octets: opened %x, %v", n, got, err)
				}
			}
		})
	}
}

// Sealing in place gives the same octets as sealing a copy.
func TestSealInPlace(t *testing.T) {
	for _, s := range suites() {
		c := s.cipher(t)
		iv, plaintext, aad := pattern(7, c.IVSize()), pattern(5, 64), pattern(1, 8)
		want := c.Seal(nil, iv, plaintext, aad, nil)
		buf := make([]byte, 8+c.IVSize()+len(plaintext)+c.ICVSize())
		room := buf[8+c.IVSize():][:len(plaintext)]
		copy(room, plaintext)
		got := c.Seal(buf[:8], iv, room, aad, nil)
		if !bytes.Equal(got[8:], want) {
			t.Errorf("%v: in place %x, want %x", s, got[8:], want)
		}
	}
}

// Every single octet of packet, AAD and tail is covered by the integrity check,
// and so is the packet's length.
func TestOpenRefuses(t *testing.T) {
	for _, s := range suites() {
		t.Run(s.String(), func(t *testing.T) {
			c := s.cipher(t)
			aad, tail := pattern(3, 8), pattern(9, 4)
			if s.encr.AEAD() {
				tail = nil
			}
			packet := c.Seal(nil, pattern(7, c.IVSize()), pattern(5, 32), aad, tail)
			try := func(what string, p, aad, tail []byte) {
				t.Helper()
				if got, err := c.Open(p, aad, tail); !errors.Is(err, ErrIntegrity) {
					t.Errorf("%s: opened %x, %v", what, got, err)
				}
			}
			flip := func(b []byte, i int) []byte {
				b = bytes.Clone(b)
				b[i] ^= 0x40
				return b
			}
			for i := range packet {
				try(fmt.Sprintf("octet %d changed", i), flip(packet, i), aad, tail)
				try(fmt.Sprintf("cut to %d", i), bytes.Clone(packet[:i]), aad, tail)
			}
			for i := range aad {
				try(fmt.Sprintf("AAD octet %d changed", i), bytes.Clone(packet), flip(aad, i), tail)
			}
			for i := range tail {
				try(fmt.Sprintf("tail octet %d changed", i), bytes.Clone(packet), aad, flip(tail, i))
			}
			try("longer", append(bytes.Clone(packet), 0), aad, tail)
		})
	}
}

// A peer that holds the key can still send a ciphertext of a wrong length.
func TestOpenPartBlock(t *testing.T) {
	c := suite{ENCR_AES_CBC, 128, AUTH_HMAC_SHA2_256_128}.cipher(t).(*maced)
	packet := make([]byte, 16+15)
	packet = append(packet, c.icv(nil, packet, nil)...)
	if _, err := c.Open(packet, nil, nil); !errors.Is(err, ErrBlocks) {
		t.Errorf("error %v, want %v", err, ErrBlocks)
	}
}

func TestNewCipherRefuses(t *testing.T) {
	for _, tc := range []struct {
		name     string
		encr     ENCR
		key      int
		integ    INTEG
		integKey int
		want     string
	}{
		{"not built", 4, 8, AUTH_HMAC_SHA1_96, 20, "ENCR_RC5 is not built"},
		{"unknown", 99, 16, AUTH_NONE, 0, "ENCR(99) is not built"},
		{"INTEG not built", ENCR_AES_CBC, 16, 99, 16, "INTEG(99) is not built"},
		{"AEAD with INTEG", ENCR_AES_GCM_16, 20, AUTH_HMAC_SHA1_96, 20,
			"ENCR_AES_GCM_16 needs no integrity algorithm, but AUTH_HMAC_SHA1_96 was given"},
		{"CBC alone", ENCR_AES_CBC, 16, AUTH_NONE, 0, "ENCR_AES_CBC needs an integrity algorithm"},
		{"NULL alone", ENCR_NULL, 0, AUTH_NONE, 0, "ENCR_NULL needs an integrity algorithm"},
		{"INTEG key", ENCR_AES_CBC, 16, AUTH_HMAC_SHA2_256_128, 20,
			"AUTH_HMAC_SHA2_256_128: key of 20 octets, want 32"},
		{"GCM without salt", ENCR_AES_GCM_16, 16, AUTH_NONE, 0,
			"ENCR_AES_GCM_16: keying material of 16 octets fits no key length"},
		{"no key", ENCR_AES_GCM_16, 0, AUTH_NONE, 0,
			"ENCR_AES_GCM_16: keying material of 0 octets fits no key length"},
		{"odd key", ENCR_AES_CBC, 17, AUTH_HMAC_SHA1_96, 20,
			"ENCR_AES_CBC: keying material of 17 octets fits no key length"},
		{"huge key", ENCR_AES_CBC, 1 << 20, AUTH_HMAC_SHA1_96, 20,
			"ENCR_AES_CBC: keying material of 1048576 octets fits no key length"},
		{"ChaCha20 without salt", ENCR_CHACHA20_POLY1305, 32, AUTH_NONE, 0,
			"ENCR_CHACHA20_POLY1305: keying material of 32 octets, want 36"},
		{"NULL with key", ENCR_NULL, 16, AUTH_HMAC_SHA1_96, 20,
			"ENCR_NULL: keying material of 16 octets, want 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewCipher(tc.encr, make([]byte, tc.key), tc.integ, make([]byte, tc.integKey))
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

// The data path must not load the garbage collector.
func TestNoAllocations(t *testing.T) {
	for _, s := range suites() {
		c := s.cipher(t)
		iv, plaintext, aad, tail := pattern(7, c.IVSize()), pattern(5, 1408), pattern(1, 8), pattern(1, 4)
		buf := make([]byte, 0, 2048)
		packet := c.Seal(nil, iv, plaintext, aad, tail)
		work := make([]byte, len(packet))
		if n := testing.AllocsPerRun(100, func() { buf = c.Seal(buf[:0], iv, plaintext, aad, tail) }); n != 0 {
			t.Errorf("%v: Seal allocates %v times", s, n)
		}
		n := testing.AllocsPerRun(100, func() {
			copy(work, packet)
			if _, err := c.Open(work, aad, tail); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v: Open allocates %v times", s, n)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, s := range suites() {
		b.Run(s.String(), func(b *testing.B) {
			c := s.cipher(b)
			iv, plaintext, aad := pattern(7, c.IVSize()), pattern(5, 1408), pattern(1, 8)
			buf := make([]byte, 0, 2048)
			b.SetBytes(int64(len(plaintext)))
			b.ReportAllocs()
			for b.Loop() {
				buf = c.Seal(buf[:0], iv, plaintext, aad, nil)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range suites() {
		b.Run(s.String(), func(b *testing.B) {
			c := s.cipher(b)
			packet := c.Seal(nil, pattern(7, c.IVSize()), pattern(5, 1408), pattern(1, 8), nil)
			work, aad := make([]byte, len(packet)), pattern(1, 8)
			b.SetBytes(1408)
			b.ReportAllocs()
			for b.Loop() {
				copy(work, packet)
				if _, err := c.Open(work, aad, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
