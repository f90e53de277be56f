package config

import (
	"math"
	"net/netip"
)

// Bounds of the search for selectors that can never match, so that no
// configuration makes it slow; beyond them nothing is said.
const (
	maxShadowPairs  = 64 // address pairs of one selector
	maxShadowShapes = 64 // combinations of prefix lengths
	maxShadowSame   = 16 // selectors with the same prefixes
)

// shadowKey is where a selector stands in the search.
type shadowKey struct {
	direction Direction
	src, dst  netip.Prefix
}

// shape is a combination of prefix lengths.
type shape struct {
	direction Direction
	is4       bool
	src, dst  int
}

// checkShadowed warns of selectors that can never match: others with a smaller
// order take all of their traffic. Among equal orders narrower addresses come
// first, so that only an order can hide anything.
func (r *resolver) checkShadowed() {
	byPrefix := map[shadowKey][]*Selector{}
	shapes := map[shape]bool{}
	for _, s := range r.config.Selectors {
		if s.Order == 0 {
			continue
		}
		for _, pair := range inetPairs(s) {
			key := shadowKey{s.Direction, pair[0], pair[1]}
			if len(byPrefix[key]) < maxShadowSame {
				byPrefix[key] = append(byPrefix[key], s)
			}
			shapes[shape{s.Direction, pair[0].Addr().Is4(), pair[0].Bits(), pair[1].Bits()}] = true
		}
	}
	if len(shapes) == 0 || len(shapes) > maxShadowShapes {
		return
	}
	for _, s := range r.config.Selectors {
		if by := shadowedBy(s, byPrefix, shapes); by != nil {
			r.warnf("never-matches", at(s.Pos, "selector"), "give it a smaller order, or remove it",
				"selector %s can never match: selector %s takes its traffic, with order %d", clip(s.Name), clip(by.Name), by.Order)
		}
	}
}

// shadowedBy returns a selector that takes traffic of s, if all of the traffic
// of s is taken by some.
func shadowedBy(s *Selector, byPrefix map[shadowKey][]*Selector, shapes map[shape]bool) *Selector {
	pairs := inetPairs(s)
	if len(pairs) == 0 || len(pairs) != len(s.Src)*len(s.Dst) {
		return nil
	}
	var by *Selector
	for _, pair := range pairs {
		hidden := false
		for sh := range shapes {
			if sh.direction != s.Direction || sh.is4 != pair[0].Addr().Is4() || sh.src > pair[0].Bits() || sh.dst > pair[1].Bits() {
				continue
			}
			key := shadowKey{s.Direction, netip.PrefixFrom(pair[0].Addr(), sh.src).Masked(), netip.PrefixFrom(pair[1].Addr(), sh.dst).Masked()}
			for _, t := range byPrefix[key] {
				if rank(t) < rank(s) && takes(t, s) {
					hidden = true
					if by == nil || rank(t) < rank(by) || rank(t) == rank(by) && t.Name < by.Name {
						by = t
					}
				}
			}
		}
		if !hidden {
			return nil
		}
	}
	return by
}

// rank is a selector's order, the last one without.
func rank(s *Selector) uint32 {
	if s.Order == 0 {
		return math.MaxUint32
	}
	return s.Order
}

// takes reports whether t's protocol and ports hold all of s's, where no mark or
// interface keeps them apart.
func takes(t, s *Selector) bool {
	holds := func(a, b PortRange) bool { return a.First <= b.First && b.Last <= a.Last }
	return t != s && bindingKey(t.Policy) == bindingKey(s.Policy) && (t.Protocol == 0 || t.Protocol == s.Protocol) && holds(t.SrcPort, s.SrcPort) && holds(t.DstPort, s.DstPort)
}

// inetPairs are the pairs of a selector's numeric addresses of one family; none
// where there are too many.
func inetPairs(s *Selector) [][2]netip.Prefix {
	if len(s.Src)*len(s.Dst) > maxShadowPairs {
		return nil
	}
	var out [][2]netip.Prefix
	for _, a := range s.Src {
		for _, b := range s.Dst {
			if a.Kind == AddressInet && b.Kind == AddressInet && a.Addr.Is4() == b.Addr.Is4() {
				out = append(out, [2]netip.Prefix{a.Prefix, b.Prefix})
			}
		}
	}
	return out
}
