package agent

import (
	"net/netip"

	"racoon2/config"
	"racoon2/policy"
	"racoon2/resolver"
)

// myEnd is this host's end of a policy's tunnel.
func (c *compiler) myEnd(pol *config.Policy) policy.End {
	if pol.MySAIPAddr == nil {
		return policy.End{}
	}
	e, _ := c.endOf(*pol.MySAIPAddr)
	return e
}

// peerEnds are what the peer's end of a policy's tunnel may be: peers_sa_ipaddr,
// or else all of peers_ipaddr, as whichever answers becomes it.
func (c *compiler) peerEnds(pol *config.Policy) []policy.End {
	if pol.PeersSAIPAddr == nil {
		return nil
	}
	from := []config.Address{*pol.PeersSAIPAddr}
	if peers := takenFrom(pol); peers != nil {
		from = peers
	}
	var out []policy.End
	for _, a := range from {
		if e, ok := c.endOf(a); ok {
			out = append(out, e)
		}
	}
	return out
}

// takenFrom are the peer's addresses that stand for peers_sa_ipaddr, where the
// policy has none of its own; nil where it has.
func takenFrom(pol *config.Policy) []config.Address {
	if pol.Remote == nil || pol.PeersSAIPAddr == nil {
		return nil
	}
	for _, peers := range [][]config.Address{peersOf(pol.Remote.IKEv2), peersOfKINK(pol.Remote.KINK)} {
		for _, a := range peers {
			if a.Pos == pol.PeersSAIPAddr.Pos {
				return peers
			}
		}
	}
	return nil
}

func peersOf(k *config.IKEv2) []config.Address {
	if k == nil {
		return nil
	}
	return k.PeersIPAddr
}

func peersOfKINK(k *config.KINK) []config.Address {
	if k == nil {
		return nil
	}
	return k.PeersIPAddr
}

// endOf is one end; false for what says nothing, as IP_RW.
func (c *compiler) endOf(a config.Address) (policy.End, bool) {
	switch {
	case a.Kind == config.AddressInet:
		return policy.End{Addr: a.Addr}, true
	case a.Kind == config.AddressMacro && !a.Macro.Any():
		return policy.End{Macro: macro(a)}, true
	case a.Kind == config.AddressFQDN:
		name, err := resolver.Canonical(a.Name)
		if err != nil {
			c.find(config.Error, a.Pos, "host-name", "", "%v", err)
			return policy.End{}, false
		}
		return policy.End{Name: name}, true
	}
	return policy.End{}, false
}

// childEnds are the ends that an engine is held to: what a policy says itself,
// in numbers. All others are the addresses that the engine finds.
func childEnds(pol *config.Policy) (my, peer netip.Addr) {
	my = end(pol.MySAIPAddr)
	if takenFrom(pol) == nil {
		peer = end(pol.PeersSAIPAddr)
	}
	return my, peer
}
