package kerberos

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Krb5Conf is what this package takes from krb5.conf. Everything else in the file is
// passed over: encryption types and skew come with Config. The reader is ours: gokrb5's
// passes over include and includedir without a word, and over a realm whose brace is not closed.
type Krb5Conf struct {
	DefaultRealm string
	// KDCs of each realm in the file's order: "host", "host:port", "[v6]:port", with
	// "tcp/" or "udp/" before it where written.
	KDCs map[string][]string
	// Domains maps a host name, or a domain with a leading dot, to a realm ([domain_realm]).
	Domains map[string]string
	// LookupKDC asks DNS for KDCs of realms that the file does not list (dns_lookup_kdc).
	LookupKDC bool
	// UDPLimit is the longest request that goes by UDP first, in octets (udp_preference_limit).
	UDPLimit int
	// Lifetime is ticket_lifetime; 0 where not written.
	Lifetime time.Duration
}

const (
	maxConf      = 1 << 20
	maxConfDepth = 8 // includes in includes
	defaultUDP   = 1465
)

// LoadKrb5Conf reads files in order; the first word on anything stands, as in MIT's library.
// A file that does not exist is passed over when another one does.
func LoadKrb5Conf(paths ...string) (*Krb5Conf, error) {
	p := newConfParser()
	var missing error
	read := 0
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			missing = err
			continue
		}
		if err := p.file(path, 0); err != nil {
			return nil, err
		}
		read++
	}
	if read == 0 && missing != nil {
		return nil, missing
	}
	return p.conf, nil
}

// ParseKrb5Conf reads one file's text; includes are relative to nothing and must be absolute.
func ParseKrb5Conf(text []byte) (*Krb5Conf, error) {
	p := newConfParser()
	if err := p.text("krb5.conf", text, 0); err != nil {
		return nil, err
	}
	return p.conf, nil
}

// Realm is the realm of a host: that of its name, then of the domains around it, from
// the longest, then the default (RFC 4120 §1.3 leaves it to configuration). "" if there is none.
func (c *Krb5Conf) Realm(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if r := c.Domains[host]; r != "" {
		return r
	}
	for rest := host; ; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			return c.DefaultRealm
		}
		if r := c.Domains[rest[dot:]]; r != "" {
			return r
		}
		rest = rest[dot+1:]
		if r := c.Domains[rest]; r != "" {
			return r
		}
	}
}

// KINKPrincipal is kink/host@REALM with the host in lower case (RFC 4430 §4).
func (c *Krb5Conf) KINKPrincipal(host string) (string, error) {
	realm := c.Realm(host)
	p := Principal{Name: []string{"kink", strings.ToLower(strings.TrimSuffix(host, "."))}, Realm: realm}
	if realm == "" {
		return "", fmt.Errorf("no realm for host %q: krb5.conf has neither a domain_realm for it nor a default_realm", host)
	}
	if err := p.check(); err != nil {
		return "", fmt.Errorf("host %q: %w", host, err)
	}
	return p.String(), nil
}

type confParser struct {
	conf    *Krb5Conf
	section string
	path    []string // open braces
	final   map[string]bool
}

func newConfParser() *confParser {
	return &confParser{
		conf:  &Krb5Conf{KDCs: make(map[string][]string), Domains: make(map[string]string), LookupKDC: true, UDPLimit: -1},
		final: make(map[string]bool),
	}
}

func (p *confParser) file(path string, depth int) error {
	text, err := readBounded(path, maxConf)
	if err != nil {
		return err
	}
	return p.text(path, text, depth)
}

func (p *confParser) text(name string, text []byte, depth int) error {
	if depth > maxConfDepth {
		return fmt.Errorf("%s: files include one another more than %d deep", name, maxConfDepth)
	}
	p.section, p.path = "", nil
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxConf)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if err := p.line(line, depth); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if len(p.path) > 0 {
		return fmt.Errorf("%s: a brace is not closed: %s", name, strings.Join(p.path, " → "))
	}
	if p.conf.UDPLimit < 0 && depth == 0 {
		p.conf.UDPLimit = defaultUDP
	}
	return lines.Err()
}

func (p *confParser) line(line string, depth int) error {
	if word, rest, ok := strings.Cut(line, " "); ok && len(p.path) == 0 {
		switch word {
		case "include":
			return p.include([]string{strings.TrimSpace(rest)}, depth)
		case "includedir":
			return p.directory(strings.TrimSpace(rest), depth)
		case "module":
			return nil // a plug-in of MIT's library
		}
	}
	switch {
	case line[0] == '[':
		end := strings.IndexByte(line, ']')
		if end < 0 || len(p.path) > 0 {
			return fmt.Errorf("%q is no section, or a brace before it is not closed", line)
		}
		p.section = strings.ToLower(line[1:end])
		return nil
	case strings.HasPrefix(line, "}"):
		if len(p.path) == 0 {
			return fmt.Errorf("there is no brace to close")
		}
		p.path = p.path[:len(p.path)-1]
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("%q is neither a section nor a relation", line)
	}
	key, value = strings.TrimSuffix(strings.TrimSpace(key), "*"), strings.TrimSpace(value)
	if strings.HasPrefix(value, "{") {
		if len(p.path) == maxConfDepth {
			return fmt.Errorf("braces are more than %d deep", maxConfDepth)
		}
		p.path = append(p.path, key)
		if strings.HasSuffix(value, "}") {
			p.path = p.path[:len(p.path)-1]
		}
		return nil
	}
	return p.relation(key, strings.Trim(value, `"`))
}

// include keeps the place in the including file: an included file begins outside of sections.
func (p *confParser) include(paths []string, depth int) error {
	section := p.section
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%q to include is not an absolute path", path)
		}
		if err := p.file(path, depth+1); err != nil {
			return err
		}
	}
	p.section, p.path = section, nil
	return nil
}

// directory includes the files whose names MIT's library takes: letters, digits,
// dashes and underscores, or an end in .conf.
func (p *confParser) directory(path string, depth int) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	var paths []string
	for _, e := range entries {
		name := e.Name()
		plain := strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if plain || strings.HasSuffix(name, ".conf") && name[0] != '.' {
			paths = append(paths, filepath.Join(path, name))
		}
	}
	return p.include(paths, depth)
}

func (p *confParser) relation(key, value string) error {
	switch {
	case p.section == "libdefaults" && len(p.path) == 0:
		return p.libdefault(strings.ToLower(key), value)
	case p.section == "realms" && len(p.path) == 1 && key == "kdc":
		realm := p.path[0]
		if len(p.conf.KDCs[realm]) < maxAddresses {
			p.conf.KDCs[realm] = append(p.conf.KDCs[realm], value)
		}
	case p.section == "domain_realm" && len(p.path) == 0:
		if key = strings.ToLower(key); p.conf.Domains[key] == "" {
			p.conf.Domains[key] = value
		}
	}
	return nil
}

func (p *confParser) libdefault(key, value string) error {
	if p.final[key] {
		return nil
	}
	var err error
	switch key {
	case "default_realm":
		p.conf.DefaultRealm = value
	case "dns_lookup_kdc":
		p.conf.LookupKDC = yes(value)
	case "dns_fallback": // the older name
		p.conf.LookupKDC = p.conf.LookupKDC && yes(value)
		return nil
	case "udp_preference_limit":
		p.conf.UDPLimit, err = strconv.Atoi(value)
		p.conf.UDPLimit = max(0, p.conf.UDPLimit)
	case "ticket_lifetime":
		p.conf.Lifetime, err = confDuration(value)
	}
	p.final[key] = true
	if err != nil {
		return fmt.Errorf("%s: %q is malformed", key, value)
	}
	return nil
}

func yes(v string) bool {
	switch strings.ToLower(v) {
	case "y", "yes", "true", "t", "1", "on":
		return true
	}
	return false
}

// confDuration reads seconds, h:m, h:m:s and NdNhNmNs.
func confDuration(v string) (time.Duration, error) {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	if parts := strings.Split(v, ":"); len(parts) == 2 || len(parts) == 3 {
		v = ""
		for i, p := range parts {
			v += p + "hms"[i:i+1]
		}
	}
	days, rest, ok := strings.Cut(v, "d")
	if !ok {
		days, rest = "0", v
	}
	n, err := strconv.ParseUint(strings.TrimSpace(days), 10, 16)
	if err != nil {
		return 0, err
	}
	total := time.Duration(n) * 24 * time.Hour
	if rest = strings.ReplaceAll(rest, " ", ""); rest == "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > 1<<16*time.Hour {
		return 0, fmt.Errorf("%q is no duration", v)
	}
	return total + d, nil
}
