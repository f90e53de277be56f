package userspace

import (
	"net/netip"
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
