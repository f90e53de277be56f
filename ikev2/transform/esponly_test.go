package transform

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"testing"
)

// The GMAC example of draft-mcgrew-gcm-test-01 §4, which RFC 4543's authors wrote
// for it: SPI 0x4321, sequence number 7, an IV of zeros.
func TestGMACVector(t *testing.T) {
	key := unhex(t, "4c80cdefbb5d10da906ac73c3613a63422433c64")
	plaintext := unhex(t, "45000030da3a00008001df3bc0a80005c0a800010800c6cd02000700"+
		"6162636465666768696a6b6c6d6e6f707172737401020201")
	const tag = "f2a9a836e155106aa8dcd618e4099aaa"
	c, err := NewCipher(ENCR_NULL_AUTH_AES_GMAC, key, AUTH_NONE, nil)
	if err != nil {
		t.Fatal(err)
	}
	iv, aad := make([]byte, 8), unhex(t, "0000432100000007")
	got := c.Seal(nil, iv, plaintext, aad, nil)
	if want := hex.EncodeToString(iv) + hex.EncodeToString(plaintext) + tag; hex.EncodeToString(got) != want {
		t.Errorf("%x, want %s", got, want)
	}
	if opened, err := c.Open(got, aad, nil); err != nil || !bytes.Equal(opened, plaintext) {
		t.Errorf("opened %x, %v", opened, err)
	}
}

// A tag of 8 octets is the beginning of the whole one.
func TestShortTagIsBeginning(t *testing.T) {
	for _, bits := range []uint16{128, 192, 256} {
		short, long := suite{ENCR_AES_GCM_8, bits, AUTH_NONE}.cipher(t), suite{ENCR_AES_GCM_16, bits, AUTH_NONE}.cipher(t)
		for n := range 70 {
			iv, plaintext, aad := pattern(byte(n), 8), pattern(9, n), pattern(1, 12)
			got, want := short.Seal(nil, iv, plaintext, aad, nil), long.Seal(nil, iv, plaintext, aad, nil)
			if !bytes.Equal(got, want[:len(want)-8]) {
				t.Fatalf("%d bits, %d octets: %x, want the beginning of %x", bits, n, got, want)
			}
			if opened, err := short.Open(got, aad, nil); err != nil || !bytes.Equal(opened, plaintext) {
				t.Fatalf("%d bits, %d octets: opened %x, %v", bits, n, opened, err)
			}
		}
	}
}

// A packet that fails leaves no plaintext behind.
func TestShortTagLeavesNothing(t *testing.T) {
	c := suite{ENCR_AES_GCM_8, 128, AUTH_NONE}.cipher(t)
	plaintext := bytes.Repeat([]byte("secret"), 8)
	packet := c.Seal(nil, make([]byte, 8), plaintext, pattern(1, 8), nil)
	packet[len(packet)-1] ^= 1
	if _, err := c.Open(packet, pattern(1, 8), nil); !errors.Is(err, ErrIntegrity) {
		t.Fatal(err)
	}
	if bytes.Contains(packet, []byte("secret")) {
		t.Error("the refused plaintext is still there")
	}
}

// An implicit IV gives the octets of the explicit one with the sequence number
// for it (RFC 8750 §4), without it in front.
func TestImplicitIVIsSequence(t *testing.T) {
	for implicit, explicit := range map[suite]suite{
		{ENCR_AES_GCM_16_IIV, 128, AUTH_NONE}:      {ENCR_AES_GCM_16, 128, AUTH_NONE},
		{ENCR_AES_GCM_16_IIV, 256, AUTH_NONE}:      {ENCR_AES_GCM_16, 256, AUTH_NONE},
		{ENCR_AES_CCM_8_IIV, 192, AUTH_NONE}:       {ENCR_AES_CCM_8, 192, AUTH_NONE},
		{ENCR_CHACHA20_POLY1305_IIV, 0, AUTH_NONE}: {ENCR_CHACHA20_POLY1305, 0, AUTH_NONE},
	} {
		for _, v := range []struct{ aad, iv string }{
			{"1000000a00000007", "0000000000000007"},
			{"1000000affffffff", "00000000ffffffff"},
			{"1000000a0000000300000007", "0000000300000007"},
		} {
			a, b := implicit.cipher(t), explicit.cipher(t)
			aad, iv, plaintext := unhex(t, v.aad), unhex(t, v.iv), pattern(3, 77)
			got, want := a.Seal(nil, nil, plaintext, aad, nil), b.Seal(nil, iv, plaintext, aad, nil)
			if !bytes.Equal(got, want[8:]) {
				t.Errorf("%v: %x, want %x", implicit, got, want[8:])
			}
			if opened, err := a.Open(got, aad, nil); err != nil || !bytes.Equal(opened, plaintext) {
				t.Errorf("%v: opened %x, %v", implicit, opened, err)
			}
		}
	}
}

// The nonce by the standard library alone: salt, zeros, sequence number.
func TestImplicitIVNonce(t *testing.T) {
	key := pattern(1, 20)
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	aad := unhex(t, "000100000000abcd")
	want := gcm.Seal(nil, append(bytes.Clone(key[16:]), unhex(t, "000000000000abcd")...), pattern(5, 40), aad)
	c, err := NewCipher(ENCR_AES_GCM_16_IIV, key, AUTH_NONE, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Seal(nil, nil, pattern(5, 40), aad, nil); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// Without ESP's additional data there is no nonce.
func TestImplicitIVNeedsSequence(t *testing.T) {
	c := suite{ENCR_AES_GCM_16_IIV, 128, AUTH_NONE}.cipher(t)
	for n := range 20 {
		if n == 8 || n == 12 {
			continue
		}
		if _, err := c.Open(make([]byte, 64), make([]byte, n), nil); !errors.Is(err, ErrIntegrity) {
			t.Errorf("additional data of %d octets: %v", n, err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("additional data of %d octets sealed", n)
				}
			}()
			c.Seal(nil, nil, nil, make([]byte, n), nil)
		}()
	}
}

func TestUsableForIKE(t *testing.T) {
	for e, want := range map[ENCR]bool{
		ENCR_AES_CBC: true, ENCR_DES: true, ENCR_3DES: true, ENCR_AES_CTR: true, ENCR_AES_CCM_8: true, ENCR_AES_GCM_12: true,
		ENCR_AES_GCM_16: true, ENCR_CHACHA20_POLY1305: true,
		ENCR_NULL: false, ENCR_AES_GCM_8: false, ENCR_NULL_AUTH_AES_GMAC: false,
		ENCR_AES_CCM_8_IIV: false, ENCR_AES_GCM_16_IIV: false, ENCR_CHACHA20_POLY1305_IIV: false, 99: false,
	} {
		if e.UsableForIKE() != want {
			t.Errorf("%v: UsableForIKE is %v", e, !want)
		}
	}
}

func TestIntegrity(t *testing.T) {
	for _, integ := range []INTEG{AUTH_HMAC_SHA2_256_128, AUTH_AES_XCBC_96, AUTH_HMAC_MD5_96} {
		i, err := NewIntegrity(integ, pattern(1, integ.KeyLen()))
		if err != nil {
			t.Fatal(err)
		}
		// The same as the ICV of ESP without encryption over the same octets.
		c, err := NewCipher(ENCR_NULL, nil, integ, pattern(1, integ.KeyLen()))
		if err != nil {
			t.Fatal(err)
		}
		want := c.Seal(nil, nil, pattern(20, 10), pattern(7, 8), pattern(9, 4))[10:]
		if got := i.Sum(pattern(7, 8), pattern(20, 10), pattern(9, 4)); !bytes.Equal(got, want) || i.Size() != len(want) {
			t.Errorf("%v: %x, want %x", integ, got, want)
		}
		if !i.Verify(want, pattern(7, 8), pattern(20, 10), pattern(9, 4)) || i.Verify(want, pattern(7, 8)) || i.Verify(nil, pattern(7, 8)) {
			t.Errorf("%v: Verify is wrong", integ)
		}
	}
	for _, integ := range []INTEG{AUTH_NONE, 99} {
		if _, err := NewIntegrity(integ, nil); err == nil {
			t.Errorf("%v makes an ICV", integ)
		}
	}
	if _, err := NewIntegrity(AUTH_HMAC_SHA1_96, make([]byte, 19)); err == nil {
		t.Error("a key of 19 octets was taken")
	}
}
