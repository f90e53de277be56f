package ikev2

import "net/netip"

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
