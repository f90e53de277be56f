package transform

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"filippo.io/bigmod"
)

// group is one MODP group of RFC 2409 or RFC 3526; the generator of all is 2.
type group struct {
	prime    string // hexadecimal
	exponent int    // octets of a private exponent
}

// modp is the group of a MODP method; nil for others. The exponents have twice
// the bits of the larger of the strength estimates (RFC 3526 §8). The primes
// are safe ones of which 2 generates the subgroup of prime order, so that short
// exponents give nothing away.
func (k KE) modp() *group {
	switch k {
	case KE_MODP_768:
		return &group{primeMODP768, 160 / 8}
	case KE_MODP_1024:
		return &group{primeMODP1024, 160 / 8}
	case KE_MODP_1536:
		return &group{primeMODP1536, 240 / 8}
	case KE_MODP_2048:
		return &group{primeMODP2048, 320 / 8}
	case KE_MODP_3072:
		return &group{primeMODP3072, 424 / 8}
	case KE_MODP_4096:
		return &group{primeMODP4096, 480 / 8}
	case KE_MODP_6144:
		return &group{primeMODP6144, 544 / 8}
	case KE_MODP_8192:
		return &group{primeMODP8192, 624 / 8}
	}
	return nil
}

// modpKey is a key of a MODP group. Its arithmetic takes the same time for all
// exponents.
type modpKey struct {
	method   KE
	p        *bigmod.Modulus
	exponent []byte // nil once used
	public   []byte
}

func generateMODP(k KE, g *group) (*modpKey, error) {
	exponent := make([]byte, g.exponent)
	rand.Read(exponent) // never fails
	defer clear(exponent)
	return newMODP(k, g, exponent)
}

func newMODP(k KE, g *group, private []byte) (*modpKey, error) {
	raw, err := hex.DecodeString(g.prime)
	if err != nil {
		return nil, err
	}
	p, err := bigmod.NewModulus(raw)
	if err != nil {
		return nil, err
	}
	key := &modpKey{method: k, p: p, exponent: append([]byte(nil), private...)}
	key.public = key.power(bigmod.NewNat().SetUint(2).ExpandFor(p))
	return key, nil
}

func (m *modpKey) Method() KE     { return m.method }
func (m *modpKey) Public() []byte { return m.public }

// power is base to the private exponent, at the size of the prime: leading zeros
// stay (RFC 7296 §2.14).
func (m *modpKey) power(base *bigmod.Nat) []byte {
	result := bigmod.NewNat().Exp(base, m.exponent, m.p)
	defer clear(result.Bits())
	return result.Bytes(m.p)
}

func (m *modpKey) SharedSecret(peer []byte) ([]byte, error) {
	if m.exponent == nil {
		return nil, errSpent
	}
	if err := checkLength(m.method, peer); err != nil {
		return nil, err
	}
	value, err := m.checkRange(peer)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m.method, err)
	}
	secret := m.power(value)
	clear(m.exponent)
	m.exponent = nil
	return secret, nil
}

// checkRange takes a public value r with 1 < r < p−1, all that is needed where
// the prime is a safe one (RFC 6989 §2.1).
func (m *modpKey) checkRange(peer []byte) (*bigmod.Nat, error) {
	value, err := bigmod.NewNat().SetBytes(peer, m.p)
	switch {
	case err != nil:
		return nil, errors.New("the peer's public value is not below the prime")
	case value.IsZero() == 1:
		return nil, errors.New("the peer's public value is 0")
	case value.IsOne() == 1:
		return nil, errors.New("the peer's public value is 1")
	case value.IsMinusOne(m.p) == 1:
		return nil, errors.New("the peer's public value is the prime less 1")
	}
	return value, nil
}
