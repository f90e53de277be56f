package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"racoon2/kernel"
)

// End is what one end of a tunnel is found by: an address, a host name, or a
// macro for this host's addresses. The zero End says nothing.
type End struct {
	Addr  netip.Addr
	Name  string // as the resolver spells it
	Macro string // as Expand takes it
}

// addr is the address of an end that is one.
func (e End) addr() (netip.Addr, bool) {
	a := e.Addr.Unmap()
	return a, a.IsValid() && !a.IsUnspecified()
}

// given says that an end is found by something.
func (e End) given() bool {
	_, ok := e.addr()
	return ok || e.Name != "" || e.Macro != ""
}

// tunnelEnds are the end points of a tunnel: this host's and the peer's.
type tunnelEnds struct{ my, peer netip.Addr }

func (e tunnelEnds) unmap() tunnelEnds { return tunnelEnds{e.my.Unmap(), e.peer.Unmap()} }

func (e tunnelEnds) valid() bool { return isEnd(e.my) && isEnd(e.peer) }

func isEnd(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }

// unknownEnd is an end that will be known some time.
type unknownEnd struct {
	what   string
	asking bool // it is about to be known, and nobody has to hear of it
}

func (e *unknownEnd) Error() string { return e.what + ": nothing is installed before it is" }

// blocked says the same where the traffic is discarded meanwhile.
func (e *unknownEnd) blocked() error {
	return fmt.Errorf("%s: its traffic is discarded until it is", e.what)
}

// knowsPeer tells whether a selector's tunnel has an end that can be known
// before the peer comes.
func (sel *Selector) knowsPeer() bool { return slices.ContainsFunc(sel.PeerEnd, End.given) }

// floats tells whether this host's end of a selector's tunnel follows from its
// addresses and routes.
func (sel *Selector) floats() bool {
	_, fixed := sel.MyEnd.addr()
	return sel.Action == kernel.Protect && sel.Mode == kernel.Tunnel && !fixed && sel.knowsPeer()
}

// ends are the end points of a unit's tunnel as they are now: where its SAs are
// or were last, or what its selector says.
func (m *Manager) ends(u *unit, out *Outbox) (tunnelEnds, error) {
	sel := u.sel
	if mv, ok := m.moves[sel.Name]; ok && mv.of(sel) {
		return mv.to, nil
	}
	if !sel.knowsPeer() {
		what := "peers_sa_ipaddr, and the peer's address is not known"
		if !sel.MyEnd.given() {
			what = "my_sa_ipaddr and peers_sa_ipaddr, and neither is known"
		}
		return tunnelEnds{}, fmt.Errorf("tunnel mode needs %s: nothing is installed before the peer comes", what)
	}
	peers := m.peerEnds(sel)
	if len(peers) == 0 {
		return tunnelEnds{}, &unknownEnd{what: "no address of " + describeEnds(sel.PeerEnd) + ", the peer's end of the tunnel, is known yet"}
	}
	var first error
	for _, peer := range peers {
		my, err := m.myEnd(u, peer, out)
		if err == nil {
			return tunnelEnds{my, peer}, nil
		}
		if first == nil {
			first = err
		}
	}
	return tunnelEnds{}, first
}

// peerEnds are the addresses that the peer's end may have, the preferred ones first.
func (m *Manager) peerEnds(sel *Selector) []netip.Addr {
	var list []netip.Addr
	for _, e := range sel.PeerEnd {
		switch a, ok := e.addr(); {
		case ok:
			list = append(list, a)
		case e.Name != "":
			list = append(list, m.names.of(e.Name)...)
		case e.Macro != "":
			prefixes, _ := Expand(e.Macro, m.interfaces)
			for _, p := range prefixes {
				list = append(list, p.Addr())
			}
		}
	}
	return list
}

// myEnd is this host's end of a tunnel to a peer.
func (m *Manager) myEnd(u *unit, peer netip.Addr, out *Outbox) (netip.Addr, error) {
	e := u.sel.MyEnd
	if a, ok := e.addr(); ok {
		if a.Is4() != peer.Is4() {
			return netip.Addr{}, fmt.Errorf("my_sa_ipaddr %v and peers_sa_ipaddr %v are of different address families", a, peer)
		}
		return a, nil
	}
	var fitting []netip.Addr
	switch {
	case e.Name != "":
		fitting = slices.DeleteFunc(m.names.of(e.Name), func(a netip.Addr) bool { return !m.isMine(a) })
	case e.Macro != "":
		prefixes, err := Expand(e.Macro, m.interfaces)
		if err != nil {
			return netip.Addr{}, err
		}
		for _, p := range prefixes {
			fitting = append(fitting, p.Addr())
		}
	}
	fitting = slices.DeleteFunc(fitting, func(a netip.Addr) bool {
		return a.Is4() != peer.Is4() || a.IsLoopback() != peer.IsLoopback() || a.IsLinkLocalUnicast() != peer.IsLinkLocalUnicast()
	})
	if e.given() && len(fitting) < 2 {
		if len(fitting) == 1 {
			return fitting[0], nil
		}
		return netip.Addr{}, &unknownEnd{what: fmt.Sprintf("no address of %s, this host's end of the tunnel to %v, is known yet", describeEnds([]End{e}), peer)}
	}
	local, why := m.route(u, peer, out)
	switch {
	case e.given() && !slices.Contains(fitting, local):
		return fitting[0], nil
	case !local.IsValid():
		return netip.Addr{}, &unknownEnd{
			what:   fmt.Sprintf("this host's end of the tunnel, its address towards %v, is not known yet%s", peer, why),
			asking: why == "",
		}
	}
	return local, nil
}

// isMine tells whether an address is this host's.
func (m *Manager) isMine(a netip.Addr) bool {
	return slices.ContainsFunc(m.interfaces, func(i Interface) bool {
		return slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr().Unmap().WithZone("") == a })
	})
}

func describeEnds(ends []End) string {
	var words []string
	for _, e := range ends {
		switch a, ok := e.addr(); {
		case ok:
			words = append(words, a.String())
		case e.Name != "":
			words = append(words, strings.TrimSuffix(e.Name, "."))
		case e.Macro != "":
			words = append(words, e.Macro)
		}
	}
	return shorten(words)
}
