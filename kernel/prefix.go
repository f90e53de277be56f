package kernel

import (
	"math/bits"
	"net/netip"
)

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
	first, last := from.As16(), to.As16()
	host := min(trailing(first, 0), from.BitLen()) // bits that are 0 in from
	// The prefix ends where from has 1 in all of its host bits. That is at to or
	// before it when to differs above them, or has all of them set too.
	differ := 128 - leading(first, last) // bits from the first difference on
	if host >= differ {
		host = differ
		if trailing(last, 0xff) < differ {
			host--
		}
	}
	return netip.PrefixFrom(from, from.BitLen()-host)
}

// trailing counts the bits at the end that are those of octet, which is 0 or 0xff.
func trailing(a [16]byte, octet byte) int {
	for i := range a {
		if x := a[15-i] ^ octet; x != 0 {
			return i*8 + bits.TrailingZeros8(x)
		}
	}
	return 128
}

// leading counts the bits that are common at the beginning.
func leading(a, b [16]byte) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return i*8 + bits.LeadingZeros8(x)
		}
	}
	return 128
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
