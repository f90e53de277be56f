package transform

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, v := range []struct {
		value fmt.Stringer
		want  string
	}{
		{TypeENCR, "ENCR"}, {TypePRF, "PRF"}, {TypeINTEG, "INTEG"}, {TypeKE, "KE"}, {TypeSN, "SN"},
		{Type(6), "ADDKE1"}, {Type(12), "ADDKE7"}, {Type(99), "TYPE(99)"},
		{ENCR_3DES, "ENCR_3DES"}, {ENCR_NULL, "ENCR_NULL"}, {ENCR_AES_CBC, "ENCR_AES_CBC"},
		{ENCR_AES_GCM_16, "ENCR_AES_GCM_16"}, {ENCR_CHACHA20_POLY1305, "ENCR_CHACHA20_POLY1305"},
		{ENCR(23), "ENCR_CAMELLIA_CBC"}, {ENCR(99), "ENCR(99)"},
		{PRF_HMAC_SHA2_384, "PRF_HMAC_SHA2_384"}, {PRF_AES128_XCBC, "PRF_AES128_XCBC"}, {PRF(99), "PRF(99)"},
		{AUTH_NONE, "NONE"}, {AUTH_HMAC_SHA2_256_128, "AUTH_HMAC_SHA2_256_128"}, {INTEG(99), "INTEG(99)"},
		{KE_NONE, "NONE"}, {KE_MODP_2048, "MODP_2048"}, {KE_ECP_256, "ECP_256"},
		{KE_CURVE25519, "CURVE25519"}, {KE(24), "MODP_2048_256"}, {KE(99), "KE(99)"},
		{SN_32BIT, "SN_32BIT"}, {SN_EXTENDED, "SN_EXTENDED"}, {SN(99), "SN(99)"},
	} {
		if got := v.value.String(); got != v.want {
			t.Errorf("%T: %q, want %q", v.value, got, v.want)
		}
	}
}

// No two numbers of a registry share a name, and every number has one.
func TestNamesUnique(t *testing.T) {
	for what, name := range map[string]func(uint16) string{
		"ENCR":  func(n uint16) string { return ENCR(n).String() },
		"PRF":   func(n uint16) string { return PRF(n).String() },
		"INTEG": func(n uint16) string { return INTEG(n).String() },
		"KE":    func(n uint16) string { return KE(n).String() },
		"SN":    func(n uint16) string { return SN(n).String() },
		"Type":  func(n uint16) string { return Type(n).String() },
	} {
		seen := map[string]uint16{}
		for n := range uint16(100) {
			s := name(n)
			if other, ok := seen[s]; ok || s == "" {
				t.Errorf("%s: %d and %d are both %q", what, other, n, s)
			}
			seen[s] = n
		}
	}
}

func TestENCRProperties(t *testing.T) {
	for _, v := range []struct {
		encr ENCR
		bits uint16
		key  int    // with salt; 0 with a wrong length
		err  string // part of KeyLen's error
	}{
		{ENCR_AES_CBC, 128, 16, ""},
		{ENCR_AES_CBC, 192, 24, ""},
		{ENCR_AES_CBC, 256, 32, ""},
		{ENCR_AES_CBC, 0, 0, "Key Length attribute is missing"},
		{ENCR_AES_CBC, 129, 0, "key length of 129 bits; 128, 192 or 256 are possible"},
		{ENCR_AES_GCM_16, 128, 20, ""},
		{ENCR_AES_GCM_12, 256, 36, ""},
		{ENCR_AES_GCM_8, 256, 36, ""},
		{ENCR_AES_CCM_16, 128, 19, ""},
		{ENCR_AES_CTR, 192, 28, ""},
		{ENCR_NULL_AUTH_AES_GMAC, 128, 20, ""},
		{ENCR_CHACHA20_POLY1305, 0, 36, ""},
		{ENCR_CHACHA20_POLY1305, 256, 0, "256 bits given, but it is fixed"},
		{ENCR_AES_GCM_16_IIV, 128, 20, ""},
		{ENCR_AES_GCM_16_IIV, 0, 0, "Key Length attribute is missing"},
		{ENCR_AES_CCM_8_IIV, 256, 35, ""},
		{ENCR_CHACHA20_POLY1305_IIV, 0, 36, ""},
		{ENCR_DES, 0, 8, ""},
		{ENCR_3DES, 0, 24, ""},
		{ENCR_NULL, 0, 0, ""},
		{ENCR_NULL, 128, 0, "fixed"},
		{99, 128, 0, "ENCR(99): the key length is not known"},
	} {
		n, err := v.encr.KeyLen(v.bits)
		if n != v.key || (err == nil) != (v.err == "") || err != nil && !strings.Contains(err.Error(), v.err) {
			t.Errorf("%v with %d bits: %d octets, %v", v.encr, v.bits, n, err)
		}
		if v.encr.ValidKeyBits(v.bits) != (v.err == "") {
			t.Errorf("%v: ValidKeyBits(%d) disagrees with KeyLen", v.encr, v.bits)
		}
	}
	for _, e := range []ENCR{ENCR_DES, ENCR_3DES, ENCR_NULL, ENCR_AES_CBC, ENCR_AES_CTR, 99} {
		if e.AEAD() || e.ICVLen() != 0 {
			t.Errorf("%v is taken for an AEAD", e)
		}
	}
	for e, icv := range map[ENCR]int{ENCR_AES_CCM_8: 8, ENCR_AES_CCM_12: 12, ENCR_AES_CCM_16: 16, ENCR_AES_GCM_8: 8,
		ENCR_AES_GCM_12: 12, ENCR_AES_GCM_16: 16, ENCR_NULL_AUTH_AES_GMAC: 16, ENCR_CHACHA20_POLY1305: 16} {
		if !e.AEAD() || e.ICVLen() != icv || e.IVLen() != 8 || e.BlockLen() != 1 {
			t.Errorf("%v: AEAD %v, ICV %d, IV %d, block %d", e, e.AEAD(), e.ICVLen(), e.IVLen(), e.BlockLen())
		}
	}
}

func TestSizes(t *testing.T) {
	for _, v := range []struct {
		integ    INTEG
		key, icv int
		built    bool
	}{
		{AUTH_NONE, 0, 0, true},
		{AUTH_HMAC_MD5_96, 16, 12, true},
		{AUTH_HMAC_SHA1_96, 20, 12, true},
		{AUTH_AES_XCBC_96, 16, 12, true},
		{AUTH_AES_CMAC_96, 16, 12, true},
		{AUTH_HMAC_SHA2_256_128, 32, 16, true},
		{AUTH_HMAC_SHA2_384_192, 48, 24, true},
		{AUTH_HMAC_SHA2_512_256, 64, 32, true},
		{99, 0, 0, false},
	} {
		if v.integ.KeyLen() != v.key || v.integ.ICVLen() != v.icv || v.integ.Built() != v.built {
			t.Errorf("%v: key %d, ICV %d, built %v", v.integ, v.integ.KeyLen(), v.integ.ICVLen(), v.integ.Built())
		}
	}
	for k, n := range map[KE]int{KE_NONE: 0, KE_MODP_768: 96, KE_MODP_1024: 128, KE_MODP_1536: 192, KE_MODP_2048: 256,
		KE_MODP_3072: 384, KE_MODP_4096: 512, KE_MODP_6144: 768, KE_MODP_8192: 1024,
		KE_ECP_256: 64, KE_ECP_384: 96, KE_ECP_521: 132, KE_CURVE25519: 32, KE_CURVE448: 56} {
		if k.PublicLen() != n {
			t.Errorf("%v: public value of %d octets, want %d", k, k.PublicLen(), n)
		}
	}
	for _, p := range []PRF{0, 3, 99} {
		if _, err := NewPRF(p); err == nil || p.Built() {
			t.Errorf("%v is built", p)
		}
	}
	if ENCR(4).Built() || !ENCR_DES.Built() || !ENCR_AES_GCM_16.Built() || !PRF_HMAC_SHA1.Built() || !KE_ECP_521.Built() {
		t.Error("Built disagrees with what is built")
	}
}

// prf+ at every length up to its limit against HKDF-Expand, which is the same
// function (RFC 5869 §2.3).
func TestPlusLengths(t *testing.T) {
	p, err := NewPRF(PRF_HMAC_SHA2_256)
	if err != nil {
		t.Fatal(err)
	}
	key, seed := pattern(1, 32), pattern(100, 80)
	for _, n := range []int{0, 1, 31, 32, 33, 64, 100, 255*32 - 1, 255 * 32} {
		want, err := hkdf.Expand(sha256.New, key, string(seed), n)
		if err != nil {
			t.Fatal(err)
		}
		if got := Plus(p, key, seed, n); string(got) != string(want) || cap(got) != n {
			t.Errorf("%d octets: %x, want %x", n, got, want)
		}
	}
	for _, n := range []int{-1, 255*32 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d octets were made", n)
				}
			}()
			Plus(p, key, seed, n)
		}()
	}
}
