//go:build linux

package integration

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// secondAddresses are further addresses on the wire, of left and of right.
var secondAddresses = map[string][2]string{
	"v4": {"192.0.2.11/24", "192.0.2.12/24"},
	"v6": {"2001:db8::11/64", "2001:db8::12/64"},
}

// newRoamingPair has a second address on either host, and the routes of both
// networks by way of each other's.
func newRoamingPair(t *testing.T, family string) *swanPair {
	t.Helper()
	top := newTopology(t, family, false)
	for i, s := range []site{top.left, top.right} {
		// Without this the second address of a network goes with the first.
		must(t, s.ns.Sysctl("net/ipv4/conf/wan/promote_secondaries", "1"))
		must(t, s.ns.Address("wan", secondAddresses[family][i]))
	}
	return newSwanPairAt(t, top, suites[0], func(r *peerConfig, s *swanConnection) {
		r.IKE += " mobike on;"
		r.Roaming = true
		r.AnyPeer = true
		s.MOBIKE = true
		s.Local, s.Remote = s.Local+",%any", s.Remote+",%any"
	})
}

// leave takes an address from a host's outer interface.
func leave(t *testing.T, s site, addr netip.Addr, family string) {
	t.Helper()
	plen := map[string]string{"v4": "/24", "v6": "/64"}[family]
	if out, err := s.ns.Command(context.Background(), "ip", "addr", "del", addr.String()+plen, "dev", "wan").CombinedOutput(); err != nil {
		t.Fatalf("ip addr del %v: %v\n%s", addr, err, out)
	}
}

// outerRoute has a host reach a network by another gateway: the first one's
// address has gone.
func outerRoute(t *testing.T, s site, net string, gateway netip.Addr) {
	t.Helper()
	args := []string{"route", "replace", net, "via", gateway.String()}
	if gateway.Is6() {
		args = append([]string{"-6"}, args...)
	}
	if out, err := s.ns.Command(context.Background(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip route replace: %v\n%s", err, out)
	}
}

// mobikeMoves is what the tests below have in common: the addresses change under
// the traffic, the IKE SA stays the same one.
func mobikeMoves(t *testing.T, family string) {
	second := [2]netip.Addr{
		netip.MustParsePrefix(secondAddresses[family][0]).Addr(), netip.MustParsePrefix(secondAddresses[family][1]).Addr(),
	}
	t.Run(family+" racoon2 moves", func(t *testing.T) {
		p := newRoamingPair(t, family)
		ping(t, p.left, p.left.inner, p.right.inner, 20*time.Second)
		first := p.r.status().IKESAs[0]
		w := p.watch(t)
		p.pingWhile(func() {
			leave(t, p.left, p.left.outer, family)
			outerRoute(t, p.right, p.left.net, second[0])
			waitFor(t, 30*time.Second, "racoon2 to move to its other address", func() bool {
				s := p.r.status()
				return len(s.IKESAs) == 1 && strings.Contains(s.IKESAs[0].Local, second[0].String())
			})
			ping(t, p.left, p.left.inner, p.right.inner, 30*time.Second)
		}).want(t, 45*time.Second)
		p.moved(t, w, first.SPIi)
	})
	t.Run(family+" strongSwan moves", func(t *testing.T) {
		p := newRoamingPair(t, family)
		p.s.swanctl("--initiate", "--child", "net")
		ping(t, p.right, p.right.inner, p.left.inner, 20*time.Second)
		first := p.r.status().IKESAs[0]
		w := p.watch(t)
		p.pingWhile(func() {
			leave(t, p.right, p.right.outer, family)
			outerRoute(t, p.left, p.right.net, second[1])
			waitFor(t, 30*time.Second, "racoon2 to see strongSwan at its other address", func() bool {
				s := p.r.status()
				return len(s.IKESAs) == 1 && strings.Contains(s.IKESAs[0].Peer, second[1].String())
			})
			ping(t, p.right, p.right.inner, p.left.inner, 30*time.Second)
		}).want(t, 45*time.Second)
		p.moved(t, w, first.SPIi)
	})
}

// moved wants traffic both ways, ESP only, in the IKE SA that there was.
func (p *swanPair) moved(t *testing.T, w wire, spi string) {
	t.Helper()
	ping(t, p.left, p.left.inner, p.right.inner, 30*time.Second)
	ping(t, p.right, p.right.inner, p.left.inner, 30*time.Second)
	w.wantNoClear()
	s := p.r.status().IKESAs
	if len(s) != 1 || s[0].SPIi != spi {
		t.Errorf("after the move the IKE SA is %+v, it was %s", s, spi)
	}
	p.r.mustCtl("sa", "flush")
	p.noSAs(t)
}

// strongSwan's own ESP cannot change an SA's address: after the move it rekeys.
func TestInteropMOBIKE(t *testing.T) {
	needRoot(t)
	needStrongSwan(t)
	for _, family := range []string{"v4", "v6"} {
		mobikeMoves(t, family)
	}
}

// With the kernel's ESP the SAs themselves move.
func TestMOBIKEKernel(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) == "" {
		out := inVM(t, 400, swanPackages, "^TestMOBIKEKernel$")
		if n := strings.Count(out, "--- PASS: TestMOBIKEKernel/"); n != 4 {
			t.Errorf("%d of 4 moves were tried in the virtual machine:\n%s", n, out)
		}
		return
	}
	for _, family := range []string{"v4", "v6"} {
		mobikeMoves(t, family)
	}
}
