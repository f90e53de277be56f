package netlab

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Kind is what a captured packet is.
type Kind uint8

// The kinds.
const (
	Other     Kind = iota // not IP: ARP and the like
	Control               // ICMPv6 neighbour discovery and multicast listener reports
	ESP                   // IP protocol 50
	ESPInUDP              // UDP port 4500 with an SPI (RFC 3948 §2.1)
	IKE                   // UDP port 500, or 4500 with the non-ESP marker (RFC 3948 §2.2)
	Keepalive             // UDP port 4500 with the octet 0xff (RFC 3948 §2.3)
	AH                    // IP protocol 51
	IPComp                // IP protocol 108
	KINK                  // UDP port 910
	Clear                 // everything else that is IP
)

var kindNames = [...]string{"other", "control", "ESP", "ESP in UDP", "IKE", "keepalive", "AH", "IPComp", "KINK", "clear"}

// String names the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// The IKE ports that Classify knows.
const (
	portIKE  = 500
	portNATT = 4500
	portKINK = 910
)

// Packet is an IP packet, as far as tests look into it.
type Packet struct {
	Kind             Kind
	Src, Dst         netip.Addr
	Proto            uint8 // upper-layer protocol
	SrcPort, DstPort uint16
	Fragment         bool   // not the first fragment
	Payload          []byte // behind the IP header and, of UDP, its header
}

// parseFrame takes an Ethernet frame apart.
func parseFrame(frame []byte) Packet {
	const ethernetLen = 14
	if len(frame) < ethernetLen {
		return Packet{}
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP, unix.ETH_P_IPV6:
		return ParsePacket(frame[ethernetLen:])
	}
	return Packet{}
}

// ParsePacket takes an IP packet apart; what is not one has Kind Other.
func ParsePacket(b []byte) Packet {
	p, ok := parseIP(b)
	if !ok {
		return Packet{}
	}
	p.Kind = Clear
	switch {
	case p.Proto == unix.IPPROTO_ESP:
		p.Kind = ESP
	case p.Proto == unix.IPPROTO_AH:
		p.Kind = AH
	case p.Proto == unix.IPPROTO_COMP:
		p.Kind = IPComp
	case p.Fragment:
	case p.Proto == unix.IPPROTO_ICMPV6 && len(p.Payload) > 0 && isControl(p.Payload[0]):
		p.Kind = Control
	case p.Proto == unix.IPPROTO_UDP && len(p.Payload) >= 8:
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(p.Payload), binary.BigEndian.Uint16(p.Payload[2:])
		p.Payload = p.Payload[8:]
		p.Kind = classifyUDP(p)
	case p.Proto == unix.IPPROTO_TCP && len(p.Payload) >= 4:
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(p.Payload), binary.BigEndian.Uint16(p.Payload[2:])
	}
	return p
}

func parseIP(b []byte) (p Packet, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < 20 || total < header || total > len(b) {
			return p, false
		}
		p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		p.Proto, p.Fragment = b[9], binary.BigEndian.Uint16(b[6:])&0x1fff != 0
		p.Payload = b[header:total]
		return p, true
	case len(b) >= 40 && b[0]>>4 == 6:
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return p, false
		}
		p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		p.Proto, p.Payload = b[6], b[40:total]
		p.skipExtensions()
		return p, true
	}
	return p, false
}

// skipExtensions goes to the upper-layer header of an IPv6 packet.
func (p *Packet) skipExtensions() {
	for len(p.Payload) >= 8 {
		length := 8 + int(p.Payload[1])*8
		switch p.Proto {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
		case unix.IPPROTO_FRAGMENT:
			length = 8
			p.Fragment = binary.BigEndian.Uint16(p.Payload[2:])&0xfff8 != 0
		default:
			return
		}
		if length > len(p.Payload) {
			return
		}
		p.Proto, p.Payload = p.Payload[0], p.Payload[length:]
		if p.Fragment {
			return
		}
	}
}

// isControl says that an ICMPv6 type keeps the link going: neighbour
// discovery (RFC 4861) and multicast listener discovery (RFC 2710, RFC 3810).
func isControl(icmpType byte) bool {
	return icmpType >= 130 && icmpType <= 137 || icmpType == 143
}

func classifyUDP(p Packet) Kind {
	switch {
	case p.SrcPort == portIKE || p.DstPort == portIKE:
		return IKE
	case p.SrcPort == portKINK || p.DstPort == portKINK:
		return KINK
	case p.SrcPort != portNATT && p.DstPort != portNATT:
		return Clear
	case len(p.Payload) == 1 && p.Payload[0] == 0xff:
		return Keepalive
	case len(p.Payload) >= 4 && binary.BigEndian.Uint32(p.Payload) == 0:
		return IKE
	default:
		return ESPInUDP
	}
}
