//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// ends replaces what a configuration says of tunnels' ends and of the peer's
// address by a host name alone.
func (r *racoon2) peerByName(name, more string) {
	r.t.Helper()
	text := r.conf.render(filepath.Join(r.dir, "peer.psk"))
	text = strings.Replace(text, "peers_ipaddr "+r.conf.PeerAddr, "peers_ipaddr "+name, 1)
	for _, line := range []string{"\tmy_sa_ipaddr " + r.conf.MyAddr + ";\n", "\tpeers_sa_ipaddr " + r.conf.PeerAddr + ";\n"} {
		text = strings.Replace(text, line, "", 1)
	}
	r.write("racoon2.conf", text+more)
}

// A tunnel goes to a peer that has a name. Before the name is known nothing
// leaves; the peer moves to another address, with MOBIKE or without, and the
// tunnel follows; the name server dies, and the tunnel stays.
func TestPeerByName(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		for _, mobike := range []string{"on", "off"} {
			t.Run(family+" MOBIKE "+mobike, func(t *testing.T) {
				p := newPair(t, family, "tunnel", false)
				first, second := p.right.outer, p.right.outer.Next()
				bits := map[string]int{"v4": 24, "v6": 64}[family]
				must(t, p.right.ns.Address("wan", netip.PrefixFrom(second, bits).String()))
				n := &nameServer{}
				n.serve(t, p.left.ns)
				p.a.conf.IKE, p.b.conf.IKE = "mobike "+mobike+";", "mobike "+mobike+";"
				p.b.configure()
				p.a.peerByName("gw.example.com", "resolver { nameserver 127.0.0.1 port 5300; ttl_floor 1; };\n")
				p.b.peerByName(p.b.conf.PeerAddr, "")
				w := p.watch(t)
				p.start()
				noPing(t, p.left, p.src, p.dst, 3)
				w.wantNoClear()

				n.set(first)
				ping(t, p.left, p.src, p.dst, 60*time.Second)
				w.wantESP(netlab.ESP, 2)
				p.wantPeer(first)

				n.set(second)
				waitFor(t, 60*time.Second, fmt.Sprintf("the tunnel to go to %v", second), func() bool { return p.peerOf() == second })
				w.reset()
				ping(t, p.left, p.src, p.dst, 30*time.Second)
				ping(t, p.right, p.dst, p.src, 30*time.Second)
				w.wantESP(netlab.ESP, 2)
				for _, f := range w.sent(netlab.ESP) {
					if f.Src == first || f.Dst == first {
						t.Errorf("ESP from %v to %v after the move", f.Src, f.Dst)
					}
				}

				n.fail(true)
				p.a.outlives(t, "gw.example.com")
				ping(t, p.left, p.src, p.dst, 10*time.Second)
				p.wantPeer(second)
				w.wantNoClear()
			})
		}
	}
}

// A tunnel by KINK follows its peer's name: nothing leaves before the name is known,
// and the SAs at the new address stand before those at the old one go.
func TestKINKPeerByName(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newKINK(t, family, "tunnel")
			first, second := p.topology.right.outer, p.topology.right.outer.Next().Next()
			bits := map[string]int{"v4": 24, "v6": 64}[family]
			must(t, p.topology.right.ns.Address("wan", netip.PrefixFrom(second, bits).String()))
			n := &nameServer{}
			n.serve(t, p.topology.left.ns)
			p.left.KINK = "peers_ipaddr gw.example.com;"
			p.right.KINK = "peers_ipaddr " + p.right.PeerAddr + ";"
			p.left.More = "resolver { nameserver 127.0.0.1 port 5300; ttl_floor 1; };\n"
			p.configure()
			for _, r := range []*racoon2{p.a, p.b} {
				r.text = withoutEnds(r.text)
				r.configure()
			}
			w := p.watch(t)
			p.b.start()
			p.a.start()
			noPing(t, p.topology.left, p.src, p.dst, 3)
			n.set(first)
			ping(t, p.topology.left, p.src, p.dst, 60*time.Second)
			p.agree(t)

			n.set(second)
			waitFor(t, 60*time.Second, fmt.Sprintf("the tunnel to go to %v alone", second), func() bool {
				all := pairs(p.a.status(), false)
				for _, c := range all {
					if c.Remote != second.String() {
						return false
					}
				}
				return len(all) == 1
			})
			w.reset()
			ping(t, p.topology.left, p.src, p.dst, 30*time.Second)
			ping(t, p.topology.right, p.dst, p.src, 30*time.Second)
			for _, f := range w.sent(netlab.ESP) {
				if f.Src == first || f.Dst == first {
					t.Errorf("ESP from %v to %v after the move", f.Src, f.Dst)
				}
			}
			w.wantESP(netlab.ESP, 2)
			if log := p.a.log(); !strings.Contains(log, "has other addresses now") || strings.Contains(log, "is down: it is deleted") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

// outlives waits until the life of a name's answer is over, with a floor of a
// second, and whatever that may have begun, with a grace of a second. The question
// that finds no server comes shortly before the end of the life, and takes longer.
func (r *racoon2) outlives(t *testing.T, name string) {
	t.Helper()
	before := strings.Count(r.log(), name+". could not be asked for")
	waitFor(t, 30*time.Second, name+" to be asked for in vain", func() bool {
		return strings.Count(r.log(), name+". could not be asked for") > before
	})
	time.Sleep(1500 * time.Millisecond)
}

// withoutEnds takes the ends of tunnels out of a configuration.
func withoutEnds(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "_sa_ipaddr") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// A peer has two addresses, of which one answers at a time. The tunnel comes up
// with whichever does, and goes to the other when the peer is not there any more.
func TestPeersInTurn(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			second := p.right.outer
			first := second.Next()
			bits := map[string]int{"v4": 24, "v6": 64}[family]
			quick := "interval_to_send 1; max_retry_to_send 2; dpd_delay 2; mobike off;"
			p.a.conf.IKE, p.b.conf.IKE = quick, quick
			p.a.peerByName(fmt.Sprintf("{ %v; %v; }", first, second), "")
			p.b.configure()
			p.b.peerByName(p.b.conf.PeerAddr, "")
			w := p.watch(t)
			p.start()
			ping(t, p.left, p.src, p.dst, 60*time.Second)
			ping(t, p.right, p.dst, p.src, 20*time.Second)
			p.wantPeer(second)
			if log := p.a.log(); !strings.Contains(log, first.String()) {
				t.Errorf("the first address was not tried:\n%s", log)
			}

			// IPv4's kernel takes what is in the same network away with an address.
			p.right.ip(t, "address", "del", netip.PrefixFrom(second, bits).String(), "dev", "wan")
			must(t, p.right.ns.Address("wan", netip.PrefixFrom(first, bits).String()))
			p.right.ip(t, "route", "replace", p.left.net, "via", p.left.outer.String())
			p.left.ip(t, "route", "replace", p.right.net, "via", first.String())
			waitFor(t, 90*time.Second, fmt.Sprintf("the tunnel to go to %v", first), func() bool {
				_ = p.left.ns.Ping(netlab.Ping{From: p.src, To: p.dst, Timeout: 100 * time.Millisecond})
				return p.peerOf() == first
			})
			w.reset()
			ping(t, p.left, p.src, p.dst, 30*time.Second)
			ping(t, p.right, p.dst, p.src, 30*time.Second)
			w.wantESP(netlab.ESP, 2)
			for _, f := range w.sent(netlab.ESP) {
				if f.Src == second || f.Dst == second {
					t.Errorf("ESP from %v to %v after the peer has moved", f.Src, f.Dst)
				}
			}
		})
	}
}

// ip runs iproute2's ip on a site.
func (s site) ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := s.ns.Command(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// With start on the tunnel stands before any traffic, and again after the peer has
// died and come back.
func TestStartOn(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			p.a.conf.Policy = "\tstart on;\n"
			quick := "interval_to_send 1; max_retry_to_send 2; dpd_delay 2;"
			p.a.conf.IKE, p.b.conf.IKE = quick, quick
			p.a.configure()
			p.b.configure()
			w := p.watch(t)
			p.a.start() // nobody is there yet
			p.b.start()
			up := func(what string) map[string]bool {
				t.Helper()
				var now map[string]bool
				waitFor(t, 90*time.Second, what, func() bool {
					now = children(p.a.status(), false)
					there := children(p.b.status(), true)
					if len(now) != 1 || len(there) != 1 {
						return false
					}
					for c := range now {
						return there[c]
					}
					return false
				})
				return now
			}
			first := up("the tunnel to stand without traffic")
			p.b.kill(syscall.SIGKILL)
			p.b.start()
			waitFor(t, 90*time.Second, "left to find out", func() bool {
				for c := range children(p.a.status(), false) {
					if first[c] {
						return false
					}
				}
				return true
			})
			up("the tunnel to stand again without traffic")
			if n := len(w.sent(netlab.ESP)); n != 0 {
				t.Errorf("%d packets of ESP, and there was no traffic", n)
			}
			w.reset() // while nobody listened, right's kernel said that its port is closed
			ping(t, p.left, p.src, p.dst, 10*time.Second)
			ping(t, p.right, p.dst, p.src, 10*time.Second)
			w.wantESP(netlab.ESP, 2)
		})
	}
}

// peerOf is where the one child of left goes; the zero Addr while there are none
// or several.
func (p *pair) peerOf() netip.Addr {
	var all []string
	for _, i := range p.a.status().IKESAs {
		for _, c := range i.Children {
			all = append(all, c.Remote)
		}
	}
	if len(all) != 1 {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(all[0])
	return a
}

func (p *pair) wantPeer(want netip.Addr) {
	p.a.t.Helper()
	if got := p.peerOf(); got != want {
		p.a.t.Errorf("the tunnel goes to %v, want %v", got, want)
	}
}

// unbound runs Debian's unbound in a namespace, on port 5300 of its loopback
// address, with the addresses of www.example.com.
type unbound struct {
	t    *testing.T
	conf string
	cmd  *netlab.Cmd
}

func startUnbound(t *testing.T, in *netlab.NS, addr netip.Addr) *unbound {
	t.Helper()
	dir := t.TempDir()
	u := &unbound{t: t, conf: filepath.Join(dir, "unbound.conf")}
	u.set(addr)
	u.cmd = in.Command(t.Context(), "/usr/sbin/unbound", "-d", "-c", u.conf)
	must(t, u.cmd.Start())
	t.Cleanup(u.kill)
	return u
}

// set gives the name another address; reload has the server say so.
func (u *unbound) set(addr netip.Addr) {
	u.t.Helper()
	kind := "A"
	if addr.Is6() {
		kind = "AAAA"
	}
	must(u.t, os.WriteFile(u.conf, fmt.Appendf(nil, `server:
  interface: 127.0.0.1@5300
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "%s"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  num-threads: 1
  local-zone: "example.com." static
  local-data: "www.example.com. 1 IN %s %v"
remote-control:
  control-enable: no
`, filepath.Dir(u.conf), kind, addr), 0o600))
}

func (u *unbound) reload() {
	u.t.Helper()
	must(u.t, u.cmd.Process.Signal(syscall.SIGHUP))
}

func (u *unbound) kill() {
	if u.cmd != nil {
		_ = u.cmd.Process.Kill()
		_ = u.cmd.Wait()
		u.cmd = nil
	}
}

// As TestNames with a name server of Debian's, which dies at the end: what was up
// stays up, though its records have long run out.
func TestNamesUnbound(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "tunnel", false)
			first, second := p.right.inner, p.right.inner.Next()
			must(t, p.right.ns.Address("lo", netip.PrefixFrom(second, second.BitLen()).String()))
			u := startUnbound(t, p.left.ns, first)
			p.a.conf.PeerNet = "www.example.com"
			p.a.configure()
			p.a.write("racoon2.conf", p.a.conf.render(p.a.dir+"/peer.psk")+
				"resolver { resolver on; nameserver 127.0.0.1 port 5300; dns_query 127.0.0.1; address_grace_period 1; ttl_floor 1; };\n")
			w := p.watch(t)
			p.start()
			resolve := func(want netip.Addr) {
				t.Helper()
				waitFor(t, 30*time.Second, fmt.Sprintf("the name to stand for %v", want), func() bool {
					got, err := lookUp(p.left.ns, family)
					return err == nil && len(got) == 1 && got[0] == want
				})
			}
			resolve(first)
			ping(t, p.left, p.left.inner, first, 15*time.Second)
			w.wantESP(netlab.ESP, 2)

			w.reset()
			u.set(second)
			u.reload()
			resolve(second)
			ping(t, p.left, p.left.inner, second, 15*time.Second)
			noPing(t, p.left, p.left.inner, first, 3)
			w.wantNoClear()

			w.reset()
			u.kill()
			p.a.outlives(t, "www.example.com")
			ping(t, p.left, p.left.inner, second, 15*time.Second)
			w.wantESP(netlab.ESP, 2)
		})
	}
}
