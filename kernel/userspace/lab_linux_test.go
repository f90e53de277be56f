package userspace

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest/netlab"
	"racoon2/kernel/netlink/nft"
	"racoon2/kernel/netlink/route"
)

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

// policies installs both directions' policies on a host, which is the first of w.
func (h *testHost) policies(w tunnel, selector kernel.Selector) {
	h.t.Helper()
	for _, p := range w.policies(selector) {
		h.do(kernel.AddPolicy{Policy: p})
	}
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
