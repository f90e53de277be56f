package agent

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"racoon2/config"
	"racoon2/policy"
)

// expand gives the prefixes that an address stands for on this host now. A host
// name stands for everything: the child's SAs serve whatever addresses it comes
// to have, and the SPD decides what goes over them.
func (c *compiler) expand(a config.Address) []netip.Prefix {
	switch a.Kind {
	case config.AddressInet:
		return []netip.Prefix{a.Prefix}
	case config.AddressMacro:
		prefixes, err := policy.Expand(macro(a), c.o.Interfaces)
		if err != nil {
			c.find(config.Error, a.Pos, "macro", "", "%v", err)
		}
		return prefixes
	case config.AddressFQDN:
		return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return nil
}

func (c *compiler) expandAll(in []config.Address) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range in {
		for _, p := range c.expand(a) {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// interfaces lists this host's addresses by interface.
func interfaces() ([]policy.Interface, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []policy.Interface
	for _, i := range ifs {
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface has just gone
		}
		one := policy.Interface{Name: i.Name}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			addr, ok := netip.AddrFromSlice(n.IP)
			if !ok {
				continue
			}
			addr = addr.Unmap()
			bits, size := n.Mask.Size()
			if addr.Is4() && size == 128 {
				bits -= 96
			}
			one.Addrs = append(one.Addrs, netip.PrefixFrom(addr, bits))
		}
		if len(one.Addrs) > 0 { // the rest, such as a TUN device, changes nothing
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b policy.Interface) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func sameInterfaces(a, b []policy.Interface) bool {
	return slices.EqualFunc(a, b, func(x, y policy.Interface) bool {
		return x.Name == y.Name && slices.Equal(x.Addrs, y.Addrs)
	})
}
