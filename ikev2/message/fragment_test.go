package message

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
)

// counter gives IVs that count up.
func counter(c transform.Cipher) func() ([]byte, error) {
	n := byte(0)
	return func() ([]byte, error) {
		n++
		return count(n, c.IVSize()), nil
	}
}

func fragments(t testing.TB, c transform.Cipher, inner []Payload, limit int) [][]byte {
	t.Helper()
	list, err := SealFragments(sealedHeader, inner, c, counter(c), limit)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFragments(t *testing.T) {
	for name, c := range ciphers(t) {
		for _, limit := range []int{100, 101, 115, 128, 300, 2000} {
			inner := authRequest()
			list := fragments(t, c, inner, limit)
			var r Reassembly
			// They come in any order, some twice.
			order := rand.New(rand.NewPCG(1, uint64(limit))).Perm(len(list))
			for i, k := range order {
				if len(list[k]) > limit {
					t.Fatalf("%s: %d octets, limit %d", name, len(list[k]), limit)
				}
				m, err := Decode(list[k])
				if err != nil {
					t.Fatal(err)
				}
				f, part, err := OpenFragment(list[k], m, c)
				if err != nil {
					t.Fatal(err)
				}
				if r.Has(f) {
					t.Errorf("%s: fragment %d is there before it came", name, f.Number)
				}
				for range 2 {
					complete, err := r.Add(f, part)
					if err != nil || complete != (i == len(order)-1) {
						t.Fatalf("%s, limit %d: fragment %d of %d: complete %v, %v", name, limit, i+1, len(order), complete, err)
					}
				}
				if !r.Has(f) {
					t.Errorf("%s: fragment %d is not there after it came", name, f.Number)
				}
			}
			got, err := r.Payloads()
			if err != nil || fmt.Sprint(normal(got)) != fmt.Sprint(normal(inner)) {
				t.Errorf("%s, limit %d: %v, %v", name, limit, normal(got), err)
			}
		}
	}
}

// As few fragments as the limit allows: all but the last are full.
func TestFragmentsFull(t *testing.T) {
	for name, c := range ciphers(t) {
		list := fragments(t, c, []Payload{&VendorID{Data: make([]byte, 5000)}}, 576)
		for i, raw := range list[:len(list)-1] {
			if len(raw) <= 576-c.BlockSize() {
				t.Errorf("%s: fragment %d has %d octets of 576", name, i+1, len(raw))
			}
		}
	}
}

func TestFragmentsRefused(t *testing.T) {
	c := ciphers(t)["AES-CBC"]
	for _, limit := range []int{-1, 0, 50, HeaderLen + 8 + 16 + 16 + 15} {
		if _, err := SealFragments(sealedHeader, authRequest(), c, counter(c), limit); err == nil ||
			!strings.Contains(err.Error(), "no room for a fragment") {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	big := []Payload{&VendorID{Data: make([]byte, 60000)}}
	if _, err := SealFragments(sealedHeader, big, c, counter(c), 200); err == nil || !strings.Contains(err.Error(), "more than 128") {
		t.Errorf("many fragments: %v", err)
	}
	broken := errors.New("no randomness")
	if _, err := SealFragments(sealedHeader, nil, c, func() ([]byte, error) { return nil, broken }, 500); !errors.Is(err, broken) {
		t.Errorf("failing IV: %v", err)
	}
	if _, err := SealFragments(sealedHeader, nil, c, func() ([]byte, error) { return nil, nil }, 500); err == nil {
		t.Error("an empty IV was taken")
	}
	if _, err := SealFragments(sealedHeader, []Payload{&Nonce{}}, c, counter(c), 500); err == nil {
		t.Error("a nonce of 0 octets was sealed")
	}
}

// No payload at all is one empty fragment.
func TestFragmentEmpty(t *testing.T) {
	c := ciphers(t)["AES-GCM"]
	list := fragments(t, c, nil, 500)
	m, err := Decode(list[0])
	if err != nil || len(list) != 1 {
		t.Fatalf("%d fragments, %v", len(list), err)
	}
	f, part, err := OpenFragment(list[0], m, c)
	if err != nil || len(part) != 0 {
		t.Fatalf("%x, %v", part, err)
	}
	var r Reassembly
	complete, err := r.Add(f, part)
	got, err2 := r.Payloads()
	if !complete || err != nil || err2 != nil || len(got) != 0 {
		t.Errorf("complete %v, %v; %v, %v", complete, err, got, err2)
	}
}

func TestOpenFragmentRefuses(t *testing.T) {
	c := ciphers(t)["AES-GCM"]
	raw := wire(PayloadSK, generic(0, count(0, 40)...))
	m, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenFragment(raw, m, c); !errors.Is(err, ErrNotEncrypted) {
		t.Errorf("SK: %v", err)
	}
	raw = fragments(t, c, authRequest(), 500)[0]
	raw[HeaderLen+genericLen+3]++ // the total: authenticated (RFC 7383 §2.5)
	if m, err = Decode(raw); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenFragment(raw, m, c); !errors.Is(err, transform.ErrIntegrity) {
		t.Errorf("changed total: %v", err)
	}
}

func TestReassembly(t *testing.T) {
	var r Reassembly
	if _, err := r.Payloads(); err == nil {
		t.Error("nothing was decoded")
	}
	add := func(number, total uint16, size int, complete bool, want error) {
		t.Helper()
		got, err := r.Add(&EncryptedFragment{Number: number, Total: total}, make([]byte, size))
		if got != complete || !errors.Is(err, want) {
			t.Errorf("fragment %d of %d: complete %v, %v; want %v, %v", number, total, got, err, complete, want)
		}
	}
	add(0, 2, 1, false, ErrTooLarge)
	add(3, 2, 1, false, ErrTooLarge)
	add(1, MaxFragments+1, 1, false, ErrTooLarge)
	add(1, 2, 10, false, nil)
	add(2, 3, 10, false, nil) // a finer division: what was there is discarded (RFC 7383 §2.6)
	if r.have != 1 || r.size != 10 {
		t.Errorf("%d fragments with %d octets are there, want 1 with 10", r.have, r.size)
	}
	add(2, 2, 10, false, ErrOldFragment)
	add(3, 3, MaxLen-9, false, ErrTooLarge)
	add(3, 3, MaxLen-10, false, nil)
	if _, err := r.Payloads(); err == nil || err.Error() != "2 of 3 fragments are there" {
		t.Errorf("incomplete: %v", err)
	}
	add(1, 3, 1, false, ErrTooLarge)
	part := r.parts[1]
	part[0] = 7
	r.Reset()
	if part[0] != 0 || r.parts != nil {
		t.Error("Reset leaves octets behind")
	}
}
