//go:build linux

package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/kernel/kerneltest/netlab"
)

// steady pings until a condition holds; each ping has to be answered.
func (p *kinkPair) steady(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	waitFor(t, limit, what, func() bool {
		t.Helper()
		echo := netlab.Ping{From: p.src, To: p.dst, Timeout: 5 * time.Second}
		if err := p.topology.left.ns.Ping(echo); err != nil {
			t.Fatalf("a ping was lost while waiting for %s: %v", what, err)
		}
		return cond()
	})
}

// one is the only pair of SAs that both ends have.
func (p *kinkPair) one(t *testing.T) (name string, c agent.KINKChild) {
	t.Helper()
	for n, child := range p.agree(t) {
		name, c = n, child
	}
	return name, c
}

// The responder asks for an ACK: because it is configured to, and because it
// takes another transform than the optimistic one.
func TestKINKThreeWay(t *testing.T) {
	for name, change := range map[string]func(p *kinkPair) string{
		"configured": func(p *kinkPair) string {
			p.right.KINK = "three_way on;"
			return "ENCR_AES_GCM_16-256"
		},
		"another transform": func(p *kinkPair) string {
			p.right.ESP = "esp_enc_alg { aes128_cbc; }; esp_auth_alg { hmac_sha2_256; };"
			return "ENCR_AES_CBC-128"
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			want := change(p)
			w := p.up(t)
			if n := len(w.sent(netlab.KINK)); n != 3 {
				t.Errorf("%d messages made the SAs; CREATE, REPLY and ACK are 3", n)
			}
			if _, c := p.one(t); c.Encr != want {
				t.Errorf("%s, want %s", c.Encr, want)
			}
			ping(t, p.topology.right, p.dst, p.src, 5*time.Second)
			w.wantNoClear()
		})
	}
}

// With PFS each pair has a key exchange. A peer without it is no obstacle
// unless need_pfs is on.
func TestKINKPFS(t *testing.T) {
	for _, test := range []struct{ name, left, right, ke string }{
		{"needed", "kmp_dh_group { modp2048; ecp256; }; need_pfs on;", "kmp_dh_group { ecp256; modp2048; }; need_pfs on;", "MODP_2048"},
		{"the peer has none", "kmp_dh_group modp2048;", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newKINK(t, "v6", "tunnel")
			p.left.KINK, p.right.KINK = test.left, test.right
			w := p.up(t)
			if _, c := p.one(t); !strings.Contains(c.KE, test.ke) || (c.KE == "") != (test.ke == "") {
				t.Errorf("KE %q, want %q", c.KE, test.ke)
			}
			w.wantNoClear()
		})
	}
	t.Run("refused", func(t *testing.T) {
		p := newKINK(t, "v4", "transport")
		p.right.KINK = "need_pfs on;"
		w := p.watch(t)
		p.start()
		noPing(t, p.topology.left, p.src, p.dst, 5)
		waitFor(t, 20*time.Second, "the refusal in left's log", func() bool { return strings.Contains(p.a.log(), "NO-PROPOSAL-CHOSEN") })
		if log := p.b.log(); !strings.Contains(log, "is configured, none is offered") {
			t.Errorf("right does not say why:\n%s", log)
		}
		w.wantNoClear()
	})
}

// SAs are replaced before they end, over several lifetimes of tickets, and no
// packet is lost. The one who made them rekeys them.
func TestKINKRekey(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	mitKDC{}.change(p.kdc, rightPrincipal, `-maxlife "20 seconds"`)
	p.left.Lifetime, p.right.Lifetime = "10 sec", "10 sec"
	p.left.KINK = "max_retry_to_send 2; kmp_sa_grace_period 2 sec;"
	p.right.KINK = p.left.KINK
	w := p.up(t)
	first := map[string]bool{}
	tickets := map[time.Time]bool{}
	p.steady(t, 3*time.Minute, "four pairs under three tickets", func() bool {
		s := p.a.status()
		for name, c := range pairs(s, false) {
			first[name] = true
			if !c.Initiator {
				t.Error("right rekeyed")
			}
		}
		for _, k := range s.KINK.Principals[0].Tickets {
			tickets[k.Expires] = true
		}
		time.Sleep(200 * time.Millisecond)
		return len(first) >= 4 && len(tickets) >= 3
	})
	p.b.mustCtl("sa", "list")
	name, c := p.one(t)
	in, out, _ := strings.Cut(name, "/")
	if got, err := p.b.ctl("sa", "rekey", out); err == nil {
		t.Errorf("right rekeyed by command: %s", got)
	} else if !strings.Contains(err.Error(), "RFC 4430") {
		t.Error(err)
	}
	if c.Initiator {
		p.a.mustCtl("sa", "rekey", in)
	}
	p.steady(t, 20*time.Second, "the command to take effect", func() bool { _, there := pairs(p.a.status(), false)[name]; return !there })
	w.wantNoClear()
}

// Either side deletes a pair by its SPI; the other side hears of it.
func TestKINKDelete(t *testing.T) {
	p := newKINK(t, "v6", "transport")
	w := p.up(t)
	for _, end := range []struct {
		r    *racoon2
		part int
	}{{p.a, 0}, {p.b, 1}} {
		name, _ := p.one(t)
		end.r.mustCtl("sa", "show", strings.Split(name, "/")[end.part])
		end.r.mustCtl("sa", "delete", strings.Split(name, "/")[end.part])
		waitFor(t, 20*time.Second, "both ends to have no pair", func() bool {
			return len(pairs(p.a.status(), false))+len(pairs(p.b.status(), false)) == 0
		})
		ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
	}
	w.wantNoClear()
}

// An agent that ends in order tells its peer; one that is killed does not, and
// the epoch of the next one does.
func TestKINKRestart(t *testing.T) {
	for _, who := range []string{"initiator", "responder"} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			t.Run(fmt.Sprintf("%s %v", who, sig), func(t *testing.T) {
				p := newKINK(t, "v4", "transport")
				p.left.KINK = "dpd_delay 2 sec; max_retry_to_send 2;"
				p.right.KINK = p.left.KINK
				w := p.up(t)
				restarted, other := p.a, p.b
				if who == "responder" {
					restarted, other = p.b, p.a
				}
				before, _ := p.one(t)
				restarted.kill(sig)
				if sig == syscall.SIGTERM {
					waitFor(t, 20*time.Second, "the other end to hear of it", func() bool { return len(pairs(other.status(), false)) == 0 })
				}
				restarted.start()
				ping(t, p.topology.left, p.src, p.dst, 60*time.Second)
				waitFor(t, 60*time.Second, "another pair alone", func() bool {
					name, _ := p.one(t)
					return name != before
				})
				if sig == syscall.SIGKILL && !strings.Contains(other.log(), "has restarted: its epoch was") {
					t.Errorf("nothing about the epoch:\n%s", other.log())
				}
				ping(t, p.topology.right, p.dst, p.src, 20*time.Second)
				w.wantNoClear()
			})
		}
	}
}

// The KDC is down when the pair should be replaced and the ticket has ended: the
// old pair serves on, and the new one comes when the KDC is back.
func TestKINKWithoutKDC(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	mitKDC{}.change(p.kdc, rightPrincipal, `-maxlife "25 seconds"`)
	p.left.Lifetime, p.right.Lifetime = "60 sec", "60 sec"
	p.left.KINK = "max_retry_to_send 3; dpd_delay 0;"
	p.right.KINK = p.left.KINK
	w := p.up(t)
	before, _ := p.one(t)
	p.kdc.stop()
	p.steady(t, 90*time.Second, "a try that fails", func() bool {
		time.Sleep(200 * time.Millisecond)
		return strings.Contains(p.a.log(), "no ticket for "+p.left.Peers)
	})
	if _, there := pairs(p.a.status(), false)[before]; !there {
		t.Fatal("the old pair is gone")
	}
	p.kdc.start()
	p.steady(t, 30*time.Second, "the new pair", func() bool {
		time.Sleep(200 * time.Millisecond)
		_, there := pairs(p.a.status(), false)[before]
		return !there
	})
	w.wantNoClear()
}

// AH, bundles and IPComp, as racoon2.conf has them: what is outermost is on the
// wire, and what ESP or IPComp have packed is not to be read there.
func TestKINKBundles(t *testing.T) {
	const esp = "sa e { sa_protocol esp; esp_enc_alg { aes128_cbc; }; esp_auth_alg { hmac_sha2_256; }; };\n"
	const ah = "sa a { sa_protocol ah; ah_auth_alg { hmac_sha2_256; }; };\n"
	const comp = "sa c { sa_protocol ipcomp; ipcomp_alg { deflate; }; };\n"
	for _, test := range []struct {
		name, bundle string
		kind         netlab.Kind
		pairs        int // of SAs
	}{
		{"AH", "ipsec esp { sa_index a; };\n" + ah, netlab.AH, 1},
		{"ESP and AH", "ipsec esp { sa_index { a; e; }; };\n" + ah + esp, netlab.AH, 2},
		{"IPComp and ESP", "ipsec esp { sa_index { e; c; }; };\n" + esp + comp, netlab.ESP, 2},
	} {
		for _, way := range [][2]string{{"v4", "transport"}, {"v6", "tunnel"}} {
			t.Run(test.name+" "+way[0]+" "+way[1], func(t *testing.T) {
				p := newKINK(t, way[0], way[1])
				p.left.Bundle, p.right.Bundle = test.bundle, test.bundle
				w := p.watch(t)
				p.start()
				ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
				ping(t, p.topology.right, p.dst, p.src, 10*time.Second)
				w.wantESP(test.kind, 4)
				if _, c := p.one(t); max(1, len(c.Bundle)) != test.pairs {
					t.Errorf("%+v", c)
				}
				name, _ := p.one(t)
				p.a.mustCtl("sa", "delete", strings.Split(name, "/")[0])
				waitFor(t, 20*time.Second, "both ends to have no pair", func() bool {
					return len(pairs(p.a.status(), false))+len(pairs(p.b.status(), false)) == 0
				})
				w.wantNoClear()
			})
		}
	}
}

// Ciphers by name, the weak ones that C racoon2 had among them.
func TestKINKCiphers(t *testing.T) {
	for _, test := range []struct{ encr, integ, want string }{
		{"des_cbc", "hmac_md5", "ENCR_DES"},
		{"3des_cbc", "hmac_sha1", "ENCR_3DES"},
		{"aes128_cbc", "hmac_sha2_256", "ENCR_AES_CBC-128"},
	} {
		t.Run(test.encr, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			bundle := "ipsec esp { sa_index e; };\nsa e { sa_protocol esp; esp_enc_alg { " + test.encr + "; }; esp_auth_alg { " + test.integ + "; }; };\n"
			p.left.Bundle, p.right.Bundle = bundle, bundle
			w := p.up(t)
			ping(t, p.topology.right, p.dst, p.src, 10*time.Second)
			if _, c := p.one(t); c.Encr != test.want {
				t.Errorf("%s, want %s", c.Encr, test.want)
			}
			w.wantNoClear()
		})
	}
}
