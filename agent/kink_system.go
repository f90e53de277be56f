package agent

import (
	"cmp"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"racoon2/config"
	"racoon2/kink/kerberos"
	"racoon2/resolver"
)

// The files of Kerberos where nothing else is said, and the variables that say
// something else, as its libraries have them.
const (
	defaultKeytab   = "/etc/krb5.keytab"
	defaultKrb5Conf = "/etc/krb5.conf"
	envKeytab       = "KRB5_KTNAME"
	envKrb5Conf     = "KRB5_CONFIG" // several files with colons between
)

// systemKeytab is the keytab of this host where none is configured.
func systemKeytab() string {
	return strings.TrimPrefix(cmp.Or(os.Getenv(envKeytab), defaultKeytab), "FILE:")
}

// complete fills in the system's own for what is not given.
func (o *KINKOptions) complete() {
	etc := cmp.Or(o.Etc, defaultEtc)
	hosts := sync.OnceValue(func() []resolver.HostEntry { return readHosts(filepath.Join(etc, hostsFile)) })
	if o.NamesOf == nil {
		o.NamesOf = func(addr netip.Addr) []string { return namesIn(hosts(), addr) }
	}
	if o.Host == nil {
		o.Host = func() string { return fullName(hosts) }
	}
	if o.Krb5Conf == nil {
		o.Krb5Conf = readKrb5Conf
	}
	if o.Keytab == nil {
		o.Keytab = checkKeytab
	}
}

func readHosts(path string) []resolver.HostEntry {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // there are no names in it
	}
	entries, _ := resolver.ParseHosts(text) // the resolver complains
	return entries
}

func namesIn(hosts []resolver.HostEntry, addr netip.Addr) []string {
	var out []string
	for _, h := range hosts {
		if h.Addr.Unmap() == addr.Unmap() {
			out = append(out, h.Names...)
		}
	}
	return out
}

// fullName is this host's name, with a domain where the hosts file has one: the
// official name of the address that the host's name is listed with.
func fullName(hosts func() []resolver.HostEntry) string {
	name, err := os.Hostname()
	if err != nil || strings.Contains(name, ".") {
		return name
	}
	for _, h := range hosts() {
		for _, alias := range h.Names {
			if strings.EqualFold(strings.TrimSuffix(alias, "."), name) && strings.Contains(strings.TrimSuffix(h.Names[0], "."), ".") {
				return strings.TrimSuffix(h.Names[0], ".")
			}
		}
	}
	return name
}

func readKrb5Conf(path string) (*kerberos.Krb5Conf, error) {
	if path != "" {
		return kerberos.LoadKrb5Conf(path)
	}
	return kerberos.LoadKrb5Conf(strings.Split(cmp.Or(os.Getenv(envKrb5Conf), defaultKrb5Conf), ":")...)
}

// checkKeytab holds a keytab to the rules for secrets.
func checkKeytab(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return bare(err)
	}
	var head [2]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || head != [2]byte{5, 2} {
		return errNoKeytab
	}
	return config.CheckSecret(info)
}

var errNoKeytab = errors.New("it is no keytab: it does not begin with 05 02")
