package xfrm

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
	"racoon2/kernel/netlink/nft"
)

// segments is the segment sizes that both ends of a TCP connection use.
func (l *lab) segments() (client, server int) {
	l.t.Helper()
	const port = 7080
	var listener net.Listener
	l.do(1, func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(l.addrs[1], port).String())
		return err
	})
	defer listener.Close()
	accepted := make(chan int, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			accepted <- -1
			return
		}
		defer c.Close()
		accepted <- segment(c)
		_, _ = io.Copy(io.Discard, c)
	}()
	l.do(0, func() error {
		d := net.Dialer{Timeout: kerneltest.Patience}
		c, err := d.Dial("tcp", netip.AddrPortFrom(l.addrs[1], port).String())
		if err != nil {
			return err
		}
		defer c.Close()
		client = segment(c)
		return nil
	})
	return client, <-accepted
}

// segment is the largest segment that a connection sends.
func segment(c net.Conn) (n int) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			n = -1
			return
		}
		n = int(info.Snd_mss)
	})
	const timestamps = 12 // are taken off
	return n + timestamps
}

// TestMSS: policies bound the segments of TCP connections, of both ends by the
// policies of one host, with a number and by the path; without them nothing is
// left. The rules work without ESP too, so that every kernel shows them.
func TestMSS(t *testing.T) {
	for _, c := range [][2]string{{"192.0.2.1/24", "192.0.2.2/24"}, {"2001:db8::1/64", "2001:db8::2/64"}} {
		l := newLab(t, c[0], c[1])
		h := l.backends[0].host
		if !h.clamps() {
			t.Fatal("this kernel's nf_tables cannot bound the MSS")
		}
		usual := 1500 - headerLen(l.addrs[0]) - 20
		if client, server := l.segments(); client != usual || server != usual {
			t.Fatalf("segments of %d and %d octets without a policy", client, server)
		}
		out := l.protected()
		out.Selector.Proto, out.Selector.DstPort, out.MSS = 0, kernel.AnyPort, 900
		in := out
		in.Selector, in.Direction = out.Selector.Reverse(), kernel.In
		for _, step := range []struct {
			name           string
			do             func() error
			client, server int
		}{
			{"out", func() error { return h.clamp(out) }, usual, 900},
			{"in", func() error { return h.clamp(in) }, 900, 900},
			{"in removed", func() error { return h.unclamp(in) }, usual, 900},
			{"out removed", func() error { return h.unclamp(out) }, usual, usual},
			{"out by the path", func() error { out.MSS = kernel.MSSFromMTU; return h.clamp(out) }, usual, usual},
			{"in by the path", func() error { in.MSS = kernel.MSSFromMTU; return h.clamp(in) }, usual - 81, usual},
			{"removed again", func() error { return errors.Join(h.unclamp(in), h.unclamp(out), h.unclamp(out)) }, usual, usual},
		} {
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if client, server := l.segments(); client != step.client || server != step.server {
				t.Errorf("%s: segments of %d and %d octets, want %d and %d", step.name, client, server, step.client, step.server)
			}
		}
		out.MSS = 800
		if err := h.clamp(out); err != nil {
			t.Fatal(err)
		}
		// A crash leaves the table, and the next instance removes it.
		l.do(0, func() error {
			next, err := New()
			if err != nil {
				return err
			}
			defer next.Close()
			conn, err := nft.Dial()
			if err != nil {
				return err
			}
			defer conn.Close()
			chains, err := conn.Chains(mssTable)
			if len(chains) != 0 {
				t.Errorf("left over: %v", chains)
			}
			return err
		})
		// Somebody flushed the rules; a new policy makes the table again.
		if err := h.clamp(out); err != nil {
			t.Error(err)
		}
		if _, server := l.segments(); server != 800 {
			t.Errorf("after the flush: segments of %d octets", server)
		}
	}
}

// TestMSSOfLongSelectors: the rule of a policy whose text is longer than what a rule
// has room for goes with it.
func TestMSSOfLongSelectors(t *testing.T) {
	l := newLab4(t)
	h := l.backends[0].host
	p := l.protected()
	p.Selector = kernel.Selector{
		Src: netip.MustParsePrefix("2001:db8:1111:2222:3333:4444:5555:6661/128"), SrcPort: kernel.PortRange{First: 10000, Last: 20000},
		Dst: netip.MustParsePrefix("2001:db8:1111:2222:3333:4444:5555:6662/128"), DstPort: kernel.PortRange{First: 30000, Last: 40000},
		Proto: 6,
	}
	p.MSS = 1000
	other := p
	other.Binding.IfID = 7
	for i, step := range []func() error{
		func() error { return h.clamp(p) }, func() error { return h.clamp(other) },
		func() error { return h.unclamp(p) }, func() error { return h.unclamp(other) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		rules, err := h.nft.Rules(mssTable, chainLeaving)
		if want := []int{1, 2, 1, 0}[i]; err != nil || len(rules) != want {
			t.Errorf("step %d: %d rules, want %d, %v", i, len(rules), want, err)
		}
	}
}

// TestMSSInTunnel: the path's MTU is what ESP leaves of it.
func TestMSSInTunnel(t *testing.T) {
	l := newLab4(t)
	if !withESP(t) {
		return
	}
	for i := range l.backends {
		for _, d := range []kernel.Direction{kernel.Out, kernel.In} {
			p := l.protected()
			p.Selector.Proto, p.Selector.DstPort = 6, kernel.AnyPort
			from, to := l.addrs[i], l.addrs[1-i]
			if d == kernel.In {
				from, to = to, from
			}
			p.Selector.Src, p.Selector.Dst, p.Direction = netip.PrefixFrom(from, 32), netip.PrefixFrom(to, 32), d
			p.Templates[0] = kernel.Template{Src: from, Dst: to, Proto: kernel.ESP, Mode: kernel.Tunnel, Level: kernel.Require, ReqID: 77}
			if i == 0 {
				p.MSS = kernel.MSSFromMTU
			}
			l.must(i, kernel.AddPolicy{Policy: p})
			sa := l.tunnelSA(to, d, nil)
			sa.Src, sa.SPI, sa.Selector = from, kernel.SPI(0x1000+(i+int(d))%2), p.Selector
			l.must(i, kernel.AddSA{SA: sa})
		}
	}
	client, server := l.segments()
	if client <= 1000 || client >= 1440 || server <= 1000 || server >= 1440 {
		t.Errorf("segments of %d and %d octets", client, server)
	}
	if n := l.must(0, kernel.DumpSA{}).SAs[0].Packets; n == 0 {
		t.Error("the connection went past the tunnel")
	}
}
