package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// maxChain bounds the CNAMEs that are followed.
const maxChain = 16

var errChain = errors.New("its CNAMEs go round, or on for too long")

// convert turns the message of an upstream, already matched with its question,
// into the core's answer.
func convert(msg []byte, q resolver.Question) (resolver.Answer, error) {
	var m mdns.Msg
	if err := m.Unpack(msg); err != nil {
		return resolver.Answer{}, fmt.Errorf("the answer is malformed: %w", err)
	}
	if m.Truncated {
		return resolver.Answer{}, errors.New("the answer is cut short over a connection, too")
	}
	a := resolver.Answer{RCode: resolver.ServFail, Authentic: m.AuthenticatedData}
	// Extended codes, which Unpack has put together, say nothing to a client.
	if m.Rcode >= 0 && m.Rcode <= rcodeMask {
		a.RCode = resolver.RCode(m.Rcode)
	}
	if a.RCode != resolver.NoError && a.RCode != resolver.NXDomain {
		return a, nil // the client gets the code alone
	}
	chain, err := follow(&m, q)
	if err != nil {
		return resolver.Answer{}, err
	}
	a.Chain = chain
	scrub(&m, q, chain)
	positive := false
	ttl := uint32(1<<31 - 1)
	for _, rr := range m.Answer {
		h := rr.Header()
		ttl = min(ttl, lifetime(h.Ttl))
		positive = positive || h.Rrtype == q.Type
		a.Hints = a.Hints || hasHints(rr)
		if addr, ok := address(rr, q.Type); ok {
			a.Addresses = append(a.Addresses, addr)
		}
	}
	if !positive {
		ttl = min(ttl, negativeTTL(&m))
	}
	a.TTL = ttl
	m.Compress = true
	if a.Octets, err = m.Pack(); err != nil {
		return resolver.Answer{}, fmt.Errorf("the answer is malformed: %w", err)
	}
	// Unpack lets records pass whose data ends early; Pack fills them up, wrongly.
	if err := new(mdns.Msg).Unpack(a.Octets); err != nil {
		return resolver.Answer{}, fmt.Errorf("the answer is malformed: %w", err)
	}
	return a, nil
}

// lifetime is a TTL; one with its highest bit set is zero (RFC 2181 §8).
func lifetime(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// follow is the chain of names that CNAMEs lead over, in canonical form.
func follow(m *mdns.Msg, q resolver.Question) ([]string, error) {
	chain := []string{q.Name}
	if q.Type == mdns.TypeCNAME {
		return chain, nil
	}
	targets := make(map[string]string)
	for _, rr := range m.Answer {
		c, ok := rr.(*mdns.CNAME)
		if !ok || c.Hdr.Class != mdns.ClassINET {
			continue
		}
		from, err := resolver.Canonical(c.Hdr.Name)
		if err != nil {
			return nil, err
		}
		to, err := resolver.Canonical(c.Target)
		if err != nil {
			return nil, err
		}
		if other, ok := targets[from]; ok && other != to {
			return nil, fmt.Errorf("%s has two CNAMEs (RFC 1034 §3.6.2)", from)
		}
		targets[from] = to
	}
	for at, ok := targets[q.Name]; ok; at, ok = targets[at] {
		if len(chain) > maxChain {
			return nil, errChain
		}
		chain = append(chain, at)
	}
	return chain, nil
}

// scrub leaves in a message what answers the question: the question itself, the
// records of the chain, and in the authority section what proves that there are no others.
func scrub(m *mdns.Msg, q resolver.Question, chain []string) {
	m.Extra = nil
	m.Question = []mdns.Question{{Name: q.Name, Qtype: q.Type, Qclass: mdns.ClassINET}}
	above := func(owner string) bool {
		return slices.ContainsFunc(chain, func(c string) bool { return mdns.IsSubDomain(owner, c) })
	}
	m.Answer = keep(m.Answer, func(h *mdns.RR_Header, owner string) bool {
		switch h.Rrtype {
		case mdns.TypeDNAME:
			return above(owner)
		case mdns.TypeRRSIG:
			return q.DNSSECOK && above(owner)
		case mdns.TypeCNAME:
			return slices.Contains(chain, owner)
		}
		return h.Rrtype == q.Type && owner == chain[len(chain)-1]
	})
	m.Ns = keep(m.Ns, func(h *mdns.RR_Header, owner string) bool {
		switch h.Rrtype {
		case mdns.TypeSOA:
			return true
		case mdns.TypeNSEC, mdns.TypeNSEC3, mdns.TypeRRSIG:
			return q.DNSSECOK
		}
		return false
	})
}

// keep picks records of class IN. Those without data are for dynamic updates
// (RFC 2136 §2.4), and Pack would write them with data that they never had.
func keep(records []mdns.RR, want func(h *mdns.RR_Header, owner string) bool) []mdns.RR {
	var out []mdns.RR
	for _, rr := range records {
		h := rr.Header()
		owner, err := resolver.Canonical(h.Name)
		if err == nil && h.Class == mdns.ClassINET && h.Rdlength > 0 && want(h, owner) {
			out = append(out, rr)
		}
	}
	return out
}

// address is the address in an A or AAAA record of the wanted type.
func address(rr mdns.RR, kind uint16) (netip.Addr, bool) {
	switch r := rr.(type) {
	case *mdns.A:
		if a, ok := netip.AddrFromSlice(r.A); ok && kind == mdns.TypeA {
			return a.Unmap(), true
		}
	case *mdns.AAAA:
		if a, ok := netip.AddrFromSlice(r.AAAA); ok && kind == mdns.TypeAAAA {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// hasHints says whether a record brings addresses of its own (RFC 9460 §7.3), or the
// name of another host to go to (§2.4), whose addresses are not those of the name.
func hasHints(rr mdns.RR) bool {
	var svcb *mdns.SVCB
	switch r := rr.(type) {
	case *mdns.SVCB:
		svcb = r
	case *mdns.HTTPS:
		svcb = &r.SVCB
	default:
		return false
	}
	if svcb.Target != "." && !strings.EqualFold(svcb.Target, svcb.Hdr.Name) {
		return true
	}
	for _, v := range svcb.Value {
		if k := v.Key(); k == mdns.SVCB_IPV4HINT || k == mdns.SVCB_IPV6HINT {
			return true
		}
	}
	return false
}

// negativeTTL is the life of a negative answer: the lesser of the SOA record's
// TTL and its minimum (RFC 2308 §5); 0 without one.
func negativeTTL(m *mdns.Msg) uint32 {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*mdns.SOA); ok {
			return min(lifetime(soa.Hdr.Ttl), lifetime(soa.Minttl))
		}
	}
	return 0
}
