package transform

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"go/ast"
	"go/parser"
	"go/token"
	"hash"
	"path/filepath"
	"strings"
	"testing"
)

// vectorsOf says for each algorithm that is built which test holds it to vectors of
// others: published ones, or another implementation's arithmetic where nobody has
// published any.
var vectorsOf = map[string]string{
	"ENCR_NULL":                  "TestIntegrityVectors", // nothing but the integrity algorithm
	"ENCR_DES":                   "TestDESVectors",       // FIPS 81
	"ENCR_3DES":                  "Test3DESVector",       // SP 800-67
	"ENCR_AES_CBC":               "TestCBCVectors",       // RFC 3602
	"ENCR_AES_CTR":               "TestCTRVectors",       // RFC 3686
	"ENCR_AES_CCM_8":             "TestCCMWycheproof",    // Wycheproof
	"ENCR_AES_CCM_12":            "TestCCMWycheproof",
	"ENCR_AES_CCM_16":            "TestCCMWycheproof",
	"ENCR_AES_GCM_8":             "TestShortTagIsBeginning", // the beginning of the one with 16 octets
	"ENCR_AES_GCM_12":            "TestAEADVectors",         // GCM specification
	"ENCR_AES_GCM_16":            "TestAEADVectors",
	"ENCR_NULL_AUTH_AES_GMAC":    "TestGMACVector",           // draft-mcgrew-gcm-test
	"ENCR_CHACHA20_POLY1305":     "TestAEADVectors",          // RFC 7634
	"ENCR_AES_CCM_8_IIV":         "TestImplicitIVIsSequence", // those with an explicit IV, which have vectors
	"ENCR_AES_GCM_16_IIV":        "TestImplicitIVIsSequence",
	"ENCR_CHACHA20_POLY1305_IIV": "TestImplicitIVIsSequence",

	"PRF_HMAC_MD5":      "TestHMACMD5Vectors", // RFC 2202
	"PRF_HMAC_SHA1":     "TestPRFVectors",     // RFC 2202
	"PRF_HMAC_SHA2_256": "TestPRFVectors",     // RFC 4231
	"PRF_HMAC_SHA2_384": "TestPRFVectors",
	"PRF_HMAC_SHA2_512": "TestPRFVectors",
	"PRF_AES128_XCBC":   "TestBlockPRFVectors", // RFC 4434
	"PRF_AES128_CMAC":   "TestBlockPRFVectors", // RFC 4615

	"AUTH_HMAC_MD5_96":       "TestIntegrityVectors", // RFC 2202
	"AUTH_HMAC_SHA1_96":      "TestIntegrityVectors",
	"AUTH_HMAC_SHA2_256_128": "TestIntegrityVectors", // RFC 4868
	"AUTH_HMAC_SHA2_384_192": "TestIntegrityVectors",
	"AUTH_HMAC_SHA2_512_256": "TestIntegrityVectors",
	"AUTH_AES_XCBC_96":       "TestXCBCVectors",    // RFC 3566
	"AUTH_AES_CMAC_96":       "TestCMACWycheproof", // Wycheproof

	"MODP_768":   "TestMODPAgainstBig", // math/big; the primes are computed from pi (TestPrimes)
	"MODP_1024":  "TestMODPAgainstBig",
	"MODP_1536":  "TestMODPAgainstBig",
	"MODP_2048":  "TestMODPAgainstBig",
	"MODP_3072":  "TestMODPAgainstBig",
	"MODP_4096":  "TestMODPAgainstBig",
	"MODP_6144":  "TestMODPAgainstBig",
	"MODP_8192":  "TestMODPAgainstBig",
	"ECP_256":    "TestECDHVectors", // RFC 5903
	"ECP_384":    "TestECDHVectors",
	"ECP_521":    "TestECDHVectors",
	"CURVE25519": "TestECDHVectors", // RFC 7748
	"CURVE448":   "TestX448Vectors", // RFC 7748
}

// Nothing is built without vectors, and the tests that are named are there.
func TestEveryAlgorithmHasVectors(t *testing.T) {
	tests := map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				tests[f.Name.Name] = true
			}
		}
	}
	var built []string
	for id := range uint16(256) {
		if ENCR(id).Built() {
			built = append(built, ENCR(id).String())
		}
		if PRF(id).Built() {
			built = append(built, PRF(id).String())
		}
		if i := INTEG(id); i != AUTH_NONE && i.Built() {
			built = append(built, i.String())
		}
		if KE(id).Built() {
			built = append(built, KE(id).String())
		}
	}
	for _, name := range built {
		if test := vectorsOf[name]; !tests[test] {
			t.Errorf("%s has the vectors of %q, which is no test", name, test)
		}
	}
	if len(built) != len(vectorsOf) {
		t.Errorf("%d algorithms are built, %d have vectors", len(built), len(vectorsOf))
	}
}

// prf+ of every PRF, by the definition of RFC 7296 §2.13 over another HMAC where there
// is one, and over Sum, which has vectors, for those of AES.
func TestPlusOfEveryPRF(t *testing.T) {
	hmacs := map[PRF]func() hash.Hash{
		PRF_HMAC_MD5: md5.New, PRF_HMAC_SHA1: sha1.New, PRF_HMAC_SHA2_256: sha256.New, PRF_HMAC_SHA2_384: sha512.New384, PRF_HMAC_SHA2_512: sha512.New,
	}
	for id := range PRF(256) {
		if !id.Built() {
			continue
		}
		p, err := NewPRF(id)
		if err != nil {
			t.Fatal(err)
		}
		prf := func(key []byte, data ...[]byte) []byte { return p.Sum(key, data...) }
		if h := hmacs[id]; h != nil {
			prf = func(key []byte, data ...[]byte) []byte {
				mac := hmac.New(h, key)
				for _, d := range data {
					mac.Write(d)
				}
				return mac.Sum(nil)
			}
		}
		for _, size := range []int{1, p.Size() - 1, p.Size(), p.Size() + 1, 3*p.Size() + 5, 255 * p.Size()} {
			key, seed := pattern(3, p.KeySize()), pattern(7, 40)
			var want, last []byte
			for i := 1; len(want) < size; i++ {
				last = prf(key, last, seed, []byte{byte(i)})
				want = append(want, last...)
			}
			if got := Plus(p, key, seed, size); !bytes.Equal(got, want[:size]) {
				t.Errorf("%v: %d octets differ", id, size)
			}
		}
	}
}
