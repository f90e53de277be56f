//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// An application looks up two names through the proxy and connects to them: KINK
// asks each time for the principal of the name that was used. The remote names
// no principal; its selector is for all names below a domain. The peer has a
// principal for each of its addresses.
func TestKINKNames(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newKINK(t, family, "transport")
			first, second := p.dst, p.dst.Next().Next()
			bits := map[string]int{"v4": 24, "v6": 64}[family]
			must(t, p.topology.right.ns.Address("wan", netip.PrefixFrom(second, bits).String()))
			n := &nameServer{named: map[string]netip.Addr{"www.example.com.": first, "mail.example.com.": second}}
			n.serve(t, p.topology.left.ns)
			mitKDC{}.add(p.kdc, "kink/www.example.com")
			mitKDC{}.add(p.kdc, "kink/mail.example.com")
			mitKDC{}.extract(p.kdc, "right.keytab", "kink/www.example.com", "kink/mail.example.com")

			p.left.Peers, p.left.PeerNet = "", "*.example.com"
			p.left.More = "resolver { resolver on; nameserver 127.0.0.1 port 5300; dns_query 127.0.0.1; };\n"
			p.configure()
			var right strings.Builder
			for name, addr := range map[string]netip.Addr{"www": first, "mail": second} {
				fmt.Fprintf(&right, `
remote %[1]s { kink { my_principal "kink/%[1]s.example.com"; peers_principal "%[2]s"; keytab "%[3]s"; krb5_conf "%[4]s"; }; };
selector %[1]s_out { direction outbound; src %[5]v; dst %[6]v; policy_index %[1]s; };
selector %[1]s_in { direction inbound; src %[6]v; dst %[5]v; policy_index %[1]s; };
policy %[1]s { action auto_ipsec; remote_index %[1]s; ipsec_mode transport; };
`, name, p.right.Peers, p.right.Keytab, p.right.Krb5, addr, p.src)
			}
			p.b.text = right.String()
			p.b.configure()
			w := p.watch(t)
			p.b.start()
			p.a.start()
			for name, addr := range n.named {
				waitFor(t, 20*time.Second, name+" to be found", func() bool {
					got, err := lookUpName(p.topology.left.ns, name, family)
					return err == nil && len(got) == 1 && got[0] == addr
				})
				ping(t, p.topology.left, p.src, addr, 20*time.Second)
			}
			p.agree(t)
			s := p.a.status()
			if len(s.KINK.Peers) != 2 {
				t.Fatalf("peers: %+v", s.KINK.Peers)
			}
			for _, peer := range s.KINK.Peers {
				host := strings.TrimSuffix(strings.TrimPrefix(peer.Principal, "kink/"), "@"+realmName)
				addr, ok := n.named[host+"."]
				if !ok || len(peer.Children) != 1 || peer.Children[0].Remote != addr.String() {
					t.Errorf("%s has %+v", peer.Principal, peer.Children)
				}
			}
			w.wantESP(netlab.ESP, 4)
		})
	}
}

// A principal that Kerberos knows gets no SAs for selectors that do not name it.
func TestKINKOtherPrincipal(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	mitKDC{}.add(p.kdc, "kink/evil.example.test")
	mitKDC{}.extract(p.kdc, "evil.keytab", "kink/evil.example.test")
	p.right.Mine, p.right.Keytab = "kink/evil.example.test", p.kdc.path("evil.keytab")
	w := p.watch(t)
	p.start()
	noPing(t, p.topology.right, p.dst, p.src, 5)
	waitFor(t, 20*time.Second, "the refusal in left's log", func() bool {
		return strings.Contains(p.a.log(), "no remote names kink/evil.example.test@"+realmName)
	})
	if n := len(pairs(p.a.status(), false)); n != 0 {
		t.Errorf("%d pairs", n)
	}
	w.wantNoClear()
}

// A peer that does not answer KINK is asked with IKEv2, and the log says so.
func TestKINKFallsOver(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	for _, end := range []struct {
		c        *kinkConfig
		r        *racoon2
		me, peer string
	}{{&p.left, p.a, "left", "right"}, {&p.right, p.b, "right", "left"}} {
		end.r.write("peer.psk", secret)
		end.c.Accept = "kink; ikev2;"
		end.c.IKEv2 = fmt.Sprintf("\tikev2 { my_id fqdn %q; peers_id fqdn %q; peers_ipaddr %s; pre_shared_key %q; };\n",
			end.me+".example.test", end.peer+".example.test", end.c.PeerAddr, end.r.dir+"/peer.psk")
		end.c.KINK = "max_retry_to_send 1;"
	}
	p.right.Accept = "ikev2;"
	w := p.watch(t)
	p.start()
	ping(t, p.topology.left, p.src, p.dst, 40*time.Second)
	if len(w.sent(netlab.KINK)) == 0 {
		t.Error("KINK was not tried")
	}
	if s := p.a.status(); len(s.IKESAs) != 1 || len(pairs(s, false)) != 0 {
		t.Errorf("IKE SAs %+v, KINK %+v", s.IKESAs, s.KINK)
	}
	if !strings.Contains(p.a.log(), "gave up") || !strings.Contains(p.a.log(), "the next engine is asked") {
		t.Errorf("the log does not say so:\n%s", p.a.log())
	}
	w.wantESP(netlab.ESP, 2)
}

// A responder makes the policies that its configuration leaves to it: for any
// peer in transport mode, and for a selector that is only declared. They live as
// long as was negotiated, which is what the initiator wants.
func TestKINKPolicyByResponder(t *testing.T) {
	for name, change := range map[string]func(*kinkConfig){
		"IP_RW":       func(c *kinkConfig) { c.PeerNet = "IP_RW" },
		"install off": func(c *kinkConfig) { c.Policy = "install off;"; c.Selector = "in" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			change(&p.right)
			p.left.Lifetime, p.right.KINK = "30 sec", "dpd_delay 0;"
			w := p.watch(t)
			p.start()
			if n := p.installed(); n != 0 {
				t.Fatalf("%d policies stand before the peer comes", n)
			}
			ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
			waitFor(t, 10*time.Second, "the policies", func() bool { return p.installed() == 2 })
			ping(t, p.topology.right, p.dst, p.src, 10*time.Second)
			w.wantESP(netlab.ESP, 4)
			p.a.kill(syscall.SIGKILL)
			waitFor(t, 90*time.Second, "the policies to end", func() bool { return p.installed() == 0 })
		})
	}
}

// installed counts right's policies for traffic with left.
func (p *kinkPair) installed() (n int) {
	for _, e := range p.b.status().Policies {
		if e.State == "installed" && e.Action == "protect" && strings.Contains(e.Traffic, p.src.String()+"/32") {
			n++
		}
	}
	return n
}

// A reload brings KINK to an agent that ran without it, and takes it away again:
// the socket comes and goes, the guard lets it pass, and the peer is told.
func TestKINKReload(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	p.configure()
	with := p.a.text
	without := fmt.Sprintf("remote peer { ikev2 { passive on; my_id fqdn a; peers_id fqdn b; pre_shared_key %q; }; };\n", p.a.dir+"/peer.psk") +
		with[strings.Index(with, "selector out"):]
	p.a.text = without
	p.a.write("peer.psk", secret)
	p.a.configure()
	w := p.watch(t)
	p.b.start()
	p.a.start()
	if s := p.a.status(); s.KINK != nil {
		t.Errorf("KINK before the reload: %+v", s.KINK)
	}
	noPing(t, p.topology.left, p.src, p.dst, 2)
	p.a.text = with
	p.a.configure()
	p.a.reload()
	ping(t, p.topology.right, p.dst, p.src, 40*time.Second)
	ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
	p.agree(t)
	tgt := p.a.status().KINK.Principals[0].TGT
	p.a.reload() // of the same: nothing changes
	if now := p.a.status().KINK.Principals[0].TGT; now == nil || !now.Equal(*tgt) {
		t.Errorf("the TGT was %v and is %v", tgt, now)
	}
	must(t, p.topology.left.ns.Address("lo", "198.51.100.77/32")) // another address leaves the sockets alone
	waitFor(t, 20*time.Second, "left to see its address", func() bool { return strings.Contains(p.a.log(), "addresses of this host have changed") })
	p.a.mustCtl("sa", "flush")
	ping(t, p.topology.left, p.src, p.dst, 40*time.Second)
	name, _ := p.one(t)
	p.a.text = without
	p.a.configure()
	p.a.reload()
	waitFor(t, 20*time.Second, "right to hear of it", func() bool { _, there := pairs(p.b.status(), true)[name]; return !there })
	waitFor(t, 20*time.Second, "the socket to go", func() bool {
		for _, s := range p.a.status().Sockets {
			if s.KINK {
				return false
			}
		}
		return true
	})
	w.wantNoClear()
}
