package userspace

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest/netlab"
)

// gateways is c – a ═ b – d: a and b are security gateways for two networks.
func gateways(t *testing.T) (a, b, c, d *netlab.NS) {
	lab, a, b := hostPair(t)
	c, err := lab.Namespace("c")
	must(t, err)
	d, err = lab.Namespace("d")
	must(t, err,
		lab.Join(a, "lan", c, "eth0"), lab.Join(b, "lan", d, "eth0"),
		a.Address("lan", "10.1.0.1/24", "fd01::1/64"), c.Address("eth0", "10.1.0.2/24", "fd01::2/64"),
		b.Address("lan", "10.2.0.1/24", "fd02::1/64"), d.Address("eth0", "10.2.0.2/24", "fd02::2/64"),
		c.Route("0.0.0.0/0", "10.1.0.1"), c.Route("::/0", "fd01::1"),
		d.Route("0.0.0.0/0", "10.2.0.1"), d.Route("::/0", "fd02::1"),
		a.Forwarding(), b.Forwarding(),
		// Clear packets could find their way: protection must not hang on a missing route.
		a.Route("10.2.0.0/24", "10.9.0.2"), a.Route("fd02::/64", "fd09::2"),
		b.Route("10.1.0.0/24", "10.9.0.1"), b.Route("fd01::/64", "fd09::1"))
	return a, b, c, d
}

var gatewayTunnels = []tunnel{
	{mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1},
	{mode: kernel.Tunnel, local: "fd09::1", peer: "fd09::2", inner: "fd01::/64", outer: "fd02::/64", reqID: 2},
}

func TestGateways(t *testing.T) {
	na, nb, nc, nd := gateways(t)
	a, b := start(t, na, Options{}), start(t, nb, Options{})
	wire, err := nb.Capture("eth0")
	must(t, err)
	for _, w := range gatewayTunnels {
		a.policies(w, w.selector())
		b.policies(w.reversed(), w.selector().Reverse())
	}
	// Without SAs nothing passes, from neither side.
	for _, to := range []string{"10.2.0.2", "fd02::2"} {
		p := ping(to)
		p.Timeout = 100 * time.Millisecond
		if err := nc.Ping(p); err == nil {
			t.Errorf("ping to %s without SAs was answered", to)
		}
	}
	for _, w := range gatewayTunnels {
		b.sas(w.reversed(), false, 1)
		a.sas(w, true, 1)
	}
	must(t, nc.Ping(ping("10.2.0.2")), nc.Ping(ping("fd02::2")), nd.Ping(ping("10.1.0.2")), nd.Ping(ping("fd01::2")))
	// The gateway's own traffic gets an address that the policy protects.
	must(t, na.Ping(ping("10.2.0.2")), na.Ping(ping("fd02::2")))
	// Fragments pass too.
	big := ping("10.2.0.2")
	big.Size = 4000
	must(t, nc.Ping(big))
	if n := wire.Count(netlab.Clear); n != 0 {
		t.Errorf("%d clear packets on the wire", n)
	}
	// A clear packet from the wire is not forwarded.
	inside, err := nc.Capture("eth0")
	must(t, err)
	for _, c := range []struct{ src, dst, control string }{{"10.2.0.2", "10.1.0.2", "10.77.0.1"}, {"fd02::2", "fd01::2", "fd77::1"}} {
		dst := netip.MustParseAddr(c.dst)
		for _, src := range []string{c.src, c.control} {
			must(t, nb.InjectIP("eth0", na, "eth0", netlab.UDPPacket(netip.MustParseAddr(src), dst, 1, 4711, []byte(src))))
		}
		arrived := func(src string) bool {
			return slices.ContainsFunc(inside.Frames(), func(f netlab.Frame) bool { return f.DstPort == 4711 && string(f.Payload) == src })
		}
		if !waitUntil(func() bool { return arrived(c.control) }) {
			t.Errorf("not even the control packet to %s was forwarded", dst)
		}
		if arrived(c.src) {
			t.Errorf("a clear packet to %s was forwarded", dst)
		}
	}
}

// A packet that may not be fragmented and does not fit is refused with the
// size that fits; a ping of that size passes.
func TestTooBig(t *testing.T) {
	na, nb, nc, _ := gateways(t)
	a, b := start(t, na, Options{}), start(t, nb, Options{})
	for _, w := range gatewayTunnels {
		a.policies(w, w.selector())
		b.policies(w.reversed(), w.selector().Reverse())
		b.sas(w.reversed(), false, 1)
		a.sas(w, true, 1)
	}
	for _, c := range []struct {
		to     string
		header int
	}{{"10.2.0.2", ipv4HeaderLen}, {"fd02::2", ipv6HeaderLen}} {
		p := ping(c.to)
		p.Whole, p.Size = true, 1500-c.header-8
		for _, from := range []*netlab.NS{na, nc} {
			if err := from.Ping(p); !errors.Is(err, syscall.EMSGSIZE) {
				t.Errorf("%s to %s: %v, want EMSGSIZE", from.Name, c.to, err)
			}
		}
		p.Size = 1370 - c.header - 8
		must(t, nc.Ping(p), na.Ping(p))
	}
	// The path narrows: what fitted before is refused now, by the backend itself.
	must(t, na.SetMTU("eth0", 1400), nb.SetMTU("eth0", 1400))
	p := ping("10.2.0.2")
	p.Timeout, p.Whole, p.Size = 100*time.Millisecond, true, 1370-ipv4HeaderLen-8
	if !waitUntil(func() bool { return errors.Is(nc.Ping(p), syscall.EMSGSIZE) }) {
		t.Error("the narrower path is not respected")
	}
	p.Timeout, p.Whole = 5*time.Second, false
	must(t, nc.Ping(p))
}

// Large packets pass in transport mode, where ESP wants whole ones.
func TestLargePackets(t *testing.T) {
	_, na, nb := hostPair(t)
	a, b := start(t, na, Options{}), start(t, nb, Options{})
	wire, err := nb.Capture("eth0")
	must(t, err)
	for _, w := range hostTunnels {
		a.policies(w, w.selector())
		b.policies(w.reversed(), w.selector().Reverse())
		b.sas(w.reversed(), false, 1)
		a.sas(w, true, 1)
	}
	for _, to := range []string{"10.9.0.2", "fd09::2"} {
		for _, size := range []int{1400, 1472, 3000, 20000} {
			p := ping(to)
			p.Size = size
			must(t, na.Ping(p))
		}
	}
	if n := wire.Count(netlab.Clear); n != 0 {
		t.Errorf("%d clear packets on the wire", n)
	}
}

// Behind a NAT that gives the peer a new port, authentic packets tell where it
// is now; after UpdateSA the answers go there.
func TestMapping(t *testing.T) {
	lab := netlab.ForTest(t)
	var ns [3]*netlab.NS
	for i, name := range []string{"inside", "nat", "outside"} {
		var err error
		ns[i], err = lab.Namespace(name)
		must(t, err)
	}
	must(t, lab.Join(ns[0], "eth0", ns[1], "in"), lab.Join(ns[1], "out", ns[2], "eth0"),
		ns[0].Address("eth0", "10.5.0.2/24"), ns[1].Address("in", "10.5.0.1/24"),
		ns[1].Address("out", "192.0.2.1/24"), ns[2].Address("eth0", "192.0.2.2/24"),
		ns[0].Address("lo", "10.1.0.1/32"), ns[2].Address("lo", "10.2.0.1/32"),
		ns[0].Route("0.0.0.0/0", "10.5.0.1"), ns[1].Forwarding(), ns[1].Masquerade("out", 20000, 29999))
	a, b := start(t, ns[0], Options{}), start(t, ns[2], Options{})
	a.encap("10.5.0.2:4500")
	b.encap("192.0.2.2:4500")
	w := tunnel{mode: kernel.Tunnel, local: "10.5.0.2", peer: "192.0.2.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1, port1: 4500, port2: 4500}
	r := w.reversed()
	r.peer, r.port2 = "192.0.2.1", 1 // as if the NAT had used another port before
	a.policies(w, w.selector())
	b.policies(r, r.selector())
	a.sas(w, true, 1)
	b.sas(r, false, 1)

	p := ping("10.2.0.1")
	p.Timeout = 100 * time.Millisecond
	if err := ns[0].Ping(p); err == nil {
		t.Error("the answer found its way to the wrong port")
	}
	m, ok := b.event().(kernel.Mapping)
	if !ok || m.New.Addr() != netip.MustParseAddr("192.0.2.1") || m.New.Port() < 20000 || m.New.Port() > 29999 || m.Old.Port() != 1 {
		t.Fatalf("event %+v", m)
	}
	for _, d := range []kernel.Direction{kernel.In, kernel.Out} {
		sa := r.sa(d, 1, 1)
		if d == kernel.Out {
			sa = r.sa(d, 2, 1)
		}
		sa.EncrKey = nil
		sa.Encap.Remote = m.New.Port()
		b.do(kernel.UpdateSA{SA: sa})
	}
	must(t, ns[0].Ping(ping("10.2.0.1")))
	select {
	case e := <-b.backend.Events():
		t.Errorf("another event: %+v", e)
	default:
	}
}
