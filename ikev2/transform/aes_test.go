package transform

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// RFC 3686 §6, all nine.
func TestCTRVectors(t *testing.T) {
	for i, v := range []struct{ key, salt, iv, plaintext, ciphertext string }{
		{"ae6852f8121067cc4bf7a5765577f39e",
			"00000030", "0000000000000000",
			"53696e676c6520626c6f636b206d7367",
			"e4095d4fb7a7b3792d6175a3261311b8"},
		{"7e24067817fae0d743d6ce1f32539163",
			"006cb6db", "c0543b59da48d90b",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28"},
		{"7691be035e5020a8ac6e618529f9a0dc",
			"00e0017b", "27777f3f4a1786f0",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223",
			"c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f"},
		{"16af5b145fc9f579c175f93e3bfb0eed863d06ccfdb78515",
			"00000048", "36733c147d6d93cb",
			"53696e676c6520626c6f636b206d7367",
			"4b55384fe259c9c84e7935a003cbe928"},
		{"7c5cb2401b3dc33c19e7340819e0f69c678c3db8e6f6a91a",
			"0096b03b", "020c6eadc2cb500d",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"453243fc609b23327edfaafa7131cd9f8490701c5ad4a79cfc1fe0ff42f4fb00"},
		{"02bf391ee8ecb159b959617b0965279bf59b60a786d3e0fe",
			"0007bdfd", "5cbd60278dcc0912",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223",
			"96893fc55e5c722f540b7dd1ddf7e758d288bc95c69165884536c811662f2188abee0935"},
		{"776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104",
			"00000060", "db5672c97aa8f0b2",
			"53696e676c6520626c6f636b206d7367",
			"145ad01dbf824ec7560863dc71e3e0c0"},
		{"f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884",
			"00faac24", "c1585ef15a43d875",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c"},
		{"ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d",
			"001cc5b7", "51a51d70a1c11148",
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223",
			"eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8"},
	} {
		c, err := NewCipher(ENCR_AES_CTR, unhex(t, v.key+v.salt), AUTH_AES_CMAC_96, make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		packet := c.Seal(nil, unhex(t, v.iv), unhex(t, v.plaintext), nil, nil)
		if got := hex.EncodeToString(packet[8 : len(packet)-12]); got != v.ciphertext {
			t.Errorf("vector %d: %s, want %s", i+1, got, v.ciphertext)
		}
	}
}

// RFC 3566 §4.6 test cases 1 to 7.
func TestXCBCVectors(t *testing.T) {
	for _, v := range []struct {
		data []byte
		mac  string
	}{
		{nil, "75f0251d528ac01c4573dfd584d79f29"},
		{pattern(0, 3), "5b376580ae2f19afe7219ceef172756f"},
		{pattern(0, 16), "d2a246fa349b68a79998a4394ff7a263"},
		{pattern(0, 20), "47f51b4564966215b8985c63055ed308"},
		{pattern(0, 32), "f54f0ec8d2b9f3d36807734bd5283fd4"},
		{pattern(0, 34), "becbb3bccdb518a30677d5481fb6b4d8"},
		{make([]byte, 1000), "f0dafee895db30253761103b5d84528f"},
	} {
		m, err := newXCBC(pattern(0, 16))
		if err != nil {
			t.Fatal(err)
		}
		for i := range v.data { // octet by octet, with a sum taken halfway
			m.Write(v.data[i : i+1])
			m.Sum(nil)
		}
		if got := hex.EncodeToString(m.Sum(nil)); got != v.mac {
			t.Errorf("%d octets: %s, want %s", len(v.data), got, v.mac)
		}
		m.Reset()
		m.Write(v.data)
		if got := hex.EncodeToString(m.Sum(nil)); got != v.mac {
			t.Errorf("%d octets at once: %s, want %s", len(v.data), got, v.mac)
		}
		c, err := NewCipher(ENCR_NULL, nil, AUTH_AES_XCBC_96, pattern(0, 16))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(c.Seal(nil, nil, nil, v.data, nil)); got != v.mac[:24] {
			t.Errorf("ICV of %d octets: %s", len(v.data), got)
		}
	}
	if _, err := newXCBC(make([]byte, 24)); err == nil {
		t.Error("a key of 192 bits is taken")
	}
}

// RFC 4434 §2.1 and RFC 4615 §4: keys of the fixed length, shorter and longer.
func TestBlockPRFVectors(t *testing.T) {
	const key = "000102030405060708090a0b0c0d0e0f"
	for _, v := range []struct {
		prf      PRF
		key, mac string
	}{
		{PRF_AES128_XCBC, key, "47f51b4564966215b8985c63055ed308"},
		{PRF_AES128_XCBC, key[:20], "0fa087af7d866e7653434e602fdde835"},
		{PRF_AES128_XCBC, key + "edcb", "8cd3c93ae598a9803006ffb67c40e9e4"},
		{PRF_AES128_CMAC, key + "edcb", "84a348a4a45d235babfffc0d2b4da09a"},
		{PRF_AES128_CMAC, key, "980ae87b5f4c9c5214f5b6a8455e4c2d"},
		{PRF_AES128_CMAC, key[:20], "290d9e112edb09ee141fcf64c0b72f3d"},
	} {
		p, err := NewPRF(v.prf)
		if err != nil {
			t.Fatal(err)
		}
		got := p.Sum(unhex(t, v.key), pattern(0, 1), nil, pattern(1, 19))
		if hex.EncodeToString(got) != v.mac || p.Size() != 16 || p.KeySize() != 16 {
			t.Errorf("%v, key of %d octets: %x, want %s", v.prf, len(v.key)/2, got, v.mac)
		}
	}
}

// RFC 2202 §2, test cases 1 and 2.
func TestHMACMD5Vectors(t *testing.T) {
	p, err := NewPRF(PRF_HMAC_MD5)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ key, data, mac string }{
		{string(bytes.Repeat([]byte{11}, 16)), "Hi There", "9294727a3638bb1c13f48ef8158bfc9d"},
		{"Jefe", "what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"},
	} {
		if got := hex.EncodeToString(p.Sum([]byte(v.key), []byte(v.data))); got != v.mac {
			t.Errorf("%q: %s, want %s", v.data, got, v.mac)
		}
	}
}

// NIST SP 800-20 table A.1, first row: three equal keys are DES.
func Test3DESVector(t *testing.T) {
	c, err := NewCipher(ENCR_3DES, bytes.Repeat([]byte{1}, 24), AUTH_HMAC_MD5_96, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	packet := c.Seal(nil, make([]byte, 8), unhex(t, "8000000000000000"), nil, nil)
	if got := hex.EncodeToString(packet[8:16]); got != "95f8a5e5dd31d900" {
		t.Errorf("ciphertext %s", got)
	}
}

// FIPS 81 table C1, the example of the CBC mode.
func TestDESVectors(t *testing.T) {
	c, err := NewCipher(ENCR_DES, unhex(t, "0123456789abcdef"), AUTH_HMAC_SHA1_96, make([]byte, 20))
	if err != nil {
		t.Fatal(err)
	}
	packet := c.Seal(nil, unhex(t, "1234567890abcdef"), []byte("Now is the time for all "), nil, nil)
	if got := hex.EncodeToString(packet[8:32]); got != "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6" {
		t.Errorf("ciphertext %s", got)
	}
}

// wycheproof is a file of Project Wycheproof's vectors.
type wycheproof struct {
	TestGroups []struct {
		IVSize, TagSize int // bits
		Tests           []struct {
			TcID                                        int
			Comment, Key, IV, AAD, Msg, CT, Tag, Result string
		}
	}
}

func readWycheproof(t *testing.T, name string) (w wycheproof) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCMACWycheproof(t *testing.T) {
	ran := 0
	for _, g := range readWycheproof(t, "aes_cmac_test.json").TestGroups {
		for _, v := range g.Tests {
			m, err := newCMAC(unhex(t, v.Key))
			if err != nil {
				if v.Result == "valid" {
					t.Errorf("%d: %v", v.TcID, err)
				}
				continue
			}
			m.Write(unhex(t, v.Msg))
			if got := hex.EncodeToString(m.Sum(nil)[:g.TagSize/8]); (got == v.Tag) != (v.Result == "valid") {
				t.Errorf("%d, %s: %s, %s is %s", v.TcID, v.Comment, got, v.Tag, v.Result)
			}
			ran++
		}
	}
	if ran < 250 {
		t.Errorf("only %d vectors ran", ran)
	}
}

func TestCCMWycheproof(t *testing.T) {
	ran := 0
	for _, g := range readWycheproof(t, "aes_ccm_test.json").TestGroups {
		for _, v := range g.Tests {
			block, err := aes.NewCipher(unhex(t, v.Key))
			if err != nil {
				t.Fatal(err)
			}
			aead, err := newCCM(block, g.IVSize/8, g.TagSize/8)
			if err != nil {
				if v.Result == "valid" {
					t.Errorf("%d: %v", v.TcID, err)
				}
				continue
			}
			got, err := aead.Open(nil, unhex(t, v.IV), unhex(t, v.CT+v.Tag), unhex(t, v.AAD))
			if (err == nil) != (v.Result == "valid") || err == nil && hex.EncodeToString(got) != v.Msg {
				t.Errorf("%d, %s: opened %x, %v; the vector is %s", v.TcID, v.Comment, got, err, v.Result)
			}
			if v.Result == "valid" {
				sealed := aead.Seal(nil, unhex(t, v.IV), unhex(t, v.Msg), unhex(t, v.AAD))
				if hex.EncodeToString(sealed) != v.CT+v.Tag {
					t.Errorf("%d, %s: sealed %x", v.TcID, v.Comment, sealed)
				}
			}
			ran++
		}
	}
	if ran < 450 {
		t.Errorf("only %d vectors ran", ran)
	}
}

// Additional data of 0xff00 octets has its length in six octets (RFC 3610 §2.2);
// what the tag covers is seen from a change at either end.
func TestCCMLimits(t *testing.T) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCCM(block, 13, 16)
	if err != nil {
		t.Fatal(err)
	}
	var aead cipher.AEAD = c
	nonce, aad := make([]byte, aead.NonceSize()), make([]byte, 0xff00)
	sealed := aead.Seal(nil, nonce, []byte("text"), aad)
	aad[len(aad)-1] = 1
	if _, err := aead.Open(nil, nonce, sealed, aad); err == nil {
		t.Error("the end of long additional data is not covered")
	}
	if _, err := aead.Open(nil, nonce, make([]byte, 1<<16+16), nil); err == nil {
		t.Error("a text that its length field cannot express is opened")
	}
	defer func() {
		if recover() == nil {
			t.Error("a text that its length field cannot express is sealed")
		}
	}()
	aead.Seal(nil, nonce, make([]byte, 1<<16), nil)
}

// FuzzOpen gives packets to every cipher: none panics, and what opens is what
// sealing gives.
func FuzzOpen(f *testing.F) {
	for i, s := range suites() {
		c := s.cipher(f)
		aad := []byte("esp's ad")
		f.Add(i, c.Seal(nil, pattern(7, c.IVSize()), pattern(5, 32), aad, nil), aad)
		f.Add(i, []byte{}, []byte{})
	}
	all := suites()
	f.Fuzz(func(t *testing.T, i int, packet, aad []byte) {
		s := all[uint(i)%uint(len(all))]
		c := s.cipher(t)
		text, err := c.Open(bytes.Clone(packet), aad, nil)
		if err != nil {
			if !errors.Is(err, ErrIntegrity) && !errors.Is(err, ErrBlocks) {
				t.Errorf("%v: %v", s, err)
			}
			return
		}
		if again := c.Seal(nil, packet[:c.IVSize()], text, aad, nil); !bytes.Equal(again, packet) {
			t.Errorf("%v: %x sealed again is %x", s, packet, again)
		}
	})
}
