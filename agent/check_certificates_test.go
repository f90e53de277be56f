package agent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/config"
)

// paper is a certificate for tests with its key.
type paper struct {
	cert, key []byte // PEM
	signer    crypto.Signer
}

var paperNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// newPaper makes a certificate that is signed with its own key.
func newPaper(t *testing.T, key crypto.Signer, from, to time.Time) paper {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cn.example.org"}, NotBefore: from, NotAfter: to,
		DNSNames: []string{"a.example.org"}, EmailAddresses: []string{"a@example.org"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	octets, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return paper{
		cert:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: octets}),
		signer: key,
	}
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// paperFiles are the files that the configurations of TestCertificates name.
func paperFiles(t *testing.T) map[string][]byte {
	t.Helper()
	year := 365 * 24 * time.Hour
	before, after := paperNow.Add(-year), paperNow.Add(year)
	ec := ecKey(t)
	good := newPaper(t, ec, before, after)
	other := newPaper(t, ecKey(t), before, after)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := newPaper(t, edKey, before, after)
	t.Setenv("GODEBUG", "rsa1024min=0") // the small one is the point
	smallKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	small := newPaper(t, smallKey, before, after)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(typ string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b}) }
	return map[string][]byte{
		"/good.pem": good.cert, "/good.key": good.key,
		"/chain.pem":   slices.Concat(encode("X", nil), good.cert, other.cert),
		"/sec1.key":    slices.Concat(encode("EC PARAMETERS", []byte{6, 0}), encode("EC PRIVATE KEY", sec1)),
		"/expired.pem": newPaper(t, ec, before, paperNow.Add(-time.Hour)).cert,
		"/future.pem":  newPaper(t, ec, paperNow.Add(time.Hour), after).cert,
		"/soon.pem":    newPaper(t, ec, before, paperNow.Add(10*24*time.Hour+time.Hour)).cert,
		"/other.key":   other.key, "/ed.pem": ed.cert, "/ed.key": ed.key,
		"/small.pem": small.cert, "/small.key": small.key,
		"/text.pem": []byte("no PEM"), "/broken.pem": encode("CERTIFICATE", []byte("x")), "/broken.key": encode("PRIVATE KEY", []byte("x")),
		"/locked.key": encode("ENCRYPTED PRIVATE KEY", []byte("x")), "/empty.key": {},
		"/public.pem": encode("PUBLIC KEY", bare), "/secret": []byte("x"),
	}
}

// Each row names keys, and what is found about them.
func TestCertificates(t *testing.T) {
	files := paperFiles(t)
	read := func(path string) ([]byte, error) {
		if path == "/open.key" {
			return nil, &config.SecretError{Text: "its mode is 0644", Kind: config.ErrOpenToOthers}
		}
		if data, ok := files[path]; ok {
			return slices.Clone(data), nil
		}
		return nil, fs.ErrNotExist
	}
	for _, test := range []struct{ lines, want string }{
		{`my_public_key x509pem "/good.pem" "/good.key"; peers_public_key x509pem "/good.pem";`, ""},
		{`my_public_key x509pem "/chain.pem" "/sec1.key"; my_id email "a@example.org";`, ""},
		{`my_public_key x509pem "/good.pem" "/good.key"; my_id ipaddr 2001:db8::1;`, ""},
		{`my_public_key x509pem "/good.pem" "/good.key"; my_id ipaddr MY_IPV4;`, ""},
		{`my_public_key x509pem "/good.pem" "/good.key"; my_id x509_subject "/chain.pem";`, "id-type"},
		{`my_public_key x509pem "/good.pem" "/good.key"; my_id keyid tag "x";`, ""},
		{`peers_public_key ascii "/public.pem"; my_public_key ascii "/public.pem" "/good.key";`, ""},
		{`peers_public_key x509pem "/good.pem"; peers_id { fqdn "z.example.org"; fqdn "A.example.org"; };`, ""},

		{`my_public_key x509pem "/none.pem" "/good.key";`, "certificate-file my_public_key /none.pem: file does not exist"},
		{`my_public_key x509pem "/text.pem" "/good.key";`, "certificate-file holds no certificate"},
		{`my_public_key x509pem "/broken.pem" "/good.key";`, "certificate-file cannot be understood"},
		{`my_public_key x509pem "/expired.pem" "/good.key";`, "certificate-expired on 2026-11-23 11:00:00 UTC"},
		{`my_public_key x509pem "/future.pem" "/good.key";`, "certificate-not-yet-valid"},
		{`my_public_key x509pem "/soon.pem" "/good.key";`, "certificate-expires in 10 days"},
		{`my_public_key x509pem "/good.pem" "/other.key";`, "key-mismatch"},
		{`my_public_key x509pem "/good.pem" "/none.key";`, "key-file"},
		{`my_public_key x509pem "/good.pem" "/empty.key";`, "key-file the file is empty"},
		{`my_public_key x509pem "/good.pem" "/open.key";`, "key-file 0644"},
		{`my_public_key x509pem "/good.pem" "/locked.key";`, "key-file encrypted"},
		{`my_public_key x509pem "/good.pem" "/broken.key";`, "key-file cannot be understood"},
		{`my_public_key x509pem "/good.pem" "/text.pem";`, "key-file no private key"},
		{`my_public_key x509pem "/small.pem" "/small.key"; kmp_auth_method { psk; rsasig; };`, "weak-certificate 1024 bits"},
		{`my_public_key x509pem "/ed.pem" "/ed.key"; kmp_auth_method { psk; rsasig; };`, "certificate-key-type Ed25519"},
		{`my_public_key x509pem "/good.pem" "/good.key"; my_id fqdn "cn.example.org";`, "certificate-identity my_id fqdn cn.example.org"},
		{`my_public_key x509pem "/good.pem" "/good.key"; my_id ipaddr 192.0.2.9;`, "certificate-identity my_id ipaddr 192.0.2.9"},
		{`peers_public_key x509pem "/good.pem"; peers_id { fqdn "z.example.org"; email "b@example.org"; };`, "certificate-identity peers_id fqdn z.example.org, email b@example.org"},
		{`my_public_key pkcs12 "/good.p12" "/good.p12";`, "certificate-format PKCS #12"},
		{`my_public_key ascii "/good.pem" "/good.key";`, "certificate-file write x509pem"},
		{`peers_public_key ascii "/text.pem";`, "certificate-file no public key"},
		{`peers_public_key ascii "/good.key";`, "certificate-file not a public key"},
		{`radius_server 192.0.2.9; radius_secret_file "/none";`, "key-file radius_secret_file /none"},
	} {
		text := `remote r { ikev2 { ` + test.lines + ` peers_ipaddr 192.0.2.2; pre_shared_key "/secret"; `
		if !strings.Contains(test.lines, "my_id") {
			text += `my_id fqdn "a.example.org"; `
		}
		if !strings.Contains(test.lines, "peers_id") {
			text += `peers_id fqdn "a.example.org"; `
		}
		_, findings := compileText(t, text+"}; };", func(o *CompileOptions) { o.Now, o.ReadFile, o.ReadSecret = paperNow, read, read })
		code, words, _ := strings.Cut(test.want, " ")
		if test.want == "" && len(findings) > 0 {
			t.Errorf("%s: %v", test.lines, findings)
		}
		if test.want != "" && !slices.ContainsFunc(findings, func(f config.Finding) bool {
			return f.Code == code && strings.Contains(f.Text, words) && f.Pos.IsValid()
		}) {
			t.Errorf("%s: %v, want %s", test.lines, findings, test.want)
		}
		for _, f := range findings {
			// Nothing authenticates with certificates yet: they refuse nothing.
			if f.Severity == config.Error && f.Code != "id-type" {
				t.Errorf("%s: %v", test.lines, f)
			}
		}
	}
	if _, err := parsePrivate(nil); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
