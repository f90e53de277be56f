package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"racoon2/ikev2/transform"
)

// seedMessages are good messages as they stand on the wire, ours and recorded ones,
// and each bad one.
func seedMessages(t testing.TB) [][]byte {
	t.Helper()
	list := [][]byte{
		mustEncode(t, initRequest()),
		mustEncode(t, &Message{Header: sealedHeader, Payloads: authRequest()}),
		mustEncode(t, &Message{Header: sealedHeader, Payloads: []Payload{&Encrypted{First: PayloadIDi, Body: count(0, 40)}}}),
		// An unknown attribute, an unknown kind of traffic selector.
		wire(PayloadSA, generic(0, 0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 12, 0, 99, 0, 0)),
		wire(PayloadTSi, generic(0, 1, 0, 0, 0, 9, 6, 0, 8, 1, 2, 3, 4)),
	}
	c := ciphers(t)["AES-GCM"]
	list = append(list, fragments(t, c, authRequest(), 200)...)
	for _, r := range recordings(t) {
		for _, m := range r.Messages {
			list = append(list, m.Octets)
		}
	}
	for _, m := range malformedMessages() {
		list = append(list, m.raw)
	}
	return list
}

// sendable takes out what is decoded but cannot be encoded again: transforms with
// unknown attributes, traffic selectors of an unknown type.
func sendable(list []Payload) []Payload {
	var out []Payload
	for _, p := range list {
		switch p := p.(type) {
		case *SA:
			for _, proposal := range p.Proposals {
				_ = proposal.String()
				for i := range proposal.Transforms {
					proposal.Transforms[i].Unknown = false
				}
			}
		case *TS:
			var known []TrafficSelector
			for _, s := range p.Selectors {
				_ = s.String()
				if s.UnknownType == 0 && s.Start.IsValid() {
					known = append(known, s)
				}
			}
			if p.Selectors = known; known == nil {
				continue
			}
		}
		out = append(out, p)
	}
	return out
}

// mustBeSyntax checks that a decoder's error is of the promised type and points
// into its input.
func mustBeSyntax(t *testing.T, err error, size int) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatalf("error %v is no SyntaxError", err)
	}
	if syntax.Offset < 0 || syntax.Offset > max(size, HeaderLen) || syntax.What == "" {
		t.Fatalf("error %+v for %d octets", syntax, size)
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range seedMessages(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeHeader(b); err != nil && len(b) >= HeaderLen {
			t.Fatalf("header refused: %v", err)
		}
		m, err := Decode(b)
		if err != nil {
			mustBeSyntax(t, err, len(b))
			return
		}
		m.Payloads = sendable(m.Payloads)
		first, err := Encode(m)
		if err != nil {
			t.Fatalf("encode: %v\n%s", err, dump(m))
		}
		again, err := Decode(first)
		if err != nil {
			t.Fatalf("decode what was encoded: %v\n%s", err, dump(m))
		}
		if !reflect.DeepEqual(normal(again.Payloads), normal(m.Payloads)) {
			t.Fatalf("decoded %s\nthen %s", dump(m), dump(again))
		}
		second, err := Encode(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encoded %x\nthen %x, %v", first, second, err)
		}
	})
}

func FuzzPayloads(f *testing.F) {
	for _, b := range seedMessages(f) {
		if len(b) > HeaderLen {
			f.Add(b[16], b[HeaderLen:])
		}
	}
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		list, err := DecodePayloads(PayloadType(first), b)
		if err != nil {
			mustBeSyntax(t, err, len(b))
			return
		}
		UnsupportedCritical(list)
		list = sendable(list)
		next, encoded, err := EncodePayloads(list)
		if err != nil {
			t.Fatalf("encode: %v\n%v", err, normal(list))
		}
		again, err := DecodePayloads(next, encoded)
		if err != nil || !reflect.DeepEqual(normal(again), normal(list)) {
			t.Fatalf("decoded %v\nthen %v, %v", normal(list), normal(again), err)
		}
	})
}

// FuzzOpen takes what comes from the wire without a key, and what comes from a peer
// that has the key but does as it likes inside.
func FuzzOpen(f *testing.F) {
	c := ciphers(f)["AES-GCM"]
	for _, b := range seedMessages(f) {
		f.Add(b, uint8(0), []byte{})
	}
	for _, list := range [][]Payload{authRequest(), initRequest().Payloads, nil} {
		first, content, err := EncodePayloads(list)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := Seal(sealedHeader, list, c, make([]byte, c.IVSize()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint8(first), append(content, 0))
		f.Add(raw[:len(raw)-1], uint8(first), append(bytes.Clone(content), 1, 2, 2))
		f.Add([]byte{}, uint8(first), append(bytes.Clone(content), 255))
	}
	f.Fuzz(func(t *testing.T, raw []byte, first uint8, text []byte) {
		for name, c := range ciphers(t) {
			openRaw(t, c, bytes.Clone(raw))
			text := text[:len(text)-len(text)%c.BlockSize()]
			if len(text) > 60000 {
				return
			}
			sealed := plaintext(t, c, PayloadType(first), text)
			m, err := Decode(sealed)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			list, err := Open(sealed, m, c)
			if err != nil {
				mustBeSyntax(t, err, len(text))
				continue
			}
			resealed, err := Seal(sealedHeader, sendable(list), c, make([]byte, c.IVSize()))
			if err != nil {
				t.Fatalf("%s: sealing what was opened: %v", name, err)
			}
			openRaw(t, c, resealed)
		}
	})
}

func openRaw(t *testing.T, c transform.Cipher, raw []byte) {
	m, err := Decode(raw)
	if err != nil {
		return
	}
	if _, err := Open(raw, m, c); err != nil && !errors.Is(err, transform.ErrIntegrity) && !errors.Is(err, ErrNotEncrypted) {
		mustBeSyntax(t, err, len(raw))
	}
}

// FuzzOpenFragment opens foreign fragments, and reassembles those of a peer that
// numbers and fills them as it likes: each six octets of the script are the number,
// the total, the first payload and a length of text to take.
func FuzzOpenFragment(f *testing.F) {
	c := ciphers(f)["AES-CBC"]
	first, content, err := EncodePayloads(authRequest())
	if err != nil {
		f.Fatal(err)
	}
	half := byte(len(content) / 2)
	for _, raw := range fragments(f, c, authRequest(), 200) {
		f.Add(raw, []byte{0, 1, 0, 2, byte(first), half, 0, 2, 0, 2, 0, 255}, content)
	}
	f.Add(wire(PayloadSKF, generic(0, 0, 1, 0, 1)), []byte{0, 2, 0, 2, 0, half, 0, 1, 0, 2, byte(first), half}, content)
	f.Add(wire(PayloadSKF, generic(0, 0, 3, 0, 2)), []byte{0, 1, 0, 3, byte(first), 9, 0, 1, 0, 2, byte(first), 9}, content)
	f.Add(wire(PayloadSK, generic(0)), []byte{0, 1, 0, 2, byte(first), 9, 0, 1, 0, 3, byte(first), 9, 1, 0, 1, 0, 0, 9}, content)
	f.Fuzz(func(t *testing.T, raw, script, text []byte) {
		for name, c := range ciphers(t) {
			openFragmentRaw(t, c, bytes.Clone(raw))
			var r Reassembly
			for s, rest := script, text; len(s) >= 6; s = s[6:] {
				n := min(int(s[5]), len(rest))
				fragment := &EncryptedFragment{
					Number: binary.BigEndian.Uint16(s), Total: binary.BigEndian.Uint16(s[2:]), First: PayloadType(s[4]),
				}
				complete, err := r.Add(fragment, rest[:n])
				rest = rest[n:]
				if r.size > MaxLen || len(r.parts) > MaxFragments || r.have > len(r.parts) {
					t.Fatalf("%d octets in %d of %d fragments", r.size, r.have, len(r.parts))
				}
				if err != nil && complete {
					t.Fatalf("%s: complete and %v", name, err)
				}
				if !complete {
					continue
				}
				if _, err := r.Payloads(); err != nil {
					mustBeSyntax(t, err, r.size)
				}
			}
		}
	})
}

func openFragmentRaw(t *testing.T, c transform.Cipher, raw []byte) {
	m, err := Decode(raw)
	if err != nil {
		return
	}
	if _, _, err := OpenFragment(raw, m, c); err != nil && !errors.Is(err, transform.ErrIntegrity) && !errors.Is(err, ErrNotEncrypted) {
		mustBeSyntax(t, err, len(raw))
	}
}
