package ikev2

import (
	"net/netip"
	"slices"

	"racoon2/kernel"
)

// addrs are all addresses of the host.
func (n *node) addrs() []netip.Addr {
	if !n.addr.IsValid() {
		return n.more
	}
	return append([]netip.Addr{n.addr}, n.more...)
}

// route is the first address of the remote's family.
func (n *node) route(remote netip.Addr) netip.Addr {
	for _, a := range n.addrs() {
		if a.Is4() == remote.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// readdress gives the host other addresses, the first for its routes.
func (n *node) readdress(addrs ...string) {
	n.w.t.Helper()
	n.addr, n.more = netip.Addr{}, nil
	for _, a := range addrs {
		n.more = append(n.more, netip.MustParseAddr(a))
	}
	n.handle(LocalAddresses{Addrs: n.more})
}

// site is a network behind a NAT, whose hosts share its outer address. Two sites
// may have hosts with the same inner address.
type site struct {
	outside netip.Addr
	ports   map[netip.AddrPort]uint16
	next    uint16
}

func newSite(outside string) *site {
	s := &site{next: 20000}
	s.rebind(outside)
	return s
}

// rebind gives the NAT another address, or makes it forget its mappings.
func (s *site) rebind(outside string) {
	s.outside = netip.MustParseAddr(outside)
	s.ports = map[netip.AddrPort]uint16{}
}

// outward is what leaves the host for the rest of the world; nothing from an
// address that it has no longer.
func (n *node) outward(p Send) Send {
	if !slices.Contains(n.addrs(), p.Local.Addr()) {
		return Send{}
	}
	if s := n.site; s != nil {
		if s.ports[p.Local] == 0 {
			s.next++
			s.ports[p.Local] = s.next
		}
		p.Local = netip.AddrPortFrom(s.outside, s.ports[p.Local])
	}
	return p
}

// inward is what reaches the host from there.
func (n *node) inward(p Send) (Send, bool) {
	if n.site == nil {
		return p, slices.Contains(n.addrs(), p.Remote.Addr())
	}
	if p.Remote.Addr() != n.site.outside {
		return p, false
	}
	for inner, port := range n.site.ports {
		if port == p.Remote.Port() && slices.Contains(n.addrs(), inner.Addr()) {
			p.Remote = inner
			return p, true
		}
	}
	return p, false
}

// update changes an SA as kernel.UpdateSA says.
func (k *testKernel) update(op kernel.UpdateSA) error {
	sa, id := op.SA, op.Old()
	old, ok := k.sas[id]
	if !ok {
		return kernel.ErrNotFound
	}
	if _, taken := k.sas[sa.SAID]; taken && id != sa.SAID {
		return kernel.ErrExists
	}
	delete(k.sas, id)
	old.SAID, old.Src, old.Encap = sa.SAID, sa.Src, sa.Encap
	k.sas[sa.SAID] = old
	return nil
}
