package dns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// program finds a program of Debian, or skips.
func program(t testing.TB, name, pkg string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/bin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed: apt-get install %s", name, pkg)
	return ""
}

// processes are the servers that run, by address.
var processes sync.Map

// daemon runs a server until the test ends, and waits until it answers.
func daemon(t testing.TB, addr netip.AddrPort, path string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(path, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	processes.Store(addr, cmd.Process.Pid)
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	c := mdns.Client{Timeout: 100 * time.Millisecond}
	for range 100 {
		if _, _, err := c.Exchange(new(mdns.Msg).SetQuestion("localhost.", mdns.TypeA), addr.String()); err == nil {
			return stop
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	t.Fatalf("%s does not answer: %s", path, said.String())
	return nil
}

func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	pc, l := bindBoth(t, "127.0.0.1")
	defer pc.Close()
	defer l.Close()
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// startUnbound runs unbound with local data, or as a forwarder.
func startUnbound(t testing.TB, addr netip.AddrPort, forward netip.AddrPort, data ...string) (stop func()) {
	t.Helper()
	path := program(t, "unbound", "unbound")
	dir := t.TempDir()
	var text strings.Builder
	fmt.Fprintf(&text, `server:
  interface: %s@%d
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "%s"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  num-threads: 1
`, addr.Addr(), addr.Port(), dir)
	if len(data) > 0 {
		text.WriteString("  local-zone: \"example.com.\" static\n")
	}
	for _, d := range data {
		fmt.Fprintf(&text, "  local-data: '%s'\n", d)
	}
	text.WriteString("remote-control:\n  control-enable: no\n")
	if forward.IsValid() {
		fmt.Fprintf(&text, "forward-zone:\n  name: \".\"\n  forward-addr: %s@%d\n", forward.Addr(), forward.Port())
	}
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return daemon(t, addr, path, "-d", "-c", conf)
}

func startDnsmasq(t testing.TB, addr netip.AddrPort, args ...string) (stop func()) {
	t.Helper()
	path := program(t, "dnsmasq", "dnsmasq-base")
	conf := filepath.Join(t.TempDir(), "empty.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return daemon(t, addr, path, append([]string{
		"--keep-in-foreground", "--conf-file=" + conf, "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=",
		"--listen-address=" + addr.Addr().String(), fmt.Sprintf("--port=%d", addr.Port()), "--pid-file=",
	}, args...)...)
}

// TestUnbound follows a name at unbound: its records change, and it dies.
func TestUnbound(t *testing.T) {
	addr := freePort(t)
	stop := startUnbound(t, addr, netip.AddrPort{},
		"www.example.com. 1 IN A 192.0.2.1", "www.example.com. 1 IN AAAA 2001:db8::1",
		"www.example.com. 1 IN TXT \"hello\"")
	r := newRig(t, Config{}, resolver.Settings{
		Upstreams: []resolver.Upstream{{Addr: addr, Trusted: true}},
		TTLFloor:  500 * time.Millisecond, Grace: 300 * time.Millisecond, AttemptTimeout: 200 * time.Millisecond,
	}, "127.0.0.1", "www.example.com")
	c := r.change("192.0.2.1", "2001:db8::1")
	r.proxy.Input(resolver.PolicyStands{Name: c.Name, Generation: c.Generation})
	if got := answers(r.ask("udp", "www.example.com.", mdns.TypeAAAA)); got != "[2001:db8::1]" {
		t.Errorf("got %s", got)
	}
	if m := r.ask("tcp", "none.example.com.", mdns.TypeA); m.Rcode != mdns.RcodeNameError {
		t.Errorf("%v", m)
	}
	stop()
	stop = startUnbound(t, addr, netip.AddrPort{}, "www.example.com. 1 IN A 192.0.2.2", "www.example.com. 1 IN AAAA 2001:db8::1")
	c = r.change("192.0.2.2", "2001:db8::1")
	r.proxy.Input(resolver.PolicyStands{Name: c.Name, Generation: c.Generation})
	r.proxy.Input(resolver.InUse{Addr: netip.MustParseAddr("192.0.2.2"), Using: true})
	stop()
	deadline := time.Now().Add(8 * time.Second)
	for { // what nobody uses leaves, what is in use stays
		var left []netip.Addr
		if err := r.proxy.Look(func(core *resolver.Resolver, _ time.Time) { left = core.Addresses("www.example.com") }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(left) == "[192.0.2.2]" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("addresses %v", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestDnsmasq is the other server that Debian's networks have.
func TestDnsmasq(t *testing.T) {
	addr := freePort(t)
	startDnsmasq(t, addr, "--host-record=www.example.com,192.0.2.1,2001:db8::1", "--cname=alias.example.com,www.example.com", "--local=/example.com/")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: []resolver.Upstream{{Addr: addr}}}, "127.0.0.1")
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"www.example.com.", mdns.TypeA, "[192.0.2.1]"},
		{"alias.example.com.", mdns.TypeAAAA, "[www.example.com. 2001:db8::1]"},
		{"none.example.com.", mdns.TypeA, "[]"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := answers(r.ask(network, c.name, c.kind)); got != c.want {
				t.Errorf("%s over %s: %s, want %s", c.name, network, got, c.want)
			}
		}
	}
}

// TestDig asks as people do.
func TestDig(t *testing.T) {
	dig := program(t, "dig", "bind9-dnsutils")
	z := newZone(t, "127.0.0.1", "www.example.com. 300 IN A 192.0.2.1", "1.2.0.192.in-addr.arpa. 300 IN PTR www.example.com.")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z), Forward: []string{"2.0.192.in-addr.arpa"}}, "127.0.0.1")
	at := []string{"@" + r.addr.Addr().String(), "-p", portOf(r.addr), "+time=5", "+tries=1"}
	for want, args := range map[string][]string{
		"status: NOERROR":       {"www.example.com"},
		"\t192.0.2.1":           {"www.example.com", "+tcp"},
		"flags: do; udp: 1232":  {"www.example.com", "+dnssec", "+bufsize=4096"},
		"www.example.com.":      {"-x", "192.0.2.1"},
		"status: NXDOMAIN":      {"none.example.com"},
		"status: REFUSED":       {"www.example.com", "+norecurse"},
		"status: BADVERS":       {"www.example.com", "+edns=1", "+noednsnegotiation"},
		"status: FORMERR":       {"www.example.com", "+header-only"},
		"status: NOTIMP":        {"www.example.com", "+opcode=2"},
		"RFC8482":               {"www.example.com", "ANY", "+notcp"},
		"status: NOERROR, id: ": {"www.example.com", "+ednsopt=65001:0102", "+cookie"},
	} {
		out, err := exec.Command(dig, append(append([]string{}, at...), args...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("dig %v: %v, without %q: %s", args, err, want, out)
		}
	}
}
