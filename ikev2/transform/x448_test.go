package transform

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"testing"
)

// RFC 7748 §5.2, both vectors.
func TestX448Vectors(t *testing.T) {
	for _, v := range []struct{ scalar, u, want string }{
		{"3d262fddf9ec8e88495266fea19a34d28882acef045104d0d1aae121700a779c984c24f8cdd78fbff44943eba368f54b29259a4f1c600ad3",
			"06fce640fa3487bfda5f6cf2d5263f8aad88334cbd07437f020f08f9814dc031ddbdc38c19c6da2583fa5429db94ada18aa7a7fb4ef8a086",
			"ce3e4ff95a60dc6697da1db1d85e6afbdf79b50a2412d7546d5f239fe14fbaadeb445fc66a01b0779d98223961111e21766282f73dd96b6f"},
		{"203d494428b8399352665ddca42f9de8fef600908e0d461cb021f8c538345dd77c3e4806e25f46d3315c44e0a5b4371282dd2c8d5be3095f",
			"0fbcc2f993cd56d3305b0b7d9e55d4c1a8fb5dbb52f8e9a1e9b6201b165d015894e56c4d3570bee52fe205e28a78b91cdfbde71ce8d157db",
			"884a02576239ff7a2f2f63b2db6a9ff37047ac13568e1e30fe63c4a7ad1b3ee3a5700df34321d62077e63633c575c1c954514e99da7c179d"},
	} {
		got := x448((*[56]byte)(unhex(t, v.scalar)), (*[56]byte)(unhex(t, v.u)))
		if hex.EncodeToString(got[:]) != v.want {
			t.Errorf("%x, want %s", got, v.want)
		}
	}
}

// RFC 7748 §5.2: the output becomes the scalar, and the scalar the coordinate.
func TestX448Iterations(t *testing.T) {
	want := map[int]string{
		1:    "3f482c8a9f19b01e6c46ee9711d9dc14fd4bf67af30765c2ae2b846a4d23a8cd0db897086239492caf350b51f833868b9bc2b3bca9cf4113",
		1000: "aa3b4749d55b9daf1e5b00288826c467274ce3ebbdd5c17b975e09d4af6c67cf10d087202db88286e2b79fceea3ec353ef54faa26e219f38",
	}
	k, u := [56]byte{5}, [56]byte{5}
	for i := 1; i <= 1000; i++ {
		k, u = x448(&k, &u), k
		if w, ok := want[i]; ok && hex.EncodeToString(k[:]) != w {
			t.Errorf("after %d iterations: %x, want %s", i, k, w)
		}
	}
}

// RFC 7748 §6.2.
func TestX448KeyExchange(t *testing.T) {
	const (
		a  = "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf574a9419744897391006382a6f127ab1d9ac2d8c0a598726b"
		ga = "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c22c5d9bbc836647241d953d40c5b12da88120d53177f80e532c41fa0"
		b  = "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d6927c120bb5ee8972b0d3e21374c9c921b09d1b0366f10b65173992d"
		gb = "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609"
		k  = "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56fd2464c335543936521c24403085d59a449a5037514a879d"
	)
	for _, side := range []struct{ private, public, peer string }{{a, ga, gb}, {b, gb, ga}} {
		key, err := NewPrivateKey(KE_CURVE448, unhex(t, side.private))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(key.Public()); got != side.public {
			t.Errorf("public value %s, want %s", got, side.public)
		}
		secret, err := key.SharedSecret(unhex(t, side.peer))
		if err != nil || hex.EncodeToString(secret) != k {
			t.Errorf("shared secret %x, %v", secret, err)
		}
		if _, err := key.SharedSecret(unhex(t, side.peer)); err != errSpent {
			t.Errorf("a second use: %v", err)
		}
	}
	if _, err := NewPrivateKey(KE_CURVE448, make([]byte, 55)); err == nil {
		t.Error("a private value of 55 octets is taken")
	}
}

// littleEndian is a number as 56 octets.
func littleEndian(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 56))
	for i := range 28 {
		b[i], b[55-i] = b[55-i], b[i]
	}
	return b
}

func prime448() *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), 448)
	return p.Sub(p, new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 224), big.NewInt(1)))
}

// Points of small order give zeros, which are refused (RFC 7748 §6.2), also in an
// encoding that is not below the prime; so are wrong lengths.
func TestX448Refuses(t *testing.T) {
	p := prime448()
	key, err := GenerateKey(KE_CURVE448)
	if err != nil {
		t.Fatal(err)
	}
	for name, peer := range map[string][]byte{
		"0": make([]byte, 56), "1": littleEndian(big.NewInt(1)),
		"p-1": littleEndian(new(big.Int).Sub(p, big.NewInt(1))), "p": littleEndian(p),
		"p+1":   littleEndian(new(big.Int).Add(p, big.NewInt(1))),
		"short": make([]byte, 55), "long": make([]byte, 57), "empty": nil,
	} {
		if secret, err := key.SharedSecret(peer); err == nil {
			t.Errorf("%s gives %x", name, secret)
		}
	}
	other, _ := GenerateKey(KE_CURVE448)
	if _, err := key.SharedSecret(other.Public()); err != nil {
		t.Errorf("the key is spent by a refused value: %v", err)
	}
}

// The field against math/big, at its edges and between them.
func TestField448(t *testing.T) {
	p := prime448()
	var values []*big.Int
	for i := range int64(3) {
		values = append(values, big.NewInt(i), new(big.Int).Sub(p, big.NewInt(i)), new(big.Int).Add(p, big.NewInt(i)),
			new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 448), big.NewInt(i+1)),
			new(big.Int).Lsh(big.NewInt(1), 56*uint(i)+55), new(big.Int).SetBytes(pattern(byte(91*i), 56)))
	}
	load := func(n *big.Int) (z fe448) {
		z.setBytes((*[56]byte)(littleEndian(n)))
		return z
	}
	check := func(what string, z fe448, want *big.Int) {
		t.Helper()
		if got := z.bytes(); !bytes.Equal(got[:], littleEndian(want.Mod(want, p))) {
			t.Errorf("%s: %x, want %x", what, got, littleEndian(want))
		}
	}
	for _, a := range values {
		x := load(a)
		var z fe448
		z.small(&x, 39081)
		check("small", z, new(big.Int).Mul(a, big.NewInt(39081)))
		z.invert(&x)
		check("invert", z, new(big.Int).Exp(a, new(big.Int).Sub(p, big.NewInt(2)), p))
		for _, b := range values {
			y := load(b)
			z.add(&x, &y)
			check("add", z, new(big.Int).Add(a, b))
			z.sub(&x, &y)
			check("sub", z, new(big.Int).Sub(a, b))
			z.mul(&x, &y)
			check("mul", z, new(big.Int).Mul(a, b))
			y.sub(&x, &y) // operands of a multiplication that were not reduced
			z.mul(&y, &y)
			d := new(big.Int).Sub(a, b)
			check("square of a difference", z, d.Mul(d, d))
		}
	}
}
