package transform

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
)

// keMethods is every key exchange that is built.
func keMethods() []KE {
	return []KE{KE_CURVE25519, KE_ECP_256, KE_ECP_384, KE_ECP_521,
		KE_MODP_2048, KE_MODP_3072, KE_MODP_4096, KE_MODP_6144, KE_MODP_8192}
}

func TestAgreement(t *testing.T) {
	for _, k := range keMethods() {
		t.Run(k.String(), func(t *testing.T) {
			a, err := GenerateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			b, err := GenerateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			if a.Method() != k || len(a.Public()) != k.PublicLen() || bytes.Equal(a.Public(), b.Public()) {
				t.Fatalf("method %v, public values %x and %x", a.Method(), a.Public(), b.Public())
			}
			ab, errA := a.SharedSecret(b.Public())
			ba, errB := b.SharedSecret(a.Public())
			if errA != nil || errB != nil || !bytes.Equal(ab, ba) {
				t.Fatalf("secrets %x (%v) and %x (%v)", ab, errA, ba, errB)
			}
			if _, err := a.SharedSecret(b.Public()); !errors.Is(err, errSpent) {
				t.Errorf("second use: %v", err)
			}
		})
	}
}

// pi is π·2^bits, rounded down, by Machin's formula π = 16·atan(1/5) − 4·atan(1/239).
func pi(bits uint) *big.Int {
	const guard = 64
	atan := func(inverse int64) *big.Int {
		x := big.NewInt(inverse)
		square := new(big.Int).Mul(x, x)
		power := new(big.Int).Lsh(big.NewInt(1), bits+guard)
		power.Quo(power, x)
		sum := new(big.Int)
		for i := int64(0); power.Sign() != 0; i++ {
			term := new(big.Int).Quo(power, big.NewInt(2*i+1))
			if i%2 == 1 {
				term.Neg(term)
			}
			sum.Add(sum, term)
			power.Quo(power, square)
		}
		return sum
	}
	sum := new(big.Int).Mul(big.NewInt(16), atan(5))
	sum.Sub(sum, new(big.Int).Mul(big.NewInt(4), atan(239)))
	return sum.Rsh(sum, guard)
}

func bigPrime(t testing.TB, k KE) *big.Int {
	t.Helper()
	p, ok := new(big.Int).SetString(k.modp().prime, 16)
	if !ok {
		t.Fatalf("%v: the prime is no number", k)
	}
	return p
}

// RFC 3526 §2 to §7 give the primes as 2^n − 2^(n−64) − 1 + 2^64·(⌊2^(n−130)·π⌋ + k).
func TestPrimes(t *testing.T) {
	for _, v := range []struct {
		method KE
		n      uint
		k      int64
	}{
		{KE_MODP_768, 768, 149686}, // RFC 2409 §6.1, and §6.2
		{KE_MODP_1024, 1024, 129093},
		{KE_MODP_1536, 1536, 741804},
		{KE_MODP_2048, 2048, 124476},
		{KE_MODP_3072, 3072, 1690314},
		{KE_MODP_4096, 4096, 240904},
		{KE_MODP_6144, 6144, 929484},
		{KE_MODP_8192, 8192, 4743158},
	} {
		one := big.NewInt(1)
		want := pi(v.n - 130)
		want.Add(want, big.NewInt(v.k))
		want.Lsh(want, 64)
		want.Add(want, new(big.Int).Lsh(one, v.n))
		want.Sub(want, new(big.Int).Lsh(one, v.n-64))
		want.Sub(want, one)
		got := bigPrime(t, v.method)
		if got.Cmp(want) != 0 {
			t.Errorf("%v: %x, want %x", v.method, got, want)
		}
		// p = 7 mod 8 makes 2 a square, so that it generates the prime subgroup.
		if low := new(big.Int).And(got, big.NewInt(7)); low.Int64() != 7 {
			t.Errorf("%v: the prime is %v mod 8", v.method, low)
		}
		if v.n <= 2048 && !(got.ProbablyPrime(1) && new(big.Int).Rsh(got, 1).ProbablyPrime(1)) {
			t.Errorf("%v: not a safe prime", v.method)
		}
	}
}

// The constant-time arithmetic agrees with math/big, also where the result has
// leading zeros, which must be kept (RFC 7296 §2.14).
func TestMODPAgainstBig(t *testing.T) {
	for _, k := range []KE{KE_MODP_768, KE_MODP_1024, KE_MODP_1536, KE_MODP_2048, KE_MODP_3072, KE_MODP_4096, KE_MODP_6144, KE_MODP_8192} {
		p := bigPrime(t, k)
		for _, private := range [][]byte{{1}, {3}, pattern(0x11, k.modp().exponent), pattern(0, 17)} {
			e := new(big.Int).SetBytes(private)
			key, err := NewPrivateKey(k, private)
			if err != nil {
				t.Fatal(err)
			}
			want := new(big.Int).Exp(big.NewInt(2), e, p).FillBytes(make([]byte, k.PublicLen()))
			if !bytes.Equal(key.Public(), want) {
				t.Errorf("%v, exponent %x: public %x, want %x", k, private, key.Public(), want)
			}
			peer := big.NewInt(0xdecade).FillBytes(make([]byte, k.PublicLen()))
			secret, err := key.SharedSecret(peer)
			want = new(big.Int).Exp(big.NewInt(0xdecade), e, p).FillBytes(make([]byte, k.PublicLen()))
			if err != nil || !bytes.Equal(secret, want) {
				t.Errorf("%v, exponent %x: secret %x, %v; want %x", k, private, secret, err, want)
			}
		}
	}
}

// RFC 6989: what a peer may not send, and what is said about it. A refused value
// leaves the key good for the true answer.
func TestPeerRefused(t *testing.T) {
	modp := func(delta int64) []byte {
		p := bigPrime(t, KE_MODP_2048)
		if delta >= 2 {
			p.SetInt64(0)
		}
		return p.Add(p, big.NewInt(delta%2)).FillBytes(make([]byte, 256))
	}
	all := bytes.Repeat([]byte{0xff}, 256)
	offCurve := func(n int) []byte { return append(make([]byte, 2*n-1), 1) }
	// u = 325606250916557431795983626356110631294008115727848805560023387167927233504
	// has order 8 (RFC 7748 §7 speaks of such points; the value is in the Curve25519 paper).
	order8, _ := hex.DecodeString("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
	for _, v := range []struct {
		name   string
		method KE
		peer   []byte
		want   string
	}{
		{"zero", KE_MODP_2048, modp(2), "MODP_2048: the peer's public value is 0"},
		{"one", KE_MODP_2048, modp(3), "MODP_2048: the peer's public value is 1"},
		{"p-1", KE_MODP_2048, modp(-1), "MODP_2048: the peer's public value is the prime less 1"},
		{"p", KE_MODP_2048, modp(0), "MODP_2048: the peer's public value is not below the prime"},
		{"p+1", KE_MODP_2048, modp(1), "MODP_2048: the peer's public value is not below the prime"},
		{"all ones", KE_MODP_2048, all, "MODP_2048: the peer's public value is not below the prime"},
		{"short", KE_MODP_2048, all[:255], "MODP_2048: public value of 255 octets, want 256"},
		{"empty", KE_MODP_2048, nil, "MODP_2048: public value of 0 octets, want 256"},
		{"long", KE_MODP_2048, make([]byte, 257), "MODP_2048: public value of 257 octets, want 256"},
		{"off the curve", KE_ECP_256, offCurve(32), "ECP_256: the peer's public value is not a point on the curve"},
		{"zero", KE_ECP_384, make([]byte, 96), "ECP_384: the peer's public value is not a point on the curve"},
		{"above p", KE_ECP_521, all[:132], "ECP_521: the peer's public value is not a point on the curve"},
		{"with format octet", KE_ECP_256, make([]byte, 65), "ECP_256: public value of 65 octets, want 64"},
		{"compressed", KE_ECP_256, make([]byte, 33), "ECP_256: public value of 33 octets, want 64"},
		{"zero", KE_CURVE25519, make([]byte, 32), "CURVE25519: the peer's public value has a small order"},
		{"one", KE_CURVE25519, append([]byte{1}, make([]byte, 31)...), "CURVE25519: the peer's public value has a small order"},
		{"order 8", KE_CURVE25519, order8, "CURVE25519: the peer's public value has a small order"},
		{"short", KE_CURVE25519, make([]byte, 31), "CURVE25519: public value of 31 octets, want 32"},
	} {
		t.Run(v.method.String()+"/"+v.name, func(t *testing.T) {
			key, err := GenerateKey(v.method)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := key.SharedSecret(v.peer)
			if err == nil || err.Error() != v.want {
				t.Fatalf("secret %x, error %v; want %s", secret, err, v.want)
			}
			if _, err := key.SharedSecret(key.Public()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestKeyNotBuilt(t *testing.T) {
	for _, k := range []KE{KE_NONE, 22, 99} {
		if _, err := GenerateKey(k); err == nil || !strings.Contains(err.Error(), "is not built") || k.Built() {
			t.Errorf("GenerateKey(%v): %v", k, err)
		}
		if _, err := NewPrivateKey(k, []byte{1}); err == nil {
			t.Errorf("NewPrivateKey(%v) succeeds", k)
		}
	}
	if _, err := NewPrivateKey(KE_ECP_256, make([]byte, 32)); err == nil {
		t.Error("a zero scalar was taken")
	}
}

// A MODP exponent is wiped as soon as it has done its work.
func TestExponentWiped(t *testing.T) {
	key, err := GenerateKey(KE_MODP_2048)
	if err != nil {
		t.Fatal(err)
	}
	exponent := key.(*modpKey).exponent
	if _, err := key.SharedSecret(key.Public()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(exponent, make([]byte, len(exponent))) {
		t.Error("the exponent is still there")
	}
}

func BenchmarkGenerateKey(b *testing.B) {
	for _, k := range keMethods() {
		b.Run(k.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := GenerateKey(k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// RFC 6989 §2.1 in every MODP group: 0, 1, p−1, p and p+1 are refused; 2 and p−2 are taken.
func TestRangeOfEveryMODPGroup(t *testing.T) {
	for _, k := range []KE{KE_MODP_1536, KE_MODP_2048, KE_MODP_3072, KE_MODP_4096, KE_MODP_6144, KE_MODP_8192} {
		key, err := NewPrivateKey(k, []byte{3})
		if err != nil {
			t.Fatal(err)
		}
		p := bigPrime(t, k)
		value := func(base *big.Int, delta int64) []byte {
			return new(big.Int).Add(base, big.NewInt(delta)).FillBytes(make([]byte, k.PublicLen()))
		}
		zero := new(big.Int)
		for _, bad := range [][]byte{value(zero, 0), value(zero, 1), value(p, -1), value(p, 0), value(p, 1)} {
			if _, err := key.SharedSecret(bad); err == nil {
				t.Errorf("%v: %x… was taken", k, bad[:8])
			}
		}
		if _, err := key.SharedSecret(value(p, -2)); err != nil {
			t.Errorf("%v: p-2: %v", k, err)
		}
	}
}

// Points of small order, and lengths, of Curve448 (RFC 8031 §3.2, RFC 7748 §6.2).
func TestCurve448Refuses(t *testing.T) {
	key, err := GenerateKey(KE_CURVE448)
	if err != nil {
		t.Fatal(err)
	}
	one := append([]byte{1}, make([]byte, 55)...)
	minusOne := bytes.Repeat([]byte{0xff}, 56) // p - 1 = 2^448 - 2^224 - 2
	minusOne[28] = 0xfe
	minusOne[0] = 0xfe
	for _, bad := range [][]byte{nil, make([]byte, 55), make([]byte, 57), make([]byte, 56), one, minusOne} {
		if _, err := key.SharedSecret(bad); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
}
