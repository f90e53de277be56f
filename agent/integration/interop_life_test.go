//go:build linux

package integration

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/kernel/kerneltest/netlab"
)

// outage is what continuous pings from both ends of a tunnel lost.
type outage struct {
	sent, lost int
	longest    time.Duration // without any answer
}

// pingThrough pings from either end until the time is over.
func (p *swanPair) pingThrough(d time.Duration) outage {
	return p.pingWhile(func() { time.Sleep(d) })
}

// pingWhile pings from either end until f returns. Each echo waits for its answer
// a while, so that the count does not depend on the host's speed.
func (p *swanPair) pingWhile(f func()) (all outage) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var over atomic.Bool
	for _, way := range [][2]site{{p.left, p.right}, {p.right, p.left}} {
		wg.Go(func() {
			echo := netlab.Ping{From: way[0].inner, To: way[1].inner, Timeout: 1500 * time.Millisecond}
			good := time.Now()
			for !over.Load() {
				err := way[0].ns.Ping(echo)
				mu.Lock()
				all.sent++
				if err != nil {
					all.lost++
				}
				all.longest = max(all.longest, time.Since(good))
				mu.Unlock()
				if err == nil {
					good = time.Now()
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	func() {
		defer wg.Wait() // also when f ends the test
		defer over.Store(true)
		f()
	}()
	return all
}

// established are racoon2's IKE SAs but for those that wait for their deletion.
func (p *swanPair) established() []agent.IKEStatus {
	return slices.DeleteFunc(p.r.status().IKESAs, func(s agent.IKEStatus) bool { return s.State != "ESTABLISHED" })
}

// settled waits until both ends have one IKE SA with one child, the same one.
func (p *swanPair) settled(t *testing.T) {
	t.Helper()
	waitFor(t, 30*time.Second, "both ends to agree on one IKE SA with one child", func() bool {
		s, theirs := p.established(), p.s.sas()
		if len(s) != 1 || len(s[0].Children) != 1 || strings.Count(theirs, "INSTALLED") != 1 {
			return false
		}
		c := s[0].Children[0]
		return strings.Contains(theirs, c.SPIIn) && strings.Contains(theirs, c.SPIOut)
	})
}

// Both ends have lifetimes of a few seconds that end at the same time. Pings go on.
func TestInteropShortLives(t *testing.T) {
	needRoot(t)
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newSwanPairWith(t, family, suites[0], func(r *peerConfig, s *swanConnection) {
				r.IKE += " kmp_sa_lifetime_time 12 sec; need_pfs on;"
				r.IPsec = "ipsec_sa_lifetime_time 5 sec;" // its soft limit is at 4 to 4.5 s
				s.Extra = "rekey_time = 10s\n over_time = 10s\n rand_time = 0s"
				s.Child = "rekey_time = 4s\n life_time = 12s\n rand_time = 0s"
				s.ESP = "aes128gcm16-curve25519,aes128gcm16"
			})
			ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
			w := p.watch(t)
			o := p.pingThrough(25 * time.Second)
			p.settled(t)
			w.wantNoClear()
			if n := p.r.status().Counters["ikev2.child_rekeyed"]; n < 3 {
				t.Errorf("%d rekeyings of children", n)
			}
			if n := p.r.status().Counters["ikev2.ike_rekeyed"]; n < 1 {
				t.Errorf("%d rekeyings of IKE SAs", n)
			}
			o.want(t, 5*time.Second)
		})
	}
}

// want reports what was lost, and bounds the longest gap.
func (o outage) want(t *testing.T, longest time.Duration) {
	t.Helper()
	t.Logf("%d pings, %d lost, longest time without an answer %v", o.sent, o.lost, o.longest)
	if o.longest > longest {
		t.Errorf("no answer for %v", o.longest)
	}
}

// Rekeyings that cross on the wire: both ends are told at once, and a large group
// keeps them busy so long that each has asked before either has answered.
func TestInteropCollisions(t *testing.T) {
	needRoot(t)
	const group = "modp4096"
	t.Run("child", func(t *testing.T) {
		p := newSwanPairWith(t, "v4", suites[0], func(r *peerConfig, s *swanConnection) {
			r.IKE = "kmp_enc_alg { aes_gcm,128; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { " + group + "; }; need_pfs on;"
			s.IKE, s.ESP = "aes128gcm16-prfsha256-"+group, "aes128gcm16-"+group
		})
		p.collide(t, "CHILD_REKEY collision with CHILD_REKEY", []string{"--child", "net"}, func(s agent.IKEStatus) string {
			return s.Children[0].SPIIn
		})
	})
	t.Run("IKE SA", func(t *testing.T) {
		p := newSwanPairWith(t, "v6", suites[0], func(r *peerConfig, s *swanConnection) {
			r.IKE = "kmp_enc_alg { aes_gcm,128; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { " + group + "; };"
			s.IKE = "aes128gcm16-prfsha256-" + group
		})
		p.collide(t, "IKE_REKEY collision with IKE_REKEY", []string{"--ike", "peer"}, ownSPI)
	})
}

// ownSPI is the SPI of racoon2's choice.
func ownSPI(s agent.IKEStatus) string {
	if s.Initiator {
		return s.SPIi
	}
	return s.SPIr
}

// collide has both ends rekey at once until strongSwan has spoken of a few
// collisions: the nonces decide who wins each.
func (p *swanPair) collide(t *testing.T, collision string, theirs []string, ours func(agent.IKEStatus) string) {
	t.Helper()
	const enough, most = 4, 20
	ping(t, p.left, p.left.inner, p.right.inner, 60*time.Second)
	rounds := 0
	w := p.watch(t)
	o := p.pingWhile(func() {
		for ; rounds < most && strings.Count(p.s.log(), collision) < enough; rounds++ {
			p.rekeyBoth(t, ours(p.established()[0]), theirs)
		}
	})
	t.Logf("%d rounds", rounds)
	if n := strings.Count(p.s.log(), collision); n < enough {
		t.Errorf("strongSwan knows of %d times %s in %d rounds", n, collision, rounds)
	}
	w.wantNoClear()
	o.want(t, 5*time.Second)
}

// rekeyBoth has both ends rekey at once, and waits until they agree again.
func (p *swanPair) rekeyBoth(t *testing.T, spi string, theirs []string) {
	t.Helper()
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := p.r.ctl("sa", "rekey", spi); err != nil {
			t.Error(err)
		}
	})
	both.Go(func() {
		if out, err := p.s.trySwanctl(append([]string{"--rekey"}, theirs...)...); err != nil {
			t.Logf("strongSwan had nothing to rekey: %v: %s", err, out)
		}
	})
	both.Wait()
	p.rekeyed(t, spi)
}

// rekeyed waits until racoon2 has nothing with an SPI any more, and both ends agree.
func (p *swanPair) rekeyed(t *testing.T, spi string) {
	t.Helper()
	waitFor(t, 60*time.Second, "the successor of "+spi, func() bool {
		return !strings.Contains(p.r.mustCtl("status", "--json"), spi) && !strings.Contains(p.s.sas(), "REKEYING")
	})
	p.settled(t)
}

// A NAT stands before either of the two; the one behind it begins.
func TestInteropNAT(t *testing.T) {
	needRoot(t)
	for _, family := range []string{"v4", "v6"} {
		t.Run(family+" racoon2 behind", func(t *testing.T) {
			p := newSwanPairAt(t, newTopology(t, family, true), suites[0], nil)
			w := p.watch(t)
			ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
			ping(t, p.right, p.right.inner, p.left.inner, 10*time.Second)
			w.wantESP(netlab.ESPInUDP, 4)
			if s := p.r.status().IKESAs[0]; !s.NATLocal {
				t.Errorf("racoon2 does not know that it is behind a NAT: %+v", s)
			}
			p.pingWhile(func() {
				child := p.established()[0].Children[0].SPIIn
				p.s.swanctl("--rekey", "--child", "net")
				p.rekeyed(t, child)
				own := ownSPI(p.established()[0])
				p.s.swanctl("--rekey", "--ike", "peer")
				p.rekeyed(t, own)
			}).want(t, 5*time.Second)
			p.s.swanctl("--terminate", "--ike", "peer")
			p.noSAs(t)
		})
		t.Run(family+" strongSwan behind", func(t *testing.T) {
			top := newTopology(t, family, true)
			top.left, top.right = top.right, top.left
			p := newSwanPairAt(t, top, suites[0], nil)
			p.s.swanctl("--initiate", "--child", "net")
			w := p.watch(t)
			ping(t, p.right, p.right.inner, p.left.inner, 10*time.Second)
			ping(t, p.left, p.left.inner, p.right.inner, 10*time.Second)
			w.wantESP(netlab.ESPInUDP, 4)
			if s := p.r.status().IKESAs[0]; !s.NATRemote {
				t.Errorf("racoon2 does not know that strongSwan is behind a NAT: %+v", s)
			}
			p.r.mustCtl("sa", "flush")
			p.noSAs(t)
		})
	}
}

// Authentication is repeated without a gap, as either end wants it: racoon2 when
// strongSwan's AUTH_LIFETIME says so (RFC 4478), strongSwan by its own clock.
func TestInteropReauth(t *testing.T) {
	needRoot(t)
	t.Run("racoon2 repeats it", func(t *testing.T) {
		p := newSwanPairWith(t, "v4", suites[0], func(r *peerConfig, s *swanConnection) {
			r.IKE += " auth_lifetime 15 sec;"
			s.Daemon = "make_before_break = yes"
		})
		ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
		first := p.r.status().IKESAs[0].SPIi
		o := p.pingThrough(20 * time.Second)
		p.wantReauth(t, first, o)
	})
	t.Run("strongSwan repeats it", func(t *testing.T) {
		p := newSwanPairWith(t, "v4", suites[0], func(r *peerConfig, s *swanConnection) {
			s.Extra = "reauth_time = 8s\n over_time = 20s\n rand_time = 0s"
			s.Daemon = "make_before_break = yes"
		})
		p.s.swanctl("--initiate", "--child", "net")
		ping(t, p.right, p.right.inner, p.left.inner, 10*time.Second)
		first := p.r.status().IKESAs[0].SPIi
		o := p.pingThrough(15 * time.Second)
		p.wantReauth(t, first, o)
	})
}

// wantReauth wants another IKE SA than the first, and hardly a ping lost.
func (p *swanPair) wantReauth(t *testing.T, first string, o outage) {
	t.Helper()
	p.settled(t)
	if now := p.r.status().IKESAs[0].SPIi; now == first {
		t.Errorf("the IKE SA is still %s", first)
	}
	if !strings.Contains(p.s.log(), "peer[2]") {
		t.Error("strongSwan has seen one IKE SA only")
	}
	o.want(t, 5*time.Second)
}

// Every group does for perfect forward secrecy, whoever rekeys.
func TestInteropPFS(t *testing.T) {
	needRoot(t)
	groups := []string{
		"modp768", "modp1024", "modp1536", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192",
		"ecp256", "ecp384", "ecp521", "curve25519", "curve448",
	}
	for _, group := range groups {
		t.Run(group, func(t *testing.T) {
			p := newSwanPairWith(t, "v4", suites[0], func(r *peerConfig, s *swanConnection) {
				r.IKE = fmt.Sprintf("kmp_enc_alg { aes_gcm,128; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { %s; }; need_pfs on;", group)
				s.IKE, s.ESP = "aes128gcm16-prfsha256-"+group, "aes128gcm16-"+group
			})
			ping(t, p.left, p.left.inner, p.right.inner, 30*time.Second)
			p.pingWhile(func() {
				for _, rekey := range []func(spi string){
					func(string) { p.s.swanctl("--rekey", "--child", "net") },
					func(spi string) { p.r.mustCtl("sa", "rekey", spi) },
				} {
					before := p.r.status().IKESAs[0].Children[0].SPIIn
					rekey(before)
					waitFor(t, 30*time.Second, "a new child with a key exchange", func() bool {
						s := p.r.status()
						if len(s.IKESAs) != 1 || len(s.IKESAs[0].Children) != 1 {
							return false
						}
						c := s.IKESAs[0].Children[0]
						return c.SPIIn != before && c.KE != ""
					})
				}
			}).want(t, 5*time.Second)
			ping(t, p.right, p.right.inner, p.left.inner, 10*time.Second)
		})
	}
}

// Further ciphers than those of the suites.
func TestInteropCiphers(t *testing.T) {
	needRoot(t)
	for _, c := range []struct{ swan, ours string }{
		{"aes128gcm12", "esp_enc_alg { aes_gcm12,128; };"},
		{"aes192gcm16", "esp_enc_alg { aes_gcm,192; };"},
		{"aes128ccm8", "esp_enc_alg { aes_ccm8,128; };"},
		{"aes256ccm12", "esp_enc_alg { aes_ccm12,256; };"},
		{"aes256ctr-sha512", "esp_enc_alg { aes_ctr,256; }; esp_auth_alg { hmac_sha2_512; };"},
		{"aes192-sha384", "esp_enc_alg { aes192_cbc; }; esp_auth_alg { hmac_sha2_384; };"},
		{"aes256-aescmac", "esp_enc_alg { aes256_cbc; }; esp_auth_alg { aes_cmac; };"},
		{"aes128-sha1", "esp_enc_alg { aes128_cbc; }; esp_auth_alg { hmac_sha1; };"},
		{"des-sha1", "esp_enc_alg { des_cbc; }; esp_auth_alg { hmac_sha1; };"},
		{"aes128-md5", "esp_enc_alg { aes128_cbc; }; esp_auth_alg { hmac_md5; };"},
	} {
		t.Run(c.swan, func(t *testing.T) {
			p := newSwanPairWith(t, "v4", suites[0], func(r *peerConfig, s *swanConnection) {
				r.ESP, s.ESP = c.ours, c.swan
			})
			w := p.watch(t)
			ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
			ping(t, p.right, p.right.inner, p.left.inner, 10*time.Second)
			w.wantESP(netlab.ESPInUDP, 4)
		})
	}
}
