//go:build linux

package integration

import (
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/kernel/kerneltest/netlab"
)

// suite is one combination of algorithms in both products' words.
type suite struct {
	name     string
	ike, esp string // strongSwan
	conf     string // the ikev2 block's algorithms
	sa       string // the sa section's
}

var suites = []suite{
	{
		name: "aes128gcm16-prfsha256-curve25519",
		ike:  "aes128gcm16-prfsha256-curve25519", esp: "aes128gcm16",
		conf: "kmp_enc_alg { aes_gcm,128; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { curve25519; };",
		sa:   "esp_enc_alg { aes_gcm,128; };",
	},
	{
		name: "aes256-sha256-modp2048",
		ike:  "aes256-sha256-modp2048", esp: "aes256-sha256",
		conf: "kmp_enc_alg { aes256_cbc; }; kmp_prf_alg { hmac_sha2_256; }; kmp_hash_alg { hmac_sha2_256; }; kmp_dh_group { modp2048; };",
		sa:   "esp_enc_alg { aes256_cbc; }; esp_auth_alg { hmac_sha2_256; };",
	},
	{
		name: "aes256gcm16-prfsha384-ecp384",
		ike:  "aes256gcm16-prfsha384-ecp384", esp: "aes256gcm16",
		conf: "kmp_enc_alg { aes_gcm,256; }; kmp_prf_alg { hmac_sha2_384; }; kmp_dh_group { ecp384; };",
		sa:   "esp_enc_alg { aes_gcm,256; };",
	},
	{
		name: "chacha20poly1305-prfsha256-curve25519",
		ike:  "chacha20poly1305-prfsha256-curve25519", esp: "chacha20poly1305",
		conf: "kmp_enc_alg { chacha20_poly1305; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { curve25519; };",
		sa:   "esp_enc_alg { chacha20_poly1305; };",
	},
	{
		name: "aes128ccm16-prfaescmac-ecp256",
		ike:  "aes128ccm16-prfaescmac-ecp256", esp: "aes128ccm16",
		conf: "kmp_enc_alg { aes_ccm16,128; }; kmp_prf_alg { aes_cmac; }; kmp_dh_group { ecp256; };",
		sa:   "esp_enc_alg { aes_ccm16,128; };",
	},
	{
		name: "aes128ctr-aesxcbc-curve448",
		ike:  "aes128ctr-aesxcbc-prfaesxcbc-curve448", esp: "aes128ctr-aesxcbc",
		conf: "kmp_enc_alg { aes_ctr,128; }; kmp_prf_alg { aes_xcbc; }; kmp_hash_alg { aes_xcbc; }; kmp_dh_group { curve448; };",
		sa:   "esp_enc_alg { aes_ctr,128; }; esp_auth_alg { aes_xcbc; };",
	},
	{ // what old peers have: weak, so it is used only when named
		name: "3des-sha1-modp1536",
		ike:  "3des-sha1-modp1536", esp: "3des-sha1",
		conf: "kmp_enc_alg { 3des_cbc; }; kmp_prf_alg { hmac_sha1; }; kmp_hash_alg { hmac_sha1; }; kmp_dh_group { modp1536; };",
		sa:   "esp_enc_alg { 3des_cbc; }; esp_auth_alg { hmac_sha1; };",
	},
}

// swanPair is racoon2 on left and strongSwan on right.
type swanPair struct {
	*topology
	r *racoon2
	s *strongSwan
}

func newSwanPair(t *testing.T, family string, su suite) *swanPair {
	t.Helper()
	return newSwanPairWith(t, family, su, nil)
}

// newSwanPairWith lets a test change both configurations.
func newSwanPairWith(t *testing.T, family string, su suite, change func(*peerConfig, *swanConnection)) *swanPair {
	t.Helper()
	return newSwanPairAt(t, newTopology(t, family, false), su, change)
}

// newSwanPairAt starts both on a topology, racoon2 on its left.
func newSwanPairAt(t *testing.T, top *topology, su suite, change func(*peerConfig, *swanConnection)) *swanPair {
	t.Helper()
	needStrongSwan(t)
	p := &swanPair{topology: top}
	ours := peerConfig{
		MyID: "racoon2.example", PeerID: "swan.example", Mode: "tunnel", Secret: secret,
		MyAddr: p.left.outer.String(), PeerAddr: p.right.seen.String(),
		MyNet: p.left.net, PeerNet: p.right.net, IKE: su.conf, ESP: su.sa,
	}
	theirs := swanConnection{
		LocalID: "swan.example", RemoteID: "racoon2.example", Secret: secret,
		Local: p.right.outer.String(), Remote: p.left.seen.String(),
		LocalTS: p.right.net, RemoteTS: p.left.net, IKE: su.ike, ESP: su.esp,
	}
	if change != nil {
		change(&ours, &theirs)
	}
	p.r = newRacoon2(t, p.left.ns, ours)
	p.r.start()
	p.s = startStrongSwan(t, p.right.ns, theirs)
	return p
}

// noSAs waits until neither side has an IKE SA.
func (p *swanPair) noSAs(t *testing.T) {
	t.Helper()
	waitFor(t, 10*time.Second, "both sides to have no SA", func() bool {
		return len(p.r.status().IKESAs) == 0 && p.s.sas() == ""
	})
}

func TestInteropStrongSwan(t *testing.T) {
	needRoot(t)
	needStrongSwan(t)
	for _, family := range []string{"v4", "v6"} {
		for _, su := range suites {
			t.Run(family+" "+su.name, func(t *testing.T) {
				p := newSwanPair(t, family, su)
				t.Run("racoon2 initiates, strongSwan deletes", func(t *testing.T) {
					w := p.watch(t)
					ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
					w.wantESP(netlab.ESPInUDP, 2) // kernel-libipsec always encapsulates
					p.s.swanctl("--terminate", "--ike", "peer")
					p.noSAs(t)
				})
				t.Run("strongSwan initiates, racoon2 deletes", func(t *testing.T) {
					p.s.swanctl("--initiate", "--child", "net")
					w := p.watch(t)
					ping(t, p.right, p.right.inner, p.left.inner, 10*time.Second)
					w.wantESP(netlab.ESPInUDP, 2)
					p.r.mustCtl("sa", "flush")
					p.noSAs(t)
				})
			})
		}
	}
}

// Either end rekeys the child and the IKE SA of a standing tunnel, whoever began
// it. Pings go on.
func TestInteropRekey(t *testing.T) {
	needRoot(t)
	childSPI := func(s agent.IKEStatus) string { return s.Children[0].SPIIn }
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newSwanPair(t, family, suites[0])
			ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
			w := p.watch(t)
			o := p.pingWhile(func() {
				for range 2 { // the second time on what the other end has made
					for _, step := range []struct {
						spi   func(agent.IKEStatus) string
						rekey func(spi string)
					}{
						{childSPI, func(string) { p.s.swanctl("--rekey", "--child", "net") }},
						{ownSPI, func(string) { p.s.swanctl("--rekey", "--ike", "peer") }},
						{childSPI, func(spi string) { p.r.mustCtl("sa", "rekey", spi) }},
						{ownSPI, func(spi string) { p.r.mustCtl("sa", "rekey", spi) }},
					} {
						spi := step.spi(p.established()[0])
						step.rekey(spi)
						p.rekeyed(t, spi)
					}
				}
			})
			w.wantNoClear()
			o.want(t, 5*time.Second)
			p.r.mustCtl("sa", "flush")
			p.noSAs(t)
		})
	}
}
