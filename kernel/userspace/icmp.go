package userspace

import (
	"encoding/binary"
	"sync"
	"time"
)

const (
	icmpUnreachable  = 3 // RFC 792
	icmpFragNeeded   = 4 // its code (RFC 1191 §4)
	icmp6TooBig      = 2 // RFC 4443 §3.2
	icmp6FirstInfo   = 128
	icmpHeaderLen    = 8
	icmp4Limit       = 576 // RFC 1812 §4.3.2.3
	icmpErrorsSecond = 100 // RFC 4443 §2.4 (f): errors are rate-limited
)

// tooBigMessage makes the ICMP or ICMPv6 error that tells a packet's sender
// the largest size that passes; nil when no error may be sent about the packet
// (RFC 1122 §3.2.2, RFC 4443 §2.4). It seems to come from the packet's
// destination, an address that reverse-path filters accept from the device.
func tooBigMessage(p *packet, mtu int) []byte {
	if p.laterFragment || p.src().IsUnspecified() || p.src().IsMulticast() || p.dst().IsMulticast() || p.isICMPError() {
		return nil
	}
	if p.v6 {
		return tooBigMessage6(p, mtu)
	}
	quoted := p.octets[:min(len(p.octets), icmp4Limit-ipv4HeaderLen-icmpHeaderLen)]
	b := make([]byte, ipv4HeaderLen+icmpHeaderLen, icmp4Limit)
	b[0], b[8], b[9] = 0x45, usualHops, protoICMP
	copy(b[12:], p.octets[16:20])
	copy(b[16:], p.octets[12:16])
	icmp := b[ipv4HeaderLen:]
	icmp[0], icmp[1] = icmpUnreachable, icmpFragNeeded
	binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	b = append(b, quoted...)
	binary.BigEndian.PutUint16(b[ipv4HeaderLen+2:], fold(sumOctets(0, b[ipv4HeaderLen:])))
	setLength(b[:ipv4HeaderLen], false, len(b))
	setChecksum4(b[:ipv4HeaderLen])
	return b
}

func tooBigMessage6(p *packet, mtu int) []byte {
	quoted := p.octets[:min(len(p.octets), minMTU6-ipv6HeaderLen-icmpHeaderLen)]
	b := make([]byte, ipv6HeaderLen+icmpHeaderLen, minMTU6)
	b[0], b[6], b[7] = 0x60, protoICMPv6, usualHops
	copy(b[8:], p.octets[24:40])
	copy(b[24:], p.octets[8:24])
	b[ipv6HeaderLen] = icmp6TooBig
	binary.BigEndian.PutUint32(b[ipv6HeaderLen+4:], uint32(mtu))
	b = append(b, quoted...)
	setLength(b, true, len(b))
	var reply packet
	if reply.parse(b) != nil {
		return nil
	}
	reply.setUpperChecksum()
	return b
}

// isICMPError says that the packet is itself an ICMP error.
func (p *packet) isICMPError() bool {
	switch p.sel.Proto {
	case protoICMP: // RFC 1122 §3.2.2: unreachable, source quench, redirect, time exceeded, parameter problem
		switch p.sel.SrcPort.First {
		case 3, 4, 5, 11, 12:
			return true
		}
	case protoICMPv6:
		return p.sel.SrcPort.First < icmp6FirstInfo
	}
	return false
}

// limiter bounds the errors of each second. The zero limiter is ready.
type limiter struct {
	mu     sync.Mutex
	second int64
	sent   int
}

func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now.Unix(); s != l.second {
		l.second, l.sent = s, 0
	}
	l.sent++
	return l.sent <= icmpErrorsSecond
}
