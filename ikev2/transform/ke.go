package transform

import (
	"errors"
	"fmt"
)

// errSpent says that a PrivateKey already gave its shared secret.
var errSpent = errors.New("the private key was already used")

// GenerateKey makes a fresh private key from the system's random source. It is
// slow for MODP groups: a job, never inline.
func GenerateKey(k KE) (PrivateKey, error) {
	if curve := k.curve(); curve != nil {
		return generateECDH(k, curve)
	}
	if g := k.modp(); g != nil {
		return generateMODP(k, g)
	}
	if k == KE_CURVE448 {
		return generateX448(), nil
	}
	return nil, fmt.Errorf("%v is not built", k)
}

// NewPrivateKey makes a private key from its secret: the scalar at the full size
// of an elliptic curve, or the exponent, big-endian, of a MODP group. It is for
// tests and published vectors. The slice may be wiped afterwards.
func NewPrivateKey(k KE, private []byte) (PrivateKey, error) {
	if curve := k.curve(); curve != nil {
		return newECDH(k, curve, private)
	}
	if g := k.modp(); g != nil {
		return newMODP(k, g, private)
	}
	if k == KE_CURVE448 {
		return newX448(private)
	}
	return nil, fmt.Errorf("%v is not built", k)
}

// checkLength refuses a public value of the wrong length before anything looks at
// it (RFC 7296 §3.4, RFC 5903 §7, RFC 8031 §3.1).
func checkLength(k KE, peer []byte) error {
	if len(peer) != k.PublicLen() {
		return fmt.Errorf("%v: public value of %d octets, want %d", k, len(peer), k.PublicLen())
	}
	return nil
}
