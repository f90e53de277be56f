package kerberos

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Encryption and checksums of every type agree with gokrb5, both ways: a second
// opinion that needs no other program. Its prf is wrong for every type, so that
// is left to MIT's library and the vectors.
func TestAgreesWithGokrb5(t *testing.T) {
	for _, e := range allETypes {
		value := make([]byte, e.suite().keySize())
		rand.Read(value)
		if e == DES3_CBC_SHA1_KD {
			value = append(append(desKey(value[:7]), desKey(value[8:15])...), desKey(value[16:23])...)
		}
		k, err := NewKey(e, value)
		if err != nil {
			t.Fatal(err)
		}
		theirs := types.EncryptionKey{KeyType: int32(e), KeyValue: value}
		etype, err := crypto.GetEtype(int32(e))
		if err != nil {
			t.Fatalf("gokrb5 has no %v: %v", e, err)
		}
		for _, n := range []int{1, 15, 16, 17, 100} {
			data := make([]byte, n)
			rand.Read(data)
			sealed, err := k.Encrypt(usageKINKEncrypt, rand.Reader, data)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := crypto.DecryptMessage(sealed, theirs, usageKINKEncrypt); err != nil || !bytes.HasPrefix(plain, data) {
				t.Errorf("%v, %d octets: gokrb5 decrypts to %x, %v", e, n, plain, err)
			}
			box, err := crypto.GetEncryptedData(data, theirs, usageKINKEncrypt, 0)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := k.Decrypt(usageKINKEncrypt, box.Cipher); err != nil || !bytes.HasPrefix(plain, data) {
				t.Errorf("%v, %d octets of gokrb5 decrypt to %x, %v", e, n, plain, err)
			}
			sum, err := etype.GetChecksumHash(value, data, usageKINKChecksum)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.VerifyChecksum(usageKINKChecksum, data, sum); err != nil {
				t.Errorf("%v, %d octets: gokrb5's checksum: %v", e, n, err)
			}
		}
	}
}
