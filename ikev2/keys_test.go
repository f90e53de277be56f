package ikev2

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"racoon2/ikev2/transform"
)

// The key derivation of RFC 7296 §2.14 and §2.17, computed a second time with
// nothing but HMAC.
func deriveKeys(s suite, seed, ni, nr []byte, spii, spir uint64, initiator bool) (*keys, error) {
	return new(Engine).deriveKeys(s, seed, ni, nr, spii, spir, initiator)
}

func TestKeyDerivation(t *testing.T) {
	mac := func(key []byte, data ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, d := range data {
			h.Write(d)
		}
		return h.Sum(nil)
	}
	plus := func(key, seed []byte, n int) []byte {
		var out, last []byte
		for i := byte(1); len(out) < n; i++ {
			last = mac(key, last, seed, []byte{i})
			out = append(out, last...)
		}
		return out[:n]
	}
	ni, nr := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 24)
	shared := bytes.Repeat([]byte{3}, 32)
	const spii, spir = 0x0102030405060708, 0x1112131415161718
	s := suite{Encryption{transform.ENCR_AES_CBC, 128}, transform.PRF_HMAC_SHA2_256, transform.AUTH_HMAC_SHA2_256_128, transform.KE_CURVE25519}

	p, err := transform.NewPRF(s.prf)
	if err != nil {
		t.Fatal(err)
	}
	seed := firstSeed(s.prf, p, ni, nr, shared)
	if want := mac(concat(ni, nr), shared); !bytes.Equal(seed, want) {
		t.Errorf("SKEYSEED %x, want %x", seed, want)
	}
	spis := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, spii), spir)
	// {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr}: 32 32 32 16 16 32 32
	stream := plus(seed, concat(ni, nr, spis), 192)
	i, err := deriveKeys(s, seed, ni, nr, spii, spir, true)
	if err != nil {
		t.Fatal(err)
	}
	r, err := deriveKeys(s, seed, ni, nr, spii, spir, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"SK_d": {i.d, stream[:32]}, "SK_pi": {i.pOwn, stream[128:160]}, "SK_pr": {i.pPeer, stream[160:]},
		"the responder's SK_pr": {r.pOwn, stream[160:]}, "the responder's SK_d": {r.d, stream[:32]},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("%s is %x, want %x", name, pair[0], pair[1])
		}
	}
	// SK_ei and SK_ai are in the ciphers: what one end seals the other opens,
	// and the octets are those of a cipher with the keys cut by hand.
	byHand, err := transform.NewCipher(s.encr.ID, stream[96:112], s.integ, stream[32:64])
	if err != nil {
		t.Fatal(err)
	}
	iv, text, aad := make([]byte, 16), make([]byte, 32), []byte("header")
	sealed := i.seals.Seal(nil, iv, bytes.Clone(text), aad, nil)
	if !bytes.Equal(sealed, byHand.Seal(nil, iv, bytes.Clone(text), aad, nil)) {
		t.Error("SK_ei or SK_ai is cut at another place")
	}
	if got, err := r.opens.Open(sealed, aad, nil); err != nil || !bytes.Equal(got, text) {
		t.Errorf("opened %x, %v", got, err)
	}

	// Fixed-length PRFs take 64 bits of each nonce.
	if got, want := firstSeed(transform.PRF_AES128_CMAC, p, ni, nr, shared), mac(concat(ni[:8], nr[:8]), shared); !bytes.Equal(got, want) {
		t.Errorf("SKEYSEED of a fixed-length PRF %x, want %x", got, want)
	}

	// KEYMAT = prf+(SK_d, g^ir | Ni | Nr), initiator first, encryption before integrity.
	cs := childSuite{encr: Encryption{transform.ENCR_AES_CBC, 256}, integ: transform.AUTH_HMAC_SHA2_256_128}
	for _, pfs := range [][]byte{nil, shared} {
		keymat := plus(i.d, concat(pfs, ni, nr), 2*(32+32))
		k, err := deriveChildKeys(i, cs, pfs, ni, nr)
		if err != nil {
			t.Fatal(err)
		}
		if got := concat(k.encrI, k.integI, k.encrR, k.integR); !bytes.Equal(got, keymat) {
			t.Errorf("KEYMAT %x, want %x", got, keymat)
		}
	}
	if got, want := rekeySeed(i, shared, ni, nr), mac(i.d, shared, ni, nr); !bytes.Equal(got, want) {
		t.Errorf("SKEYSEED after rekeying %x, want %x", got, want)
	}
	d := i.d
	i.wipe()
	if !bytes.Equal(d, make([]byte, 32)) {
		t.Error("SK_d is still there")
	}
}

// Algorithms that do not exist, or key lengths that do not exist, are an error.
func TestUnusableSuites(t *testing.T) {
	good := suite{Encryption{transform.ENCR_AES_GCM_16, 128}, transform.PRF_HMAC_SHA2_256, 0, transform.KE_CURVE25519}
	for name, change := range map[string]func(*suite){
		"PRF":    func(s *suite) { s.prf = transform.PRF(65000) },
		"cipher": func(s *suite) { s.encr.ID = transform.ENCR(65000) },
		"bits":   func(s *suite) { s.encr.KeyBits = 17 },
		"INTEG":  func(s *suite) { s.encr.ID, s.integ = transform.ENCR_AES_CBC, transform.AUTH_NONE },
	} {
		s := good
		change(&s)
		if _, err := deriveKeys(s, make([]byte, 32), make([]byte, 16), make([]byte, 16), 1, 2, true); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
