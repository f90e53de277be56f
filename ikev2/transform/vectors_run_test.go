package transform

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
)

type hmacVector struct {
	name           string
	prf            PRF
	key, data, mac string
}

type ecdhVector struct {
	method       KE
	i, gi, r, gr string
	gir          string
}

type expandVector struct {
	prf             PRF
	key, seed, want string
}

type cbcVector struct {
	number            int
	key, iv, aad      string
	plaintext, sealed string
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPRFVectors(t *testing.T) {
	for _, v := range hmacVectors() {
		p, err := NewPRF(v.prf)
		if err != nil {
			t.Fatal(err)
		}
		data := unhex(t, v.data)
		// The data comes in pieces, as seeds and nonces do.
		got := p.Sum(unhex(t, v.key), data[:1], nil, data[1:])
		if hex.EncodeToString(got) != v.mac {
			t.Errorf("%s, %v: %x, want %s", v.name, v.prf, got, v.mac)
		}
		if len(got) != p.Size() || p.KeySize() != p.Size() {
			t.Errorf("%v: size %d, key size %d, output %d", v.prf, p.Size(), p.KeySize(), len(got))
		}
	}
}

func TestPlusVectors(t *testing.T) {
	for i, v := range expandVectors() {
		p, err := NewPRF(v.prf)
		if err != nil {
			t.Fatal(err)
		}
		got := Plus(p, unhex(t, v.key), unhex(t, v.seed), len(v.want)/2)
		if hex.EncodeToString(got) != v.want {
			t.Errorf("case %d: %x, want %s", i+1, got, v.want)
		}
	}
}

func TestECDHVectors(t *testing.T) {
	for _, v := range ecdhVectors() {
		t.Run(v.method.String(), func(t *testing.T) {
			for _, side := range []struct{ private, public, peer string }{{v.i, v.gi, v.gr}, {v.r, v.gr, v.gi}} {
				key, err := NewPrivateKey(v.method, unhex(t, side.private))
				if err != nil {
					t.Fatal(err)
				}
				if got := hex.EncodeToString(key.Public()); got != side.public {
					t.Errorf("public value %s, want %s", got, side.public)
				}
				secret, err := key.SharedSecret(unhex(t, side.peer))
				if err != nil || hex.EncodeToString(secret) != v.gir {
					t.Errorf("shared secret %x, %v; want %s", secret, err, v.gir)
				}
			}
		})
	}
}

// The vectors are of encryption alone. The ICV is checked elsewhere; here it is
// cut off.
func TestCBCVectors(t *testing.T) {
	for _, v := range cbcVectors() {
		c, err := NewCipher(ENCR_AES_CBC, unhex(t, v.key), AUTH_HMAC_SHA2_256_128, make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		packet := c.Seal(nil, unhex(t, v.iv), unhex(t, v.plaintext), unhex(t, v.aad), nil)
		if got := hex.EncodeToString(packet[:len(packet)-c.ICVSize()]); got != v.iv+v.sealed {
			t.Errorf("case %d: %s, want %s%s", v.number, got, v.iv, v.sealed)
		}
		opened, err := c.Open(packet, unhex(t, v.aad), nil)
		if err != nil || hex.EncodeToString(opened) != v.plaintext {
			t.Errorf("case %d: opened %x, %v", v.number, opened, err)
		}
	}
}

// RFC 4868 §2.7.2: HMAC truncated to the ICV, over additional data, packet and tail.
func TestIntegrityVectors(t *testing.T) {
	for _, v := range []struct {
		integ INTEG
		icv   string
	}{
		{AUTH_HMAC_SHA2_256_128, "198a607eb44bfbc69903a0f1cf2bbdc5"},
		{AUTH_HMAC_SHA2_384_192, "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973"},
		{AUTH_HMAC_SHA2_512_256, "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"},
		{AUTH_HMAC_MD5_96, "9294727a3638bb1c13f48ef8"},  // RFC 2202 §2, test case 1
		{AUTH_HMAC_SHA1_96, "b617318655057264e28bc0b6"}, // RFC 2202 §3, test case 1
	} {
		c, err := NewCipher(ENCR_NULL, nil, v.integ, bytes.Repeat([]byte{0x0b}, v.integ.KeyLen()))
		if err != nil {
			t.Fatal(err)
		}
		packet := c.Seal(nil, nil, []byte("The"), []byte("Hi "), []byte("re"))
		if got := hex.EncodeToString(packet[3:]); got != v.icv {
			t.Errorf("%v: ICV %s, want %s", v.integ, got, v.icv)
		}
	}
}

// aeadVector is one packet; keymat has the salt behind the key.
type aeadVector struct {
	source            string
	encr              ENCR
	keymat, iv, aad   string
	plaintext, packet string
}

func aeadVectors() []aeadVector {
	const (
		gcmKey  = "feffe9928665731c6d6a8f9467308308"
		gcmText = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
			"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
		gcmAAD  = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
		gcmSalt = "cafebabe"
		gcmIV   = "facedbaddecaf888"
		rfcKey  = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3"
		rfcIV   = "1011121314151617"
	)
	return []aeadVector{
		{"GCM specification (McGrew, Viega) test case 4", ENCR_AES_GCM_16,
			gcmKey + gcmSalt, gcmIV, gcmAAD, gcmText,
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
				"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" +
				"5bc94fbc3221a5db94fae95ae7121a47"},
		{"GCM specification test case 10", ENCR_AES_GCM_16,
			gcmKey + gcmKey[:16] + gcmSalt, gcmIV, gcmAAD, gcmText,
			"3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c" +
				"7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710" +
				"2519498e80f1478f37ba55bd6d27618c"},
		{"GCM specification test case 16", ENCR_AES_GCM_16,
			gcmKey + gcmKey + gcmSalt, gcmIV, gcmAAD, gcmText,
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
				"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
				"76fc6ece0f4e1768cddf8853bb2d551b"},
		{"the same with its tag cut to 12 octets", ENCR_AES_GCM_12,
			gcmKey + gcmKey + gcmSalt, gcmIV, gcmAAD, gcmText,
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
				"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
				"76fc6ece0f4e1768cddf8853"},
		{"RFC 7634 appendix A, an ESP packet", ENCR_CHACHA20_POLY1305,
			rfcKey, rfcIV, "0102030400000005",
			"45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10" +
				"0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223" +
				"2425262728292a2b2c2d2e2f303132333435363701020204",
			"24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6" +
				"14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3" +
				"cbec163fac469b502773f6fb94e664da9165b82829f641e0" +
				"76aaa8266b7fb0f7b11b369907e1ad43"},
		{"RFC 7634 appendix B, an IKE message", ENCR_CHACHA20_POLY1305,
			rfcKey, rfcIV,
			"c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029",
			"0000000c000040010000000a00",
			"610394701f8d017f7c129248896b71bfe25236efd7cdc670669063" + "15b2"},
	}
}

func TestAEADVectors(t *testing.T) {
	for _, v := range aeadVectors() {
		t.Run(fmt.Sprintf("%v/%s", v.encr, v.source), func(t *testing.T) {
			c, err := NewCipher(v.encr, unhex(t, v.keymat), AUTH_NONE, nil)
			if err != nil {
				t.Fatal(err)
			}
			packet := c.Seal(nil, unhex(t, v.iv), unhex(t, v.plaintext), unhex(t, v.aad), nil)
			if got := hex.EncodeToString(packet); got != v.iv+v.packet {
				t.Errorf("sealed %s, want %s%s", got, v.iv, v.packet)
			}
			opened, err := c.Open(packet, unhex(t, v.aad), nil)
			if err != nil || hex.EncodeToString(opened) != v.plaintext {
				t.Errorf("opened %x, %v", opened, err)
			}
		})
	}
}
