//go:build linux

package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// kdc is a KDC in a namespace of its own, which both hosts reach by a wire each.
type kdc struct {
	t     *testing.T
	ns    *netlab.NS
	dir   string
	addr  netip.Addr // as the hosts know it
	maker kdcMaker
	cmd   *netlab.Cmd
}

// kdcMaker is an implementation of Kerberos.
type kdcMaker interface {
	create(k *kdc)                                   // the realm's database
	add(k *kdc, principal string, options ...string) // with a random key
	change(k *kdc, principal string, options ...string)
	extract(k *kdc, keytab string, principals ...string)
	daemon(k *kdc) (name string, args []string)
	environment(k *kdc) []string
}

const realmName = "EXAMPLE.TEST"

// The principals of the two hosts.
const (
	leftPrincipal  = "kink/left.example.test"
	rightPrincipal = "kink/right.example.test"
)

// kdcNetwork are the addresses of the KDC, left and right on the wires to it.
var kdcNetwork = map[string][2][2]string{
	"v4": {{"203.0.113.1/30", "203.0.113.2/30"}, {"203.0.113.5/30", "203.0.113.6/30"}},
	"v6": {{"2001:db8:88::1/64", "2001:db8:88::2/64"}, {"2001:db8:89::1/64", "2001:db8:89::2/64"}},
}

// newKDC makes the realm, and joins the KDC to both hosts. It does not run yet.
func newKDC(t *testing.T, top *topology, family string, maker kdcMaker) *kdc {
	t.Helper()
	k := joinKDC(t, top, family)
	k.maker = maker
	k.write("krb5.conf", fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	rdns = false
[realms]
	%[1]s = {
		kdc = %[2]s
	}
`, realmName, netip.AddrPortFrom(k.addr, 88)))
	maker.create(k)
	for _, p := range []string{leftPrincipal, rightPrincipal} {
		maker.add(k, p)
	}
	maker.extract(k, "left.keytab", leftPrincipal)
	maker.extract(k, "right.keytab", rightPrincipal)
	return k
}

// joinKDC makes the KDC's namespace, which both hosts reach.
func joinKDC(t *testing.T, top *topology, family string) *kdc {
	t.Helper()
	k := &kdc{t: t, dir: t.TempDir()}
	var err error
	k.ns, err = top.lab.Namespace("kdc")
	must(t, err)
	for i, host := range []site{top.left, top.right} {
		plan := kdcNetwork[family][i]
		link := fmt.Sprintf("host%d", i)
		must(t, top.lab.Join(host.ns, "kdc", k.ns, link))
		must(t, k.ns.Address(link, plan[0]))
		must(t, host.ns.Address("kdc", plan[1]))
	}
	loopback := map[string]string{"v4": "203.0.113.88/32", "v6": "2001:db8:90::88/128"}[family]
	must(t, k.ns.Address("lo", loopback))
	k.addr = netip.MustParsePrefix(loopback).Addr()
	for i, host := range []site{top.left, top.right} {
		via := netip.MustParsePrefix(kdcNetwork[family][i][0]).Addr().String()
		must(t, host.ns.Route(loopback, via))
	}
	return k
}

func (k *kdc) path(name string) string { return filepath.Join(k.dir, name) }

func (k *kdc) write(name, text string) {
	k.t.Helper()
	must(k.t, os.WriteFile(k.path(name), []byte(text), 0o600))
}

// tool runs a program of the KDC's.
func (k *kdc) tool(name string, args ...string) string {
	k.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), k.maker.environment(k)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		k.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// start runs the KDC until stop, or the end of the test.
func (k *kdc) start() {
	k.t.Helper()
	name, args := k.maker.daemon(k)
	k.cmd = k.ns.Command(context.Background(), name, args...)
	k.cmd.Env = append(os.Environ(), k.maker.environment(k)...)
	log, err := os.OpenFile(k.path("kdc.out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(k.t, err)
	k.cmd.Stdout, k.cmd.Stderr = log, log
	must(k.t, k.cmd.Start())
	log.Close()
	k.t.Cleanup(k.stop)
	waitFor(k.t, 20*time.Second, "the KDC to listen", k.listens)
}

// listens says whether somebody has UDP port 88 in the KDC's namespace.
func (k *kdc) listens() bool {
	found := false
	err := k.ns.Do(func() error {
		for _, table := range []string{"udp", "udp6"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + table)
			if err != nil {
				return err
			}
			found = found || strings.Contains(string(text), ":0058 ")
		}
		return nil
	})
	return err == nil && found
}

func (k *kdc) stop() {
	if k.cmd == nil {
		return
	}
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
	k.cmd = nil
}

// mitKDC is MIT's (Debian: krb5-kdc, krb5-admin-server).
type mitKDC struct{}

const mitTypes = "aes256-cts-hmac-sha1-96:normal,aes256-cts-hmac-sha384-192:normal,aes128-cts-hmac-sha256-128:normal,aes128-cts-hmac-sha1-96:normal"

func (mitKDC) environment(k *kdc) []string {
	return []string{"KRB5_CONFIG=" + k.path("krb5.conf"), "KRB5_KDC_PROFILE=" + k.path("kdc.conf"), "LC_ALL=C"}
}

func (mitKDC) create(k *kdc) {
	if _, err := os.Stat("/usr/sbin/krb5kdc"); err != nil {
		k.t.Skipf("needs MIT's KDC (krb5-kdc krb5-admin-server): %v", err)
	}
	k.write("kdc.conf", fmt.Sprintf(`[kdcdefaults]
	kdc_listen = 88
	kdc_tcp_listen = 88
[realms]
	%[1]s = {
		database_name = %[2]s/db
		key_stash_file = %[2]s/stash
		acl_file = %[2]s/acl
		supported_enctypes = %[3]s
		max_life = 10h
	}
[logging]
	kdc = FILE:%[2]s/kdc.log
`, realmName, k.dir, mitTypes))
	k.tool("/usr/sbin/kdb5_util", "create", "-r", realmName, "-s", "-P", "master")
}

func (m mitKDC) kadmin(k *kdc, query string) {
	k.t.Helper()
	if out := k.tool("/usr/sbin/kadmin.local", "-r", realmName, "-q", query); strings.Contains(out, "kadmin.local: ") {
		k.t.Fatalf("%s: %s", query, out)
	}
}

func (m mitKDC) add(k *kdc, principal string, options ...string) {
	k.t.Helper()
	m.kadmin(k, "addprinc -randkey +requires_preauth "+strings.Join(options, " ")+" "+principal)
}

func (m mitKDC) change(k *kdc, principal string, options ...string) {
	k.t.Helper()
	m.kadmin(k, "modprinc "+strings.Join(options, " ")+" "+principal)
}

func (m mitKDC) extract(k *kdc, keytab string, principals ...string) {
	k.t.Helper()
	m.kadmin(k, "ktadd -k "+k.path(keytab)+" "+strings.Join(principals, " "))
}

func (mitKDC) daemon(k *kdc) (string, []string) {
	return "/usr/sbin/krb5kdc", []string{"-n", "-r", realmName}
}
