package kerberos

import (
	"crypto/rand"
	"errors"
	"testing"
)

// TestWipedKey: a key that has been wiped does nothing. A key of zeros, which is what its
// octets are then, is one that everybody has.
func TestWipedKey(t *testing.T) {
	for _, e := range append(DefaultETypes(), DES3_CBC_SHA1_KD, RC4_HMAC) {
		value := make([]byte, e.suite().keySize())
		for i := range value {
			value[i] = byte(i + 1)
		}
		for _, used := range []bool{false, true} {
			k, err := NewKey(e, value)
			if err != nil {
				t.Fatal(err)
			}
			cipher, err := k.Encrypt(usageKINKEncrypt, rand.Reader, []byte("plain"))
			if err != nil {
				t.Fatal(err)
			}
			if used {
				if _, err := k.Checksum(usageKINKChecksum, nil); err != nil {
					t.Fatal(err)
				}
			}
			k.wipe()
			_, encrypt := k.Encrypt(usageKINKEncrypt, rand.Reader, []byte("plain"))
			_, decrypt := k.Decrypt(usageKINKEncrypt, cipher)
			_, sum := k.Checksum(usageKINKChecksum, nil)
			_, prf := k.PRF(nil, false)
			for what, err := range map[string]error{"Encrypt": encrypt, "Decrypt": decrypt, "Checksum": sum, "PRF": prf} {
				if !errors.Is(err, errWiped) {
					t.Errorf("%v: %s after the wiping: %v", e, what, err)
				}
			}
			if out := (&session{key: k}).PRF(nil); out != nil {
				t.Errorf("%v: keying material %x", e, out)
			}
		}
	}
}
