package policy

import (
	"math/bits"
	"net/netip"

	"racoon2/kernel"
)

// The parts of a priority; doc.go has the formula.
const (
	priorityBase = 1 << 30
	orderShift   = 19
	breadthShift = 4
	maxOrder     = 1<<12 - 2 // 4094
	noOrder      = 1<<12 - 1
	maxLevel     = 1<<breadthShift - 1
)

// band is the part of a priority that the order directive decides; what is
// built in comes before all of it.
func (sel *Selector) band() uint32 {
	switch {
	case sel.builtIn:
		return 0
	case sel.Order == 0:
		return noOrder
	}
	return min(sel.Order, maxOrder)
}

// priority puts the parts together.
func priority(band uint32, breadth, level int) uint32 {
	return priorityBase + band<<orderShift + uint32(breadth)<<breadthShift + uint32(min(level, maxLevel))
}

// breadth ranks a pair of prefixes: 0 for two hosts, 16640 for any to any. It
// counts the pairs that come before: those with fewer free bits in both
// together, and those with as many but fewer of them on the remote's side.
// Pairs of different lengths never have the same rank.
func breadth(remote, local netip.Prefix) int {
	const side = 128 // free bits on one side at most
	r, l := freeBits(remote), freeBits(local)
	sum := r + l
	if sum <= side {
		return sum*(sum+1)/2 + r
	}
	behind := 2*side - sum // the same triangle, seen from the wide end
	return (side+1)*(side+1) - (behind+1)*(behind+2)/2 + r - (sum - side)
}

// freeBits is the number of bits that a prefix leaves open, 128 for any address
// of either family.
func freeBits(p netip.Prefix) int {
	if p.Bits() == 0 {
		return 128
	}
	return p.Addr().BitLen() - p.Bits()
}

// portBreadth ranks what selectors with the same prefixes still differ in: the
// protocol, and the free bits of both port ranges, rounded up.
func portBreadth(s kernel.Selector) int {
	if s.Proto == 0 {
		return 64
	}
	return rangeBits(s.SrcPort) + rangeBits(s.DstPort)
}

func rangeBits(r kernel.PortRange) int {
	return bits.Len32(uint32(r.Last) - uint32(r.First))
}

// portsOverlap tells whether selectors with the same prefixes have traffic in common.
func portsOverlap(a, b kernel.Selector) bool {
	return (a.Proto == b.Proto || a.Proto == 0 || b.Proto == 0) &&
		a.SrcPort.First <= b.SrcPort.Last && b.SrcPort.First <= a.SrcPort.Last &&
		a.DstPort.First <= b.DstPort.Last && b.DstPort.First <= a.DstPort.Last
}
