package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Conn sends requests to one network namespace. Its methods may be called from
// several goroutines; they wait for one another.
type Conn struct {
	nl *netlink.Conn
}

// Dial opens a Conn for the network namespace of the calling thread.
func Dial() (*Conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("route: %w", err)
	}
	return &Conn{nl: nl}, nil
}

// Close ends the Conn.
func (c *Conn) Close() error { return c.nl.Close() }

// do sends one request and wraps its refusal in words.
func (c *Conn) do(what string, typ, flags uint16, b *netlink.Builder) error {
	if err := b.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if _, err := c.nl.Execute(netlink.Message{Type: typ, Flags: flags, Body: b.Body()}); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// dump asks for everything of a kind; header is the family's fixed header. Of
// an address family that the kernel lacks there is nothing.
func (c *Conn) dump(what string, get uint16, header []byte) ([]netlink.Message, error) {
	replies, err := c.nl.Execute(netlink.Message{Type: get, Flags: netlink.FlagDump, Body: header})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("dump of %s: %w", what, err)
	}
	return replies, nil
}

// family is the address family of an address.
func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// address reads an address attribute of either family; anything else is the zero Addr.
func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// prefix makes a prefix from what a kernel sent; bits out of range make it invalid.
func prefix(a netip.Addr, bits uint8) netip.Prefix {
	return netip.PrefixFrom(a, int(bits))
}

// unspecified is the default route's or rule's prefix of a family.
func unspecified(family uint8) netip.Prefix {
	if family == unix.AF_INET {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func native32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
