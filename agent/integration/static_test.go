//go:build linux

package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// The keys of these tests: of each direction, encryption and integrity.
const (
	encrThere  = "0x000102030405060708090a0b0c0d0e0f"
	integThere = "0x101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
	encrBack   = "0x303132333435363738393a3b3c3d3e3f"
	integBack  = "0x404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
)

// staticConfig is a configuration without any peer that one negotiates with.
// mine are the SAs that come to this host, and theirs those that leave it.
func staticConfig(mode, myNet, peerNet string, my, peer netip.Addr, theirs, mine string) string {
	return fmt.Sprintf(`
selector out { direction outbound; src %[2]s; dst %[3]s; policy_index there; };
selector in { direction inbound; src %[3]s; dst %[2]s; policy_index back; };
policy there { action static_ipsec; ipsec_mode %[1]s; my_sa_ipaddr %[4]v; peers_sa_ipaddr %[5]v; ipsec_index there; };
policy back { action static_ipsec; ipsec_mode %[1]s; my_sa_ipaddr %[4]v; peers_sa_ipaddr %[5]v; ipsec_index back; };
%[6]s
%[7]s
`, mode, myNet, peerNet, my, peer, strings.ReplaceAll(theirs, "WAY", "there"), strings.ReplaceAll(mine, "WAY", "back"))
}

// staticESP is a bundle of ESP alone.
func staticESP(spi, encr, integ string) string {
	return fmt.Sprintf(`ipsec WAY { sa_index WAY; };
sa WAY { sa_protocol esp; spi %s; esp_enc_alg aes_cbc,128,%s; esp_auth_alg hmac_sha2_256,,%s; };`, spi, encr, integ)
}

// staticBundle is a bundle of protocols: esp, ah, comp.
func staticBundle(protos, spi, encr, integ string) string {
	index := ""
	for _, proto := range strings.Fields(protos) {
		index += map[string]string{"esp": "WAY; ", "ah": "WAYah; ", "comp": "WAYcomp; "}[proto]
	}
	text := strings.Replace(staticESP(spi, encr, integ), "sa_index WAY;", "sa_index { "+index+"};", 1)
	return text + fmt.Sprintf("sa WAYah { sa_protocol ah; spi %[1]s; ah_auth_alg hmac_sha2_256,,%[2]s; };sa WAYcomp { sa_protocol ipcomp; spi %[1]s; };", spi, integ)
}

// kernelBundles are what the kernel's own tools are tried with.
var kernelBundles = map[string]string{"ESP": "esp", "AH": "ah", "IPComp and ESP": "comp esp", "ESP in AH": "esp ah", "all": "comp esp ah"}

// reload has the agent read its configuration again, and waits until it has.
func (r *racoon2) reload() {
	r.t.Helper()
	const done = "configuration taken over"
	before := strings.Count(r.log(), done)
	must(r.t, r.cmd.Process.Signal(syscall.SIGHUP))
	waitFor(r.t, 20*time.Second, "the configuration to be taken over", func() bool { return strings.Count(r.log(), done) > before })
}

// Two agents with static SAs speak ESP at once, without a word before; a reload
// touches nothing; at the end everything is in clear again.
func TestStatic(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		for _, mode := range []string{"tunnel", "transport"} {
			t.Run(family+" "+mode, func(t *testing.T) {
				p := newPair(t, family, mode, false)
				left, right := p.a.conf, p.b.conf
				there, back := staticESP("0x1000", encrThere, integThere), staticESP("0x2000", encrBack, integBack)
				p.a.write("racoon2.conf", staticConfig(mode, left.MyNet, left.PeerNet, p.left.outer, p.right.outer, there, back))
				p.b.write("racoon2.conf", staticConfig(mode, right.MyNet, right.PeerNet, p.right.outer, p.left.outer, back, there))
				w := p.watch(t)
				p.start()
				ping(t, p.left, p.src, p.dst, 10*time.Second)
				w.wantESP(netlab.ESP, 2)
				before := p.a.status()
				if len(before.Static) != 2 || len(before.IKESAs) != 0 {
					t.Fatalf("%+v", before.Static)
				}
				for _, sa := range before.Static {
					if sa.State != "installed" || sa.Traffic == nil || sa.Traffic.Packets == 0 || sa.Mode != mode {
						t.Errorf("%+v", sa)
					}
				}
				p.a.reload()
				ping(t, p.left, p.src, p.dst, 10*time.Second)
				for i, sa := range p.a.status().Static {
					if sa.Traffic == nil || sa.Traffic.Packets <= before.Static[i].Traffic.Packets {
						t.Errorf("after a reload: %+v, before: %+v", sa.Traffic, before.Static[i].Traffic)
					}
				}
				w.wantNoClear()
				if log := p.a.log() + p.a.mustCtl("status", "--json"); strings.Contains(log, encrThere[2:]) || strings.Contains(log, integBack[2:]) {
					t.Error("a key is in the log or the status")
				}

				// Another key at one end: nothing passes, and nothing in clear.
				w.reset()
				p.b.write("racoon2.conf", staticConfig(mode, right.MyNet, right.PeerNet, p.right.outer, p.left.outer, back,
					staticESP("0x1000", encrBack, integThere)))
				p.b.reload()
				waitFor(t, 20*time.Second, "the other key to be the kernel's", func() bool {
					return p.left.ns.Ping(netlab.Ping{From: p.src, To: p.dst, Timeout: 500 * time.Millisecond}) != nil
				})
				noPing(t, p.left, p.src, p.dst, 3)
				w.wantNoClear()
				p.a.kill(syscall.SIGTERM)
				p.b.kill(syscall.SIGTERM)
				ping(t, p.left, p.src, p.dst, 10*time.Second)
				if len(w.sent(netlab.Clear)) == 0 {
					t.Error("after the end the traffic is not in clear")
				}
			})
		}
	}
}

// AH alone, and IPComp in ESP in AH, between two agents.
func TestStaticBundles(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		for _, protos := range []string{"ah", "comp esp ah"} {
			t.Run(family+" "+protos, func(t *testing.T) {
				p := newPair(t, family, "transport", false)
				left, right := p.a.conf, p.b.conf
				there, back := staticBundle(protos, "0x1000", encrThere, integThere), staticBundle(protos, "0x2000", encrBack, integBack)
				p.a.write("racoon2.conf", staticConfig("transport", left.MyNet, left.PeerNet, p.left.outer, p.right.outer, there, back))
				p.b.write("racoon2.conf", staticConfig("transport", right.MyNet, right.PeerNet, p.right.outer, p.left.outer, back, there))
				w := p.watch(t)
				p.start()
				ping(t, p.left, p.src, p.dst, 10*time.Second)
				static := p.a.status().Static
				if len(static) != 2*len(strings.Fields(protos)) {
					t.Errorf("%+v", static)
				}
				for _, sa := range static {
					if sa.Traffic == nil || sa.Traffic.Packets == 0 && sa.Protocol != "ipcomp" { // short packets are not compressed
						t.Errorf("%+v", sa)
					}
				}
				w.wantNoClear()
			})
		}
	}
}

// The other end is a kernel whose SAs and policies ip xfrm has put there.
func TestStaticAgainstKernel(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) == "" {
		out := inVM(t, 300, "iproute2", "^TestStatic$|^TestStaticAgainstKernel$")
		if n := strings.Count(out, "--- PASS: TestStaticAgainstKernel/") + strings.Count(out, "--- PASS: TestStatic/"); n != 4+2*len(kernelBundles) {
			t.Errorf("%d were tried in the virtual machine:\n%s", n, out)
		}
		return
	}
	for _, family := range []string{"v4", "v6"} {
		for name, protos := range kernelBundles {
			t.Run(family+" "+name, func(t *testing.T) {
				p := newPair(t, family, "transport", false)
				p.a.write("racoon2.conf", staticConfig("transport", p.a.conf.MyNet, p.a.conf.PeerNet, p.left.outer, p.right.outer,
					staticBundle(protos, "0x1000", encrThere, integThere), staticBundle(protos, "0x2000", encrBack, integBack)))
				ipXFRM(t, p.right.ns, "in", p.left.outer, p.right.outer, protos, "0x1000", encrThere, integThere)
				ipXFRM(t, p.right.ns, "out", p.right.outer, p.left.outer, protos, "0x2000", encrBack, integBack)
				w := p.watch(t)
				p.a.start()
				ping(t, p.left, p.src, p.dst, 10*time.Second)
				w.wantNoClear()
				for _, sa := range p.a.status().Static {
					if sa.Traffic == nil || sa.Traffic.Packets == 0 && sa.Protocol != "ipcomp" { // short packets are not compressed
						t.Errorf("%+v", sa)
					}
				}
			})
		}
	}
}

// ipXFRM, with iproute2 and not with the ip of BusyBox, puts SAs and a policy for one direction into a namespace's kernel.
func ipXFRM(t *testing.T, in *netlab.NS, dir string, src, dst netip.Addr, protos, spi, encr, integ string) {
	t.Helper()
	run := func(args ...string) {
		t.Helper()
		if out, err := in.Command(context.Background(), "/usr/bin/ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	ends := []string{"src", src.String(), "dst", dst.String()}
	policy := append([]string{"xfrm", "policy", "add"}, append(ends, "dir", dir)...)
	for _, proto := range strings.Fields(protos) {
		add := append([]string{"xfrm", "state", "add"}, append(ends, "proto", proto, "spi", spi, "mode", "transport")...)
		tmpl := append([]string{"tmpl"}, append(ends, "proto", proto, "mode", "transport")...)
		switch proto {
		case "esp":
			add = append(add, "enc", "cbc(aes)", encr, "auth-trunc", "hmac(sha256)", integ, "128")
		case "ah":
			add = append(add, "auth-trunc", "hmac(sha256)", integ, "128")
			if src.Is4() {
				add = append(add, "flag", "align4") // RFC 4302 §3.3.3.2.1; Linux pads to 8 octets otherwise
			}
		case "comp":
			add = append(add, "comp", "deflate")
			tmpl = append(tmpl, "level", "use")
		}
		run(add...)
		policy = append(policy, tmpl...)
	}
	run(policy...)
}
