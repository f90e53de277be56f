package xfrm

import (
	"fmt"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
)

// Bypass exempts a socket from all policies, both ways: otherwise a policy for
// all traffic with the peer would catch IKE itself.
func (b *Backend) Bypass(s kernel.Socket) error { return Exempt(s) }

// Exempt is Bypass for a process without a Backend.
func Exempt(s kernel.Socket) error {
	level, option := unix.SOL_IP, unix.IP_XFRM_POLICY
	if s.IPv6() {
		level, option = unix.SOL_IPV6, unix.IPV6_XFRM_POLICY
	}
	var failed error
	err := s.Control(func(fd uintptr) {
		for _, direction := range []uint8{dirIn, dirOut} {
			policy := socketBypass(s.IPv6(), direction)
			if failed = unix.SetsockoptString(int(fd), level, option, string(policy)); failed != nil {
				return
			}
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("bypass of the policies for port %d: %w", s.LocalPort(), err)
	}
	return nil
}

// AttachEncap has the kernel take ESP out of a socket's datagrams (RFC 3948 §2).
// IKE's, with their marker of four zero octets, still arrive.
func (b *Backend) AttachEncap(s kernel.Socket) error {
	var failed error
	err := s.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_ENCAP, encapESPInUDP)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("ESP in UDP on port %d: %w", s.LocalPort(), err)
	}
	return nil
}
