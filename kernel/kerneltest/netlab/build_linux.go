package netlab

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// hopLimit of the packets made here.
const hopLimit = 64

// IPPacket makes an IP packet of the addresses' family, to be injected.
func IPPacket(src, dst netip.Addr, proto uint8, payload []byte) []byte {
	if src.Is4() {
		b := make([]byte, 20, 20+len(payload))
		b[0], b[8], b[9] = 0x45, hopLimit, proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(b[10:], checksum(b))
		return append(b, payload...)
	}
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6], b[7] = 0x60, proto, hopLimit
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, payload...)
}

// UDPPacket makes a UDP datagram in an IP packet.
func UDPPacket(src, dst netip.Addr, srcPort, dstPort uint16, payload []byte) []byte {
	udp := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(udp, srcPort)
	binary.BigEndian.PutUint16(udp[2:], dstPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	udp = append(udp, payload...)
	binary.BigEndian.PutUint16(udp[6:], pseudoChecksum(src, dst, unix.IPPROTO_UDP, udp))
	return IPPacket(src, dst, unix.IPPROTO_UDP, udp)
}

// EchoPacket makes an ICMP or ICMPv6 echo request with some payload.
func EchoPacket(src, dst netip.Addr, size int) []byte {
	b := Ping{To: dst, Size: size}.request(1)
	proto := uint8(unix.IPPROTO_ICMP)
	if dst.Is6() {
		proto = unix.IPPROTO_ICMPV6
		binary.BigEndian.PutUint16(b[2:], pseudoChecksum(src, dst, proto, b))
	}
	return IPPacket(src, dst, proto, b)
}

// pseudoChecksum is an upper-layer checksum (RFC 768, RFC 8200 §8.1).
func pseudoChecksum(src, dst netip.Addr, proto uint8, payload []byte) uint16 {
	b := slices.Concat(src.AsSlice(), dst.AsSlice())
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, 0, 0, 0, proto)
	return checksum(append(b, payload...))
}
