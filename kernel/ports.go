package kernel

import (
	"math/bits"
	"strconv"
)

// PortRange is an inclusive range of ports; {0, 65535} is any. For ICMP the
// source range holds the type and the destination range the code (RFC 4301 §4.4.1.1).
type PortRange struct {
	First, Last uint16
}

// AnyPort is the range of all ports.
var AnyPort = PortRange{0, 65535}

// Port is the range of one port.
func Port(p uint16) PortRange { return PortRange{p, p} }

// Any says that the range holds all ports.
func (r PortRange) Any() bool { return r.First == 0 && r.Last == 65535 }

// Contains says whether all ports of q are in r.
func (r PortRange) Contains(q PortRange) bool {
	return r.First <= q.First && q.First <= q.Last && q.Last <= r.Last
}

// Intersect is the range of the ports in both; false when there is none.
func (r PortRange) Intersect(q PortRange) (PortRange, bool) {
	both := PortRange{max(r.First, q.First), min(r.Last, q.Last)}
	return both, both.First <= both.Last
}

// String is "any", one port, or "first-last".
func (r PortRange) String() string {
	switch {
	case r.Any():
		return "any"
	case r.First == r.Last:
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// octet says that the range fits ICMP's types and codes, or is any.
func (r PortRange) octet() bool { return r.Last <= 255 || r.Any() }

// PortMask is a set of ports as kernels without ranges have it: those that
// equal Value in the bits of Mask.
type PortMask struct {
	Value, Mask uint16
}

// Range is the ports of the mask, whose set bits must be its upper ones.
func (m PortMask) Range() PortRange {
	return PortRange{m.Value & m.Mask, m.Value | ^m.Mask}
}

// Split cuts the range into as few masks as possible, in ascending order: at
// most 30, one for any and for a single port, none for an empty range.
func (r PortRange) Split() []PortMask {
	var masks []PortMask
	for next, end := uint32(r.First), uint32(r.Last)+1; next < end; {
		// The largest block that starts here: aligned, and not beyond the end.
		size := uint32(1) << min(bits.TrailingZeros32(next|1<<16), bits.Len32(end-next)-1)
		masks = append(masks, PortMask{Value: uint16(next), Mask: ^uint16(size - 1)})
		next += size
	}
	return masks
}
