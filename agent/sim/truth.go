package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"racoon2/kernel"
	"racoon2/policy"
)

// intent is what the configuration says about a packet, worked out from the
// compiled settings and not from what the policy manager or a kernel made of
// them. ok is false when no selector speaks of it.
func (h *Host) intent(packet kernel.Selector, dir kernel.Direction) (s *policy.Selector, ok bool) {
	if !h.protecting {
		return nil, false
	}
	var fitting []*policy.Selector
	for _, s := range h.compiled.Policy.Selectors {
		if s.Direction == dir && s.Install && h.speaksOf(s, packet) {
			fitting = append(fitting, s)
		}
	}
	if len(fitting) == 0 {
		return nil, false
	}
	// Smaller orders are stronger, and none is weakest; then the narrower
	// prefixes, the far end's first; then the first in the file.
	slices.SortStableFunc(fitting, func(a, b *policy.Selector) int {
		aSrc, aDst := width(a)
		bSrc, bDst := width(b)
		if dir == kernel.In {
			aSrc, aDst, bSrc, bDst = aDst, aSrc, bDst, bSrc
		}
		return cmp.Or(cmp.Compare(a.Order-1, b.Order-1), cmp.Compare(bDst, aDst), cmp.Compare(bSrc, aSrc))
	})
	return fitting[0], true
}

// width is the length of a selector's shortest prefixes; macros count as hosts.
func width(s *policy.Selector) (src, dst int) {
	shortest := func(in []policy.Address) int {
		n := 128
		for _, a := range in {
			if a.Macro == "" {
				n = min(n, a.Prefix.Bits())
			}
		}
		return n
	}
	return shortest(s.Src), shortest(s.Dst)
}

// protects says whether a packet must not be seen in clear.
func (h *Host) protects(packet kernel.Selector, dir kernel.Direction) bool {
	s, ok := h.intent(packet, dir)
	return ok && s.Action == kernel.Protect && s.Level != kernel.Use
}

// discards says whether a packet must not be seen at all.
func (h *Host) discards(packet kernel.Selector, dir kernel.Direction) bool {
	s, ok := h.intent(packet, dir)
	return ok && s.Action == kernel.Discard
}

func (h *Host) speaksOf(s *policy.Selector, packet kernel.Selector) bool {
	return (s.Proto == 0 || s.Proto == packet.Proto) &&
		s.SrcPort.Contains(packet.SrcPort) && s.DstPort.Contains(packet.DstPort) &&
		h.covers(s.Src, packet.Src.Addr()) && h.covers(s.Dst, packet.Dst.Addr())
}

// covers says whether one of the addresses covers a.
func (h *Host) covers(in []policy.Address, a netip.Addr) bool {
	for _, p := range in {
		prefixes := []netip.Prefix{p.Prefix}
		if p.Macro != "" {
			prefixes, _ = policy.Expand(p.Macro, h.interfaces())
		}
		if slices.ContainsFunc(prefixes, func(q netip.Prefix) bool { return q.Contains(a) }) {
			return true
		}
	}
	return false
}
