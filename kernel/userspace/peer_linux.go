package userspace

import "net/netip"

// peer is the way to a peer.
type peer struct {
	source netip.Addr // the address that the host would use
	mtu    int        // octets of a packet
}

// pathMTU asks the host for the route that the agent's packets take.
func (h *linuxHost) pathMTU(to netip.Addr) int { return h.ask(to).mtu }

// ask looks up the way to a peer. A route's own MTU, which is also what path
// MTU discovery learned, goes before the link's.
func (h *linuxHost) ask(to netip.Addr) peer {
	r, err := h.route.Lookup(to, Mark)
	if err != nil {
		return peer{mtu: defaultPathMTU}
	}
	found := peer{source: r.Source, mtu: int(r.MTU)}
	if found.mtu > 0 {
		return found
	}
	found.mtu = defaultPathMTU
	links, err := h.route.Links()
	if err != nil {
		return found
	}
	for _, l := range links {
		if l.Index == r.Link && l.MTU > 0 {
			found.mtu = l.MTU
		}
	}
	return found
}

// known is ask, remembered until something changes. The caller holds h.mu.
func (h *linuxHost) known(to netip.Addr) peer {
	found, ok := h.peers[to]
	if !ok {
		found = h.ask(to)
		if h.peers == nil {
			h.peers = make(map[netip.Addr]peer)
		}
		h.peers[to] = found
	}
	return found
}
