package nft

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Expr is a match, a statement or a verdict: a short sequence of the kernel's
// own expressions.
type Expr []statement

type statement struct {
	name string
	fill func(*netlink.Builder)
}

// Verdicts of linux/netfilter.h.
const (
	verdictDrop   = 0
	verdictAccept = 1
)

// Accept ends the chain: the packet goes on, to the chains of other tables.
func Accept() Expr { return verdict(verdictAccept) }

// Drop ends the packet.
func Drop() Expr { return verdict(verdictDrop) }

func verdict(code uint32) Expr {
	return Expr{{"immediate", func(b *netlink.Builder) {
		b.BE32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		b.Nested(unix.NFTA_IMMEDIATE_DATA, func(b *netlink.Builder) {
			b.Nested(unix.NFTA_DATA_VERDICT, func(b *netlink.Builder) {
				b.BE32(unix.NFTA_VERDICT_CODE, code)
			})
		})
	}}}
}

// Counter counts the packets that came so far in the rule.
func Counter() Expr { return Expr{{"counter", func(*netlink.Builder) {}}} }

// InInterface matches the interface of arrival by its name.
func InInterface(name string) Expr {
	return Expr{meta(unix.NFT_META_IIFNAME), compare(unix.NFT_CMP_EQ, interfaceName(name))}
}

// OutInterface matches the outgoing interface by its name.
func OutInterface(name string) Expr {
	return Expr{meta(unix.NFT_META_OIFNAME), compare(unix.NFT_CMP_EQ, interfaceName(name))}
}

// interfaceName is a name as the kernel holds it, padded with NULs to IFNAMSIZ.
func interfaceName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b[:unix.IFNAMSIZ-1], name)
	return b
}

// Proto matches the upper-layer protocol behind all extension headers.
func Proto(p uint8) Expr {
	return Expr{meta(unix.NFT_META_L4PROTO), compare(unix.NFT_CMP_EQ, []byte{p})}
}

// Mark matches the packet's mark.
func Mark(mark uint32) Expr {
	return Expr{meta(unix.NFT_META_MARK), compare(unix.NFT_CMP_EQ, binary.NativeEndian.AppendUint32(nil, mark))}
}

// SocketMark matches packets to a socket of this host that has a mark (SO_MARK).
// Not every kernel has it: Conn.Has tells.
func SocketMark(mark uint32) Expr {
	const ( // linux/netfilter/nf_tables.h
		attrKey, attrRegister = 1, 2 // NFTA_SOCKET_KEY, NFTA_SOCKET_DREG
		keyMark               = 1    // NFT_SOCKET_MARK
	)
	return Expr{
		{"socket", func(b *netlink.Builder) {
			b.BE32(attrKey, keyMark)
			b.BE32(attrRegister, unix.NFT_REG_1)
		}},
		compare(unix.NFT_CMP_EQ, binary.NativeEndian.AppendUint32(nil, mark)),
	}
}

// SetMark gives the packet a mark.
func SetMark(mark uint32) Expr {
	return Expr{
		immediate(unix.NFT_REG_1, binary.NativeEndian.AppendUint32(nil, mark)),
		{"meta", func(b *netlink.Builder) {
			b.BE32(unix.NFTA_META_KEY, unix.NFT_META_MARK)
			b.BE32(unix.NFTA_META_SREG, unix.NFT_REG_1)
		}},
	}
}

// Source matches the family and the source address.
func Source(p netip.Prefix) Expr {
	if p.Addr().Is4() {
		return network(p, 12)
	}
	return network(p, 8)
}

// Destination matches the family and the destination address.
func Destination(p netip.Prefix) Expr {
	if p.Addr().Is4() {
		return network(p, 16)
	}
	return network(p, 24)
}

// network compares an address of the IP header, at an offset, with a prefix.
func network(p netip.Prefix, offset uint32) Expr {
	family := byte(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	e := Expr{meta(unix.NFT_META_NFPROTO), compare(unix.NFT_CMP_EQ, []byte{family})}
	if p.Bits() <= 0 {
		return e
	}
	value := p.Masked().Addr().AsSlice()
	e = append(e, payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, len(value)))
	if !p.IsSingleIP() {
		e = append(e, bitwise(prefixMask(p)))
	}
	return append(e, compare(unix.NFT_CMP_EQ, value))
}

func prefixMask(p netip.Prefix) []byte {
	mask := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
}

// SourcePort matches an inclusive range of source ports of TCP, UDP and the
// protocols whose headers begin like theirs. Not the first fragment: no match.
func SourcePort(first, last uint16) Expr { return port(0, first, last) }

// DestinationPort matches an inclusive range of destination ports.
func DestinationPort(first, last uint16) Expr { return port(2, first, last) }

func port(offset uint32, first, last uint16) Expr {
	return within(payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, offset, 2),
		binary.BigEndian.AppendUint16(nil, first), binary.BigEndian.AppendUint16(nil, last))
}

// ICMPType matches an inclusive range of types of ICMP or ICMPv6.
func ICMPType(first, last uint8) Expr {
	return within(payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1), []byte{first}, []byte{last})
}

// ICMPCode matches an inclusive range of codes of ICMP or ICMPv6.
func ICMPCode(first, last uint8) Expr {
	return within(payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 1, 1), []byte{first}, []byte{last})
}

// within loads a value and compares it with both ends of a range; registers
// compare as octets do, so values in network order compare as numbers.
func within(load statement, first, last []byte) Expr {
	if string(first) == string(last) {
		return Expr{load, compare(unix.NFT_CMP_EQ, first)}
	}
	return Expr{load, compare(unix.NFT_CMP_GTE, first), compare(unix.NFT_CMP_LTE, last)}
}

// LaterFragment4 matches IPv4 fragments but the first, which have no ports.
func LaterFragment4() Expr {
	return Expr{
		payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 6, 2),
		bitwise([]byte{0x1f, 0xff}),
		compare(unix.NFT_CMP_NEQ, []byte{0, 0}),
	}
}

// LaterFragment6 matches IPv6 fragments but the first, which have no ports.
func LaterFragment6() Expr {
	return Expr{
		fragmentHeader6(2, 2),
		bitwise([]byte{0xff, 0xf8}),
		compare(unix.NFT_CMP_NEQ, []byte{0, 0}),
	}
}

// FragmentOf6 matches IPv6 fragments whose fragment header says that what is cut
// up begins with a protocol. Proto does not know it of later fragments of AH,
// which to the kernel is one more extension header.
func FragmentOf6(proto uint8) Expr {
	return Expr{fragmentHeader6(0, 1), compare(unix.NFT_CMP_EQ, []byte{proto})}
}

// fragmentHeader6 loads a field of the fragment header.
func fragmentHeader6(offset, length uint32) statement {
	const fragmentHeader = 44
	return statement{"exthdr", func(b *netlink.Builder) {
		b.BE32(unix.NFTA_EXTHDR_DREG, unix.NFT_REG_1)
		b.U8(unix.NFTA_EXTHDR_TYPE, fragmentHeader)
		b.BE32(unix.NFTA_EXTHDR_OFFSET, offset)
		b.BE32(unix.NFTA_EXTHDR_LEN, length)
		b.BE32(unix.NFTA_EXTHDR_OP, unix.NFT_EXTHDR_OP_IPV6)
	}}
}

// Masquerade gives forwarded packets the address of the outgoing interface; it
// belongs into a chain of type nat at PostRouting. With ports other than 0 it
// picks, at random, a source port from first to last (TCP and UDP only).
func Masquerade(first, last uint16) Expr {
	const (
		specified = 1 << 1 // NF_NAT_RANGE_PROTO_SPECIFIED
		random    = 1 << 2 // NF_NAT_RANGE_PROTO_RANDOM
	)
	if first == 0 {
		return Expr{{"masq", func(*netlink.Builder) {}}}
	}
	return Expr{
		immediate(unix.NFT_REG_1, binary.BigEndian.AppendUint16(nil, first)),
		immediate(unix.NFT_REG_2, binary.BigEndian.AppendUint16(nil, last)),
		{"masq", func(b *netlink.Builder) {
			b.BE32(unix.NFTA_MASQ_FLAGS, specified|random)
			b.BE32(unix.NFTA_MASQ_REG_PROTO_MIN, unix.NFT_REG_1)
			b.BE32(unix.NFTA_MASQ_REG_PROTO_MAX, unix.NFT_REG_2)
		}},
	}
}

// MaskedMark matches packets whose mark has a value in the bits of a mask.
func MaskedMark(value, mask uint32) Expr {
	return Expr{
		meta(unix.NFT_META_MARK),
		bitwise(binary.NativeEndian.AppendUint32(nil, mask)),
		compare(unix.NFT_CMP_EQ, binary.NativeEndian.AppendUint32(nil, value&mask)),
	}
}

// TCPSyn matches what opens a TCP connection, in either direction (RFC 9293 §3.1).
func TCPSyn() Expr {
	const flagsAt, syn, rst = 13, 1 << 1, 1 << 2
	return append(Proto(unix.IPPROTO_TCP),
		payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, flagsAt, 1),
		bitwise([]byte{syn | rst}),
		compare(unix.NFT_CMP_EQ, []byte{syn}),
	)
}

// ClampMSS lowers the maximum segment size that a SYN tells; it never raises it.
func ClampMSS(limit uint16) Expr {
	return Expr{immediate(unix.NFT_REG_1, binary.BigEndian.AppendUint16(nil, limit)), writeMSS}
}

// ClampMSSToRoute lowers it to what fits the packet's route. It belongs into a
// chain at Forward, Output or PostRouting.
func ClampMSSToRoute() Expr {
	return Expr{
		{"rt", func(b *netlink.Builder) {
			b.BE32(unix.NFTA_RT_DREG, unix.NFT_REG_1)
			b.BE32(unix.NFTA_RT_KEY, unix.NFT_RT_TCPMSS)
		}},
		{"byteorder", func(b *netlink.Builder) {
			b.BE32(unix.NFTA_BYTEORDER_SREG, unix.NFT_REG_1)
			b.BE32(unix.NFTA_BYTEORDER_DREG, unix.NFT_REG_1)
			b.BE32(unix.NFTA_BYTEORDER_OP, unix.NFT_BYTEORDER_HTON)
			b.BE32(unix.NFTA_BYTEORDER_LEN, 2)
			b.BE32(unix.NFTA_BYTEORDER_SIZE, 2)
		}},
		writeMSS,
	}
}

// writeMSS writes register 1 to the MSS option, if it is lower, and corrects the
// checksum.
var writeMSS = statement{"exthdr", func(b *netlink.Builder) {
	const mss = 2 // RFC 9293 §3.2
	b.BE32(unix.NFTA_EXTHDR_SREG, unix.NFT_REG_1)
	b.U8(unix.NFTA_EXTHDR_TYPE, mss)
	b.BE32(unix.NFTA_EXTHDR_OFFSET, 2)
	b.BE32(unix.NFTA_EXTHDR_LEN, 2)
	b.BE32(unix.NFTA_EXTHDR_OP, unix.NFT_EXTHDR_OP_TCPOPT)
}}

// The kernel's own expressions; all of them work on register 1.

func meta(key uint32) statement {
	return statement{"meta", func(b *netlink.Builder) {
		b.BE32(unix.NFTA_META_KEY, key)
		b.BE32(unix.NFTA_META_DREG, unix.NFT_REG_1)
	}}
}

func payload(base, offset uint32, length int) statement {
	return statement{"payload", func(b *netlink.Builder) {
		b.BE32(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG_1)
		b.BE32(unix.NFTA_PAYLOAD_BASE, base)
		b.BE32(unix.NFTA_PAYLOAD_OFFSET, offset)
		b.BE32(unix.NFTA_PAYLOAD_LEN, uint32(length))
	}}
}

func bitwise(mask []byte) statement {
	return statement{"bitwise", func(b *netlink.Builder) {
		b.BE32(unix.NFTA_BITWISE_SREG, unix.NFT_REG_1)
		b.BE32(unix.NFTA_BITWISE_DREG, unix.NFT_REG_1)
		b.BE32(unix.NFTA_BITWISE_LEN, uint32(len(mask)))
		b.Nested(unix.NFTA_BITWISE_MASK, func(b *netlink.Builder) { b.Octets(unix.NFTA_DATA_VALUE, mask) })
		b.Nested(unix.NFTA_BITWISE_XOR, func(b *netlink.Builder) { b.Octets(unix.NFTA_DATA_VALUE, make([]byte, len(mask))) })
	}}
}

func compare(op uint32, value []byte) statement {
	return statement{"cmp", func(b *netlink.Builder) {
		b.BE32(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
		b.BE32(unix.NFTA_CMP_OP, op)
		b.Nested(unix.NFTA_CMP_DATA, func(b *netlink.Builder) { b.Octets(unix.NFTA_DATA_VALUE, value) })
	}}
}

func immediate(register uint32, value []byte) statement {
	return statement{"immediate", func(b *netlink.Builder) {
		b.BE32(unix.NFTA_IMMEDIATE_DREG, register)
		b.Nested(unix.NFTA_IMMEDIATE_DATA, func(b *netlink.Builder) { b.Octets(unix.NFTA_DATA_VALUE, value) })
	}}
}
