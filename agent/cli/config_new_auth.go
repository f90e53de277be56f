package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// The values of --auth.
const (
	authPSK  = "psk"
	authKINK = "kink"
	authCert = "cert"
)

// newAuth is how the ends of a new pair authenticate.
type newAuth struct {
	kind   string
	common []newFile // that are neither end's
	key    []byte    // pre-shared
	realm  string
	papers map[string]certified // by name of the end
}

// certified is an end's certificate and its private key, in PEM.
type certified struct{ cert, key []byte }

// newAuth makes the keys that --auth asks for.
func (f *newFlags) newAuth(from, to newEnd) (*newAuth, error) {
	if f.realm != "" && f.auth != authKINK {
		return nil, errors.New("--realm needs --auth kink")
	}
	switch f.auth {
	case "", authPSK:
		key, err := newKey("base64")
		return &newAuth{kind: authPSK, key: key}, err
	case authKINK:
		return f.kerberos(from, to)
	case authCert:
		return certificates(f.out, from, to)
	}
	return nil, errors.New("--auth is psk, kink or cert")
}

// kerberos checks what makes a principal of each end.
func (f *newFlags) kerberos(from, to newEnd) (*newAuth, error) {
	if f.realm == "" || len(f.realm) > 255 || strings.Trim(strings.ToLower(f.realm), "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return nil, errors.New("--auth kink needs the realm: --realm EXAMPLE.ORG")
	}
	for _, e := range []newEnd{from, to} {
		if e.name == e.addr.String() {
			return nil, fmt.Errorf("--auth kink needs a name for each end, which its principal has: NAME@%s", e.addr)
		}
	}
	return &newAuth{kind: authKINK, realm: f.realm}, nil
}

func (a *newAuth) principal(e newEnd) string { return "kink/" + e.name + "@" + a.realm }

// lines are the directives of one end's remote.
func (a *newAuth) lines(mine, theirs newEnd, place string) []string {
	ids := []string{"my_id " + mine.id, "peers_id " + theirs.id}
	path := func(name ...string) string {
		return fmt.Sprintf("%q", filepath.Join(append([]string{place}, name...)...))
	}
	switch a.kind {
	case authKINK:
		return []string{
			fmt.Sprintf("my_principal %q", a.principal(mine)), fmt.Sprintf("peers_principal %q", a.principal(theirs)),
			"keytab " + path("keytab"),
		}
	case authCert:
		return append(ids, "kmp_auth_method ecdsa",
			fmt.Sprintf("my_public_key x509pem %s %s", path("certs", mine.name+".pem"), path("private", mine.name+".pem")),
			"peers_public_key x509pem "+path("certs", theirs.name+".pem"))
	}
	return append(ids, "pre_shared_key "+path("psk", theirs.name))
}

// keys are the files of one end beside its configuration.
func (a *newAuth) keys(mine, theirs newEnd) []newFile {
	switch a.kind {
	case authPSK:
		return []newFile{{filepath.Join("psk", theirs.name), append([]byte(nil), a.key...)}}
	case authCert:
		return []newFile{
			{filepath.Join("certs", mine.name+".pem"), a.papers[mine.name].cert},
			{filepath.Join("certs", theirs.name+".pem"), append([]byte(nil), a.papers[theirs.name].cert...)},
			{filepath.Join("private", mine.name+".pem"), a.papers[mine.name].key},
		}
	}
	return nil
}

// advice is what is to be done before the configurations are.
func (a *newAuth) advice(out string, from, to newEnd) string {
	var b strings.Builder
	switch a.kind {
	case authKINK:
		b.WriteString("At the KDC, as an administrator, give each end its principal and its keytab:\n")
		for _, e := range []newEnd{from, to} {
			fmt.Fprintf(&b, "  kadmin -q 'addprinc -randkey %s'\n  kadmin -q 'ktadd -k %s %s'\n",
				a.principal(e), filepath.Join(out, e.name, "keytab"), a.principal(e))
		}
		fmt.Fprintf(&b, "(ktadd writes here; keep the mode of the keytab 0600.) Each host needs the realm\n%s in its krb5.conf, and a clock that the KDC agrees with.\n", a.realm)
	case authCert:
		fmt.Fprintf(&b, "This version cannot authenticate with certificates yet: racoon2 check says so, and the\n"+
			"remotes stay disabled until one that can. The authority's key, %s, signs\n"+
			"further certificates: keep it off both hosts.\n", filepath.Join(out, "ca", "private.pem"))
	}
	return b.String()
}
