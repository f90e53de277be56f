package dns

import (
	"encoding/binary"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// The sizes of messages.
const (
	headerSize  = 12
	maxQuery    = 4096 // octets of a question that are read; far more than any holds
	minUDP      = 512  // RFC 1035 §4.2.1
	maxUDP      = 1232 // what passes every path unfragmented over IPv6
	maxMessage  = 65535
	optSize     = 11 // an OPT record without options
	questionEnd = 4  // type and class
)

// The bits of the header's second word (RFC 1035 §4.1.1, RFC 4035 §3.1.6).
const (
	bitQR = 1 << 15
	bitTC = 1 << 9
	bitRD = 1 << 8
	bitRA = 1 << 7
	bitAD = 1 << 5
	bitCD = 1 << 4

	opcodeMask = 0xf << 11
	rcodeMask  = 0xf
)

// bitDO is DO in the TTL of an OPT record (RFC 3225 §3).
const bitDO = 1 << 15

// query is what a client has sent.
type query struct {
	id       uint16
	question resolver.Question
	section  []byte // the question section as it came
	class    uint16
	opcode   uint16 // in its place in the header
	rd       bool
	cd       bool
	ad       bool
	edns     bool
	do       bool
	size     int // of the largest answer over UDP
}

// verdict is what becomes of a message from a client.
type verdict uint8

const (
	ignored  verdict = iota // not worth an answer
	rejected                // an answer with a response code
	accepted
	short // ANY: answered at once (RFC 8482)
)

// badVers is the extended response code BADVERS (RFC 6891 §9).
const badVers = mdns.RcodeBadVers

// parse reads a message from a client. Of a rejected one the ID, the flags and,
// where it could be read, the question are there for the answer. names may be nil.
func (q *query) parse(msg []byte, names *nameTable) (verdict, int) {
	*q = query{size: minUDP}
	if len(msg) < headerSize {
		return ignored, 0
	}
	q.id = binary.BigEndian.Uint16(msg)
	bits := binary.BigEndian.Uint16(msg[2:])
	q.rd, q.cd, q.ad = bits&bitRD != 0, bits&bitCD != 0, bits&bitAD != 0
	if bits&bitQR != 0 {
		return ignored, 0 // answering answers could go on for ever
	}
	q.opcode = bits & opcodeMask
	if q.opcode != 0 {
		return rejected, mdns.RcodeNotImplemented
	}
	// One question and nothing but additional records.
	if binary.BigEndian.Uint16(msg[4:]) != 1 || binary.BigEndian.Uint32(msg[6:]) != 0 {
		return rejected, mdns.RcodeFormatError
	}
	off, ok := q.readQuestion(msg, names)
	if !ok {
		return rejected, mdns.RcodeFormatError
	}
	if code := q.readAdditional(msg, off, int(binary.BigEndian.Uint16(msg[10:]))); code != mdns.RcodeSuccess {
		return rejected, code
	}
	return q.judge()
}

// readQuestion reads the one question, and returns the offset behind it.
func (q *query) readQuestion(msg []byte, names *nameTable) (int, bool) {
	end, ok := plainName(msg, headerSize)
	if !ok || len(msg) < end+questionEnd {
		return 0, false
	}
	if q.question.Name, ok = names.find(msg[headerSize:end]); !ok {
		name, _, err := mdns.UnpackDomainName(msg, headerSize)
		if err != nil {
			return 0, false
		}
		if q.question.Name, err = resolver.Canonical(name); err != nil {
			return 0, false
		}
	}
	q.question.Type = binary.BigEndian.Uint16(msg[end:])
	q.class = binary.BigEndian.Uint16(msg[end+2:])
	q.section = msg[headerSize : end+questionEnd]
	return end + questionEnd, true
}

// plainName finds the end of a name without compression, as the first name of a
// message has to be.
func plainName(msg []byte, off int) (end int, ok bool) {
	start := off
	for off < len(msg) {
		n := int(msg[off])
		if n == 0 {
			return off + 1, off+1-start <= 255
		}
		if n > 63 {
			return 0, false
		}
		off += 1 + n
	}
	return 0, false
}

// readAdditional looks for the OPT record among additional ones.
func (q *query) readAdditional(msg []byte, off, count int) int {
	for range count {
		end, ok := skipName(msg, off)
		if !ok || len(msg) < end+10 {
			return mdns.RcodeFormatError
		}
		kind := binary.BigEndian.Uint16(msg[end:])
		size := int(binary.BigEndian.Uint16(msg[end+2:]))
		ttl := binary.BigEndian.Uint32(msg[end+4:])
		data := int(binary.BigEndian.Uint16(msg[end+8:]))
		root := end == off+1
		if off = end + 10 + data; off > len(msg) {
			return mdns.RcodeFormatError
		}
		if kind != mdns.TypeOPT {
			continue
		}
		if q.edns || !root || !wellFormedOptions(msg[end+10:off]) {
			return mdns.RcodeFormatError // RFC 6891 §6.1.1: one, and at the root
		}
		q.edns, q.do = true, ttl&bitDO != 0
		// RFC 6891 §6.2.3: less than 512 counts as 512.
		q.size = min(max(size, minUDP), maxUDP)
		if ttl>>16&0xff != 0 {
			return badVers // RFC 6891 §6.1.3
		}
	}
	if off != len(msg) {
		return mdns.RcodeFormatError
	}
	return mdns.RcodeSuccess
}

// wellFormedOptions says whether the options of an OPT record fill it exactly.
func wellFormedOptions(data []byte) bool {
	for len(data) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(data[2:]))
		if n > len(data) {
			return false
		}
		data = data[n:]
	}
	return len(data) == 0
}

// skipName finds the end of a name, which may be compressed.
func skipName(msg []byte, off int) (end int, ok bool) {
	for off < len(msg) {
		switch n := int(msg[off]); {
		case n == 0:
			return off + 1, true
		case n >= 0xc0:
			return off + 2, off+2 <= len(msg)
		case n > 63:
			return 0, false
		default:
			off += 1 + n
		}
	}
	return 0, false
}

// judge says what a well-formed question gets.
func (q *query) judge() (verdict, int) {
	q.question.DNSSECOK, q.question.CheckingDisabled = q.do, q.cd
	switch t := q.question.Type; {
	case q.class != mdns.ClassINET, !q.rd:
		return rejected, mdns.RcodeRefused
	case t == mdns.TypeANY:
		return short, 0
	case t == 0 || t == mdns.TypeOPT:
		return rejected, mdns.RcodeFormatError
	case t >= 128 && t < 255: // transfers and other meta types (RFC 6895 §3.1)
		return rejected, mdns.RcodeRefused
	}
	return accepted, 0
}
