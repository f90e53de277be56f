package userspace

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"racoon2/kernel"
)

// Protocol numbers that the data path tells apart (IANA "Assigned Internet
// Protocol Numbers").
const (
	protoHopOpts  = 0
	protoICMP     = 1
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoDCCP     = 33
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoESP      = 50
	protoAH       = 51
	protoICMPv6   = 58
	protoNoNext   = 59
	protoDstOpts  = 60
	protoSCTP     = 132
	protoMobility = 135
	protoUDPLite  = 136
)

const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	// maxExtensions bounds the extension headers of a packet: RFC 8200 §4.1
	// names six, one of them twice.
	maxExtensions = 16
)

// Causes why octets are not a packet.
var (
	errNotIP      = errors.New("not an IP packet")
	errTruncated  = errors.New("packet is shorter than its headers say")
	errExtensions = errors.New("too many or misplaced IPv6 extension headers")
	errMapped     = errors.New("an IPv4 address is written as IPv6")
	errTiny       = errors.New("first fragment is too short to have ports")
)

// packet is an IP packet, taken apart as far as policies and ESP need it. It
// aliases the octets that it was parsed from.
type packet struct {
	octets []byte // header and payload, what the link padded cut off
	sel    kernel.Selector

	upper int // offset of the upper-layer header
	// insert is where ESP goes in transport mode: behind the headers that
	// routers on the way look at (RFC 4303 §3.1.1); nextAt is the offset of the
	// next-header octet that then says ESP, next what it says now.
	insert, nextAt int
	next           uint8

	v6            bool
	tos           uint8 // DSCP and ECN, of either family
	hops          uint8 // TTL or hop limit
	dontFragment  bool  // IPv4's DF; always set for IPv6
	fragment      bool  // any fragment
	laterFragment bool  // a fragment but the first: no ports

	// Of an IPv6 fragment: where its fragment header is, and the next-header
	// octet that leads to it.
	fragmentAt, fragmentNextAt int
}

// hidesProto says that of a packet in fragments only the first tells the upper-layer
// protocol: what follows the fragment header is an extension header.
func (p *packet) hidesProto() bool {
	if !p.v6 || !p.fragment {
		return false
	}
	switch p.octets[p.fragmentAt] {
	case protoHopOpts, protoRouting, protoFragment, protoAH, protoDstOpts:
		return true
	}
	return false
}

// src and dst are the packet's addresses.
func (p *packet) src() netip.Addr { return p.sel.Src.Addr() }
func (p *packet) dst() netip.Addr { return p.sel.Dst.Addr() }

// parse takes an IP packet apart. Every length is checked; the error is one of
// the causes above.
func (p *packet) parse(b []byte) error {
	if len(b) == 0 {
		return errNotIP
	}
	switch b[0] >> 4 {
	case 4:
		return p.parse4(b)
	case 6:
		return p.parse6(b)
	}
	return errNotIP
}

// parse4 reads an IPv4 header (RFC 791 §3.1).
func (p *packet) parse4(b []byte) error {
	if len(b) < ipv4HeaderLen {
		return errTruncated
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4HeaderLen || total < header || total > len(b) {
		return errTruncated
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	*p = packet{
		octets:        b[:total],
		upper:         header,
		insert:        header,
		nextAt:        9,
		next:          b[9],
		tos:           b[1],
		hops:          b[8],
		dontFragment:  fragment&0x4000 != 0,
		fragment:      fragment&0x3fff != 0,
		laterFragment: fragment&0x1fff != 0,
	}
	src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	return p.selector(src, dst, 32, b[9])
}

// parse6 reads an IPv6 header and the extension headers behind it (RFC 8200 §4).
func (p *packet) parse6(b []byte) error {
	if len(b) < ipv6HeaderLen {
		return errTruncated
	}
	total := ipv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return errTruncated
	}
	*p = packet{
		octets:       b[:total],
		insert:       ipv6HeaderLen,
		nextAt:       6,
		next:         b[6],
		v6:           true,
		tos:          b[0]<<4 | b[1]>>4,
		hops:         b[7],
		dontFragment: true,
	}
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	if src.Is4In6() || dst.Is4In6() { // RFC 4291 §2.5.5.2: of nodes, not of packets
		return errMapped
	}
	proto, err := p.walkExtensions(b[6])
	if err != nil {
		return err
	}
	return p.selector(src, dst, 128, proto)
}

// walkExtensions finds the upper-layer header, and on the way the place for
// ESP: behind hop-by-hop options, routing and fragment headers, and what stands
// in front of them; destination options at the end go inside ESP.
func (p *packet) walkExtensions(proto uint8) (upper uint8, err error) {
	at, nextAt := ipv6HeaderLen, 6
	for n := 0; ; n++ {
		var length int
		switch proto {
		case protoHopOpts, protoRouting, protoDstOpts:
			if len(p.octets)-at < 8 {
				return 0, errTruncated
			}
			length = 8 + 8*int(p.octets[at+1])
		case protoFragment:
			length = 8
		case protoAH:
			if len(p.octets)-at < 8 {
				return 0, errTruncated
			}
			length = 8 + 4*int(p.octets[at+1])
		default:
			p.upper = at
			return proto, nil
		}
		if len(p.octets)-at < length {
			return 0, errTruncated
		}
		// RFC 8200 §4.3: hop-by-hop options come first or not at all.
		if n == maxExtensions || proto == protoHopOpts && n > 0 {
			return 0, errExtensions
		}
		header := proto
		if header == protoFragment {
			p.fragmentAt, p.fragmentNextAt = at, nextAt
			p.fragment = true
			p.laterFragment = binary.BigEndian.Uint16(p.octets[at+2:])&0xfff8 != 0
		}
		proto, nextAt = p.octets[at], at
		at += length
		if header == protoHopOpts || header == protoRouting || header == protoFragment {
			p.insert, p.nextAt, p.next = at, nextAt, proto
		}
		if p.laterFragment { // what follows is a piece of the payload
			p.upper = at
			return proto, nil
		}
	}
}

// selector reads what selectors compare. Ports that cannot be seen are
// AnyPort, so that only selectors for any port match (RFC 4301 §7.1).
func (p *packet) selector(src, dst netip.Addr, bits int, proto uint8) error {
	p.sel = kernel.Selector{
		Src: netip.PrefixFrom(src, bits), Dst: netip.PrefixFrom(dst, bits),
		Proto: proto, SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
	}
	if p.laterFragment {
		return nil
	}
	payload := p.octets[p.upper:]
	switch proto {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		if len(payload) < 4 {
			return p.short()
		}
		p.sel.SrcPort = kernel.Port(binary.BigEndian.Uint16(payload))
		p.sel.DstPort = kernel.Port(binary.BigEndian.Uint16(payload[2:]))
	case protoICMP, protoICMPv6: // RFC 4301 §4.4.1.1: type and code
		if len(payload) < 2 {
			return p.short()
		}
		p.sel.SrcPort, p.sel.DstPort = kernel.Port(uint16(payload[0])), kernel.Port(uint16(payload[1]))
	case protoMobility: // RFC 4301 §4.4.1.1: the mobility header type
		if len(payload) < 3 {
			return p.short()
		}
		p.sel.SrcPort = kernel.Port(uint16(payload[2]))
	}
	return nil
}

// short says why there is no upper-layer header. Fragments cut so that ports
// hide in a later one are an attack (RFC 1858, RFC 7112 §5).
func (p *packet) short() error {
	if p.fragment {
		return errTiny
	}
	return errTruncated
}

// ecn is the packet's ECN field (RFC 3168 §5).
func (p *packet) ecn() uint8 { return p.tos & 3 }

// setECN changes the ECN field, and IPv4's header checksum with it.
func (p *packet) setECN(ecn uint8) {
	if p.tos&3 == ecn {
		return
	}
	p.tos = p.tos&^3 | ecn
	b := p.octets
	if p.v6 {
		b[1] = b[1]&0x0f | p.tos<<4
		return
	}
	b[1] = p.tos
	setChecksum4(b[:p.upper])
}
