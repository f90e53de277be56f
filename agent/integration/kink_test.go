//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/kernel/kerneltest/netlab"
)

// kinkConfig is what differs between the configurations of these tests.
type kinkConfig struct {
	Mine, Peers      string // principals; "" leaves the line out
	Keytab, Krb5     string
	MyNet, PeerNet   string
	MyAddr, PeerAddr string // the ends of a tunnel
	Mode             string
	KINK             string // further lines of the kink block
	Accept           string // acceptable_kmp; "" is kink
	IKEv2            string // a whole block
	Lifetime         string
	ESP              string // lines of an sa section
	Bundle           string // the ipsec section esp with its sa sections, instead
	Policy           string // further lines of the policy
	Selector         string // selector_index of the remote
	More             string // further sections
}

func (c kinkConfig) render() string {
	var b strings.Builder
	accept := c.Accept
	if accept == "" {
		accept = "kink;"
	}
	fmt.Fprintf(&b, "remote peer {\n\tacceptable_kmp { %s };\n%s\tkink {\n\t\tkeytab \"%s\";\n\t\tkrb5_conf \"%s\";\n", accept, c.IKEv2, c.Keytab, c.Krb5)
	for word, principal := range map[string]string{"my_principal": c.Mine, "peers_principal": c.Peers} {
		if principal != "" {
			fmt.Fprintf(&b, "\t\t%s \"%s\";\n", word, principal)
		}
	}
	fmt.Fprintf(&b, "\t\t%s\n\t};\n", c.KINK)
	if c.Selector != "" {
		fmt.Fprintf(&b, "\tselector_index %s;\n", c.Selector)
	}
	b.WriteString("};\n")
	fmt.Fprintf(&b, "selector out { direction outbound; src %s; dst %s; policy_index protect; };\n", c.MyNet, c.PeerNet)
	fmt.Fprintf(&b, "selector in { direction inbound; src %s; dst %s; policy_index protect; };\n", c.PeerNet, c.MyNet)
	fmt.Fprintf(&b, "policy protect {\n\taction auto_ipsec;\n\tremote_index peer;\n\tipsec_mode %s;\n\tipsec_index esp;\n\t%s\n", c.Mode, c.Policy)
	if c.Mode == "tunnel" {
		fmt.Fprintf(&b, "\tmy_sa_ipaddr %s;\n\tpeers_sa_ipaddr %s;\n", c.MyAddr, c.PeerAddr)
	}
	lifetime, esp := c.Lifetime, c.ESP
	if lifetime == "" {
		lifetime = "1 hour"
	}
	if esp == "" {
		esp = "esp_enc_alg { aes_gcm,256; aes128_cbc; }; esp_auth_alg { hmac_sha2_256; };"
	}
	if c.Bundle != "" {
		return b.String() + "};\n" + c.Bundle + c.More
	}
	fmt.Fprintf(&b, "};\nipsec esp { ipsec_sa_lifetime_time %s; sa_index esp; };\nsa esp { sa_protocol esp; %s };\n%s", lifetime, esp, c.More)
	return b.String()
}

// kinkPair is two agents with KINK and their KDC.
type kinkPair struct {
	*topology
	kdc         *kdc
	left, right kinkConfig
	a, b        *racoon2
	src, dst    netip.Addr
}

func newKINK(t *testing.T, family, mode string) *kinkPair {
	return newKINKWith(t, family, mode, mitKDC{})
}

// newKINKWith configures both ends; start writes the configurations.
func newKINKWith(t *testing.T, family, mode string, maker kdcMaker) *kinkPair {
	t.Helper()
	p := &kinkPair{topology: newTopology(t, family, false)}
	p.kdc = newKDC(t, p.topology, family, maker)
	p.left = kinkConfig{Mine: leftPrincipal + "@" + realmName, Peers: rightPrincipal + "@" + realmName, Keytab: p.kdc.path("left.keytab"),
		Krb5: p.kdc.path("krb5.conf"), Mode: mode, MyAddr: p.topology.left.outer.String(), PeerAddr: p.topology.right.outer.String()}
	p.right = kinkConfig{Mine: p.left.Peers, Peers: p.left.Mine, Keytab: p.kdc.path("right.keytab"),
		Krb5: p.left.Krb5, Mode: mode, MyAddr: p.left.PeerAddr, PeerAddr: p.left.MyAddr}
	if mode == "tunnel" {
		p.left.MyNet, p.left.PeerNet = p.topology.left.net, p.topology.right.net
		p.src, p.dst = p.topology.left.inner, p.topology.right.inner
	} else {
		p.left.MyNet, p.left.PeerNet = p.left.MyAddr, p.left.PeerAddr
		p.src, p.dst = p.topology.left.outer, p.topology.right.outer
	}
	p.right.MyNet, p.right.PeerNet = p.left.PeerNet, p.left.MyNet
	for _, end := range []struct {
		r  **racoon2
		in *netlab.NS
	}{{&p.a, p.topology.left.ns}, {&p.b, p.topology.right.ns}} {
		*end.r = &racoon2{t: t, in: end.in, dir: t.TempDir(), level: "debug"}
		(*end.r).config = filepath.Join((*end.r).dir, "racoon2.conf")
	}
	p.kdc.start()
	return p
}

func (p *kinkPair) configure() {
	p.a.t.Helper()
	p.a.text, p.b.text = p.left.render(), p.right.render()
	p.a.configure()
	p.b.configure()
}

func (p *kinkPair) start() {
	p.a.t.Helper()
	p.configure()
	p.b.start()
	p.a.start()
}

// up starts both agents and has left's ping make the SAs.
func (p *kinkPair) up(t *testing.T) wire {
	t.Helper()
	w := p.watch(t)
	p.start()
	ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
	w.wantESP(netlab.ESP, 2)
	p.agree(t)
	return w
}

// pairs are the pairs of SAs that stand, as "in/out" seen from one end.
func pairs(s agent.Status, mirrored bool) map[string]agent.KINKChild {
	set := map[string]agent.KINKChild{}
	if s.KINK == nil {
		return set
	}
	for _, p := range s.KINK.Peers {
		for _, c := range p.Children {
			in, out := c.SPIIn, c.SPIOut
			if mirrored {
				in, out = out, in
			}
			if c.State == "up" {
				set[in+"/"+out] = c
			}
		}
	}
	return set
}

// agree waits until both ends list the same pairs, one at least, and returns left's.
func (p *kinkPair) agree(t *testing.T) map[string]agent.KINKChild {
	t.Helper()
	var left, right map[string]agent.KINKChild
	waitFor(t, 60*time.Second, "both ends to agree on their SAs", func() bool {
		left, right = pairs(p.a.status(), false), pairs(p.b.status(), true)
		if len(left) == 0 || len(left) != len(right) {
			return false
		}
		for name, c := range left {
			if other, ok := right[name]; !ok || other.Initiator == c.Initiator {
				return false
			}
		}
		return true
	})
	return left
}

// eachKINK runs a test over families and modes.
func eachKINK(t *testing.T, f func(t *testing.T, family, mode string)) {
	for _, family := range []string{"v4", "v6"} {
		for _, mode := range []string{"transport", "tunnel"} {
			t.Run(family+" "+mode, func(t *testing.T) { f(t, family, mode) })
		}
	}
}

// What the C kinkd offers is taken in two messages, soon after a start as well.
func TestKINKTwoWay(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	p.left.ESP = "esp_enc_alg { aes128_cbc; }; esp_auth_alg { hmac_sha1; };"
	p.right.ESP = p.left.ESP
	w := p.up(t)
	if n := len(w.sent(netlab.KINK)); n != 2 {
		t.Errorf("%d messages made the SAs; CREATE and REPLY are 2", n)
	}
	ping(t, p.topology.right, p.dst, p.src, 10*time.Second)
	p.agree(t)
	w.wantNoClear()
}

// A ping starts CREATE; the wire shows KINK and ESP and nothing in clear; the
// other side can ping as well; a flush tells the peer and is followed by new SAs.
func TestKINK(t *testing.T) {
	eachKINK(t, func(t *testing.T, family, mode string) {
		p := newKINK(t, family, mode)
		w := p.up(t)
		// So soon after its start the responder cannot know that it has not answered
		// the same CREATE before: it adds a nonce, and an ACK follows.
		if n := len(w.sent(netlab.KINK)); n != 3 {
			t.Errorf("%d messages made the SAs; CREATE, REPLY and ACK are 3", n)
		}
		ping(t, p.topology.right, p.dst, p.src, 10*time.Second)
		for _, c := range p.agree(t) {
			if c.Encr != "ENCR_AES_GCM_16-256" || c.Mode != mode || !c.Initiator || c.In == nil || c.In.Packets == 0 || c.Out.Packets == 0 {
				t.Errorf("%+v", c)
			}
		}
		p.a.mustCtl("sa", "flush", "peer")
		waitFor(t, 20*time.Second, "both ends to have no SAs", func() bool {
			return len(pairs(p.a.status(), false))+len(pairs(p.b.status(), false)) == 0
		})
		ping(t, p.topology.right, p.dst, p.src, 20*time.Second)
		for _, c := range p.agree(t) {
			if c.Initiator {
				t.Error("left initiated")
			}
		}
		w.wantNoClear()
	})
}

// The same with the kernel's own ESP, in the virtual machine, KDC included, and a KDC
// that a policy covers.
func TestKINKKernel(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) != "" {
		t.Skip("this is the virtual machine")
	}
	out := inVM(t, 400, "krb5-kdc krb5-admin-server", "^(TestKINK|TestKINKCoveredKDC)$")
	if n := strings.Count(out, "--- PASS: TestKINK/") + strings.Count(out, "--- PASS: TestKINKCoveredKDC/"); n != 4+2 {
		t.Errorf("%d of 6 ways were tried in the virtual machine:\n%s", n, out)
	}
}
