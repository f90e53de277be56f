package agent

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"racoon2/config"
)

// renewal is how long before its end a certificate is asked to be renewed.
const renewal = 30 * 24 * time.Hour

// leastRSA is the size of an RSA key below which it is called weak, in bits
// (RFC 8247 §4.1.1).
const leastRSA = 2048

// certificates looks at the keys of a remote: whether they can be read, hold
// now, fit together and fit the identities. Where the remote does not
// authenticate with them nothing of it refuses the configuration.
func (c *compiler) certificates(r *config.Remote) {
	k := r.Certificates
	if k.Mine != nil {
		public, cert := c.publicKey(k, k.Mine, "my_public_key")
		c.privateKey(k, k.Mine, public)
		c.fits(k, k.Mine, public)
		if cert != nil && len(k.MyID) > 0 {
			c.names(k, k.Mine, cert, k.MyID[:1], "my_id")
		}
	}
	if k.Peers != nil {
		public, cert := c.publicKey(k, k.Peers, "peers_public_key")
		c.fits(k, k.Peers, public)
		if cert != nil && len(k.PeersID) > 0 {
			c.names(k, k.Peers, cert, k.PeersID, "peers_id")
		}
	}
}

// grave is the severity of what keeps a key from being used.
func grave(k *config.Certificates) config.Severity {
	if k.Used {
		return config.Error
	}
	return config.Warning
}

// publicKey reads the public half of a key; the certificate is nil where it is
// a bare key, or where something is wrong, which is found.
func (c *compiler) publicKey(k *config.Certificates, key *config.PublicKey, directive string) (crypto.PublicKey, *x509.Certificate) {
	if key.Format == "pkcs12" {
		c.find(grave(k), key.Pos, "certificate-format",
			"make PEM files of it: openssl pkcs12 -in FILE -nokeys -out CERT; openssl pkcs12 -in FILE -nocerts -noenc -out KEY",
			"%s %s: PKCS #12 is not read by this version", directive, key.Public)
		return nil, nil
	}
	data, err := c.o.ReadFile(key.Public)
	if err != nil {
		c.find(grave(k), key.Pos, "certificate-file", "", "%s %s: %v", directive, key.Public, err)
		return nil, nil
	}
	var cert *x509.Certificate
	var public crypto.PublicKey
	if key.Format == "ascii" {
		public, err = parsePublic(data)
	} else if cert, err = parseCertificate(data); err == nil {
		public = cert.PublicKey
	}
	if err != nil {
		c.find(grave(k), key.Pos, "certificate-file", "", "%s %s: %v", directive, key.Public, err)
		return nil, nil
	}
	if cert != nil {
		c.times(key, cert, directive)
	}
	c.strength(key, public, cert, directive)
	return public, cert
}

// parseCertificate reads the first certificate of a PEM file.
func parseCertificate(data []byte) (*x509.Certificate, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("the file holds no certificate in PEM")
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("the certificate cannot be understood: %w", err)
			}
			return cert, nil
		}
		data = rest
	}
}

// parsePublic reads a bare public key in PEM.
func parsePublic(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("the file holds no public key in PEM")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		return nil, errors.New("the file holds a certificate: write x509pem instead of ascii")
	}
	return nil, fmt.Errorf("the file holds a %q, not a public key", block.Type)
}

// times says when a certificate does not hold, or soon will not.
func (c *compiler) times(key *config.PublicKey, cert *x509.Certificate, directive string) {
	day := func(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }
	switch left := cert.NotAfter.Sub(c.o.Now); {
	case c.o.Now.Before(cert.NotBefore):
		c.find(config.Warning, key.Pos, "certificate-not-yet-valid", "look at the clock of this host", "%s %s: the certificate holds from %s on", directive, key.Public, day(cert.NotBefore))
	case left <= 0:
		c.find(config.Warning, key.Pos, "certificate-expired", "renew it", "%s %s: the certificate has expired, on %s", directive, key.Public, day(cert.NotAfter))
	case left < renewal:
		c.find(config.Warning, key.Pos, "certificate-expires", "renew it", "%s %s: the certificate expires in %d days, on %s", directive, key.Public, int(left.Hours()/24), day(cert.NotAfter))
	}
}

// strength points out keys and signatures that nobody should trust.
func (c *compiler) strength(key *config.PublicKey, public crypto.PublicKey, cert *x509.Certificate, directive string) {
	if k, ok := public.(*rsa.PublicKey); ok && k.N.BitLen() < leastRSA {
		c.find(config.Warning, key.Pos, "weak-certificate", "make a key of 2048 bits or more", "%s %s: an RSA key of %d bits is too small (RFC 8247 §4.1.1)", directive, key.Public, k.N.BitLen())
	}
	if cert == nil {
		return
	}
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		c.find(config.Warning, key.Pos, "weak-certificate", "have it signed with SHA-256", "%s %s: the certificate is signed with %v (RFC 8247 §4.1)", directive, key.Public, cert.SignatureAlgorithm)
	}
}

// privateKey reads the private half, which is a secret, and compares it.
func (c *compiler) privateKey(k *config.Certificates, key *config.PublicKey, public crypto.PublicKey) {
	if key.Private == "" || key.Format == "pkcs12" && key.Private == key.Public {
		return
	}
	data, err := c.o.ReadSecret(key.Private)
	defer clear(data)
	if err == nil && len(data) == 0 {
		err = errEmpty
	}
	if err != nil {
		c.find(grave(k), key.Pos, "key-file", "", "my_public_key: the private key %s: %v", key.Private, err)
		return
	}
	private, err := parsePrivate(data)
	if err != nil {
		c.find(grave(k), key.Pos, "key-file", "", "my_public_key: the private key %s: %v", key.Private, err)
		return
	}
	if comparable, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && public != nil && !comparable.Equal(public) {
		c.find(grave(k), key.Pos, "key-mismatch", "", "my_public_key: the private key %s is not that of the certificate %s", key.Private, key.Public)
	}
}

// parsePrivate reads a private key in PEM. The error tells nothing of it.
func parsePrivate(data []byte) (crypto.Signer, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("the file holds no private key in PEM")
		}
		switch {
		case block.Type == "EC PARAMETERS":
			data = rest
			continue
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, errors.New("it is encrypted, and nobody can be asked for its passphrase; protect it by its mode, 0600")
		}
		defer clear(block.Bytes)
		for _, parse := range []func([]byte) (any, error){
			x509.ParsePKCS8PrivateKey,
			func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
			func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		} {
			if key, err := parse(block.Bytes); err == nil {
				if signer, ok := key.(crypto.Signer); ok {
					return signer, nil
				}
			}
		}
		return nil, fmt.Errorf("the %q in it cannot be understood", block.Type)
	}
}

// fits compares a key with the methods that are to use it.
func (c *compiler) fits(k *config.Certificates, key *config.PublicKey, public crypto.PublicKey) {
	if public == nil {
		return
	}
	var name string
	var wants config.AuthMethod
	switch public.(type) {
	case *rsa.PublicKey:
		name, wants = "RSA", config.AuthRSASig
	case *ecdsa.PublicKey:
		name, wants = "ECDSA", config.AuthECDSA
	case ed25519.PublicKey:
		name, wants = "Ed25519", config.AuthEdDSA
	default:
		c.find(config.Warning, key.Pos, "certificate-key-type", "use an ECDSA, RSA or Ed25519 key", "%s holds a key of a kind that IKEv2 has no use for here", key.Public)
		return
	}
	signs := func(m config.AuthMethod) bool {
		return m == config.AuthRSASig || m == config.AuthECDSA || m == config.AuthEdDSA || m == config.AuthDSS
	}
	if slices.ContainsFunc(k.Methods, signs) && !slices.Contains(k.Methods, wants) {
		c.find(config.Warning, key.Pos, "certificate-key-type", fmt.Sprintf("add %v to kmp_auth_method", wants),
			"%s holds an %s key, and kmp_auth_method has no method for it", key.Public, name)
	}
}

// names asks for the identities in a certificate (RFC 4945 §3.1): one of them is
// enough, and only those that a certificate can hold count.
func (c *compiler) names(k *config.Certificates, key *config.PublicKey, cert *x509.Certificate, ids []config.ID, directive string) {
	var missing []string
	for _, id := range ids {
		in, known := c.inCertificate(id, cert)
		if in || !known {
			return
		}
		missing = append(missing, fmt.Sprintf("%v %s", id.Type, id.Value))
	}
	hint := "the certificate is for: " + strings.Join(namesOfCertificate(cert), ", ")
	c.find(grave(k), ids[0].Pos, "certificate-identity", hint, "%s %s is not in the certificate %s (RFC 4945 §3.1)",
		directive, strings.Join(missing, ", "), key.Public)
}

// inCertificate looks for an identity in a certificate; known is false where
// that cannot be told.
func (c *compiler) inCertificate(id config.ID, cert *x509.Certificate) (in, known bool) {
	switch id.Type {
	case config.IDFQDN:
		return slices.ContainsFunc(cert.DNSNames, func(n string) bool { return strings.EqualFold(n, id.Value) }), true
	case config.IDEmail:
		return slices.Contains(cert.EmailAddresses, id.Value), true
	case config.IDIPAddr:
		if id.Address.Kind == config.AddressMacro && id.Address.Macro.Any() {
			return false, false
		}
		for _, ip := range cert.IPAddresses {
			for _, p := range c.expand(id.Address) {
				if ip.Equal(p.Addr().AsSlice()) {
					return true, true
				}
			}
		}
		return false, true
	case config.IDX509Subject:
		data, err := c.o.ReadFile(id.Value)
		if err != nil {
			return false, false // the identity itself is found to be unreadable
		}
		other, err := parseCertificate(data)
		return err == nil && bytes.Equal(other.RawSubject, cert.RawSubject), err == nil
	}
	return false, false // a keyid is in no certificate
}

// namesOfCertificate lists what a certificate is for.
func namesOfCertificate(cert *x509.Certificate) []string {
	out := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		out = append(out, ip.String())
	}
	return append(out, "subject "+cert.Subject.String())
}
