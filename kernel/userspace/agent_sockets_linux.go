package userspace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
)

// exempt marks a socket of the agent, so that its packets pass rules and guards.
func (h *linuxHost) exempt(s kernel.Socket) error {
	if err := Exempt(s); err != nil {
		return err
	}
	return h.leaveOpen(s.LocalPort())
}

// Exempt takes a socket that is not bound past the policies of another process's
// Backend, as Bypass does for its own.
func Exempt(s kernel.Socket) error {
	return control(s, "mark", option{unix.SOL_SOCKET, unix.SO_MARK, Mark})
}

// leaveOpen has the guard let a port of the agent's pass that it did not know of:
// a reload may add sockets. 0 is a socket that is not bound.
func (h *linuxHost) leaveOpen(port uint16) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if port == 0 || slices.Contains(h.guard.ports, port) {
		return nil
	}
	h.guard.ports = append(slices.Clone(h.guard.ports), port)
	if len(h.policies) == 0 {
		return nil // the guard comes with the first policy
	}
	return h.install()
}

// carry lets a socket's datagrams be cut up on the way, as ESP's are.
func (h *linuxHost) carry(s kernel.Socket) (bound netip.Addr, err error) {
	o := option{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT}
	if s.IPv6() {
		o = option{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT}
	}
	if err := control(s, "let fragment", o); err != nil {
		return bound, err
	}
	var name unix.Sockaddr
	var failed error
	err = s.Control(func(fd uintptr) { name, failed = unix.Getsockname(int(fd)) })
	if err = errors.Join(err, failed); err != nil {
		return bound, fmt.Errorf("userspace: address of the socket on port %d: %w", s.LocalPort(), err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		bound = netip.AddrFrom4(name.Addr)
	case *unix.SockaddrInet6:
		bound = netip.AddrFrom16(name.Addr)
	}
	return bound, nil
}

func control(s kernel.Socket, what string, o option) error {
	var failed error
	err := s.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), o.level, o.name, o.value)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("userspace: %s the socket on port %d: %w", what, s.LocalPort(), err)
	}
	return nil
}
