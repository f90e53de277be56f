package message

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"racoon2/ikev2/transform"
)

// RFC 7634 appendix B is a whole IKE message with its key.
func TestPublishedMessage(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c, err := transform.NewCipher(transform.ENCR_CHACHA20_POLY1305, count(0x80, 36), transform.AUTH_NONE, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029" +
		"1011121314151617610394701f8d017f7c129248896b71bfe25236efd7cdc67066906315b2")
	h := Header{SPIi: 0xc0c1c2c3c4c5c6c7, SPIr: 0xd0d1d2d3d4d5d6d7, Exchange: INFORMATIONAL, MessageID: 9}
	window := &Notify{Kind: SET_WINDOW_SIZE, Data: []byte{0, 0, 0, 10}}
	raw, err := Seal(h, []Payload{window}, c, count(0x10, 8))
	if err != nil || !bytes.Equal(raw, want) {
		t.Fatalf("sealed %x, %v\nwant %x", raw, err, want)
	}
	m, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := Open(raw, m, c)
	if err != nil || fmt.Sprint(normal(inner)) != fmt.Sprint(normal([]Payload{window})) {
		t.Errorf("opened %v, %v", normal(inner), err)
	}
}

// Padding brings the plaintext to whole blocks, and no further.
func TestPadding(t *testing.T) {
	for name, c := range ciphers(t) {
		for n := range 40 {
			raw, err := Seal(sealedHeader, []Payload{&VendorID{Data: count(0, n)}}, c, count(9, c.IVSize()))
			if err != nil {
				t.Fatal(err)
			}
			text := len(raw) - HeaderLen - 4 - c.IVSize() - c.ICVSize()
			if text%c.BlockSize() != 0 || text < 4+n+1 || text > 4+n+c.BlockSize() {
				t.Errorf("%s: %d octets of content became %d", name, 4+n, text)
			}
			m, err := Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			inner, err := Open(raw, m, c)
			if err != nil || len(inner) != 1 || !bytes.Equal(inner[0].(*VendorID).Data, count(0, n)) {
				t.Errorf("%s, %d octets: %v, %v", name, n, inner, err)
			}
		}
	}
}

// Nothing of a message can change without the check noticing: header, SK header,
// IV, ciphertext, ICV.
func TestEveryOctetProtected(t *testing.T) {
	for name, c := range ciphers(t) {
		raw, err := Seal(sealedHeader, authRequest(), c, count(9, c.IVSize()))
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 0x20
			m, err := Decode(bad)
			if err != nil {
				continue // the version, a length or the chain no longer fits
			}
			if _, err := Open(bad, m, c); !errors.Is(err, transform.ErrIntegrity) && !errors.Is(err, ErrNotEncrypted) {
				t.Errorf("%s: octet %d changed: %v", name, i, err)
			}
		}
	}
}

// plaintext seals octets as they are, as a peer with the key but a bad encoder would.
func plaintext(t testing.TB, c transform.Cipher, first PayloadType, text []byte) []byte {
	t.Helper()
	total := HeaderLen + genericLen + c.IVSize() + len(text) + c.ICVSize()
	b := appendHeader(nil, sealedHeader)
	b[16], b[26], b[27] = byte(PayloadSK), byte(total>>8), byte(total)
	n := total - HeaderLen
	b = append(b, byte(first), 0, byte(n>>8), byte(n))
	return c.Seal(b, count(9, c.IVSize()), text, bytes.Clone(b), nil)
}

func TestOpenRefuses(t *testing.T) {
	gcm, cbc := ciphers(t)["AES-GCM"], ciphers(t)["AES-CBC"]
	for _, v := range []struct {
		name string
		raw  []byte
		c    transform.Cipher
		want string
	}{
		{"no SK", wire(PayloadVendor, generic(0)), gcm, ErrNotEncrypted.Error()},
		{"no payload", wire(NoNextPayload), gcm, ErrNotEncrypted.Error()},
		{"empty SK", wire(PayloadSK, generic(0)), gcm, transform.ErrIntegrity.Error()},
		{"short SK", wire(PayloadSK, generic(0, count(0, 23)...)), gcm, transform.ErrIntegrity.Error()},
		{"short SK with CBC", wire(PayloadSK, generic(0, count(0, 31)...)), cbc, transform.ErrIntegrity.Error()},
		{"no pad length", plaintext(t, gcm, 0, nil), gcm, "SK payload malformed at octet 0: the pad length is missing"},
		{"no block", plaintext(t, cbc, 0, nil), cbc, "SK payload malformed at octet 0: the pad length is missing"},
		{"pad length", plaintext(t, gcm, 0, []byte{0, 0, 3}), gcm,
			"SK payload malformed at octet 2: 3 octets of padding, but there are 2"},
		{"content without type", plaintext(t, gcm, 0, []byte{1, 2, 3, 0}), gcm,
			"message malformed at octet 0: 3 octets follow the last payload"},
		{"malformed inside", plaintext(t, gcm, PayloadNonce, []byte{0, 0, 0, 5, 1, 0}), gcm,
			"Nonce payload malformed at octet 4: 1 octets of nonce, want 16 to 256"},
		{"SK in SK", plaintext(t, gcm, PayloadSK, []byte{0, 0, 0, 4, 0}), gcm,
			"SK payload malformed at octet 0: an encrypted payload stands inside another"},
	} {
		t.Run(v.name, func(t *testing.T) {
			m, err := Decode(v.raw)
			if err != nil {
				t.Fatal(err)
			}
			inner, err := Open(v.raw, m, v.c)
			if err == nil || err.Error() != v.want {
				t.Errorf("opened %v, %v\nwant %s", inner, err, v.want)
			}
		})
	}
}

// Padding of any value and more of it than needed is taken (RFC 7296 §3.14).
func TestForeignPadding(t *testing.T) {
	for name, c := range ciphers(t) {
		text := append(generic(0, 0, 0, 0x40, 0), bytes.Repeat([]byte{0x5a}, 23)...)
		raw := plaintext(t, c, PayloadNotify, append(text, 23))
		m, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := Open(raw, m, c)
		if err != nil || len(inner) != 1 || inner[0].(*Notify).Kind != INITIAL_CONTACT {
			t.Errorf("%s: %v, %v", name, inner, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	c := ciphers(t)["AES-GCM"]
	if _, err := Seal(sealedHeader, nil, c, make([]byte, 7)); err == nil || err.Error() != "SK payload: IV of 7 octets, want 8" {
		t.Errorf("short IV: %v", err)
	}
	huge := []Payload{&VendorID{Data: make([]byte, 65500)}}
	if _, err := Seal(sealedHeader, huge, c, make([]byte, 8)); err == nil || err.Error() != "a message of 65561 octets is longer than 65535" {
		t.Errorf("huge: %v", err)
	}
	if _, err := Seal(sealedHeader, []Payload{&Nonce{}}, c, make([]byte, 8)); err == nil {
		t.Error("a nonce of 0 octets was sealed")
	}
}

// A body that is not of raw is noticed before anything is sliced.
func TestOpenOtherRaw(t *testing.T) {
	m := &Message{Payloads: []Payload{&Encrypted{Body: make([]byte, 100)}}}
	if _, err := Open(make([]byte, 50), m, ciphers(t)["AES-GCM"]); !errors.Is(err, ErrNotEncrypted) {
		t.Errorf("error %v", err)
	}
}
