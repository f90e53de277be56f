package userspace

import (
	"encoding/binary"

	"racoon2/kernel"
)

const (
	tcpHeaderLen = 20
	tcpFlagsAt   = 13
	tcpSYN       = 1 << 1
	tcpSum       = 16

	optionEnd = 0
	optionNOP = 1
	optionMSS = 2 // RFC 9293 §3.2
	mssLen    = 4
)

// clamp bounds the maximum segment size that a SYN, in either direction, tells
// (RFC 9293 §3.7.1), so that segments fit the tunnel where ICMP does not get through.
// room is the largest packet that passes.
func (p *policy) clamp(packet *packet, room int) {
	limit := int(p.MSS)
	switch p.MSS {
	case 0:
		return
	case kernel.MSSFromMTU:
		limit = room - packet.upper - tcpHeaderLen
	}
	if limit > 0 && limit < 65535 {
		packet.clampMSS(uint16(limit))
	}
}

// clampMSS lowers the MSS option of a TCP SYN to a limit, and keeps a good
// checksum good (RFC 1624).
func (p *packet) clampMSS(limit uint16) {
	if p.sel.Proto != protoTCP || p.laterFragment {
		return
	}
	tcp := p.octets[p.upper:]
	if len(tcp) < tcpHeaderLen || tcp[tcpFlagsAt]&tcpSYN == 0 {
		return
	}
	end := int(tcp[12]>>4) * 4
	if end < tcpHeaderLen || end > len(tcp) {
		return
	}
	for at := tcpHeaderLen; at < end; {
		kind := tcp[at]
		if kind == optionEnd {
			return
		}
		if kind == optionNOP {
			at++
			continue
		}
		if end-at < 2 || tcp[at+1] < 2 || int(tcp[at+1]) > end-at {
			return
		}
		if kind == optionMSS && tcp[at+1] == mssLen {
			p.replaceMSS(tcp, at+2, limit)
			return
		}
		at += int(tcp[at+1])
	}
}

func (p *packet) replaceMSS(tcp []byte, at int, limit uint16) {
	old := binary.BigEndian.Uint16(tcp[at:])
	if old <= limit {
		return
	}
	binary.BigEndian.PutUint16(tcp[at:], limit)
	if at%2 == 1 { // the checksum adds it up with its octets the other way round
		old, limit = old<<8|old>>8, limit<<8|limit>>8
	}
	sum := uint64(^binary.BigEndian.Uint16(tcp[tcpSum:])) + uint64(^old) + uint64(limit)
	binary.BigEndian.PutUint16(tcp[tcpSum:], fold(sum))
}
