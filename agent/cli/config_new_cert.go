package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// How long new certificates hold. They begin an hour ago, for the peer's clock.
const (
	authorityYears = 10
	endYears       = 2
	clockSlack     = time.Hour
)

// certificates makes an authority and a certificate for each end.
func certificates(out string, ends ...newEnd) (*newAuth, error) {
	now := time.Now()
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "racoon2 authority of " + ends[0].name + " and " + ends[1].name},
		NotAfter: now.AddDate(authorityYears, 0, 0), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	authority, err := certify(root, root, rootKey, rootKey)
	if err != nil {
		return nil, err
	}
	a := &newAuth{kind: authCert, papers: map[string]certified{}, common: []newFile{
		{filepath.Join(out, "ca", "cert.pem"), authority.cert}, {filepath.Join(out, "ca", "private.pem"), authority.key},
	}}
	for _, e := range ends {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		// The identity has to be among the names (RFC 4945 §3.1), and IKE's own
		// extended key usage is not asked for (§5.1.3.12).
		c := &x509.Certificate{
			Subject: pkix.Name{CommonName: e.name}, NotAfter: now.AddDate(endYears, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
			IPAddresses: []net.IP{e.addr.AsSlice()},
		}
		if e.name != e.addr.String() {
			c.DNSNames = []string{e.name}
		}
		if a.papers[e.name], err = certify(c, root, key, rootKey); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// certify signs a certificate for a key.
func certify(c, by *x509.Certificate, key, signer *ecdsa.PrivateKey) (certified, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return certified{}, err
	}
	c.SerialNumber, c.NotBefore = serial, time.Now().Add(-clockSlack)
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), signer)
	if err != nil {
		return certified{}, err
	}
	octets, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return certified{}, err
	}
	defer clear(octets)
	return certified{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: octets}),
	}, nil
}
