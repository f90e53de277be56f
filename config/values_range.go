package config

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// trafficList is addressList with ranges of addresses, which become prefixes.
var trafficList = value{"ADDRESS[/LENGTH] | FIRST - LAST [port PORT] | { …; }", readTrafficList}

func readTrafficList(r *resolver, e *entry) (any, bool) {
	lists, ok := r.elements(e)
	if !ok {
		return nil, false
	}
	out := make([]Address, 0, len(lists))
	for _, items := range lists {
		first, last, rest, isRange := r.rangeOf(items)
		if !isRange {
			a, good := r.address(e, items)
			if good {
				out = append(out, a)
			}
			ok = ok && good
			continue
		}
		a, good := r.address(e, append([]Item{{Kind: ItemString, Pos: items[0].Pos, Text: first.String()}}, rest...))
		if good && (first.BitLen() != last.BitLen() || last.Less(first)) {
			r.errorf("bad-range", items[0], "write: FIRST - LAST, of one family", "%s - %s is no range of addresses", first, last)
			good = false
		}
		if good {
			for _, p := range prefixesOf(first, last) {
				a.Addr, a.Prefix, a.HasPrefix = p.Addr(), p, true
				out = append(out, a)
			}
		}
		ok = ok && good
	}
	return out, ok
}

// rangeOf recognizes A - B and A-B at the front of an element.
func (r *resolver) rangeOf(items []Item) (first, last netip.Addr, rest []Item, ok bool) {
	if len(items) == 0 || !items[0].isText() {
		return first, last, nil, false
	}
	// What cannot be substituted is reported by whoever reads it as an address.
	text, err := r.symbols.expand(items[0].Text)
	if err != nil {
		return first, last, nil, false
	}
	rest = items[1:]
	if len(items) >= 3 && items[1].Kind == ItemDash && items[2].isText() {
		end, err := r.symbols.expand(items[2].Text)
		if err != nil {
			return first, last, nil, false
		}
		text, rest = text+"-"+end, items[3:]
	}
	if !isRange(text) {
		return first, last, nil, false
	}
	a, b, _ := strings.Cut(text, "-")
	first, _ = netip.ParseAddr(a)
	last, _ = netip.ParseAddr(b)
	return first.Unmap().WithZone(""), last.Unmap().WithZone(""), rest, true
}

// prefixesOf covers a range of one family with the fewest prefixes, at most
// twice the number of the address's bits.
func prefixesOf(first, last netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for {
		n := first.BitLen()
		for n > 0 {
			wider := netip.PrefixFrom(first, n-1)
			if wider.Masked().Addr() != first || last.Less(lastOf(wider)) {
				break
			}
			n--
		}
		p := netip.PrefixFrom(first, n)
		out = append(out, p)
		end := lastOf(p)
		if !end.Less(last) {
			return out
		}
		first = end.Next()
	}
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		n := binary.BigEndian.Uint32(b[:]) | uint32(uint64(1)<<(32-p.Bits())-1)
		binary.BigEndian.PutUint32(b[:], n)
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	ones := func(n int) uint64 { // the lowest n bits, 0 to 64
		if n >= 64 {
			return ^uint64(0)
		}
		return 1<<n - 1
	}
	free := 128 - p.Bits()
	low |= ones(min(free, 64))
	if free > 64 {
		high |= ones(free - 64)
	}
	binary.BigEndian.PutUint64(b[:8], high)
	binary.BigEndian.PutUint64(b[8:], low)
	return netip.AddrFrom16(b)
}

// readPool reads the ranges of an addresspool.
func (r *resolver) readPool(p *AddressPool, body *Block) {
	for _, st := range body.Statements {
		first, last, ok := r.poolRange(st)
		if !ok {
			continue
		}
		switch {
		case first.Is4() != last.Is4():
			r.errorf("family-mismatch", st.Items[0], "both ends of a range have one family",
				"%s and %s are of different families", first, last)
		case last.Less(first):
			r.errorf("bad-range", st.Items[0], fmt.Sprintf("write: %s - %s;", last, first),
				"the range ends before it begins")
		default:
			p.Ranges = append(p.Ranges, AddressRange{Pos: st.Pos(), First: first, Last: last})
		}
	}
}

// poolRange reads A - B, or A-B in one word.
func (r *resolver) poolRange(st *Statement) (first, last netip.Addr, ok bool) {
	bad := func(it Item, format string, args ...any) (netip.Addr, netip.Addr, bool) {
		r.errorf("bad-range", it, "write: FIRST - LAST;", format, args...)
		return netip.Addr{}, netip.Addr{}, false
	}
	var ends []string
	for i, it := range st.Items {
		if i == 1 && it.Kind == ItemDash {
			continue
		}
		if !it.isText() {
			return bad(it, "%s does not belong in a range of addresses", it.Source())
		}
		s, ok := r.text(it)
		if !ok {
			return netip.Addr{}, netip.Addr{}, false
		}
		if isRange(s) {
			a, b, _ := strings.Cut(s, "-")
			ends = append(ends, a, b)
			continue
		}
		ends = append(ends, s)
	}
	if len(ends) != 2 {
		return bad(st.Items[0], "a range has two ends")
	}
	first, err := netip.ParseAddr(ends[0])
	if err != nil {
		return bad(st.Items[0], "%s is not an address", clip(strconv.Quote(ends[0])))
	}
	if last, err = netip.ParseAddr(ends[1]); err != nil {
		return bad(st.Items[len(st.Items)-1], "%s is not an address", clip(strconv.Quote(ends[1])))
	}
	return first, last, true
}
