package ikev2

import "net/netip"

// crowd counts the half-open IKE SAs of this shard by where they come from, so
// that nobody takes all places: by address (IPv6: the /64 that a host chooses
// from) and by network (/24, /48). RFC 7296 §2.6 and RFC 8019 §4 have cookies
// first, so that a place is not taken in another's name.
type crowd map[netip.Prefix]int

// origins are the address and the network that a peer counts for.
func origins(addr netip.Addr) [2]netip.Prefix {
	addr = addr.Unmap().WithZone("")
	host, network := 32, 24
	if addr.Is6() {
		host, network = 64, 48
	}
	h, _ := addr.Prefix(host)
	n, _ := addr.Prefix(network)
	return [2]netip.Prefix{h, n}
}

// full is where a peer's IKE SA would be one too many; invalid when it is not.
func (c crowd) full(addr netip.Addr, perAddress, perNetwork int) netip.Prefix {
	o := origins(addr)
	for i, limit := range [2]int{perAddress, perNetwork} {
		if limit > 0 && c[o[i]] >= limit {
			return o[i]
		}
	}
	return netip.Prefix{}
}

func (c crowd) enter(addr netip.Addr) {
	for _, p := range origins(addr) {
		c[p]++
	}
}

func (c crowd) leave(addr netip.Addr) {
	for _, p := range origins(addr) {
		if c[p]--; c[p] <= 0 {
			delete(c, p)
		}
	}
}
