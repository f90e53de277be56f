package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Selector describes traffic from its source to its destination. A packet is a
// Selector as well: host prefixes, its protocol, and its ports; AnyPort where
// the protocol has none or they cannot be seen.
type Selector struct {
	Src, Dst         netip.Prefix // masked
	Proto            uint8        // upper-layer protocol; 0 is any
	SrcPort, DstPort PortRange
}

// The upper-layer protocols whose selectors have types and codes in place of
// ports (RFC 4301 §4.4.1.1).
const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// Valid says what is wrong with a selector, nil when nothing is.
func (s Selector) Valid() error {
	switch {
	case !s.Src.IsValid() || !s.Dst.IsValid():
		return errors.New("a selector needs a source and a destination prefix")
	case s.Src.Addr().Is4In6() || s.Dst.Addr().Is4In6():
		return fmt.Errorf("selector %v: an IPv4 address is written as IPv6", s)
	case s.Src.Addr().Zone() != "" || s.Dst.Addr().Zone() != "":
		return fmt.Errorf("selector %v: an address has a zone", s)
	case s.Src.Addr().Is4() != s.Dst.Addr().Is4():
		return fmt.Errorf("selector %v: source and destination are of different address families", s)
	case s.Src != s.Src.Masked() || s.Dst != s.Dst.Masked():
		return fmt.Errorf("selector %v: a prefix has bits set behind its length", s)
	case s.SrcPort.First > s.SrcPort.Last || s.DstPort.First > s.DstPort.Last:
		return fmt.Errorf("selector %v: a port range ends before it starts", s)
	case s.icmp() && (!s.SrcPort.octet() || !s.DstPort.octet()):
		return fmt.Errorf("selector %v: an ICMP type or code is above 255", s)
	}
	return nil
}

func (s Selector) icmp() bool { return s.Proto == protoICMP || s.Proto == protoICMPv6 }

// Matches says whether a packet is traffic that s describes.
func (s Selector) Matches(packet Selector) bool { return s.Contains(packet) }

// Contains says whether all traffic that t describes is also described by s.
func (s Selector) Contains(t Selector) bool {
	return prefixContains(s.Src, t.Src) && prefixContains(s.Dst, t.Dst) &&
		(s.Proto == 0 || s.Proto == t.Proto) &&
		s.SrcPort.Contains(t.SrcPort) && s.DstPort.Contains(t.DstPort)
}

// Intersect is the traffic that both describe; false when there is none.
func (s Selector) Intersect(t Selector) (Selector, bool) {
	var both Selector
	var ok [4]bool
	both.Src, ok[0] = prefixIntersect(s.Src, t.Src)
	both.Dst, ok[1] = prefixIntersect(s.Dst, t.Dst)
	both.SrcPort, ok[2] = s.SrcPort.Intersect(t.SrcPort)
	both.DstPort, ok[3] = s.DstPort.Intersect(t.DstPort)
	switch {
	case s.Proto == t.Proto || t.Proto == 0:
		both.Proto = s.Proto
	case s.Proto == 0:
		both.Proto = t.Proto
	default:
		return Selector{}, false
	}
	if ok != [4]bool{true, true, true, true} {
		return Selector{}, false
	}
	return both, true
}

// Reverse describes the traffic the other way. ICMP type and code stay where
// they are: they are no end points (RFC 4301 §4.4.1.1).
func (s Selector) Reverse() Selector {
	r := Selector{Src: s.Dst, Dst: s.Src, Proto: s.Proto, SrcPort: s.DstPort, DstPort: s.SrcPort}
	if s.icmp() {
		r.SrcPort, r.DstPort = s.SrcPort, s.DstPort
	}
	return r
}

// String is the selector as setkey writes one: "10.0.0.0/24[any] 10.0.1.0/24[any] any".
func (s Selector) String() string {
	return s.Src.String() + "[" + s.SrcPort.String() + "] " +
		s.Dst.String() + "[" + s.DstPort.String() + "] " + ProtocolName(s.Proto)
}

// ProtocolName is the name of an upper-layer protocol, "any" for 0, its number
// when it has no common name.
func ProtocolName(proto uint8) string {
	switch proto {
	case 0:
		return "any"
	case protoICMP:
		return "icmp"
	case 4:
		return "ipencap"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 41:
		return "ipv6"
	case 47:
		return "gre"
	case uint8(ESP):
		return "esp"
	case uint8(AH):
		return "ah"
	case protoICMPv6:
		return "ipv6-icmp"
	case 132:
		return "sctp"
	}
	return strconv.Itoa(int(proto))
}

func prefixContains(p, q netip.Prefix) bool {
	return p.IsValid() && q.IsValid() && p.Bits() <= q.Bits() && p.Contains(q.Addr())
}

func prefixIntersect(p, q netip.Prefix) (netip.Prefix, bool) {
	switch {
	case prefixContains(p, q):
		return q, true
	case prefixContains(q, p):
		return p, true
	}
	return netip.Prefix{}, false
}
