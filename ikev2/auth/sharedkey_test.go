package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"racoon2/ikev2/transform"
)

func mac(key []byte, data ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// The value is that of RFC 7296 §2.15, computed a second time by hand.
func TestSharedKey(t *testing.T) {
	p, err := transform.NewPRF(transform.PRF_HMAC_SHA2_256)
	if err != nil {
		t.Fatal(err)
	}
	psk := []byte("secret")
	s := Signed{Message: []byte("message"), PeerNonce: []byte("nonce"), SKp: []byte("sk"), ID: []byte{2, 0, 0, 0, 'a'}}
	want := mac(mac(psk, []byte("Key Pad for IKEv2")), []byte("messagenonce"), mac([]byte("sk"), s.ID))
	got := SharedKey(p, psk, s)
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if !CheckSharedKey(p, psk, s, got) {
		t.Error("the right value is refused")
	}
	for name, change := range map[string]func(*Signed, *[]byte, *[]byte){
		"message":   func(s *Signed, _, _ *[]byte) { s.Message = []byte("messagE") },
		"nonce":     func(s *Signed, _, _ *[]byte) { s.PeerNonce = []byte("noncE") },
		"SK_p":      func(s *Signed, _, _ *[]byte) { s.SKp = []byte("sK") },
		"ID":        func(s *Signed, _, _ *[]byte) { s.ID = []byte{11, 0, 0, 0, 'a'} },
		"key":       func(_ *Signed, k, _ *[]byte) { *k = []byte("Secret") },
		"empty":     func(_ *Signed, _, v *[]byte) { *v = nil },
		"truncated": func(_ *Signed, _, v *[]byte) { *v = (*v)[:16] },
		"extended":  func(_ *Signed, _, v *[]byte) { *v = append(bytes.Clone(*v), 0) },
	} {
		other, key, value := s, psk, got
		change(&other, &key, &value)
		if CheckSharedKey(p, key, other, value) {
			t.Errorf("accepted with another %s", name)
		}
	}
	if string(psk) != "secret" {
		t.Error("the key was changed")
	}
}
