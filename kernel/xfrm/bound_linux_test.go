package xfrm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
	"racoon2/kernel/netlink/nft"
	"racoon2/kernel/netlink/route"
)

// sendMarked sends a text from a socket with a mark.
func (l *lab) sendMarked(mark uint32, text string) {
	l.t.Helper()
	l.do(0, func() error {
		c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
			return err
		}}
		conn, err := c.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(l.addrs[0], 0).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.WriteTo([]byte(text), net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.addrs[1], kerneltest.Port)))
		return err
	})
}

func wantText(t *testing.T, h *kerneltest.Host, want string) {
	t.Helper()
	select {
	case got := <-h.Received:
		if got != want {
			t.Errorf("%q arrived, not %q", got, want)
		}
	case <-time.After(kerneltest.Patience):
		t.Fatalf("%q was not delivered", want)
	}
}

// TestMarks: a policy with a mark protects the packets that have it, the inbound
// SA gives it to what it has opened, and others pass.
func TestMarks(t *testing.T) {
	l := newLab4(t)
	if !withESP(t) {
		return
	}
	_, b := l.hosts()
	bound := kernel.Binding{Mark: kernel.Mark{Value: 0x10, Mask: 0xff}}
	p := l.protected()
	p.Binding = bound
	l.must(0, kernel.AddPolicy{Policy: p})
	p.Direction = kernel.In
	l.must(1, kernel.AddPolicy{Policy: p})
	in, out := l.tunnelSA(l.addrs[1], kernel.In, nil), l.tunnelSA(l.addrs[1], kernel.Out, nil)
	in.Mode, out.Mode, in.Binding, out.Binding = kernel.Transport, kernel.Transport, bound.Inbound(), bound
	l.must(1, kernel.AddSA{SA: in})
	l.must(0, kernel.AddSA{SA: out})
	l.sendMarked(0, "without a mark")
	wantText(t, b, "without a mark")
	for i := range l.backends {
		if n := l.must(i, kernel.GetSA{ID: out.SAID}).SAs[0].Packets; n != 0 {
			t.Errorf("host %d counts %d packets", i, n)
		}
	}
	l.sendMarked(0x110, "with the mark") // the mask leaves out the rest
	wantText(t, b, "with the mark")
	for i := range l.backends {
		if n := l.must(i, kernel.GetSA{ID: out.SAID}).SAs[0].Packets; n != 1 {
			t.Errorf("host %d counts %d packets", i, n)
		}
	}
	// Another Backend, as after a restart, finds the SA by its dump.
	l.do(0, func() error {
		other, err := New()
		if err != nil {
			return err
		}
		defer other.Close()
		first := l.backends[0]
		l.backends[0] = other
		l.must(0, kernel.DumpSA{})
		l.must(0, kernel.DeleteSA{ID: out.SAID})
		l.backends[0] = first
		return nil
	})
}

// TestInterface: what is routed into an XFRM interface meets the policy and the
// SA with its identifier, and arrives from the interface at the other end.
func TestInterface(t *testing.T) {
	l := newLab4(t)
	if !withESP(t) {
		return
	}
	a, b := l.hosts()
	const ifID = 42
	for i := range l.ns {
		l.do(i, func() error {
			c, err := route.Dial()
			if err != nil {
				return err
			}
			defer c.Close()
			return addInterface(c, ifID, netip.PrefixFrom(l.addrs[1-i], 32), i == 0)
		})
	}
	p := l.protected()
	p.Templates[0] = kernel.Template{Src: l.addrs[0], Dst: l.addrs[1], Proto: kernel.ESP, Mode: kernel.Tunnel, Level: kernel.Require, ReqID: 77}
	p.IfID = ifID
	l.must(0, kernel.AddPolicy{Policy: p})
	p.Direction = kernel.In
	l.must(1, kernel.AddPolicy{Policy: p})
	in, out := l.tunnelSA(l.addrs[1], kernel.In, nil), l.tunnelSA(l.addrs[1], kernel.Out, nil)
	in.IfID, out.IfID = ifID, ifID
	// The SA's own packets must not go into the interface again.
	out.Set = kernel.Mark{Value: 0x77, Mask: 0xff}
	l.must(1, kernel.AddSA{SA: in})
	l.must(0, kernel.AddSA{SA: out})
	l.send(a, b, "by the interface")
	for i := range l.backends {
		s := l.must(i, kernel.GetSA{ID: out.SAID}).SAs[0]
		if s.Packets != 1 || s.IfID != ifID {
			t.Errorf("host %d: %d packets, if_id %d", i, s.Packets, s.IfID)
		}
	}
}

// addInterface makes an XFRM interface and leads what has no mark to it.
func addInterface(c *route.Conn, ifID uint32, to netip.Prefix, lead bool) error {
	if err := c.AddXFRM("ipsec0", ifID, "test"); err != nil {
		return err
	}
	link, err := c.LinkByName("ipsec0")
	if err != nil {
		return err
	}
	if link.IfID != ifID || link.Alias != "test" {
		return fmt.Errorf("the interface has if_id %d and the alias %q", link.IfID, link.Alias)
	}
	index := link.Index
	if err := c.SetUp(index, true); err != nil || !lead {
		return err
	}
	const table = 77
	if err := c.ReplaceRoute(route.Route{Dst: to, Kind: route.Unicast, Link: index, Table: table}); err != nil {
		return err
	}
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	for _, r := range []route.Rule{
		{Priority: 101, To: everything, Action: route.Nop},
		{Priority: 99, To: everything, Mark: 0x77, Action: route.Goto, Target: 101},
		{Priority: 100, To: to, Table: table},
	} {
		if err := c.AddRule(r); err != nil {
			return err
		}
	}
	return nil
}

// TestOffload: a device that cannot encrypt is no reason to encrypt elsewhere in
// silence.
func TestOffload(t *testing.T) {
	l := newLab4(t)
	sa := l.tunnelSA(l.addrs[1], kernel.Out, nil)
	sa.Offload, sa.Device = kernel.OffloadCrypto, "nowhere"
	if r := l.result(0, kernel.AddSA{SA: sa}); r.Err == nil {
		t.Error("a device that is not there encrypts")
	}
	if !withESP(t) {
		return
	}
	for _, kind := range []kernel.Offload{kernel.OffloadCrypto, kernel.OffloadPacket} {
		sa.Offload, sa.Device = kind, "eth0"
		r := l.result(0, kernel.AddSA{SA: sa})
		if !errors.Is(r.Err, kernel.ErrUnsupported) {
			t.Errorf("%v: %v", kind, r.Err)
		}
		t.Log(r.Err)
		if n := len(l.must(0, kernel.DumpSA{}).SAs); n != 0 {
			t.Errorf("%v: %d SAs are left", kind, n)
		}
	}
}

// TestCapabilities: in the machine the kernel can do all that this package can.
func TestCapabilities(t *testing.T) {
	l := newLab4(t)
	if !withESP(t) {
		return
	}
	c := l.backends[0].Capabilities()
	if !c.AH || len(c.Comp) != 1 || !c.Marks || !c.IfID || !c.MSS || !c.Bundles || !c.Migrate || len(c.Encr) != len(ciphers) || len(c.Integ) != len(macs)+1 {
		t.Errorf("%+v", c)
	}
}

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

// TestNotesEnd: what is kept of policies ends with them, however they end.
func TestNotesEnd(t *testing.T) {
	l := newLab4(t)
	b := l.backends[0]
	p := l.protected()
	p.Selector.Proto, p.MSS = 6, 1000
	l.must(0, kernel.AddPolicy{Policy: p})
	if got := l.must(0, kernel.DumpPolicy{}).Policies; len(got) != 1 || got[0].MSS != 1000 || len(b.host.rules) != 1 {
		t.Errorf("%+v, rules %v", got, b.host.rules)
	}
	other := &lab{t: t, ns: l.ns, addrs: l.addrs}
	l.do(0, func() (err error) {
		other.backends[0], err = New()
		return err
	})
	defer other.backends[0].Close()
	other.must(0, kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction})
	l.must(0, kernel.DumpPolicy{})
	if len(b.notes) != 0 || len(b.host.rules) != 0 {
		t.Errorf("left over: %v, %v", b.notes, b.host.rules)
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
