package ikev2

import (
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// isICMP says that the ports of a selector hold type and code (RFC 4301 §4.4.1.1).
func isICMP(proto uint8) bool { return proto == protoICMP || proto == protoICMPv6 }

// selectorTS turns a selector of this host into the traffic selectors of its
// two sides (RFC 7296 §3.13.1).
func selectorTS(s kernel.Selector) (local, remote message.TrafficSelector) {
	local = message.TrafficSelector{Protocol: s.Proto, StartPort: s.SrcPort.First, EndPort: s.SrcPort.Last}
	remote = message.TrafficSelector{Protocol: s.Proto, StartPort: s.DstPort.First, EndPort: s.DstPort.Last}
	if isICMP(s.Proto) {
		start, end := icmpPorts(s.SrcPort, s.DstPort)
		local.StartPort, local.EndPort = start, end
		remote.StartPort, remote.EndPort = start, end
	}
	local.Start, local.End = prefixRange(s.Src)
	remote.Start, remote.End = prefixRange(s.Dst)
	return local, remote
}

// icmpPorts packs ICMP type and code into one range: the type is the high
// octet and the code the low one (RFC 7296 §3.13.1). A range of codes of
// several types is no range, so that the whole types are taken.
func icmpPorts(kind, code kernel.PortRange) (start, end uint16) {
	if kind.First == 0 && kind.Last >= 255 {
		return 0, 65535
	}
	first, last := kind.First&0xff, min(kind.Last, 255)
	if first == last && code.Last <= 255 {
		return first<<8 | code.First, first<<8 | code.Last
	}
	return first << 8, last<<8 | 255
}

// icmpRanges is the reverse of icmpPorts, as far as a selector can say it.
func icmpRanges(start, end uint16) (kind, code kernel.PortRange) {
	if start == 0 && end == 65535 {
		return kernel.AnyPort, kernel.AnyPort
	}
	kind = kernel.PortRange{First: start >> 8, Last: end >> 8}
	code = kernel.AnyPort
	if kind.First == kind.Last && (start&0xff != 0 || end&0xff != 255) {
		code = kernel.PortRange{First: start & 0xff, Last: end & 0xff}
	}
	return kind, code
}

// prefixRange is the first and last address of a prefix.
func prefixRange(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	octets := first.AsSlice()
	for i := p.Bits(); i < len(octets)*8; i++ {
		octets[i/8] |= 0x80 >> (i % 8)
	}
	last, _ = netip.AddrFromSlice(octets)
	return first, last
}

// coveringPrefix is the smallest prefix that holds first and last.
func coveringPrefix(first, last netip.Addr) netip.Prefix {
	a, b := first.AsSlice(), last.AsSlice()
	n := 0
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			n += bits.LeadingZeros8(x)
			break
		}
		n += 8
	}
	return netip.PrefixFrom(first, n).Masked()
}

// sane says that a selector from the wire can match anything: known type, one
// family, an ordered address range, and ordered or OPAQUE ports.
func sane(t message.TrafficSelector) bool {
	return t.UnknownType == 0 && t.Start.IsValid() && t.End.IsValid() &&
		t.Start.BitLen() == t.End.BitLen() && t.Start.Compare(t.End) <= 0 &&
		(t.StartPort <= t.EndPort || opaque(t))
}

// opaque ports match only traffic whose ports are not visible (RFC 7296 §3.13.1).
func opaque(t message.TrafficSelector) bool { return t.StartPort == 65535 && t.EndPort == 0 }

func anyPorts(t message.TrafficSelector) bool { return t.StartPort == 0 && t.EndPort == 65535 }

// intersect is the traffic that both selectors match; false when there is none.
func intersect(a, b message.TrafficSelector) (message.TrafficSelector, bool) {
	var out message.TrafficSelector
	if !sane(a) || !sane(b) || a.Start.BitLen() != b.Start.BitLen() {
		return out, false
	}
	switch {
	case a.Protocol == b.Protocol, b.Protocol == 0:
		out.Protocol = a.Protocol
	case a.Protocol == 0:
		out.Protocol = b.Protocol
	default:
		return out, false
	}
	switch {
	case opaque(a) && (opaque(b) || anyPorts(b)), opaque(b) && anyPorts(a):
		out.StartPort, out.EndPort = 65535, 0
	case opaque(a) || opaque(b):
		return out, false
	default:
		out.StartPort, out.EndPort = max(a.StartPort, b.StartPort), min(a.EndPort, b.EndPort)
		if out.StartPort > out.EndPort {
			return out, false
		}
	}
	out.Start, out.End = a.Start, a.End
	if b.Start.Compare(out.Start) > 0 {
		out.Start = b.Start
	}
	if b.End.Compare(out.End) < 0 {
		out.End = b.End
	}
	return out, out.Start.Compare(out.End) <= 0
}

// covers says that inner is wholly within outer.
func covers(outer, inner message.TrafficSelector) bool {
	got, ok := intersect(outer, inner)
	return ok && got == inner
}

// coversAll says that every selector of inner is within one of outer.
func coversAll(outer, inner []message.TrafficSelector) bool {
	for _, i := range inner {
		found := false
		for _, o := range outer {
			if covers(o, i) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// narrow is what of the peer's selectors the policy's allow, without doubles
// and in the peer's order (RFC 7296 §2.9).
func narrow(asked, policy []message.TrafficSelector) []message.TrafficSelector {
	var out []message.TrafficSelector
	for _, a := range asked {
		for _, p := range policy {
			if len(out) == maxSelectors {
				return dropCovered(out)
			}
			if got, ok := intersect(a, p); ok && !coversAll(out, []message.TrafficSelector{got}) {
				out = append(out, got)
			}
		}
	}
	return dropCovered(out)
}

// maxSelectors is what a TS payload can hold (RFC 7296 §3.13: one octet).
const maxSelectors = 255

// dropCovered leaves out selectors that a later, wider one covers.
func dropCovered(list []message.TrafficSelector) []message.TrafficSelector {
	var out []message.TrafficSelector
	for i, t := range list {
		redundant := false
		for j, other := range list {
			if i != j && covers(other, t) && (other != t || j < i) {
				redundant = true
			}
		}
		if !redundant {
			out = append(out, t)
		}
	}
	return out
}

// trafficSet is what one child SA may carry: every pair of a local and a remote one.
type trafficSet struct {
	local, remote []message.TrafficSelector
}

// sets are the traffic of a child's selectors. The wire says "each of TSi with
// each of TSr", so that selectors share a set only where their whole product is
// configured; a set holds one address family, because the kernel's SA has one
// selector.
func (c *Child) sets(peer netip.Addr) []trafficSet {
	peer = peer.WithZone("")
	var sets []trafficSet
	for _, v6 := range []bool{false, true} {
		var family []kernel.Selector
		for _, s := range c.Outbound {
			if c.Dynamic && peer.BitLen() == s.Src.Addr().BitLen() {
				s.Dst = netip.PrefixFrom(peer, peer.BitLen())
			}
			if s.Src.Addr().Is6() == v6 && s.Dst.Addr().Is6() == v6 {
				family = append(family, s)
			}
		}
		sets = append(sets, groupSelectors(family)...)
	}
	return sets
}

func groupSelectors(list []kernel.Selector) []trafficSet {
	if len(list) == 0 {
		return nil
	}
	var all trafficSet
	for _, s := range list {
		l, r := selectorTS(s)
		all.local = addTS(all.local, l)
		all.remote = addTS(all.remote, r)
	}
	pairs := map[[2]message.TrafficSelector]bool{}
	for _, s := range list {
		l, r := selectorTS(s)
		pairs[[2]message.TrafficSelector{l, r}] = true
	}
	if len(pairs) == len(all.local)*len(all.remote) {
		return []trafficSet{all}
	}
	var sets []trafficSet
	for _, s := range list {
		l, r := selectorTS(s)
		sets = append(sets, trafficSet{[]message.TrafficSelector{l}, []message.TrafficSelector{r}})
	}
	return sets
}

func addTS(list []message.TrafficSelector, t message.TrafficSelector) []message.TrafficSelector {
	for _, have := range list {
		if have == t {
			return list
		}
	}
	return append(list, t)
}

// offerTraffic is what to propose: the set that holds the packet, with the
// packet's own selectors first (RFC 7296 §2.9), or the first set.
func offerTraffic(sets []trafficSet, packet *kernel.Selector) (trafficSet, bool) {
	if len(sets) == 0 {
		return trafficSet{}, false
	}
	if packet == nil {
		return sets[0], true
	}
	l, r := selectorTS(*packet)
	one := trafficSet{[]message.TrafficSelector{l}, []message.TrafficSelector{r}}
	for _, s := range sets {
		if coversAll(s.local, one.local) && coversAll(s.remote, one.remote) {
			return trafficSet{prepend(l, s.local), prepend(r, s.remote)}, true
		}
	}
	return sets[0], true
}

func prepend(first message.TrafficSelector, rest []message.TrafficSelector) []message.TrafficSelector {
	out := []message.TrafficSelector{first}
	for _, t := range rest {
		if t != first {
			out = append(out, t)
		}
	}
	return out
}

// kernelSelector is the one selector of an SA that holds the whole set: where
// the set has several, their hull; the SPD checks the rest.
func (s trafficSet) kernelSelector() kernel.Selector {
	local, remote := hull(s.local), hull(s.remote)
	sel := kernel.Selector{
		Src: coveringPrefix(local.Start, local.End), Dst: coveringPrefix(remote.Start, remote.End),
		Proto: local.Protocol, SrcPort: ports(local), DstPort: ports(remote),
	}
	if local.Protocol != remote.Protocol {
		sel.Proto, sel.SrcPort, sel.DstPort = 0, kernel.AnyPort, kernel.AnyPort
	}
	if isICMP(sel.Proto) {
		sel.SrcPort, sel.DstPort = icmpRanges(local.StartPort, local.EndPort)
	}
	return sel
}

func ports(t message.TrafficSelector) kernel.PortRange {
	if t.Protocol == 0 || opaque(t) {
		return kernel.AnyPort
	}
	return kernel.PortRange{First: t.StartPort, Last: t.EndPort}
}

// hull is the smallest single selector around a list.
func hull(list []message.TrafficSelector) message.TrafficSelector {
	h := list[0]
	for _, t := range list[1:] {
		if t.Start.Compare(h.Start) < 0 {
			h.Start = t.Start
		}
		if t.End.Compare(h.End) > 0 {
			h.End = t.End
		}
		if t.Protocol != h.Protocol || opaque(t) != opaque(h) {
			h.Protocol, h.StartPort, h.EndPort = 0, 0, 65535
			continue
		}
		h.StartPort, h.EndPort = min(h.StartPort, t.StartPort), max(h.EndPort, t.EndPort)
	}
	return h
}

// reverse is the selector of the other direction.
func reverse(s kernel.Selector) kernel.Selector {
	r := kernel.Selector{Src: s.Dst, Dst: s.Src, Proto: s.Proto, SrcPort: s.DstPort, DstPort: s.SrcPort}
	if isICMP(s.Proto) {
		r.SrcPort, r.DstPort = s.SrcPort, s.DstPort // type and code do not turn round
	}
	return r
}

// substitute gives every selector the single address addr, for transport mode
// across a NAT (RFC 7296 §2.23.1). False when they are not one address each.
func substitute(list []message.TrafficSelector, addr netip.Addr) ([]message.TrafficSelector, bool) {
	addr = addr.WithZone("")
	out := make([]message.TrafficSelector, len(list))
	for i, t := range list {
		if !sane(t) || t.Start != t.End || t.Start != list[0].Start || t.Start.BitLen() != addr.BitLen() {
			return list, false
		}
		t.Start, t.End = addr, addr
		out[i] = t
	}
	return out, true
}

// tsList describes traffic selectors for an explanation: "10.0.0.0/24[any] tcp".
func tsList(list []message.TrafficSelector) string {
	if len(list) == 0 {
		return "nothing"
	}
	var b strings.Builder
	for i, t := range list {
		if i == maxListed {
			b.WriteString(", and " + strconv.Itoa(len(list)-i) + " more")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(tsName(t))
	}
	return b.String()
}

func tsName(t message.TrafficSelector) string {
	if t.UnknownType != 0 {
		return "traffic selector type " + strconv.Itoa(int(t.UnknownType))
	}
	name := t.Start.String() + "-" + t.End.String()
	if t.Start.IsValid() && t.End.IsValid() && t.Start.BitLen() == t.End.BitLen() {
		p := coveringPrefix(t.Start, t.End)
		if first, last := prefixRange(p); first == t.Start && last == t.End {
			name = p.String()
		}
	}
	switch {
	case opaque(t):
		name += "[OPAQUE]"
	case anyPorts(t):
		name += "[any]"
	case t.StartPort == t.EndPort:
		name += "[" + strconv.Itoa(int(t.StartPort)) + "]"
	default:
		name += "[" + strconv.Itoa(int(t.StartPort)) + "-" + strconv.Itoa(int(t.EndPort)) + "]"
	}
	if t.Protocol == 0 {
		return name + " any"
	}
	return name + " " + strconv.Itoa(int(t.Protocol))
}
