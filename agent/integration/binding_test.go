//go:build linux

package integration

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel/kerneltest/netlab"
	"racoon2/kernel/netlink/route"
)

var bindingCases = []struct {
	name string
	run  func(t *testing.T, family string)
}{
	{"xfrm_interface", testXFRMInterface}, {"mark", testMark}, {"mss_clamp", testMSSClamp},
}

// What a policy says of interfaces, marks and segments comes to the kernel: in
// the virtual machine, whose kernel has IPsec.
func TestBindings(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) == "" {
		out := inVM(t, 600, "", "^TestBindings$")
		if n := strings.Count(out, "--- PASS: TestBindings/"); n != 2*len(bindingCases) {
			t.Errorf("%d of %d were tried in the virtual machine:\n%s", n, 2*len(bindingCases), out)
		}
		return
	}
	for _, family := range []string{"v4", "v6"} {
		for _, c := range bindingCases {
			t.Run(family+" "+c.name, func(t *testing.T) { c.run(t, family) })
		}
	}
}

// newBoundPair is a pair whose policies have further lines.
func newBoundPair(t *testing.T, family, mode, left, right string) *pair {
	t.Helper()
	p := newPair(t, family, mode, false)
	p.a.conf.Policy, p.b.conf.Policy = left, right
	p.a.configure()
	p.b.configure()
	return p
}

// into leads what is for the other site into an interface.
func (s site) into(t *testing.T, link, dst string) {
	t.Helper()
	l, err := s.ns.Link(link)
	must(t, err)
	must(t, s.ns.Do(func() error {
		c, err := route.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return c.ReplaceRoute(route.Route{Dst: netip.MustParsePrefix(dst), Link: l.Index})
	}))
}

// The agents make the interface of xfrm_interface; what is routed past it leaves
// in clear, what is routed into it goes through the tunnel, and an orderly exit
// takes the interface away.
func testXFRMInterface(t *testing.T, family string) {
	const lines = "\tif_id 42;\n\txfrm_interface ipsec0;\n"
	p := newBoundPair(t, family, "tunnel", lines, lines)
	w := p.watch(t)
	p.start()
	ping(t, p.left, p.src, p.dst, 15*time.Second) // past the interface
	if n := len(w.sent(netlab.ESP)); n != 0 {
		t.Errorf("%d packets of ESP though nothing was routed into the interface", n)
	}
	if s := p.a.status(); len(s.IKESAs) != 0 {
		t.Errorf("traffic past the interface set up %d IKE SAs", len(s.IKESAs))
	}
	for _, end := range []struct {
		site
		dst string
	}{{p.left, p.right.net}, {p.right, p.left.net}} {
		l, err := end.ns.Link("ipsec0")
		must(t, err)
		if l.Kind != route.KindXFRM || l.IfID != 42 {
			t.Fatalf("the interface is of kind %q with if_id %d", l.Kind, l.IfID)
		}
		end.into(t, "ipsec0", end.dst)
	}
	inside, err := p.right.ns.Capture("ipsec0")
	must(t, err)
	w.reset()
	ping(t, p.left, p.src, p.dst, 30*time.Second)
	w.wantESP(netlab.ESP, 2)
	ping(t, p.right, p.dst, p.src, 15*time.Second)
	waitFor(t, 5*time.Second, "the opened packets at the interface", func() bool {
		for _, f := range inside.Frames() {
			inner := netlab.ParsePacket(f.Octets) // there is no link layer
			if !f.Outgoing && inner.Src == p.src && inner.Dst == p.dst {
				return true
			}
		}
		return false
	})
	p.wantAgreement(t)
	p.wantCounters(t)
	p.a.kill(syscall.SIGTERM)
	if _, err := p.left.ns.Link("ipsec0"); !errors.Is(err, unix.ENODEV) {
		t.Errorf("after an orderly exit the interface is still there: %v", err)
	}
}

// marked opens a UDP socket whose packets have a mark.
func (s site) marked(t *testing.T, mark uint32, addr netip.AddrPort) net.PacketConn {
	t.Helper()
	var conn net.PacketConn
	must(t, s.ns.Do(func() (err error) {
		c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
			return err
		}}
		conn, err = c.ListenPacket(context.Background(), "udp", addr.String())
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// echoes answers what comes to a socket, with its mark.
func echoes(conn net.PacketConn) {
	var b [64]byte
	for {
		n, from, err := conn.ReadFrom(b[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = conn.WriteTo(b[:n], from)
		}
	}
}

// A policy with a mark takes the packets that have it, both ways, and leaves
// others of the same addresses and protocol alone.
func testMark(t *testing.T, family string) {
	const lines = "\tmark 0x10/0xff;\n"
	p := newBoundPair(t, family, "transport", lines, lines)
	w := p.watch(t)
	p.start()
	ask := func(mark uint32, port uint16) {
		t.Helper()
		server := netip.AddrPortFrom(p.dst, port)
		echo := p.right.marked(t, mark, server)
		go echoes(echo)
		client := p.left.marked(t, mark, netip.AddrPortFrom(p.src, 0))
		waitFor(t, 30*time.Second, fmt.Sprintf("an answer with mark %#x", mark), func() bool {
			_, err := client.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(server))
			must(t, client.SetReadDeadline(time.Now().Add(time.Second)))
			var b [64]byte
			n, _, readErr := client.ReadFrom(b[:])
			return err == nil && readErr == nil && string(b[:n]) == "hello"
		})
	}
	ask(0x20, 7001)
	if n := len(w.sent(netlab.ESP)) + len(w.sent(netlab.IKE)); n != 0 {
		t.Errorf("%d packets of IKE and ESP for what has another mark", n)
	}
	if n := len(w.sent(netlab.Clear)); n < 2 {
		t.Errorf("%d packets in clear", n)
	}
	w.reset()
	ask(0x110, 7002) // the mask leaves out the rest
	w.wantESP(netlab.ESP, 2)
	p.wantAgreement(t)
	p.wantCounters(t)
}

// synSegment is the maximum segment size that a TCP packet which opens a
// connection announces; 0 for others.
func synSegment(f netlab.Frame) int {
	b := f.Payload
	if f.Proto != unix.IPPROTO_TCP || len(b) < 20 || b[13]&(synFlag|ackFlag) != synFlag {
		return 0
	}
	for b = b[20:min(len(b), int(b[12]>>4)*4)]; len(b) > 1; {
		switch n := int(b[1]); {
		case b[0] == 1: // no operation
			b = b[1:]
		case b[0] == 2 && n == 4 && len(b) >= 4:
			return int(binary.BigEndian.Uint16(b[2:]))
		case n < 2 || n > len(b):
			return 0
		default:
			b = b[n:]
		}
	}
	return 0
}

const synFlag, ackFlag = 2, 16

// accept takes TCP connections at an address until the test ends.
func (s site) accept(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	var l net.Listener
	must(t, s.ns.Do(func() (err error) {
		l, err = net.Listen("tcp", addr.String())
		return err
	}))
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}()
}

// connect opens a TCP connection and returns the segments that it sends at the most.
func (s site) connect(t *testing.T, from netip.Addr, to netip.AddrPort) (segment int) {
	t.Helper()
	must(t, s.ns.Do(func() error {
		d := net.Dialer{Timeout: 30 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		c, err := d.Dial("tcp", to.String())
		if err != nil {
			return err
		}
		defer c.Close()
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				segment = int(info.Snd_mss)
			}
		})
	}))
	return segment
}

// mss_clamp at one end bounds the segments of both: the SYN that arrives at the
// far side announces what was configured, and what this side sends is no longer.
func testMSSClamp(t *testing.T, family string) {
	for clamp, most := range map[string]int{"1000": 1000, "pmtu": 1500 - 2*20 - 40} {
		p := newBoundPair(t, family, "tunnel", "\tmss_clamp "+clamp+";\n", "")
		w := p.watch(t)
		p.start()
		ping(t, p.left, p.src, p.dst, 30*time.Second)
		w.reset()
		server := netip.AddrPortFrom(p.dst, 7080)
		p.right.accept(t, server)
		sends := p.left.connect(t, p.src, server)
		announced := 0
		// What arrives is shown again once it is opened.
		waitFor(t, 5*time.Second, "the SYN on the far side", func() bool {
			for _, f := range w.ends[1].Frames() {
				if n := synSegment(f); n != 0 && !f.Outgoing {
					announced = n
				}
			}
			return announced != 0
		})
		if announced > most || announced < 1000 || sends > most || sends < 900 {
			t.Errorf("mss_clamp %s: the SYN on the far side announces %d octets, this side sends %d", clamp, announced, sends)
		}
		w.wantNoClear()
		p.a.kill(syscall.SIGTERM)
		p.b.kill(syscall.SIGTERM)
	}
}
