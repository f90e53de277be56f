package resolver

import "net/netip"

// rule is how a special name is answered.
type rule uint8

const (
	loopback rule = iota + 1 // localhost
	never                    // NXDOMAIN, whatever the configuration says
	unless                   // NXDOMAIN, unless the name is watched
)

// special knows the names that are answered here.
type special struct {
	forward map[string]struct{}
}

// newSpecial takes the zones that go upstream all the same; what is no name
// stands for nothing.
func newSpecial(forward []string) special {
	s := special{forward: make(map[string]struct{}, len(forward))}
	for _, zone := range forward {
		if canonical, err := Canonical(zone); err == nil {
			s.forward[canonical] = struct{}{}
		}
	}
	return s
}

// ruleOf is the rule of one zone.
func ruleOf(zone string) rule {
	switch zone {
	case "localhost.": // RFC 6761 §6.3
		return loopback
	case "invalid.", // RFC 6761 §6.4
		"onion.": // RFC 7686 §2
		return never
	case "test.", // RFC 6761 §6.2
		"local.",         // RFC 6762 §22.1: for multicast DNS
		"alt.",           // RFC 9476 §2
		"home.arpa.",     // RFC 8375 §4
		"resolver.arpa.", // RFC 9462 §8.2
		// RFC 6303 §4.1 and RFC 6761 §6.1.
		"10.in-addr.arpa.", "168.192.in-addr.arpa.",
		"16.172.in-addr.arpa.", "17.172.in-addr.arpa.", "18.172.in-addr.arpa.", "19.172.in-addr.arpa.",
		"20.172.in-addr.arpa.", "21.172.in-addr.arpa.", "22.172.in-addr.arpa.", "23.172.in-addr.arpa.",
		"24.172.in-addr.arpa.", "25.172.in-addr.arpa.", "26.172.in-addr.arpa.", "27.172.in-addr.arpa.",
		"28.172.in-addr.arpa.", "29.172.in-addr.arpa.", "30.172.in-addr.arpa.", "31.172.in-addr.arpa.",
		// RFC 6303 §4.2.
		"0.in-addr.arpa.", "127.in-addr.arpa.", "254.169.in-addr.arpa.",
		"2.0.192.in-addr.arpa.", "100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.", "255.255.255.255.in-addr.arpa.",
		// RFC 6303 §4.3 to 4.6: unspecified, loopback, local, link-local and example addresses.
		"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
		"d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.",
		"8.b.d.0.1.0.0.2.ip6.arpa.":
		return unless
	}
	return 0
}

// answer is the local answer to a question; nil for one that is not special.
func (s special) answer(q Question, files bool, hosts *hostTable) *entry {
	for zone := q.Name; zone != ""; zone = parent(zone) {
		if _, ok := s.forward[zone]; ok {
			return nil
		}
		switch ruleOf(zone) {
		case loopback:
			return localhost(q.Type)
		case never:
			return &entry{local: true, rcode: NXDomain}
		case unless:
			e := &entry{local: true, rcode: NXDomain, yields: true}
			if addr, ok := reverseAddr(q.Name); ok && q.Type == TypePTR {
				switch {
				case files && len(hosts.byAddr[addr]) > 0:
					e.rcode, e.ptr = NoError, hosts.byAddr[addr]
				case addr.IsLoopback():
					e.rcode, e.ptr = NoError, []string{"localhost."}
				}
			}
			return e
		}
	}
	return nil
}

// localhost is RFC 6761 §6.3: addresses are those of the loopback, and nothing
// else exists.
func localhost(kind uint16) *entry {
	e := &entry{local: true}
	switch kind {
	case TypeA:
		e.addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	case TypeAAAA:
		e.addresses = []netip.Addr{netip.IPv6Loopback()}
	}
	return e
}
