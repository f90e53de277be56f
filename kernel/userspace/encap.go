package userspace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"racoon2/kernel"
)

// Bypass exempts a socket of the agent from all policies.
func (b *Backend) Bypass(s kernel.Socket) error { return b.host.exempt(s) }

// attached is a socket that carries ESP in UDP.
type attached struct {
	kernel.Socket
	bound netip.Addr // the unspecified address: to all of the family
}

// AttachEncap makes a socket carry ESP in UDP: packets leave through it, and
// the agent hands in what arrives by ReceiveEncap. It takes the place of an
// earlier one that was bound to the same address and port.
func (b *Backend) AttachEncap(s kernel.Socket) error {
	if err := b.host.exempt(s); err != nil {
		return err
	}
	bound, err := b.host.carry(s)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.encap = slices.DeleteFunc(slices.Clone(b.encap), func(a attached) bool {
		return a.bound == bound && a.LocalPort() == s.LocalPort()
	})
	b.encap = append(b.encap, attached{s, bound})
	return nil
}

// ReceiveEncap takes an ESP packet from a socket of AttachEncap. It may change
// the packet's octets.
func (b *Backend) ReceiveEncap(local, remote netip.AddrPort, esp []byte) {
	// RFC 3948 §2.2, §2.3: an SPI of 0 is the non-ESP marker, one octet a keepalive.
	if len(esp) < 4 || binary.BigEndian.Uint32(esp) == 0 {
		b.core.counts.add(inStray)
		return
	}
	s := b.buffers.Get().(*scratch)
	defer b.buffers.Put(s)
	b.fromWire(&arrival{
		proto: kernel.ESP, src: remote.Addr().Unmap(), dst: local.Addr().Unmap(), encap: true, port: remote.Port(),
	}, esp, s)
}

// transmit sends an ESP packet, in UDP or as IP protocol 50.
func (b *Backend) transmit(out *outgoing) error {
	if out.encap == (kernel.Encap{}) {
		return b.host.sendESP(out)
	}
	s := b.encapSocket(out)
	if s == nil {
		return fmt.Errorf("no socket on port %d carries ESP in UDP", out.encap.Local)
	}
	return s.WriteFrom(out.esp, out.src, netip.AddrPortFrom(out.dst, out.encap.Remote))
}

// encapSocket is the socket that is bound to a packet's source, or one that is
// bound to all addresses.
func (b *Backend) encapSocket(out *outgoing) (found kernel.Socket) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.encap {
		switch {
		case s.LocalPort() != out.encap.Local || s.IPv6() != out.src.Is6():
		case s.bound == out.src:
			return s.Socket
		case s.bound.IsUnspecified():
			found = s.Socket
		}
	}
	return found
}
