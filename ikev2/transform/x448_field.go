package transform

import "math/bits"

// fe448 is an element of the field of 2^448 − 2^224 − 1 elements, in eight limbs of
// 56 bits, the least significant first. Between operations limbs stay below 2^57.
// Nothing here branches or indexes by a value, so that all take the same time.
type fe448 [8]uint64

const mask56 = 1<<56 - 1

// p448 holds the prime's limbs: all ones, but for the fifth.
func p448(i int) uint64 {
	if i == 4 {
		return mask56 - 1
	}
	return mask56
}

// carry brings limbs below 2^57, given limbs below 2^63: 2^448 is 2^224 + 1.
func (z *fe448) carry() {
	top := z[7] >> 56
	z[7] &= mask56
	z[0] += top
	z[4] += top
	for i := range 7 {
		z[i+1] += z[i] >> 56
		z[i] &= mask56
	}
}

func (z *fe448) add(a, b *fe448) {
	for i := range z {
		z[i] = a[i] + b[i]
	}
	z.carry()
}

// sub adds four times the prime, so that no limb goes below zero.
func (z *fe448) sub(a, b *fe448) {
	for i := range z {
		z[i] = a[i] + 4*p448(i) - b[i]
	}
	z.carry()
}

// wide is a sum of products.
type wide struct{ hi, lo uint64 }

func (w *wide) add(v wide) {
	var c uint64
	w.lo, c = bits.Add64(w.lo, v.lo, 0)
	w.hi += v.hi + c
}

// mul multiplies. Each of the 15 sums has at most eight products below 2^114, and
// folding adds up to three sums to one: all stays below 2^119.
func (z *fe448) mul(a, b *fe448) {
	var sums [15]wide
	for i, x := range a {
		for j, y := range b {
			hi, lo := bits.Mul64(x, y)
			sums[i+j].add(wide{hi, lo})
		}
	}
	for k := 14; k >= 8; k-- { // 2^(56·8) is 2^(56·4) + 1
		sums[k-4].add(sums[k])
		sums[k-8].add(sums[k])
	}
	z.reduce(sums[:8])
}

// small multiplies by a number below 2^32.
func (z *fe448) small(a *fe448, n uint64) {
	var sums [8]wide
	for i, x := range a {
		sums[i].hi, sums[i].lo = bits.Mul64(x, n)
	}
	z.reduce(sums[:])
}

// reduce carries eight sums below 2^119 to limbs.
func (z *fe448) reduce(sums []wide) {
	var over wide
	for i := range z {
		over.add(sums[i])
		z[i] = over.lo & mask56
		over = wide{over.hi >> 56, over.hi<<8 | over.lo>>56}
	}
	// What is over has up to 64 bits: it goes to limbs 0 and 4 in two parts.
	low, high := over.lo&mask56, over.hi<<8|over.lo>>56
	z[0] += low
	z[1] += high
	z[4] += low
	z[5] += high
	z.carry()
}

// invert is a^(p−2), and 0 for 0. The exponent is 2^448 − 2^224 − 3: from the top,
// 223 ones, a zero, 222 ones, a zero and a one.
func (z *fe448) invert(a *fe448) {
	base, t := *a, fe448{1}
	for i := 447; i >= 0; i-- {
		t.mul(&t, &t)
		if i != 224 && i != 1 { // public: the exponent is fixed
			t.mul(&t, &base)
		}
	}
	*z = t
}

// swap exchanges two elements when choice is 1, and nothing when it is 0.
func (z *fe448) swap(o *fe448, choice uint64) {
	mask := -choice
	for i := range z {
		t := mask & (z[i] ^ o[i])
		z[i] ^= t
		o[i] ^= t
	}
}

// setBytes reads 56 octets, little-endian. A value that is not below the prime is
// taken modulo the prime (RFC 7748 §5).
func (z *fe448) setBytes(b *[56]byte) {
	for i := range z {
		z[i] = 0
		for j := range 7 {
			z[i] |= uint64(b[7*i+j]) << (8 * j)
		}
	}
}

// bytes is the one encoding of the element below the prime.
func (z *fe448) bytes() (out [56]byte) {
	t := *z
	t.carry()
	t.carry() // limbs below 2^56, but for what a last carry may leave in the top
	for range 2 {
		t.subtractPrime()
	}
	for i, limb := range t {
		for j := range 7 {
			out[7*i+j] = byte(limb >> (8 * j))
		}
	}
	return out
}

// subtractPrime takes the prime off when the value is not below it.
func (z *fe448) subtractPrime() {
	var less fe448
	borrow := uint64(0)
	for i := range z {
		d := z[i] - p448(i) - borrow
		borrow = d >> 63
		less[i] = d & mask56
		if i == 7 { // the top limb keeps what is above its 56 bits
			less[i] = d
		}
	}
	keep := borrow - 1 // all ones when the value was not below the prime
	for i := range z {
		z[i] = less[i]&keep | z[i]&^keep
	}
}
