package route

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Address is an address of an interface.
type Address struct {
	Link   int          // the interface's index
	Prefix netip.Prefix // the host's address with the length of its network, not masked
	Usable bool         // IPv6 duplicate address detection is over and found none
}

const ifAddrLen = unix.SizeofIfAddrmsg

// Addresses returns all addresses of all interfaces, in the kernel's order.
func (c *Conn) Addresses() ([]Address, error) {
	replies, err := c.dump("addresses", unix.RTM_GETADDR, make([]byte, ifAddrLen))
	if err != nil {
		return nil, err
	}
	var addresses []Address
	for _, r := range replies {
		if a, ok := parseAddress(r); ok {
			addresses = append(addresses, a)
		}
	}
	return addresses, nil
}

func parseAddress(m netlink.Message) (Address, bool) {
	if m.Type != unix.RTM_NEWADDR || len(m.Body) < ifAddrLen {
		return Address{}, false
	}
	bits, flags := m.Body[1], uint32(m.Body[2])
	result := Address{Link: int(native32(m.Body[4:]))}
	var local, peer netip.Addr
	a := netlink.ParseAttributes(m.Body[ifAddrLen:])
	for a.Next() {
		switch a.Type() {
		case unix.IFA_LOCAL:
			local = address(a.Octets())
		case unix.IFA_ADDRESS:
			peer = address(a.Octets())
		case unix.IFA_FLAGS:
			flags = a.U32()
		}
	}
	// IFA_ADDRESS is the far end of a point-to-point interface when both are there.
	if !local.IsValid() {
		local = peer
	}
	result.Prefix = prefix(local, bits)
	result.Usable = flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
	return result, a.Err() == nil && result.Prefix.IsValid()
}

// AddAddress gives an interface an address, without duplicate address
// detection, so that it can be used at once.
func (c *Conn) AddAddress(index int, p netip.Prefix) error {
	b := addressRequest(index, p)
	return c.do(fmt.Sprintf("add address %s to interface %d", p, index),
		unix.RTM_NEWADDR, netlink.FlagCreate|netlink.FlagExcl, b)
}

// DeleteAddress takes an address away.
func (c *Conn) DeleteAddress(index int, p netip.Prefix) error {
	b := addressRequest(index, p)
	return c.do(fmt.Sprintf("delete address %s of interface %d", p, index), unix.RTM_DELADDR, 0, b)
}

func addressRequest(index int, p netip.Prefix) *netlink.Builder {
	h := make([]byte, ifAddrLen)
	h[0], h[1], h[2] = family(p.Addr()), uint8(p.Bits()), unix.IFA_F_NODAD
	binary.NativeEndian.PutUint32(h[4:], uint32(index))
	var b netlink.Builder
	b.Raw(h)
	b.Octets(unix.IFA_LOCAL, p.Addr().AsSlice())
	b.Octets(unix.IFA_ADDRESS, p.Addr().AsSlice())
	return &b
}
