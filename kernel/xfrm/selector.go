package xfrm

import (
	"fmt"
	"math/bits"
	"net/netip"

	"racoon2/kernel"
)

// toSelector translates a selector; false when a port range has no mask.
func toSelector(s kernel.Selector) (selectorInfo, bool) {
	info := selectorInfo{
		Dst: toAddress(s.Dst.Addr()), Src: toAddress(s.Src.Addr()),
		Family: familyOf(s.Src.Addr()), Proto: s.Proto,
		DstBits: uint8(s.Dst.Bits()), SrcBits: uint8(s.Src.Bits()),
	}
	src, dst := s.SrcPort.Split(), s.DstPort.Split()
	if len(src) != 1 || len(dst) != 1 {
		return info, false
	}
	info.SrcPort, info.SrcPortMask = toBE16(src[0].Value), toBE16(src[0].Mask)
	info.DstPort, info.DstPortMask = toBE16(dst[0].Value), toBE16(dst[0].Mask)
	return info, true
}

// toPolicySelector translates the selector of a policy, which must be exact.
func toPolicySelector(s kernel.Selector) (selectorInfo, error) {
	if err := s.Valid(); err != nil {
		return selectorInfo{}, err
	}
	info, ok := toSelector(s)
	if !ok {
		return selectorInfo{}, fmt.Errorf("selector %v: a port range that is no value and mask: %w", s, kernel.ErrUnsupported)
	}
	return info, nil
}

// selector is toSelector the other way. A family of 0, as an SA for both
// families has it, is the zero Selector.
func (i selectorInfo) selector() (kernel.Selector, error) {
	if i.Family == familyUnspec {
		return kernel.Selector{}, nil
	}
	s := kernel.Selector{Proto: i.Proto}
	var err error
	if s.Src, err = toPrefix(i.Src, i.SrcBits, i.Family); err != nil {
		return kernel.Selector{}, err
	}
	if s.Dst, err = toPrefix(i.Dst, i.DstBits, i.Family); err != nil {
		return kernel.Selector{}, err
	}
	if s.SrcPort, err = toPorts(i.SrcPort, i.SrcPortMask); err != nil {
		return kernel.Selector{}, err
	}
	if s.DstPort, err = toPorts(i.DstPort, i.DstPortMask); err != nil {
		return kernel.Selector{}, err
	}
	return s, nil
}

func toPrefix(a address, length uint8, family uint16) (netip.Prefix, error) {
	p, err := a.addr(family).Prefix(int(length))
	if err != nil || !p.IsValid() {
		return netip.Prefix{}, fmt.Errorf("%w: family %d with a prefix length of %d", ErrMalformed, family, length)
	}
	return p, nil
}

// toPorts reads a value and a mask. Masks with holes are no range.
func toPorts(value, mask be16) (kernel.PortRange, error) {
	m := mask.value()
	if bits.LeadingZeros16(^m) != bits.OnesCount16(m) {
		return kernel.PortRange{}, fmt.Errorf("%w: port mask %#04x", ErrMalformed, m)
	}
	return kernel.PortMask{Value: value.value() & m, Mask: m}.Range(), nil
}

// toPacket reads the selector of a packet that raised an Acquire. The kernel
// gives port 0 to protocols that have none.
func (i selectorInfo) toPacket() (kernel.Selector, error) {
	s, err := i.selector()
	switch i.Proto {
	case 1, 6, 17, 33, 58, 132, 135, 136: // ICMP, TCP, UDP, DCCP, ICMPv6, SCTP, Mobility Header, UDP-Lite
	default:
		s.SrcPort, s.DstPort = kernel.AnyPort, kernel.AnyPort
	}
	return s, err
}
