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

// watchDiscovery plans the policies for neighbour discovery if one of the others
// is in its way, and takes them out when none is any more. They are stronger
// than any that has an order.
func (m *Manager) watchDiscovery(out *Outbox) {
	needed := m.discovery && m.plan.inTheWay > 0
	switch {
	case needed && m.units.discovery == nil:
		for i, direction := range []kernel.Direction{kernel.In, kernel.Out} {
			u := &unit{sel: neighborDiscovery(direction), index: -1, base: i * unitPlaces}
			m.units.discovery = append(m.units.discovery, u)
			m.expand(u, out)
		}
	case !needed:
		for _, u := range m.units.discovery {
			m.plan.put(u, nil)
		}
		m.units.discovery = nil
	}
}
