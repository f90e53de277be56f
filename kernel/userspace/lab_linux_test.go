package userspace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/kerneltest/netlab"
	"racoon2/kernel/netlink/nft"
	"racoon2/kernel/netlink/route"
)

// tb is what the helpers need of a test, or of a child process.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Cleanup(func())
}

func must(t tb, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// testHost is a namespace with a Backend in it.
type testHost struct {
	*netlab.NS
	t       tb
	backend *Backend
}

// start starts a Backend in a namespace.
func start(t *testing.T, ns *netlab.NS, o Options) *testHost {
	t.Helper()
	h := &testHost{NS: ns, t: t}
	must(t, ns.Do(func() (err error) {
		h.backend, err = New(o)
		return err
	}))
	t.Cleanup(func() { must(t, h.backend.Close()) })
	return h
}

// do submits an operation and wants it to go well.
func (h *testHost) do(op kernel.Op) kernel.Result {
	h.t.Helper()
	r := h.try(op)
	if r.Err != nil {
		h.t.Fatalf("%T: %v", op, r.Err)
	}
	return r
}

func (h *testHost) try(op kernel.Op) kernel.Result {
	h.t.Helper()
	h.backend.Submit(kernel.Request{Op: op})
	select {
	case r := <-h.backend.Results():
		return r
	case <-time.After(10 * time.Second):
		h.t.Fatalf("%T: no result", op)
		return kernel.Result{}
	}
}

// event waits for an event.
func (h *testHost) event() kernel.Event {
	h.t.Helper()
	select {
	case e := <-h.backend.Events():
		return e
	case <-time.After(10 * time.Second):
		h.t.Fatalf("no event")
		return nil
	}
}

// tunnel describes protection between two hosts, seen from the first.
type tunnel struct {
	mode         kernel.Mode
	local, peer  string // end points
	inner, outer string // what is protected: of the first, and of the second
	proto        uint8
	dstPort      kernel.PortRange
	port1, port2 uint16 // of UDP encapsulation, 0 for none
	reqID        uint32
}

func (w tunnel) selector() kernel.Selector {
	s := kernel.Selector{
		Src: netip.MustParsePrefix(w.inner), Dst: netip.MustParsePrefix(w.outer), Proto: w.proto,
		SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
	}
	if w.dstPort != (kernel.PortRange{}) {
		s.DstPort = w.dstPort
	}
	return s
}

func (w tunnel) reversed() tunnel {
	w.local, w.peer, w.inner, w.outer, w.port1, w.port2 = w.peer, w.local, w.outer, w.inner, w.port2, w.port1
	return w
}

// policies installs both directions' policies on a host, which is the first of w.
func (h *testHost) policies(w tunnel, selector kernel.Selector) {
	h.t.Helper()
	t := kernel.Template{Proto: kernel.ESP, Mode: w.mode, Level: kernel.Require, ReqID: w.reqID}
	back := t
	if w.mode == kernel.Tunnel {
		t.Src, t.Dst = netip.MustParseAddr(w.local), netip.MustParseAddr(w.peer)
		back.Src, back.Dst = t.Dst, t.Src
	}
	h.do(kernel.AddPolicy{Policy: kernel.Policy{
		Selector: selector, Direction: kernel.Out, Action: kernel.Protect, Priority: 100, Templates: []kernel.Template{t},
	}})
	h.do(kernel.AddPolicy{Policy: kernel.Policy{
		Selector: selector.Reverse(), Direction: kernel.In, Action: kernel.Protect, Priority: 100, Templates: []kernel.Template{back},
	}})
}

// sas installs the SAs of a host, which is the first of w; first says whether
// it is the first of the pair, for keys and SPIs.
func (h *testHost) sas(w tunnel, first bool, generation byte) {
	h.t.Helper()
	out, in := byte(1), byte(2)
	if !first {
		out, in = 2, 1
	}
	h.do(kernel.AddSA{SA: w.sa(kernel.In, in, generation)})
	h.do(kernel.AddSA{SA: w.sa(kernel.Out, out, generation)})
}

func (w tunnel) sa(d kernel.Direction, which, generation byte) kernel.SA {
	sa := kernel.SA{
		Direction: d, Mode: w.mode, ReqID: w.reqID, Replay: 64,
		Encr: transform.ENCR_AES_GCM_16, EncrKey: bytes.Repeat([]byte{which, generation, 7, 9}, 5),
	}
	sa.Proto, sa.SPI = kernel.ESP, kernel.SPI(0x1000*uint32(which)+uint32(generation)+uint32(w.reqID)<<16)
	sa.Src, sa.Dst, sa.Selector = netip.MustParseAddr(w.local), netip.MustParseAddr(w.peer), w.selector()
	if d == kernel.In {
		sa.Src, sa.Dst, sa.Selector = sa.Dst, sa.Src, sa.Selector.Reverse()
	}
	if w.port1 != 0 {
		sa.Encap = &kernel.Encap{Local: w.port1, Remote: w.port2}
	}
	return sa
}

// udpSocket is a kernel.Socket as the agent has it, and hands ESP to the Backend.
type udpSocket struct {
	fd   int
	port uint16
	v6   bool
}

func (s *udpSocket) Control(f func(uintptr)) error { f(uintptr(s.fd)); return nil }
func (s *udpSocket) LocalPort() uint16             { return s.port }
func (s *udpSocket) IPv6() bool                    { return s.v6 }

func (s *udpSocket) WriteFrom(b []byte, _ netip.Addr, to netip.AddrPort) error {
	return unix.Sendto(s.fd, b, 0, sockaddr(to))
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// encap opens a UDP socket on an address of the host and attaches it.
func (h *testHost) encap(local string) {
	h.t.Helper()
	at := netip.MustParseAddrPort(local)
	s := &udpSocket{port: at.Port(), v6: at.Addr().Is6()}
	must(h.t, h.Do(func() (err error) {
		family := unix.AF_INET
		if s.v6 {
			family = unix.AF_INET6
		}
		s.fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Bind(s.fd, sockaddr(at))
	}))
	must(h.t, h.backend.AttachEncap(s))
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, from, err := unix.Recvfrom(s.fd, buf, 0)
			if err != nil || n == 0 {
				return
			}
			if n < 4 || binary.BigEndian.Uint32(buf) == 0 {
				continue
			}
			h.backend.ReceiveEncap(at, addrPort(from), buf[:n])
		}
	}()
	h.t.Cleanup(func() {
		unix.Shutdown(s.fd, unix.SHUT_RD) // ends the read
		<-done
		unix.Close(s.fd)
	})
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}

// hostPair is a and b on one link, 10.9.0.1 and .2, fd09::1 and ::2.
func hostPair(t *testing.T) (lab *netlab.Lab, a, b *netlab.NS) {
	t.Helper()
	lab = netlab.ForTest(t)
	a, err := lab.Namespace("a")
	must(t, err)
	b, err = lab.Namespace("b")
	must(t, err,
		lab.Join(a, "eth0", b, "eth0"),
		a.Address("eth0", "10.9.0.1/24", "fd09::1/64"),
		b.Address("eth0", "10.9.0.2/24", "fd09::2/64"))
	return lab, a, b
}

func ping(to string) netlab.Ping {
	return netlab.Ping{To: netip.MustParseAddr(to), Size: 200, Timeout: 5 * time.Second}
}

// installedHere lists what this package installs, in the thread's namespace.
func installedHere() (rules []route.Rule, routes []route.Route, chains []string, err error) {
	conn, err := route.Dial()
	if err != nil {
		return nil, nil, nil, err
	}
	defer conn.Close()
	all, err := conn.Rules()
	if err != nil {
		return nil, nil, nil, err
	}
	for _, r := range all {
		if ours(r) {
			rules = append(rules, r)
		}
	}
	if routes, err = conn.Routes(table); err != nil {
		return nil, nil, nil, err
	}
	tables, err := nft.Dial()
	if err != nil {
		return nil, nil, nil, err
	}
	defer tables.Close()
	chains, err = tables.Chains(guardTable)
	return rules, routes, chains, err
}
