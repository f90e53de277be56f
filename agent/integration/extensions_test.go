//go:build linux

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// bothWays brings the tunnel up from either side and wants lines in charon's log:
// with racoon2 as initiator, and with strongSwan.
func (p *swanPair) bothWays(t *testing.T, ours, theirs []string) {
	t.Helper()
	ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
	p.s.swanctl("--terminate", "--ike", "peer")
	p.noSAs(t)
	for _, line := range ours {
		if !strings.Contains(p.s.log(), line) {
			t.Errorf("with racoon2 as initiator strongSwan does not say %q", line)
		}
	}
	mark := len(p.s.log())
	p.s.swanctl("--initiate", "--child", "net")
	ping(t, p.right, p.right.inner, p.left.inner, 10*time.Second)
	for _, line := range theirs {
		if !strings.Contains(p.s.log()[mark:], line) {
			t.Errorf("with strongSwan as initiator it does not say %q", line)
		}
	}
}

// IKE_AUTH with identities that do not fit into a packet of 600 octets goes in
// fragments (RFC 7383), from strongSwan always, from racoon2 when it has seen
// from strongSwan's how small they must be.
func TestInteropFragmentation(t *testing.T) {
	needRoot(t)
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newSwanPairWith(t, family, suites[0], func(r *peerConfig, s *swanConnection) {
				r.MyID, r.PeerID = strings.Repeat("racoon2.", 60)+"example", strings.Repeat("swan.", 96)+"example"
				s.LocalID, s.RemoteID = r.PeerID, r.MyID
				r.IKE += " fragmentation on;"
				s.Extra, s.Daemon = "fragmentation = force", "fragment_size = 600"
				s.Secrets = "ike-any {\n secret = \"" + secret + "\"\n }" // it finds none by a long identity
			})
			p.bothWays(t, []string{"splitting IKE message"}, []string{"splitting IKE message", "received fragment #"})
			ext := p.r.status().IKESAs[0].Extensions
			if len(ext) != 1 || ext[0] != "fragments of 600 octets" && ext[0] != "fragments of 576 octets" {
				t.Errorf("status says %q", ext)
			}
			p.r.mustCtl("sa", "flush")
			p.noSAs(t)
		})
	}
}

// A post-quantum pre-shared key (RFC 8784) that both ends require; with different
// ones there is no tunnel.
func TestInteropPPK(t *testing.T) {
	needRoot(t)
	const key = "post-quantum secret"
	start := func(t *testing.T, ours string) *swanPair {
		return newSwanPairWith(t, "v4", suites[0], func(r *peerConfig, s *swanConnection) {
			r.IKE += ` use_ppk on; ppk_mandatory on; ppk_id "key-1";`
			r.PPK = map[string]string{"key-1": ours}
			s.Extra = "ppk_id = key-1\n ppk_required = yes"
			s.Secrets = fmt.Sprintf("ppk-1 {\n id = key-1\n secret = %q\n }", key)
		})
	}
	t.Run("the same", func(t *testing.T) {
		p := start(t, key)
		p.bothWays(t, []string{"using PPK for PPK_ID 'key-1'"}, []string{"using PPK for PPK_ID 'key-1'"})
		if ext := p.r.status().IKESAs[0].Extensions; !slices.Contains(ext, "PPK") {
			t.Errorf("status says %q", ext)
		}
		p.r.mustCtl("sa", "flush")
		p.noSAs(t)
	})
	t.Run("another", func(t *testing.T) {
		p := start(t, "another secret")
		noPing(t, p.left, p.left.inner, p.right.inner, 10)
		if out, err := p.s.trySwanctl("--initiate", "--child", "net"); err == nil {
			t.Errorf("strongSwan has a tunnel:\n%s", out)
		}
		if n := p.r.status().Counters["ikev2.auth_failed"]; n < 2 {
			t.Errorf("auth_failed counts %d, want one in either role", n)
		}
	})
}

// The first child comes in CREATE_CHILD_SA (RFC 6023) where strongSwan asks for
// it or takes it.
func TestInteropChildless(t *testing.T) {
	needRoot(t)
	p := newSwanPairWith(t, "v4", suites[0], func(r *peerConfig, s *swanConnection) {
		r.IKE += " childless on;"
		r.Policy = "initial_child_ke childless;"
		s.Extra = "childless = force"
	})
	p.bothWays(t, []string{"CREATE_CHILD_SA request 2"}, []string{"CREATE_CHILD_SA request 2"})
	p.r.mustCtl("sa", "flush")
	p.noSAs(t)
}

// nat_traversal force puts ESP into UDP where there is no NAT.
func TestForcedUDP(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		p := newPair(t, family, "tunnel", false)
		p.a.conf.IKE = "nat_traversal force;"
		p.a.configure()
		w := p.watch(t)
		p.start()
		ping(t, p.left, p.src, p.dst, 15*time.Second)
		ping(t, p.right, p.dst, p.back, 5*time.Second)
		w.wantESP(netlab.ESPInUDP, 4)
		if n := len(w.sent(netlab.ESP)); n > 0 {
			t.Errorf("%s: %d packets of ESP go without UDP", family, n)
		}
	}
}
