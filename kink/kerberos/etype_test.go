package kerberos

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto/rfc3961"
)

var allETypes = []EType{
	DES3_CBC_SHA1_KD, AES128_CTS_HMAC_SHA1_96, AES256_CTS_HMAC_SHA1_96,
	AES128_CTS_HMAC_SHA256_128, AES256_CTS_HMAC_SHA384_192, RC4_HMAC,
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testKey(t testing.TB, e EType, fill byte) *Key {
	t.Helper()
	value := make([]byte, e.suite().keySize())
	for i := range value {
		value[i] = fill + byte(i)*3
	}
	k, err := NewKey(e, value)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// RFC 3961 appendix A.1.
func TestFold(t *testing.T) {
	for _, c := range []struct {
		in   string
		bits int
		want string
	}{
		{"012345", 64, "be072631276b1955"},
		{"password", 56, "78a07b6caf85fa"},
		{"Rough Consensus, and Running Code", 64, "bb6ed30870b7f0e0"},
		{"password", 168, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"},
		{"MASSACHVSETTS INSTITVTE OF TECHNOLOGY", 192, "db3b0d8f0b061e603282b308a50841229ad798fab9540c1b"},
		{"Q", 168, "518a54a215a8452a518a54a215a8452a518a54a215"},
		{"ba", 168, "fb25d531ae8974499f52fd92ea9857c4ba24cf297e"},
		{"kerberos", 64, "6b65726265726f73"},
		{"kerberos", 128, "6b65726265726f737b9b5b2b93132b93"},
		{"kerberos", 256, "6b65726265726f737b9b5b2b93132b935c9bdcdad95c9899c4cae4dee6d6cae4"},
	} {
		if got := hex.EncodeToString(rfc3961.Nfold([]byte(c.in), c.bits)); got != c.want {
			t.Errorf("%d-fold(%q) = %s, want %s", c.bits, c.in, got, c.want)
		}
	}
}

// RFC 3961 appendix A.3, the derived keys of 3DES.
func TestDeriveDES3(t *testing.T) {
	for _, c := range []struct{ key, label, want string }{
		{"dce06b1f64c857a11c3db57c51899b2cc1791008ce973b92", "0000000155", "925179d04591a79b5d3192c4a7e9c289b049c71f6ee604cd"},
		{"5e13d31c70ef765746578531cb51c15bf11ca82c97cee9f2", "00000001aa", "9e58e5a146d9942a101c469845d67a20e3c4259ed913f207"},
		{"d3f8298ccb166438dcb9b93ee5a7629286a491f838f802fb", "6b65726265726f73", "2370da575d2a3da864cebfdc5204d56df779a7df43d9da43"},
	} {
		got, err := DES3_CBC_SHA1_KD.suite().lib.DeriveKey(unhex(t, c.key), unhex(t, c.label))
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("DK(%s, %s) = %x, %v; want %s", c.key, c.label, got, err, c.want)
		}
	}
}

// RFC 3962 appendix B, CBC with ciphertext stealing.
func TestCiphertextStealing(t *testing.T) {
	key := unhex(t, "636869636b656e207465726979616b69")
	aes := AES128_CTS_HMAC_SHA1_96.suite().lib
	text := "I would like the General Gau's Chicken, please, and wonton soup."
	for _, c := range []struct {
		n    int
		want string
	}{
		{17, "c6353568f2bf8cb4d8a580362da7ff7f97"},
		{31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"},
		{32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"},
		{47, "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5"},
		{48, "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8"},
		{64, "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a84807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8"},
	} {
		_, got, err := aes.EncryptData(key, []byte(text[:c.n]))
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%d octets: %x, %v; want %s", c.n, got, err, c.want)
		}
		if back, err := aes.DecryptData(key, got); err != nil || string(back) != text[:c.n] {
			t.Errorf("%d octets come back as %q, %v", c.n, back, err)
		}
	}
}

// RFC 8009 appendix A.
func TestSHA2Vectors(t *testing.T) {
	const plain = "000102030405060708090a0b0c0d0e0f1011121314"
	for _, c := range []struct {
		etype            EType
		key, sumKey, sum string
		samples          map[string][2]string // plaintext → confounder, ciphertext
	}{
		{
			etype: AES128_CTS_HMAC_SHA256_128, key: "3705d96080c17728a0e800eab6e0d23c",
			sumKey: "b31a018a48f54776f403e9a396325dc3", sum: "d78367186643d67b411cba9139fc1dee",
			samples: map[string][2]string{
				"":         {"7e5895eaf2672435bad817f545a37148", "ef85fb890bb8472f4dab20394dca781dad877eda39d50c870c0d5a0a8e48c718"},
				plain[:12]: {"7bca285e2fd4130fb55b1a5c83bc5b24", "84d7f30754ed987bab0bf3506beb09cfb55402cef7e6877ce99e247e52d16ed4421dfdf8976c"},
				plain[:32]: {"56ab21713ff62c0a1457200f6fa9948f", "3517d640f50ddc8ad3628722b3569d2ae07493fa8263254080ea65c1008e8fc295fb4852e7d83e1e7c48c37eebe6b0d3"},
				plain:      {"a7a4e29a4728ce10664fb64e49ad3fac", "720f73b18d9859cd6ccb4346115cd336c70f58edc0c4437c5573544c31c813bce1e6d072c186b39a413c2f92ca9b8334a287ffcbfc"},
			},
		},
		{
			etype: AES256_CTS_HMAC_SHA384_192, key: "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
			sumKey: "ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d", sum: "45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a",
			samples: map[string][2]string{
				"":         {"f764e9fa15c276478b2c7d0c4e5f58e4", "41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c"},
				plain[:12]: {"b80d3251c1f6471494256ffe712d0b9a", "4ed7b37c2bcac8f74f23c1cf07e62bc7b75fb3f637b9f559c7f664f69eab7b6092237526ea0d1f61cb20d69d10f2"},
				plain[:32]: {"53bf8a0d105265d4e276428624ce5e63", "bc47ffec7998eb91e8115cf8d19dac4bbbe2e163e87dd37f49beca92027764f68cf51f14d798c2273f35df574d1f932e40c4ff255b36a266"},
				plain:      {"763e65367e864f02f55153c7e3b58af1", "40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2b2a602ac86fef6ecb647d6295fae077a1feb517508d2c16b4192e01f62"},
			},
		},
	} {
		k, err := NewKey(c.etype, unhex(t, c.key))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := k.sumKey(2); hex.EncodeToString(got) != c.sumKey {
			t.Errorf("%v: Kc = %x", c.etype, got)
		}
		if got, _ := k.Checksum(2, unhex(t, plain)); hex.EncodeToString(got) != c.sum {
			t.Errorf("%v: checksum %x", c.etype, got)
		}
		for in, want := range c.samples {
			got, err := k.Encrypt(2, bytes.NewReader(unhex(t, want[0])), unhex(t, in))
			if err != nil || hex.EncodeToString(got) != want[1] {
				t.Errorf("%v: %q gives %x, %v; want %s", c.etype, in, got, err, want[1])
			}
			if back, err := k.Decrypt(2, got); err != nil || hex.EncodeToString(back) != in {
				t.Errorf("%v: %q comes back as %x, %v", c.etype, in, back, err)
			}
		}
	}
}

// The file holds the output of kinkd's own function and of MIT's, see its README.
func TestPRFVectors(t *testing.T) {
	f, err := os.Open("../../testdata/kink/prf-keymat.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := regexp.MustCompile(`^etype (\d+) (.*?)\s*key=([0-9a-f]+) prf\('kinktest'\)=([0-9a-f]+)`)
	keymat := regexp.MustCompile(`KEYMAT proto=3 spi=11223344 no Nr (\d+) octets = ([0-9a-f]+)`)
	var key *Key
	var short bool
	tried := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		if m := head.FindStringSubmatch(s.Text()); m != nil {
			var e int
			fmt.Sscan(m[1], &e)
			short = strings.Contains(m[2], "16-octet")
			if key, err = NewKey(EType(e), unhex(t, m[3])); err != nil {
				t.Fatal(err)
			}
			got, err := key.PRF([]byte("kinktest"), short)
			if err != nil || hex.EncodeToString(got) != m[4] {
				t.Errorf("%s: %x, %v", s.Text(), got, err)
			}
			tried++
		}
		if m := keymat.FindStringSubmatch(s.Text()); m != nil {
			seed := append(unhex(t, "0311223344"), unhex(t, "303132333435363738393a3b3c3d3e3f")...)
			var out, last []byte
			for len(out) < len(m[2])/2 {
				last, _ = key.PRF(append(last, seed...), short)
				out = append(out, last...)
			}
			if hex.EncodeToString(out[:len(m[2])/2]) != m[2] {
				t.Errorf("%v KEYMAT %x, want %s", key.etype, out, m[2])
			}
			tried++
		}
	}
	if tried < 14 {
		t.Errorf("only %d vectors were found", tried)
	}
}

func TestEncryptRoundTrip(t *testing.T) {
	for _, e := range allETypes {
		k := testKey(t, e, 1)
		for n := range 70 {
			plain := bytes.Repeat([]byte{byte(n)}, n)
			c, err := k.Encrypt(usageKINKEncrypt, rand.Reader, plain)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.Decrypt(usageKINKEncrypt, c)
			if err != nil || !bytes.HasPrefix(got, plain) || len(got)-n > 7 {
				t.Fatalf("%v, %d octets: %x, %v", e, n, got, err)
			}
			if _, err := k.Decrypt(usageTicket, c); err == nil && e != RC4_HMAC {
				t.Fatalf("%v: another usage decrypts", e)
			}
			c[n%len(c)] ^= 0x80
			if _, err := k.Decrypt(usageKINKEncrypt, c); err == nil {
				t.Fatalf("%v: a changed octet is not noticed", e)
			}
		}
	}
}

// Every length from 0 up, of noise: refused, and no panic.
func TestDecryptLengths(t *testing.T) {
	for _, e := range allETypes {
		k := testKey(t, e, 7)
		for n := range 200 {
			noise := make([]byte, n)
			rand.Read(noise)
			if _, err := k.Decrypt(usageTicket, noise); err == nil {
				t.Errorf("%v takes %d octets of noise", e, n)
			}
			if err := k.VerifyChecksum(usageKINKChecksum, []byte("x"), noise); err == nil {
				t.Errorf("%v takes %d octets of noise for a checksum", e, n)
			}
		}
	}
}

func TestKeyLengths(t *testing.T) {
	for _, e := range allETypes {
		for n := range 40 {
			_, err := NewKey(e, make([]byte, n))
			if (err == nil) != (n == e.suite().keySize()) {
				t.Errorf("%v with %d octets: %v", e, n, err)
			}
		}
		if back, err := ParseEType(e.String()); err != nil || back != e {
			t.Errorf("%v is read as %v, %v", e, back, err)
		}
	}
	if _, err := NewKey(3, make([]byte, 8)); err == nil {
		t.Error("a DES key is taken")
	}
	if _, err := ParseEType("des-cbc-md5"); err == nil {
		t.Error("DES is parsed")
	}
}

// capture is an exchange of two C kinkds.
type capture struct {
	Service string            `json:"service_key_aes256"`
	Packets map[string]string `json:"packets"`
}

func readCapture(t testing.TB, name string) capture {
	t.Helper()
	text, err := os.ReadFile("../../testdata/kink/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var c capture
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
