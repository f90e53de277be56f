package transform

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
)

// x448Size is the octets of a scalar and of a coordinate (RFC 7748 §5).
const x448Size = 56

// x448 is the function X448 (RFC 7748 §5): a Montgomery ladder over all 448 bits
// of the scalar, in the same time for all scalars and coordinates.
func x448(scalar, u *[x448Size]byte) [x448Size]byte {
	const a24 = 39081
	k := *scalar
	defer clear(k[:])
	k[0] &= 252
	k[55] |= 128

	var x1 fe448
	x1.setBytes(u)
	x2, z2, x3, z3 := fe448{1}, fe448{}, x1, fe448{1}
	var a, aa, b, bb, e, c, d, da, cb fe448
	swap := uint64(0)
	for t := 447; t >= 0; t-- {
		bit := uint64(k[t/8]>>(t%8)) & 1
		swap ^= bit
		x2.swap(&x3, swap)
		z2.swap(&z3, swap)
		swap = bit

		a.add(&x2, &z2)
		aa.mul(&a, &a)
		b.sub(&x2, &z2)
		bb.mul(&b, &b)
		e.sub(&aa, &bb)
		c.add(&x3, &z3)
		d.sub(&x3, &z3)
		da.mul(&d, &a)
		cb.mul(&c, &b)
		x3.add(&da, &cb)
		x3.mul(&x3, &x3)
		z3.sub(&da, &cb)
		z3.mul(&z3, &z3)
		z3.mul(&x1, &z3)
		x2.mul(&aa, &bb)
		z2.small(&e, a24)
		z2.add(&aa, &z2)
		z2.mul(&e, &z2)
	}
	x2.swap(&x3, swap)
	z2.swap(&z3, swap)
	z2.invert(&z2)
	x2.mul(&x2, &z2)
	return x2.bytes()
}

// x448Key is a key on Curve448 (RFC 8031).
type x448Key struct {
	scalar [x448Size]byte
	spent  bool
	public [x448Size]byte
}

func generateX448() *x448Key {
	k := new(x448Key)
	rand.Read(k.scalar[:]) // never fails
	k.public = x448(&k.scalar, &[x448Size]byte{5})
	return k
}

func newX448(private []byte) (*x448Key, error) {
	if len(private) != x448Size {
		return nil, fmt.Errorf("%v: private value of %d octets, want %d", KE_CURVE448, len(private), x448Size)
	}
	k := &x448Key{scalar: [x448Size]byte(private)}
	k.public = x448(&k.scalar, &[x448Size]byte{5})
	return k, nil
}

func (k *x448Key) Method() KE     { return KE_CURVE448 }
func (k *x448Key) Public() []byte { return k.public[:] }

// SharedSecret is the output of X448 (RFC 8031 §3.2). All values of the right
// length are taken but those whose result is all zeros (RFC 7748 §6.2).
func (k *x448Key) SharedSecret(peer []byte) ([]byte, error) {
	if k.spent {
		return nil, errSpent
	}
	if err := checkLength(KE_CURVE448, peer); err != nil {
		return nil, err
	}
	secret := x448(&k.scalar, (*[x448Size]byte)(peer))
	if subtle.ConstantTimeCompare(secret[:], make([]byte, x448Size)) == 1 {
		return nil, fmt.Errorf("%v: the peer's public value has a small order", KE_CURVE448)
	}
	clear(k.scalar[:])
	k.spent = true
	return secret[:], nil
}
