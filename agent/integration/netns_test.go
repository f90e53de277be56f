//go:build linux

package integration

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// topology is two hosts on one wire, or with a NAT between them:
//
//	left (wan) ──────────────── (wan) right
//	left (wan) ── (in) nat (out) ── (wan) right
type topology struct {
	lab         *netlab.Lab
	left, right site
	natOutside  netip.Addr // left's address as right sees it; the zero Addr without a NAT
}

// site is one host with its outer address and, behind it, an inner network.
type site struct {
	ns    *netlab.NS
	outer netip.Addr
	seen  netip.Addr // outer as the other site sees it: a NAT's, where one is between them
	inner netip.Addr
	net   string
}

// addresses of the two families; the inner ones are of the same family.
var addressing = map[string][2][3]string{ // outer, inner, net
	"v4": {{"192.0.2.1/24", "10.1.0.1/24", "10.1.0.0/24"}, {"192.0.2.2/24", "10.2.0.1/24", "10.2.0.0/24"}},
	"v6": {{"2001:db8::1/64", "fd00:1::1/64", "fd00:1::/64"}, {"2001:db8::2/64", "fd00:2::1/64", "fd00:2::/64"}},
}

// natAddresses are left's network behind the NAT, and the NAT's two addresses.
var natAddresses = map[string][3]string{ // left, nat inside, nat outside
	"v4": {"198.51.100.1/24", "198.51.100.254/24", "192.0.2.254/24"},
	"v6": {"2001:db8:1::1/64", "2001:db8:1::fe/64", "2001:db8::fe/64"},
}

func newTopology(t *testing.T, family string, nat bool) *topology {
	t.Helper()
	needRoot(t)
	top := &topology{lab: netlab.ForTest(t)}
	plan := addressing[family]
	top.left = newSite(t, top.lab, "left", plan[0])
	top.right = newSite(t, top.lab, "right", plan[1])
	towardsLeft := top.left.outer
	if nat {
		top.joinByNAT(t, family)
		towardsLeft = netip.MustParsePrefix(natAddresses[family][2]).Addr()
		top.natOutside = towardsLeft
	} else {
		must(t, top.lab.Join(top.left.ns, "wan", top.right.ns, "wan"))
		must(t, top.left.ns.Address("wan", plan[0][0]))
		must(t, top.right.ns.Address("wan", plan[1][0]))
		must(t, top.left.ns.Route(plan[1][2], top.right.outer.String()))
	}
	top.left.seen, top.right.seen = towardsLeft, top.right.outer
	must(t, top.right.ns.Route(plan[0][2], towardsLeft.String()))
	return top
}

func newSite(t *testing.T, lab *netlab.Lab, name string, plan [3]string) site {
	t.Helper()
	ns, err := lab.Namespace(name)
	must(t, err)
	must(t, ns.Address("lo", plan[1]))
	return site{
		ns:    ns,
		outer: netip.MustParsePrefix(plan[0]).Addr(),
		inner: netip.MustParsePrefix(plan[1]).Addr(),
		net:   plan[2],
	}
}

// joinByNAT puts left behind a masquerading router that changes ports as well.
func (top *topology) joinByNAT(t *testing.T, family string) {
	t.Helper()
	nat, err := top.lab.Namespace("nat")
	must(t, err)
	must(t, top.lab.Join(top.left.ns, "wan", nat, "in"))
	must(t, top.lab.Join(nat, "out", top.right.ns, "wan"))
	addr := natAddresses[family]
	must(t, top.left.ns.Address("wan", addr[0]))
	must(t, nat.Address("in", addr[1]))
	must(t, nat.Address("out", addr[2]))
	must(t, top.right.ns.Address("wan", addressing[family][1][0]))
	must(t, nat.Forwarding())
	must(t, nat.Masquerade("out", 20000, 30000))
	top.left.outer = netip.MustParsePrefix(addr[0]).Addr()
	gateway := netip.MustParsePrefix(addr[1]).Addr().String()
	any := map[string]string{"v4": "0.0.0.0/0", "v6": "::/0"}[family]
	must(t, top.left.ns.Route(any, gateway))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ping sends echoes from one address to another until one is answered.
func ping(t *testing.T, from site, src, dst netip.Addr, limit time.Duration) {
	t.Helper()
	p := netlab.Ping{From: src, To: dst, Timeout: time.Second}
	if err := from.ns.PingUntil(p, limit); err != nil {
		t.Fatalf("no answer to a ping from %v to %v within %v: %v", src, dst, limit, err)
	}
}

// noPing wants every echo to stay unanswered.
func noPing(t *testing.T, from site, src, dst netip.Addr, count int) {
	t.Helper()
	for range count {
		p := netlab.Ping{From: src, To: dst, Timeout: 200 * time.Millisecond}
		if err := from.ns.Ping(p); err == nil {
			t.Fatalf("a ping from %v to %v was answered though it must not be", src, dst)
		}
	}
}

// wire watches the ends of a wire and holds that neither host sends in clear.
// Arriving packets do not count: a kernel shows decrypted ones at the same
// interface again.
type wire struct {
	t    *testing.T
	ends []*netlab.Capture
}

func (top *topology) watch(t *testing.T) wire {
	t.Helper()
	w := wire{t: t}
	for _, s := range []site{top.left, top.right} {
		c, err := s.ns.Capture("wan")
		must(t, err)
		t.Cleanup(func() { c.Stop() })
		w.ends = append(w.ends, c)
	}
	return w
}

// sent are the packets of a kind that either host sent.
func (w wire) sent(kind netlab.Kind) []netlab.Frame {
	var list []netlab.Frame
	for _, c := range w.ends {
		for _, f := range c.Frames() {
			if f.Outgoing && f.Kind == kind {
				list = append(list, f)
			}
		}
	}
	return list
}

func (w wire) reset() {
	for _, c := range w.ends {
		c.Reset()
	}
}

// wantESP fails unless at least min ESP packets of that kind, and none in clear, were sent.
func (w wire) wantESP(kind netlab.Kind, min int) {
	w.t.Helper()
	waitFor(w.t, 3*time.Second, fmt.Sprintf("%d packets of kind %v on the wire", min, kind), func() bool {
		return len(w.sent(kind)) >= min
	})
	w.wantNoClear()
}

func (w wire) wantNoClear() {
	w.t.Helper()
	for _, f := range w.sent(netlab.Clear) {
		w.t.Fatalf("in clear on the wire: %v → %v protocol %d ports %d → %d", f.Src, f.Dst, f.Proto, f.SrcPort, f.DstPort)
	}
}
