package kernel

import "net/netip"

// RangeToPrefixes cuts an inclusive range of addresses into as few prefixes as
// possible, in ascending order: at most 62 for IPv4 and 254 for IPv6. It
// returns nil for a range that ends before it starts, of two families, or with
// zones.
func RangeToPrefixes(from, to netip.Addr) []netip.Prefix {
	if !from.IsValid() || from.BitLen() != to.BitLen() || from.Zone() != "" || to.Zone() != "" || to.Less(from) {
		return nil
	}
	var prefixes []netip.Prefix
	for {
		p := widest(from, to)
		prefixes = append(prefixes, p)
		_, last := PrefixRange(p)
		if last == to {
			return prefixes
		}
		from = last.Next()
	}
}

// widest is the shortest prefix that starts at from and does not go beyond to.
func widest(from, to netip.Addr) netip.Prefix {
	best := netip.PrefixFrom(from, from.BitLen())
	for n := from.BitLen() - 1; n >= 0; n-- {
		p := netip.PrefixFrom(from, n)
		if p.Masked() != p {
			break
		}
		if _, last := PrefixRange(p); to.Less(last) {
			break
		}
		best = p
	}
	return best
}

// PrefixRange is the first and the last address of a prefix; the zero Addr for
// an invalid one.
func PrefixRange(p netip.Prefix) (first, last netip.Addr) {
	if !p.IsValid() {
		return netip.Addr{}, netip.Addr{}
	}
	p = p.Masked()
	octets := p.Addr().AsSlice()
	for i := range octets {
		if host := (i+1)*8 - p.Bits(); host > 0 {
			octets[i] |= 0xff >> (8 - min(host, 8))
		}
	}
	last, _ = netip.AddrFromSlice(octets)
	return p.Addr(), last
}
