package xfrm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
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
