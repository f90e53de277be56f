package userspace

import "encoding/binary"

// sumOctets adds octets to a running one's complement sum (RFC 1071 §1).
func sumOctets(sum uint64, b []byte) uint64 {
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		sum += v>>32 + v&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// fold makes the Internet checksum of a sum.
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// setChecksum4 puts the checksum into an IPv4 header (RFC 791 §3.1).
func setChecksum4(header []byte) {
	header[10], header[11] = 0, 0
	binary.BigEndian.PutUint16(header[10:], fold(sumOctets(0, header)))
}

// setUpperChecksum computes the TCP, UDP, DCCP or ICMPv6 checksum of a packet anew, as
// transport mode behind a NAT needs it: the sender made it with other
// addresses than those that the packet now has (RFC 3948 §3.1.2, RFC 7296
// §2.23.1). Fragments and other protocols are left alone.
func (p *packet) setUpperChecksum() {
	payload := p.octets[p.upper:]
	var at int
	switch p.sel.Proto {
	case protoTCP:
		at = 16
	case protoUDP:
		at = 6
	case protoICMPv6:
		at = 2
	default:
		return
	}
	if p.fragment || len(payload) < at+2 {
		return
	}
	if p.sel.Proto == protoUDP && !p.v6 && payload[at] == 0 && payload[at+1] == 0 {
		return // RFC 768: the sender made none
	}
	payload[at], payload[at+1] = 0, 0
	sum := p.upperChecksum()
	if sum == 0 && p.sel.Proto == protoUDP {
		sum = 0xffff // RFC 768: 0 would mean "none"
	}
	binary.BigEndian.PutUint16(payload[at:], sum)
}

// upperChecksum is the checksum over pseudo-header and payload (RFC 9293 §3.1, RFC 8200 §8.1).
func (p *packet) upperChecksum() uint16 {
	payload := p.octets[p.upper:]
	addresses := p.octets[12:20]
	if p.v6 {
		addresses = p.octets[8:40]
	}
	sum := sumOctets(uint64(p.sel.Proto)+uint64(len(payload)), addresses)
	return fold(sumOctets(sum, payload))
}
