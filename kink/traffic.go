package kink

import (
	"net/netip"

	"racoon2/kernel"
)

// traffic is what the child protects between two hosts: for transport mode what the
// outer addresses can carry, for dynamic children what the peer's own address is.
// Nothing else may a principal get SAs for (RFC 4430 §10).
func (c *Child) traffic(local, remote netip.Addr) []kernel.Selector {
	host := kernel.Selector{Src: hostPrefix(local), Dst: hostPrefix(remote), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}
	var list []kernel.Selector
	for _, s := range c.Outbound {
		if c.Dynamic {
			s.Dst = host.Dst
		}
		if c.Mode == kernel.Transport {
			var ok bool
			if s, ok = s.Intersect(host); !ok {
				continue
			}
		}
		if s.Valid() == nil {
			list = append(list, s)
		}
	}
	return list
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// match finds the selector that fits the traffic that a peer names, from this host's
// side; nil for a peer that names none.
func (c *Child) match(local, remote netip.Addr, wanted *kernel.Selector) (s kernel.Selector, exact, ok bool) {
	for _, own := range c.traffic(local, remote) {
		switch {
		case wanted == nil || *wanted == own:
			return own, true, true
		case own.Contains(*wanted) && !ok:
			s, ok = *wanted, true
		}
	}
	return s, false, ok
}
