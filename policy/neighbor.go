package policy

import (
	"net/netip"

	"racoon2/kernel"
)

const protoICMPv6 = 58

// neighborDiscovery is the selector of the policies that let IPv6 neighbour
// discovery pass: router and neighbour solicitations and advertisements, ICMPv6
// types 133 to 136 (RFC 4861 §4.1 to §4.4). Without it a host that protects all
// traffic with a neighbour cannot find that neighbour, and so never negotiates.
// Hosts drop such messages unless they come from the link itself (RFC 4861
// §6.1, §7.1: hop limit 255), so that this opens nothing to others.
func neighborDiscovery(direction kernel.Direction) *Selector {
	return &Selector{
		Name:      "neighbor_discovery",
		Where:     "built in",
		Direction: direction,
		Install:   true,
		Src:       []Address{{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}},
		Dst:       []Address{{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)}},
		Proto:     protoICMPv6,
		SrcPort:   kernel.PortRange{First: 133, Last: 136}, // the type
		DstPort:   kernel.AnyPort,                          // the code
		Action:    kernel.Bypass,
		builtIn:   true,
	}
}

// addNeighborDiscovery plans the policies for neighbour discovery if one of the
// others is in its way. They are stronger than any that has an order.
func (p *plan) addNeighborDiscovery(caps kernel.Capabilities) {
	if !p.coversNeighborDiscovery() {
		return
	}
	caps.Forward = false // such messages are never forwarded
	for _, direction := range []kernel.Direction{kernel.In, kernel.Out} {
		p.add(neighborDiscovery(direction), -1, here{caps: caps})
	}
}

func (p *plan) coversNeighborDiscovery() bool {
	for _, w := range p.wishes {
		s := w.policy.Selector
		if w.sel.Action != kernel.Bypass && s.Src.Addr().Is6() && (s.Proto == 0 || s.Proto == protoICMPv6) {
			return true
		}
	}
	return false
}
