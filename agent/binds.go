package agent

import (
	"net/netip"
	"slices"

	"racoon2/config"
	"racoon2/policy"
)

// The ports of IKE (RFC 7296 §2).
const (
	ikePort uint16 = 500
	natPort uint16 = 4500 // NAT traversal, with the non-ESP marker

	kinkPort uint16 = 910 // RFC 4430 §9
)

// ports are the two ports of an interface section: the first that is not 4500
// is IKE's own, and 4500 is NAT traversal's where it is listed, as in the
// original.
func ports(i config.Interface) (ike, nat uint16) {
	if i.Default {
		return ikePort, natPort
	}
	for _, a := range i.IKE {
		switch p := portOf(a); {
		case p == natPort:
			nat = natPort
		case ike == 0:
			ike = p
		}
	}
	if ike == 0 {
		ike = nat // everything goes over 4500
	}
	return ike, nat
}

// bindsOf lists all sockets that a configuration asks for: IKE's, and KINK's
// where a remote uses it.
func bindsOf(p *plan, host []policy.Interface) []bind {
	list := binds(p.cfg.Interface, host)
	if len(p.compiled.KINK.Remotes) == 0 {
		return list
	}
	asked := config.Interface{IKE: p.cfg.Interface.KINK}
	if len(asked.IKE) == 0 {
		asked.IKE = []config.Address{{Kind: config.AddressMacro, Macro: config.MacroMyIP, Port: kinkPort}}
	}
	for _, b := range binds(asked, host) {
		b.nat, b.kink = false, true
		list = append(list, b)
	}
	return list
}

func portOf(a config.Address) uint16 {
	if a.Port == 0 {
		return ikePort
	}
	return a.Port
}

// binds lists the UDP sockets that an interface section asks for: one for all
// addresses of a family where a macro says so, or one for each address.
func binds(i config.Interface, host []policy.Interface) []bind {
	list := i.IKE
	if i.Default {
		list = []config.Address{
			{Kind: config.AddressMacro, Macro: config.MacroMyIP, Port: ikePort},
			{Kind: config.AddressMacro, Macro: config.MacroMyIP, Port: natPort},
		}
	}
	var out []bind
	add := func(addr netip.Addr, a config.Address) {
		b := bind{addr: netip.AddrPortFrom(addr, portOf(a)), nat: portOf(a) == natPort}
		if a.Pos.IsValid() {
			b.where = a.Pos.String()
		}
		if !slices.ContainsFunc(out, func(o bind) bool { return o.addr == b.addr }) {
			out = append(out, b)
		}
	}
	for _, a := range list {
		switch {
		case a.Kind == config.AddressInet:
			add(a.Addr, a)
		case a.Kind != config.AddressMacro:
		case a.Interface == "" && (packetInfo || a.Macro.Any()):
			for _, wild := range wildcards(a.Macro) {
				add(wild, a)
			}
		default:
			prefixes, _ := policy.Expand(macro(a), host) // compiling has reported the error
			for _, p := range prefixes {
				add(p.Addr(), a)
			}
		}
	}
	return withoutCovered(out)
}

// wildcards are the unspecified addresses of the families of a macro.
func wildcards(m config.Macro) []netip.Addr {
	switch m {
	case config.MacroMyIPv4:
		return []netip.Addr{netip.IPv4Unspecified()}
	case config.MacroMyIPv6, config.MacroMyIPv6Global, config.MacroMyIPv6LinkLocal:
		return []netip.Addr{netip.IPv6Unspecified()}
	default:
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
}

// withoutCovered drops the sockets of single addresses where one for all
// addresses of the family has the same port: the system would refuse the second.
func withoutCovered(list []bind) []bind {
	return slices.DeleteFunc(list, func(b bind) bool {
		return !b.addr.Addr().IsUnspecified() && slices.ContainsFunc(list, func(w bind) bool {
			return w.addr.Addr().IsUnspecified() && w.addr.Port() == b.addr.Port() &&
				w.addr.Addr().Is4() == b.addr.Addr().Is4()
		})
	})
}

// portsOf lists the ports of sockets, each once.
func portsOf(list []bind) []uint16 {
	var out []uint16
	for _, b := range list {
		if p := b.addr.Port(); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}
