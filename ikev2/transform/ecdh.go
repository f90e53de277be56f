package transform

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
)

// ecKey is a key on one of the ECP groups (RFC 5903) or Curve25519 (RFC 8031).
type ecKey struct {
	method KE
	key    *ecdh.PrivateKey // nil once used
	public []byte
}

// curve is the curve of an elliptic curve method; nil for others.
func (k KE) curve() ecdh.Curve {
	switch k {
	case KE_ECP_256:
		return ecdh.P256()
	case KE_ECP_384:
		return ecdh.P384()
	case KE_ECP_521:
		return ecdh.P521()
	case KE_CURVE25519:
		return ecdh.X25519()
	}
	return nil
}

// uncompressed is the first octet of a point in SEC 1 encoding with both
// coordinates; the KE payload goes without it (RFC 5903 §7).
const uncompressed = 4

func generateECDH(k KE, curve ecdh.Curve) (*ecKey, error) {
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", k, err)
	}
	return wrapECDH(k, key), nil
}

func newECDH(k KE, curve ecdh.Curve, private []byte) (*ecKey, error) {
	key, err := curve.NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("%v: the private value is not in range", k)
	}
	return wrapECDH(k, key), nil
}

func wrapECDH(k KE, key *ecdh.PrivateKey) *ecKey {
	public := key.PublicKey().Bytes()
	if k != KE_CURVE25519 {
		public = public[1:]
	}
	return &ecKey{method: k, key: key, public: public}
}

func (e *ecKey) Method() KE     { return e.method }
func (e *ecKey) Public() []byte { return e.public }

// SharedSecret is the x coordinate of the product (RFC 5903 §9), or the output of
// X25519 (RFC 8031 §3.2).
func (e *ecKey) SharedSecret(peer []byte) ([]byte, error) {
	if e.key == nil {
		return nil, errSpent
	}
	if err := checkLength(e.method, peer); err != nil {
		return nil, err
	}
	encoded := peer
	if e.method != KE_CURVE25519 {
		encoded = append([]byte{uncompressed}, peer...)
	}
	// RFC 6989 §2.3: both coordinates are below the prime and satisfy the curve's
	// equation. The encoding cannot express the point at infinity.
	point, err := e.key.Curve().NewPublicKey(encoded)
	if err != nil {
		return nil, fmt.Errorf("%v: the peer's public value is not a point on the curve", e.method)
	}
	secret, err := e.key.ECDH(point)
	if err != nil { // RFC 7748 §6.1: only X25519 gets here, with an all-zero result
		return nil, fmt.Errorf("%v: the peer's public value has a small order", e.method)
	}
	e.key = nil
	return secret, nil
}
