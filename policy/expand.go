package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"racoon2/kernel"
)

// maxPolicies bounds what one selector may grow to by its addresses and ports.
const maxPolicies = 4096

// expandSelectors makes the kernel's selectors of one of the configuration's:
// every source with every destination of the same family, and every block of
// ports where the kernel has no ranges. Those of addresses that names have left
// come apart.
func expandSelectors(sel *Selector, h here) (selectors, left []kernel.Selector, err error) {
	src, oldSrc, err := expandSide(sel.Src, h)
	if err != nil {
		return nil, nil, fmt.Errorf("src: %w", err)
	}
	dst, oldDst, err := expandSide(sel.Dst, h)
	if err != nil {
		return nil, nil, fmt.Errorf("dst: %w", err)
	}
	if allMine(sel.Src) && allMine(sel.Dst) {
		return nil, nil, fmt.Errorf("src (%s) and dst (%s) both stand for this host: no traffic between them leaves it; "+
			"one of them is the peer's, an address or IP_ANY", describe(sel.Src), describe(sel.Dst))
	}
	srcPorts, dstPorts := []kernel.PortRange{sel.SrcPort}, []kernel.PortRange{sel.DstPort}
	if !h.caps.PortRanges {
		srcPorts, dstPorts = splitPorts(sel.SrcPort), splitPorts(sel.DstPort)
	}
	if n := (len(src) + len(oldSrc)) * (len(dst) + len(oldDst)) * len(srcPorts) * len(dstPorts); n > maxPolicies {
		return nil, nil, fmt.Errorf("%d sources, %d destinations and %d blocks of ports make more than %d policies: use prefixes, or ranges of ports that begin and end at powers of two",
			len(src), len(dst), len(srcPorts)*len(dstPorts), maxPolicies)
	}
	pair := func(out []kernel.Selector, src, dst []netip.Prefix) []kernel.Selector {
		for _, s := range src {
			for _, d := range dst {
				if s.Addr().Is4() != d.Addr().Is4() {
					continue
				}
				for _, sp := range srcPorts {
					for _, dp := range dstPorts {
						out = append(out, kernel.Selector{Src: s, Dst: d, Proto: sel.Proto, SrcPort: sp, DstPort: dp})
					}
				}
			}
		}
		return out
	}
	out := pair(nil, src, dst)
	left = pair(pair(pair(nil, src, oldDst), oldSrc, dst), oldSrc, oldDst)
	if len(out) == 0 && len(left) > 0 {
		return nil, left, nil
	}
	if len(out) == 0 {
		if len(src) == 0 || len(dst) == 0 {
			if err := unresolved(append(slices.Clip(sel.Src), sel.Dst...)); err != nil {
				return nil, nil, err
			}
		}
		return nil, nil, fmt.Errorf("no source fits a destination: src %s is %s, dst %s is %s",
			describe(sel.Src), list(src), describe(sel.Dst), list(dst))
	}
	if err := out[0].Valid(); err != nil { // what may be wrong is the same in all
		return nil, nil, err
	}
	return out, left, nil
}

// expandSide expands one side of a selector; apart from the addresses that it
// stands for now, it lists those that its names have left.
func expandSide(side []Address, h here) (out, left []netip.Prefix, err error) {
	out = make([]netip.Prefix, 0, len(side))
	for _, a := range side {
		switch {
		case a.Macro != "":
			more, err := Expand(a.Macro, h.interfaces)
			if err != nil {
				return nil, nil, err
			}
			out = append(out, more...)
		case a.Name != "":
			present, old := h.names.expand(a.Name)
			out, left = append(out, present...), append(left, old...)
		case !a.Prefix.IsValid():
			return nil, nil, errors.New("an address is missing")
		default:
			out = append(out, plain(a.Prefix))
		}
	}
	return out, left, nil
}

// plain is a prefix as a kernel takes it: IPv4 as such, and no bits behind its length.
func plain(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

func splitPorts(r kernel.PortRange) []kernel.PortRange {
	masks := r.Split()
	out := make([]kernel.PortRange, len(masks))
	for i, m := range masks {
		out[i] = m.Range()
	}
	return out
}

// allMine tells whether a side is nothing but macros for this host's addresses.
func allMine(side []Address) bool {
	return len(side) > 0 && !slices.ContainsFunc(side, func(a Address) bool { return !isMine(a.Macro) })
}

// usesMacros tells whether a change of addresses may change a selector's policies.
func (sel *Selector) usesMacros() bool {
	mine := func(a Address) bool { return isMine(a.Macro) }
	return sel.floats() || slices.ContainsFunc(sel.Src, mine) || slices.ContainsFunc(sel.Dst, mine)
}

// describe writes one side of a selector as the configuration has it.
func describe(side []Address) string {
	words := make([]string, len(side))
	for i, a := range side {
		switch {
		case a.Macro != "":
			words[i] = a.Macro
		case a.Name != "":
			words[i] = strings.TrimSuffix(a.Name, ".")
		default:
			words[i] = a.Prefix.String()
		}
	}
	return shorten(words)
}

// list writes what one side stands for now.
func list(side []netip.Prefix) string {
	words := make([]string, len(side))
	for i, p := range side {
		words[i] = p.String()
	}
	return shorten(words)
}

func shorten(words []string) string {
	const limit = 4
	switch n := len(words); {
	case n == 0:
		return "no address"
	case n > limit:
		return fmt.Sprintf("%s and %d more", strings.Join(words[:limit], ", "), n-limit)
	}
	return strings.Join(words, ", ")
}
