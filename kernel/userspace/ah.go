package userspace

import (
	"crypto/subtle"
	"encoding/binary"
	"math"

	"racoon2/ikev2/transform"
)

const (
	// ahFixedLen is AH without its ICV (RFC 4302 §2).
	ahFixedLen = 12
	// maxAHLen is AH with the longest ICV and padding.
	maxAHLen = ahFixedLen + maxICVLen + 4
)

// ahLen is the length of AH of this SA: a multiple of 32 bits in IPv4 and of 64
// bits in IPv6 (RFC 4302 §3.3.3.2.1).
func (s *sa) ahLen() int {
	n := ahFixedLen + s.icvLen
	if s.Dst.Is6() {
		n = (n + 7) &^ 7
	}
	return n
}

// sealAH fills in the AH at the start of ah, which has the payload behind it.
// header stands in front of it, as it will arrive. The caller holds s.mu.
func (s *sa) sealAH(header, ah []byte, next uint8) error {
	if s.dead {
		return errExpired
	}
	seq := s.sequence.last.Add(1)
	if seq > math.MaxUint32 && !s.ESN { // RFC 4302 §3.3.2: MUST NOT cycle
		return errSequence
	}
	n := s.ahLen()
	clear(ah[:n])
	ah[0], ah[1] = next, uint8(n/4-2)
	binary.BigEndian.PutUint32(ah[4:], uint32(s.SPI))
	binary.BigEndian.PutUint32(ah[8:], uint32(seq))
	icv, ok := s.ahICV(header, ah, seq)
	if !ok {
		return errHeader
	}
	copy(ah[ahFixedLen:], icv)
	return nil
}

// ahICV is the integrity check value over a packet whose ICV field is zero
// (RFC 4302 §3.3.3); false for headers that AH cannot cover.
func (s *sa) ahICV(header, ah []byte, seq uint64) ([]byte, bool) {
	var ok bool
	if s.covered, ok = appendCovered(s.covered[:0], header); !ok {
		return nil, false
	}
	var high []byte
	if s.ESN { // RFC 4302 §3.3.3.2.2: the upper half comes behind the payload
		binary.BigEndian.PutUint32(s.aad[:], uint32(seq>>32))
		high = s.aad[:4]
	}
	return s.integrity.Sum(s.covered, ah, high), true
}

// openAH checks an AH packet (RFC 4302 §3.4) and returns its payload. The caller
// holds s.mu.
func (s *sa) openAH(from *arrival, ah []byte) (payload []byte, next uint8, err error) {
	n := s.ahLen()
	switch {
	case s.dead:
		return nil, 0, errExpired
	case len(ah) < n || (int(ah[1])+2)*4 != n:
		return nil, 0, errShort
	}
	seq, known := uint64(binary.BigEndian.Uint32(ah[8:])), true
	if s.ESN {
		seq, known = s.replay.infer(uint32(seq))
	}
	if !known || !s.replay.fresh(seq) {
		s.replayErr++
		return nil, 0, errReplay
	}
	var received [maxICVLen]byte
	field := ah[ahFixedLen : ahFixedLen+s.icvLen]
	copy(received[:], field)
	clear(field)
	s.front = from.coveredHeader(s.front[:0], len(ah))
	icv, ok := s.ahICV(s.front, ah, seq)
	if !ok || subtle.ConstantTimeCompare(icv, received[:s.icvLen]) != 1 {
		s.authErr++
		return nil, 0, transform.ErrIntegrity
	}
	s.replay.accept(seq) // RFC 4302 §3.4.3: only now
	return ah[n:], ah[0], nil
}

// coveredHeader is the header in front of AH as it was sent, but for fields that
// change on the way: the one that the host gave, or an IPv6 one made of what
// it told.
func (from *arrival) coveredHeader(dst []byte, payload int) []byte {
	if len(from.header) > 0 || from.dst.Is4() { // the host always gives IPv4's
		return append(dst, from.header...)
	}
	first := uint8(protoAH)
	if len(from.extensions) > 0 {
		first = from.firstExtension
	}
	dst = append(dst, 0x60, 0, 0, 0, 0, 0, first, 0)
	src, to := from.src.As16(), from.dst.As16()
	dst = append(append(append(dst, src[:]...), to[:]...), from.extensions...)
	setLength(dst, true, len(dst)+payload)
	return dst
}

// appendCovered appends a header with zeros in place of all that may change on
// the way (RFC 4302 §3.3.3.1).
func appendCovered(dst, header []byte) ([]byte, bool) {
	start := len(dst)
	dst = append(dst, header...)
	b := dst[start:]
	switch {
	case len(b) >= ipv4HeaderLen && b[0]>>4 == 4:
		return dst, zeroMutable4(b)
	case len(b) >= ipv6HeaderLen && b[0]>>4 == 6:
		return dst, zeroMutable6(b)
	}
	return dst, false
}

// zeroMutable4 zeroes DSCP and ECN, flags, fragment offset, TTL, checksum, and
// whole options (RFC 4302 §3.3.3.1.1, Appendix A1). A source route that is not
// used up is refused: the destination that AH covers would not be there yet.
func zeroMutable4(b []byte) bool {
	b[1], b[6], b[7], b[8], b[10], b[11] = 0, 0, 0, 0, 0, 0
	const (
		end, nop       = 0, 1
		looseRoute     = 131
		strictRoute    = 137
		security       = 130
		extended       = 133
		commercial     = 134
		routerAlert    = 148
		multiDirection = 149
	)
	for o := b[ipv4HeaderLen:]; len(o) > 0; {
		if o[0] == end {
			return true
		}
		if o[0] == nop {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return false
		}
		option := o[:o[1]]
		o = o[len(option):]
		switch option[0] {
		case security, extended, commercial, routerAlert, multiDirection:
		case looseRoute, strictRoute:
			if len(option) < 3 || int(option[2]) <= len(option) {
				return false
			}
			clear(option)
		default:
			clear(option)
		}
	}
	return true
}

// zeroMutable6 zeroes traffic class, flow label, hop limit and the options that
// say that they may change (RFC 4302 §3.3.3.1.2, RFC 8200 §4.2). A routing header
// must be used up.
func zeroMutable6(b []byte) bool {
	b[0], b[1], b[2], b[3], b[7] = 0x60, 0, 0, 0, 0
	for proto, rest := b[6], b[ipv6HeaderLen:]; len(rest) > 0; {
		if len(rest) < 8 || len(rest) < 8+8*int(rest[1]) {
			return false
		}
		header := rest[:8+8*int(rest[1])]
		switch proto {
		case protoHopOpts, protoDstOpts:
			if !zeroOptions6(header[2:]) {
				return false
			}
		case protoRouting:
			if header[3] != 0 {
				return false
			}
		default:
			return false
		}
		proto, rest = header[0], rest[len(header):]
	}
	return true
}

// zeroOptions6 zeroes the data of options whose third bit says that they may
// change (RFC 8200 §4.2).
func zeroOptions6(o []byte) bool {
	const pad1, mayChange = 0, 0x20
	for len(o) > 0 {
		if o[0] == pad1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || 2+int(o[1]) > len(o) {
			return false
		}
		if o[0]&mayChange != 0 {
			clear(o[2 : 2+o[1]])
		}
		o = o[2+int(o[1]):]
	}
	return true
}
