package userspace

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest/netlab"
	"racoon2/kernel/netlink/nft"
)

// hostTunnels protect all traffic between the hosts of hostPair.
var hostTunnels = []tunnel{
	{mode: kernel.Transport, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.9.0.1/32", outer: "10.9.0.2/32", reqID: 1},
	{mode: kernel.Transport, local: "fd09::1", peer: "fd09::2", inner: "fd09::1/128", outer: "fd09::2/128", reqID: 2},
}

// Clear packets from the wire are dropped while a policy protects them, whether
// an SA stands or not, and pass when it is gone.
func TestInboundGuard(t *testing.T) {
	_, na, nb := hostPair(t)
	a := start(t, na, Options{})
	if why := a.backend.Capabilities().ClearInbound; why != "" {
		t.Fatalf("clear packets are not dropped: %s", why)
	}
	injected(t, nb, na, true, "without policies")
	for _, w := range hostTunnels {
		a.policies(w, w.selector())
	}
	injected(t, nb, na, false, "without SAs")
	for _, w := range hostTunnels {
		a.sas(w, true, 1)
	}
	injected(t, nb, na, false, "with SAs")
	for _, w := range hostTunnels {
		a.do(kernel.DeletePolicy{Selector: w.selector().Reverse(), Direction: kernel.In})
	}
	injected(t, nb, na, true, "without inbound policies")
}

// A policy for one port leaves the other ports open, in both directions, and a
// stronger Bypass makes a hole.
func TestGuardPorts(t *testing.T) {
	_, na, nb := hostPair(t)
	a := start(t, na, Options{})
	v4, v6 := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")
	peer4, peer6 := netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd09::2")
	for _, w := range hostTunnels {
		in := w.selector().Reverse()
		in.Proto, in.DstPort = protoUDP, kernel.PortRange{First: 1000, Last: 2000}
		a.do(kernel.AddPolicy{Policy: kernel.Policy{
			Selector: in, Direction: kernel.In, Action: kernel.Protect, Priority: 100,
			Templates: []kernel.Template{{Proto: kernel.ESP, Mode: w.mode, Level: kernel.Require, ReqID: w.reqID}},
		}})
		in.DstPort = kernel.Port(1500)
		a.do(kernel.AddPolicy{Policy: kernel.Policy{Selector: in, Direction: kernel.In, Action: kernel.Bypass, Priority: 50}})
		in.DstPort = kernel.Port(3000)
		a.do(kernel.AddPolicy{Policy: kernel.Policy{Selector: in, Direction: kernel.In, Action: kernel.Discard, Priority: 60}})
	}
	for port, want := range map[uint16]bool{999: true, 1000: false, 1499: false, 1500: true, 2000: false, 2001: true, 3000: false} {
		if got := delivered(t, nb, na, peer4, v4, port); got != want {
			t.Errorf("IPv4 port %d delivered: %v, want %v", port, got, want)
		}
		if got := delivered(t, nb, na, peer6, v6, port); got != want {
			t.Errorf("IPv6 port %d delivered: %v, want %v", port, got, want)
		}
	}
}

// What escapes the rules meets the guard: a socket that is bound to an
// interface, and one with the agent's mark does not.
func TestOutboundGuard(t *testing.T) {
	_, na, nb := hostPair(t)
	a := start(t, na, Options{})
	for _, w := range hostTunnels {
		a.policies(w, w.selector())
	}
	wire, err := nb.Capture("eth0")
	must(t, err)
	send := func(to string, options ...option) {
		t.Helper()
		must(t, na.Do(func() error {
			at := netip.AddrPortFrom(netip.MustParseAddr(to), 7)
			family := unix.AF_INET
			if at.Addr().Is6() {
				family = unix.AF_INET6
			}
			fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			for _, o := range options {
				if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
					return err
				}
			}
			if len(options) == 0 {
				if err := unix.BindToDevice(fd, "eth0"); err != nil {
					return err
				}
			}
			// The guard's drop is EPERM, an unreachable route ENETUNREACH or the like.
			if err := unix.Sendto(fd, []byte("escape"), 0, sockaddr(at)); len(options) > 0 {
				return err
			}
			return nil
		}))
	}
	for _, to := range []string{"10.9.0.2", "fd09::2"} {
		send(to)
		if n := wire.Count(netlab.Clear); n != 0 {
			t.Errorf("to %s: %d clear packets of a bound socket left", to, n)
		}
		send(to, option{unix.SOL_SOCKET, unix.SO_MARK, Mark})
		if !waitUntil(func() bool { return wire.Count(netlab.Clear) > 0 }) {
			t.Errorf("to %s: the agent's own packet did not leave", to)
		}
		wire.Reset()
	}
}

// Discard drops, Bypass inside it passes, Use passes in clear while it asks.
func TestActions(t *testing.T) {
	_, na, nb := hostPair(t)
	a := start(t, na, Options{})
	wire, err := nb.Capture("eth0")
	must(t, err)
	everything := kernel.Selector{
		Src: netip.MustParsePrefix("10.9.0.0/24"), Dst: netip.MustParsePrefix("10.9.0.2/32"),
		SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
	}
	echo := everything
	echo.Proto = protoICMP
	a.do(kernel.AddPolicy{Policy: kernel.Policy{Selector: everything, Direction: kernel.Out, Action: kernel.Discard, Priority: 100}})
	p := ping("10.9.0.2")
	p.Timeout = 200 * time.Millisecond
	if err := na.Ping(p); err == nil {
		t.Error("a Discard policy let a ping pass")
	}
	a.do(kernel.AddPolicy{Policy: kernel.Policy{Selector: echo, Direction: kernel.Out, Action: kernel.Bypass, Priority: 50}})
	must(t, na.Ping(ping("10.9.0.2")))

	a.do(kernel.DeletePolicy{Selector: echo, Direction: kernel.Out})
	a.do(kernel.UpdatePolicy{Policy: kernel.Policy{
		Selector: everything, Direction: kernel.Out, Action: kernel.Protect, Priority: 100,
		Templates: []kernel.Template{{Proto: kernel.ESP, Mode: kernel.Transport, Level: kernel.Use, ReqID: 3}},
	}})
	must(t, na.Ping(ping("10.9.0.2")))
	if e, ok := a.event().(kernel.Acquire); !ok || e.Template.Level != kernel.Use {
		t.Errorf("event %+v", e)
	}
	if n := wire.Count(netlab.Clear); n != 4 {
		t.Errorf("%d clear packets on the wire, want two requests and two replies", n)
	}
}

// With a strict reverse-path filter on the outer interface IPv4 still works.
func TestStrictReversePath(t *testing.T) {
	_, na, nb := hostPair(t)
	must(t, na.Sysctl("net/ipv4/conf/eth0/rp_filter", "1"))
	a, b := start(t, na, Options{}), start(t, nb, Options{})
	w := hostTunnels[0]
	for _, h := range []struct {
		*testHost
		w     tunnel
		first bool
	}{{a, w, true}, {b, w.reversed(), false}} {
		h.policies(h.w, h.w.selector())
		h.sas(h.w, h.first, 1)
	}
	must(t, na.Ping(ping("10.9.0.2")), nb.Ping(ping("10.9.0.1")))
	if w := a.backend.Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	must(t, a.backend.Close())
	if v, err := na.ReadSysctl("net/ipv4/conf/all/src_valid_mark"); v != "0" || err != nil {
		t.Errorf("src_valid_mark is left at %q, %v", v, err)
	}
}

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

// Whoever flushes the host's rule set opens the guard only until the next
// change of a policy.
func TestGuardComesBack(t *testing.T) {
	_, na, nb := hostPair(t)
	a := start(t, na, Options{})
	w := hostTunnels[0]
	a.policies(w, w.selector())
	must(t, na.Do(func() error {
		c, err := nft.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		var b nft.Batch
		b.DeleteTable(guardTable)
		return c.Commit(&b)
	}))
	w = hostTunnels[1]
	a.policies(w, w.selector())
	injected(t, nb, na, false, "after the next policy")
}

// Counted packets and comments show in the guard's rules, for operators.
func TestGuardCounts(t *testing.T) {
	_, na, nb := hostPair(t)
	a := start(t, na, Options{})
	w := hostTunnels[0]
	a.policies(w, w.selector())
	delivered(t, nb, na, netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.1"), 4711)
	must(t, na.Do(func() error {
		c, err := nft.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		rules, err := c.Rules(guardTable, chainInput)
		for _, r := range rules {
			if r.Comment == w.selector().Reverse().String() && r.Packets == 1 {
				return err
			}
		}
		t.Errorf("rules %+v", rules)
		return err
	}))
}
