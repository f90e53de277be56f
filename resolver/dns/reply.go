package dns

import (
	"encoding/binary"
	"net/netip"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// ttlRange is what TTLs are brought into, in seconds.
type ttlRange struct{ floor, ceiling uint32 }

// respond appends the message that answers a query to dst, which is empty.
// limit is the greatest size; what is larger becomes empty with TC.
func (q *query) respond(dst []byte, r *resolver.Reply, ttls ttlRange, limit int) []byte {
	octets := r.Octets
	if octets == nil && (len(r.Addresses) > 0 || len(r.Names) > 0) {
		octets = localOctets(r)
	}
	if !q.fits(octets) {
		code := int(r.RCode)
		if octets != nil {
			code = mdns.RcodeServerFailure
		}
		return q.bare(dst, code, 0)
	}
	if len(octets)+q.optLen() > limit {
		return q.bare(dst, int(r.RCode), bitTC)
	}
	dst = append(dst, octets...)
	// RFC 6840 §5.8: AD is for those who ask for it.
	var bits uint16
	if r.Authentic && (q.ad || q.do) {
		bits = bitAD
	}
	q.header(dst, int(r.RCode), bits)
	copy(dst[headerSize:], q.section) // in the client's letters
	if r.Octets != nil {
		age(dst, r.Age, r.Stale, ttls)
	}
	return q.appendOPT(dst, int(r.RCode))
}

// fits says whether octets answer this question.
func (q *query) fits(octets []byte) bool {
	return len(octets) >= headerSize+len(q.section) &&
		equalFold(octets[headerSize:headerSize+len(q.section)-questionEnd], q.section[:len(q.section)-questionEnd])
}

// bare appends an answer without records.
func (q *query) bare(dst []byte, code int, bits uint16) []byte {
	var header [headerSize]byte
	dst = append(dst, header[:]...)
	if len(q.section) > 0 {
		dst = append(dst, q.section...)
		binary.BigEndian.PutUint16(dst[4:], 1)
	}
	q.header(dst, code, bits)
	return q.appendOPT(dst, code)
}

// header writes ID and flags.
func (q *query) header(msg []byte, code int, bits uint16) {
	bits |= bitQR | bitRA | q.opcode | uint16(code)&rcodeMask
	if q.rd {
		bits |= bitRD
	}
	if q.cd {
		bits |= bitCD // RFC 4035 §3.2.2
	}
	binary.BigEndian.PutUint16(msg, q.id)
	binary.BigEndian.PutUint16(msg[2:], bits)
}

func (q *query) optLen() int {
	if q.edns {
		return optSize
	}
	return 0
}

// appendOPT appends an OPT record, to those who sent one (RFC 6891 §6.1.1).
func (q *query) appendOPT(msg []byte, code int) []byte {
	if !q.edns {
		return msg
	}
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])+1)
	msg = append(msg, 0, 0, byte(mdns.TypeOPT), maxUDP>>8, maxUDP&0xff, byte(code>>4), 0, 0, 0, 0, 0)
	if q.do {
		msg[len(msg)-4] = bitDO >> 8
	}
	return msg
}

// age brings the TTLs of a message to what is left of them. A message that it
// does not understand stays as it is: it was packed here.
func age(msg []byte, seconds uint32, stale bool, ttls ttlRange) {
	off, ok := skipName(msg, headerSize)
	if !ok {
		return
	}
	off += questionEnd
	records := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	for range records {
		end, ok := skipName(msg, off)
		if !ok || len(msg) < end+10 {
			return
		}
		ttl := min(max(lifetime(binary.BigEndian.Uint32(msg[end+4:])), ttls.floor), ttls.ceiling)
		switch {
		case stale:
			ttl = resolver.StaleTTL
		case ttl > seconds:
			ttl -= seconds
		default:
			ttl = 0
		}
		binary.BigEndian.PutUint32(msg[end+4:], ttl)
		off = end + 10 + int(binary.BigEndian.Uint16(msg[end+8:]))
	}
}

// localOctets makes the message of an answer that the core knows by itself.
func localOctets(r *resolver.Reply) []byte {
	m := mdns.Msg{Compress: true}
	m.Question = []mdns.Question{{Name: r.Question.Name, Qtype: r.Question.Type, Qclass: mdns.ClassINET}}
	head := mdns.RR_Header{Name: r.Question.Name, Rrtype: r.Question.Type, Class: mdns.ClassINET, Ttl: resolver.LocalTTL}
	for _, a := range r.Addresses {
		m.Answer = append(m.Answer, addressRecord(head, a))
	}
	for _, n := range r.Names {
		m.Answer = append(m.Answer, &mdns.PTR{Hdr: head, Ptr: n})
	}
	octets, err := m.Pack()
	if err != nil {
		return nil // a name that DNS cannot carry: Canonical lets none pass
	}
	return octets
}

func addressRecord(head mdns.RR_Header, a netip.Addr) mdns.RR {
	if head.Rrtype == mdns.TypeA {
		return &mdns.A{Hdr: head, A: a.AsSlice()}
	}
	return &mdns.AAAA{Hdr: head, AAAA: a.AsSlice()}
}

// shortAny is RFC 8482 §4.2's answer to ANY.
func (q *query) shortAny(dst []byte) []byte {
	m := mdns.Msg{Compress: true}
	m.Question = []mdns.Question{{Name: q.question.Name, Qtype: mdns.TypeANY, Qclass: mdns.ClassINET}}
	head := mdns.RR_Header{Name: q.question.Name, Rrtype: mdns.TypeHINFO, Class: mdns.ClassINET, Ttl: 3600}
	m.Answer = []mdns.RR{&mdns.HINFO{Hdr: head, Cpu: "RFC8482"}}
	octets, err := m.Pack()
	if err != nil || !q.fits(octets) {
		return q.bare(dst, mdns.RcodeServerFailure, 0)
	}
	dst = append(dst, octets...)
	q.header(dst, mdns.RcodeSuccess, 0)
	copy(dst[headerSize:], q.section)
	return q.appendOPT(dst, mdns.RcodeSuccess)
}
