package spmif

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
)

// Lengths of a challenge in octets. A client takes the shorter one for a hint
// that the server is the original and knows SHA-1 only.
const (
	sha1Challenge   = sha1.Size
	sha256Challenge = sha256.Size
)

// newChallenge returns size random octets in upper-case hexadecimal.
func newChallenge(rand io.Reader, size int) ([]byte, error) {
	raw := make([]byte, size)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return nil, fmt.Errorf("spmif challenge: %w", err)
	}
	return upperHex(raw), nil
}

// responseSHA1 is the original's answer to a challenge: SHA-1 over the
// challenge's digits followed by the password's, in upper-case hexadecimal.
func responseSHA1(challenge, passwordHex []byte) []byte {
	h := sha1.New()
	h.Write(challenge)
	h.Write(passwordHex)
	return upperHex(h.Sum(nil))
}

// responseSHA256 is the 2026 fork's answer: HMAC-SHA-256 over the challenge's
// digits with the password's digits for the key, in upper-case hexadecimal.
func responseSHA256(challenge, passwordHex []byte) []byte {
	h := hmac.New(sha256.New, passwordHex)
	h.Write(challenge)
	return upperHex(h.Sum(nil))
}

// checkResponse tells in constant time whether response answers challenge. Its
// length selects the form; digits in lower case are wrong, as in the original.
// An empty password proves nothing, so no response is right for it.
func checkResponse(response, challenge, passwordHex []byte) bool {
	if len(passwordHex) == 0 {
		return false
	}
	switch len(response) {
	case hex.EncodedLen(sha1.Size):
		return subtle.ConstantTimeCompare(response, responseSHA1(challenge, passwordHex)) == 1
	case hex.EncodedLen(sha256.Size):
		return subtle.ConstantTimeCompare(response, responseSHA256(challenge, passwordHex)) == 1
	}
	return false
}

// respond chooses the form by the challenge's length and answers it.
func respond(challenge, passwordHex []byte) []byte {
	if len(challenge) == hex.EncodedLen(sha1Challenge) {
		return responseSHA1(challenge, passwordHex)
	}
	return responseSHA256(challenge, passwordHex)
}

// upperHex writes octets as upper-case hexadecimal digits.
func upperHex(raw []byte) []byte {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, hex.EncodedLen(len(raw)))
	for _, b := range raw {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return out
}
