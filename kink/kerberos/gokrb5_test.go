package kerberos

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"
)

// What is put together from gokrb5's parts is what gokrb5's whole does, both ways and for
// every type.
func TestSameAsGokrb5(t *testing.T) {
	for _, e := range allETypes {
		value := randomKey(e)
		k, err := NewKey(e, value)
		if err != nil {
			t.Fatal(err)
		}
		whole := types.EncryptionKey{KeyType: int32(e), KeyValue: value}
		for _, n := range []int{1, 15, 16, 17, 100} {
			data := make([]byte, n)
			rand.Read(data)
			sealed, err := k.Encrypt(usageKINKEncrypt, rand.Reader, data)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := crypto.DecryptMessage(sealed, whole, usageKINKEncrypt); err != nil || !bytes.HasPrefix(plain, data) {
				t.Errorf("%v, %d octets: gokrb5 decrypts to %x, %v", e, n, plain, err)
			}
			box, err := crypto.GetEncryptedData(data, whole, usageKINKEncrypt, 0)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := k.Decrypt(usageKINKEncrypt, box.Cipher); err != nil || !bytes.HasPrefix(plain, data) {
				t.Errorf("%v, %d octets of gokrb5 decrypt to %x, %v", e, n, plain, err)
			}
			sum, err := e.suite().lib.GetChecksumHash(value, data, usageKINKChecksum)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.VerifyChecksum(usageKINKChecksum, data, sum); err != nil {
				t.Errorf("%v, %d octets: gokrb5's checksum: %v", e, n, err)
			}
		}
	}
}

// The lengths that make gokrb5 panic are refused before it is called, for every type. That
// it still panics is what the guards are for: when it does not any more, this test says so.
func TestLengthGuards(t *testing.T) {
	before := Faults()
	for _, e := range allETypes {
		value := randomKey(e)
		k, err := NewKey(e, value)
		if err != nil {
			t.Fatal(err)
		}
		panics := 0
		for n := range e.suite().minimum() {
			err := guard("test", func() error {
				_, err := crypto.DecryptMessage(make([]byte, n), types.EncryptionKey{KeyType: int32(e), KeyValue: value}, usageTicket)
				return err
			})
			if f := (*fault)(nil); errors.As(err, &f) {
				panics++
			}
			if _, err := k.Decrypt(usageTicket, make([]byte, n)); err == nil || errors.As(err, new(*fault)) {
				t.Errorf("%v with %d octets: %v", e, n, err)
			}
		}
		if panics == 0 {
			t.Errorf("gokrb5 takes every length of %v: its guard has become needless", e)
		}
		if counted := Faults() - before; counted != uint64(panics) {
			t.Errorf("%v: %d faults counted, %d panics", e, counted, panics)
		}
		before = Faults()
	}
}

// randomKey is octets that are a key: DES has parity.
func randomKey(e EType) []byte {
	value := make([]byte, e.suite().keySize())
	rand.Read(value)
	if e == DES3_CBC_SHA1_KD {
		return e.suite().lib.RandomToKey(value[:21])
	}
	return value
}
