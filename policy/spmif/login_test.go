package spmif

import (
	"bytes"
	"strings"
	"testing"
)

// Recorded with the original spmd, and computed by the 2026 fork's tests; the
// passwords are the digits as they go into the digest.
func TestResponses(t *testing.T) {
	tests := []struct {
		name      string
		respond   func(challenge, password []byte) []byte
		password  string
		challenge string
		want      string
	}{
		{"original", responseSHA1, passwordHex, challenge40, response40},
		{"fork", responseSHA256, strings.Repeat("0123456789ABCDEF", 4), "A1B2C3D4E5F60718293A0B1C2D3E4F5061728394",
			"5E03268D8906FE71EEFA6D54DA3A68161496E44EC1F5AF857803DF4852D23881"},
		{"fork, short challenge", responseSHA256, "4B52574759354A624E5A4E", "CAFEBABE",
			"19020FF15CD00650C90F2A34ADF22752B5F112F6FACCA1A09858E0F4E15ECA24"},
	}
	for _, tt := range tests {
		got := tt.respond([]byte(tt.challenge), []byte(tt.password))
		if string(got) != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if !checkResponse(got, []byte(tt.challenge), []byte(tt.password)) {
			t.Errorf("%s: refused", tt.name)
		}
		got[len(got)-1] ^= 1
		if checkResponse(got, []byte(tt.challenge), []byte(tt.password)) {
			t.Errorf("%s: a wrong response is taken", tt.name)
		}
	}
}

func TestRespondTakesTheHint(t *testing.T) {
	for size, want := range map[int]int{20: 40, 32: 64, 4: 64} {
		challenge, err := newChallenge(bytes.NewReader(make([]byte, size)), size)
		if err != nil {
			t.Fatal(err)
		}
		if got := respond(challenge, []byte("41")); len(got) != want {
			t.Errorf("challenge of %d octets: response of %d digits, want %d", size, len(got), want)
		}
	}
}
