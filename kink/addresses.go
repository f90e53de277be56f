package kink

import (
	"fmt"
	"net/netip"
	"slices"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// peerAddresses gives a remote other addresses, as when its name has others now.
// Tunnels that this host made to one that is not among them get successors at the
// first of the new ones, and go when those stand. The peer makes anew what it made.
func (e *Engine) peerAddresses(in PeerAddresses) {
	settings := *e.settings
	settings.Remotes = slices.Clone(settings.Remotes)
	kept := make(map[*Remote]*Remote, len(settings.Remotes))
	var was *Remote
	for i, old := range settings.Remotes {
		kept[old] = old
		if old.Name != in.Remote || slices.Equal(old.Peers, in.Peers) {
			continue
		}
		changed := *old
		changed.Peers = slices.Clone(in.Peers)
		settings.Remotes[i], kept[old], was = &changed, &changed, old
	}
	if was == nil {
		return
	}
	e.trace(trace.Info, reasonPeerAddresses, fmt.Sprintf("remote %s (%s) has other addresses now", in.Remote, was.Where),
		attr("remote", in.Remote), attr("was", fmt.Sprint(was.Peers)), attr("is", fmt.Sprint(in.Peers)))
	e.replace(&settings, kept)
}

// followAddresses has a tunnel go where its peer is now.
func (sa *pair) followAddresses() {
	peers, end := sa.target.remote.Peers, sa.child.PeerEnd
	has := func(a netip.Addr) bool {
		return slices.ContainsFunc(peers, func(p netip.AddrPort) bool { return p.Addr() == a })
	}
	fixed := end.IsValid() && !end.IsUnspecified()
	if !sa.initiator || sa.child.Mode != kernel.Tunnel || fixed || len(peers) == 0 || has(sa.target.addr.Addr()) {
		return
	}
	to := peers[0]
	if to.Port() == 0 {
		to = netip.AddrPortFrom(to.Addr(), defaultPort)
	}
	sa.target.addr, sa.target.local = to, netip.AddrPort{}
	sa.rekey()
}
