package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"racoon2/kernel"
)

// maxIKE bounds an IKE message that arrives; longer ones are dropped and
// counted. RFC 7296 §2 asks for 3000 octets at least, and what exceeds a few
// thousand is fragmented by IKE itself (RFC 7383). With the size of the
// drivers' channels it bounds the memory that a flood can take.
const maxIKE = 16384

// socketBuffer is asked for in both directions, in octets.
const socketBuffer = 4 << 20

// bind says what one UDP socket is bound to.
type bind struct {
	addr  netip.AddrPort // unspecified address: all addresses of the family
	nat   bool           // carries the non-ESP marker and ESP (RFC 3948)
	kink  bool           // carries KINK, not IKE
	where string         // file:line of the directive; "" for a default
}

func (b bind) network() string {
	if b.addr.Addr().Is4() {
		return "udp4"
	}
	return "udp6"
}

// endpoint is one open UDP socket. It is a kernel.Socket.
type endpoint struct {
	bind
	conn *net.UDPConn
	raw  syscall.RawConn
	from sources // how datagrams get their source address
}

var _ kernel.Socket = (*endpoint)(nil)

// Control runs f on the socket's descriptor.
func (e *endpoint) Control(f func(fd uintptr)) error { return e.raw.Control(f) }

// LocalPort is the bound port.
func (e *endpoint) LocalPort() uint16 { return e.addr.Port() }

// IPv6 says that the socket is of that family.
func (e *endpoint) IPv6() bool { return e.addr.Addr().Is6() }

// WriteFrom sends one datagram from the local address given; the unspecified
// address leaves the choice to the system. It waits only while the send buffer
// is full, which drains by itself.
func (e *endpoint) WriteFrom(datagram []byte, local netip.Addr, remote netip.AddrPort) error {
	if !e.addr.Addr().IsUnspecified() || !local.IsValid() || local.IsUnspecified() {
		_, err := e.conn.WriteToUDPAddrPort(datagram, remote)
		return err
	}
	_, _, err := e.conn.WriteMsgUDPAddrPort(datagram, e.from.control(local), remote)
	return err
}

// open binds the socket and, with bypass, exempts it from the kernel's policies.
func open(b bind, k kernel.Backend, bypass bool) (*endpoint, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = prepare(fd, b.addr.Addr().Is6()) }); cerr != nil {
			return cerr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), b.network(), b.addr.String())
	if err != nil {
		return nil, explainBind(b, err)
	}
	conn := pc.(*net.UDPConn) // what network udp gives
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	if b.addr.Port() == 0 { // a test lets the system choose
		bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		b.addr = netip.AddrPortFrom(b.addr.Addr(), bound.Port())
	}
	e := &endpoint{bind: b, conn: conn, raw: raw}
	if bypass {
		if err := k.Bypass(e); err != nil {
			conn.Close()
			return nil, fmt.Errorf("socket %v: exempting it from IPsec policies: %w", b.addr, err)
		}
	}
	if b.nat {
		if err := k.AttachEncap(e); err != nil {
			conn.Close()
			return nil, fmt.Errorf("socket %v: ESP in UDP: %w", b.addr, err)
		}
	}
	return e, nil
}

// explainBind says in one sentence why a socket could not be had.
func explainBind(b bind, err error) error {
	at := ""
	if b.where != "" {
		at = b.where + ": "
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && b.kink:
		return fmt.Errorf("%sUDP %v is in use by another program (kinkd?)", at, b.addr)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%sUDP %v is in use by another program (another IKE daemon?)", at, b.addr)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%sno privilege to open UDP %v: run as root or with CAP_NET_BIND_SERVICE", at, b.addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s%v is not an address of this host", at, b.addr.Addr())
	}
	return fmt.Errorf("%sUDP %v: %w", at, b.addr, err)
}

// noFamily says that the host has no such address family at all.
func noFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

// endpoints are the open sockets; the slice is replaced, never changed.
type endpoints struct {
	list atomic.Pointer[[]*endpoint]
}

func (s *endpoints) all() []*endpoint {
	if p := s.list.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *endpoints) set(list []*endpoint) { s.list.Store(&list) }

// find returns the socket that sends from an address: the one bound to it, or
// else the one for all addresses of its family.
func (s *endpoints) find(local netip.AddrPort) *endpoint {
	var wild *endpoint
	for _, e := range s.all() {
		if e.addr.Port() != local.Port() || e.addr.Addr().Is4() != local.Addr().Is4() {
			continue
		}
		if e.addr.Addr() == local.Addr() {
			return e
		}
		if e.addr.Addr().IsUnspecified() {
			wild = e
		}
	}
	return wild
}

// close closes all sockets; their readers end.
func (s *endpoints) close() {
	for _, e := range s.all() {
		e.conn.Close()
	}
}

// markerSize is the length of the non-ESP marker (RFC 3948 §2.2).
const markerSize = 4

// send sends an IKE message, or a NAT keepalive, from the right socket.
func (s *endpoints) send(local, remote netip.AddrPort, data []byte) error {
	e := s.find(local)
	if e == nil {
		return fmt.Errorf("no socket is bound to %v", local)
	}
	if e.nat && !keepalive(data) {
		marked := make([]byte, markerSize+len(data))
		copy(marked[markerSize:], data)
		data = marked
	}
	return e.WriteFrom(data, local.Addr(), remote)
}

// keepalive says whether data is a NAT-keepalive packet (RFC 3948 §2.3).
func keepalive(data []byte) bool { return len(data) == 1 && data[0] == 0xff }
