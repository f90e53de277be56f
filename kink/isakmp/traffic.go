package isakmp

import (
	"fmt"
	"net/netip"

	"racoon2/kernel"
)

// IDs describes a selector's traffic as IDci and IDcr of its source's end, so that
// the source is IDci (RFC 2409 §5.5). It fails for ports that are neither all nor
// one: an ID payload has no port ranges.
func IDs(s kernel.Selector) (ci, cr ID, err error) {
	for _, p := range []kernel.PortRange{s.SrcPort, s.DstPort} {
		if !p.Any() && p.First != p.Last {
			return ID{}, ID{}, fmt.Errorf("ports %v do not fit in an ID payload", p)
		}
	}
	return idOf(s.Src, s.Proto, s.SrcPort), idOf(s.Dst, s.Proto, s.DstPort), nil
}

func idOf(p netip.Prefix, proto uint8, port kernel.PortRange) ID {
	id := ID{Protocol: proto, Data: p.Addr().AsSlice()}
	if !port.Any() {
		id.Port = port.First
	}
	switch {
	case p.IsSingleIP() && p.Addr().Is4():
		id.Kind = ID_IPV4_ADDR
	case p.IsSingleIP():
		id.Kind = ID_IPV6_ADDR
	case p.Addr().Is4():
		id.Kind = ID_IPV4_ADDR_SUBNET
	default:
		id.Kind = ID_IPV6_ADDR_SUBNET
	}
	if !p.IsSingleIP() {
		id.Data = append(id.Data, mask(p)...)
	}
	return id
}

// mask is the prefix's network mask.
func mask(p netip.Prefix) []byte {
	m := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// Traffic is the selector from IDci's traffic to IDcr's. It fails for masks with
// holes, ranges that are no prefix, and IDs that do not belong together.
func Traffic(ci, cr ID) (kernel.Selector, error) {
	src, err := ci.prefix()
	if err != nil {
		return kernel.Selector{}, fmt.Errorf("IDci: %w", err)
	}
	dst, err := cr.prefix()
	if err != nil {
		return kernel.Selector{}, fmt.Errorf("IDcr: %w", err)
	}
	s := kernel.Selector{Src: src, Dst: dst, Proto: ci.Protocol, SrcPort: ci.ports(), DstPort: cr.ports()}
	if ci.Protocol != cr.Protocol {
		return kernel.Selector{}, fmt.Errorf("IDci has protocol %d, IDcr %d", ci.Protocol, cr.Protocol)
	}
	return s, s.Valid()
}

func (id ID) ports() kernel.PortRange {
	if id.Port == 0 {
		return kernel.AnyPort
	}
	return kernel.Port(id.Port)
}

func (id ID) prefix() (netip.Prefix, error) {
	switch id.Kind {
	case ID_IPV4_ADDR, ID_IPV6_ADDR:
		a := addr(id.Data)
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	half := len(id.Data) / 2
	first, second := addr(id.Data[:half]), addr(id.Data[half:])
	switch id.Kind {
	case ID_IPV4_ADDR_SUBNET, ID_IPV6_ADDR_SUBNET:
		for bits := range first.BitLen() + 1 {
			if p := netip.PrefixFrom(first, bits).Masked(); p.IsValid() && string(mask(p)) == string(id.Data[half:]) {
				return p, nil
			}
		}
		return netip.Prefix{}, fmt.Errorf("mask %v has holes", second)
	case ID_IPV4_ADDR_RANGE, ID_IPV6_ADDR_RANGE:
		if list := kernel.RangeToPrefixes(first, second); len(list) == 1 {
			return list[0], nil
		}
		return netip.Prefix{}, fmt.Errorf("range %v-%v is no prefix", first, second)
	}
	return netip.Prefix{}, fmt.Errorf("%v is not among the types of RFC 4430", id.Kind)
}

// String is the ID for logs and error texts.
func (id ID) String() string {
	if p, err := id.prefix(); err == nil {
		return fmt.Sprintf("%v[%v] %s", p, id.ports(), kernel.ProtocolName(id.Protocol))
	}
	return fmt.Sprintf("%v %x", id.Kind, id.Data)
}
