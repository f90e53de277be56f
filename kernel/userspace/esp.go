package userspace

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"racoon2/kernel"
)

const (
	espHeaderLen  = 8 // SPI and sequence number (RFC 4303 §2)
	espTrailerLen = 2 // pad length and next header
	maxIVLen      = 16
	maxICVLen     = 32

	// headroom is what seal needs in front of a packet, and tailroom behind it.
	headroom = espHeaderLen + maxIVLen
	tailroom = maxIVLen + espTrailerLen + maxICVLen

	udpHeaderLen = 8

	// softSequence is where an SA without ESN asks to be replaced, in time
	// before its sequence numbers end.
	softSequence = math.MaxUint32 - 1<<28
)

// Causes why a packet cannot be sealed or opened.
var (
	errExpired  = errors.New("hard lifetime of the SA is over")
	errSequence = errors.New("sequence numbers of the SA are used up")
	errReplay   = errors.New("packet was seen before or is too old")
	errPadding  = errors.New("padding of an authentic packet is wrong")
	errShort    = errors.New("packet is shorter than the fields of its protocol")
	errHeader   = errors.New("header that AH cannot cover")
)

// seal makes an ESP packet (RFC 4303 §3.3) of the payload buf[at:end]. It works
// in place: buf has headroom octets in front of at, and tailroom behind end.
// The result lies in buf and ends behind the ICV. The caller holds s.mu.
func (s *sa) seal(buf []byte, at, end int, next uint8) ([]byte, error) {
	if s.dead {
		return nil, errExpired
	}
	seq := s.sequence.last.Add(1)
	if seq > math.MaxUint32 && !s.ESN { // RFC 4303 §3.3.3: MUST NOT cycle
		return nil, errSequence
	}

	// RFC 4303 §2.4: the padding is 1, 2, 3, … up to the alignment.
	pad := -(end - at + espTrailerLen) & (s.align - 1)
	buf = buf[:end+pad+espTrailerLen]
	for i := range pad {
		buf[end+i] = byte(i + 1)
	}
	buf[end+pad], buf[end+pad+1] = byte(pad), next

	start := at - s.ivLen - espHeaderLen
	header := buf[start : start+espHeaderLen]
	binary.BigEndian.PutUint32(header, uint32(s.SPI))
	binary.BigEndian.PutUint32(header[4:], uint32(seq))
	aad, tail := s.additional(header, seq)
	sealed := s.cipher.Seal(header, s.nextIV(seq), buf[at:], aad, tail)
	return sealed, nil
}

// additional is what the integrity check covers besides the packet: the header
// in front, in which AEADs have all 64 bits of an extended sequence number
// (RFC 4106 §5), or the upper half behind (RFC 4303 §2.2.1).
func (s *sa) additional(header []byte, seq uint64) (aad, tail []byte) {
	switch {
	case !s.ESN:
		return header[:espHeaderLen], nil
	case s.aead:
		copy(s.aad[:4], header)
		binary.BigEndian.PutUint64(s.aad[4:], seq)
		return s.aad[:], nil
	default:
		binary.BigEndian.PutUint32(s.aad[:], uint32(seq>>32))
		return header[:espHeaderLen], s.aad[:4]
	}
}

// nextIV is the IV for a sequence number; none where it is implicit (RFC 8750). For counter modes and AEADs
// it is that number, so that it never repeats under a key (RFC 4106 §3.1, RFC
// 7634 §2); for CBC it is random, because it must not be predictable (RFC 3602 §3).
func (s *sa) nextIV(seq uint64) []byte {
	if s.ivLen == 0 {
		return nil
	}
	if s.countsIV {
		binary.BigEndian.PutUint64(s.aeadIV[:], seq)
		return s.aeadIV[:]
	}
	if len(s.ivs) < s.ivLen {
		s.ivs = s.ivPool[:]
		rand.Read(s.ivs) // never fails
	}
	iv := s.ivs[:s.ivLen]
	s.ivs = s.ivs[s.ivLen:]
	return iv
}

// open checks and decrypts an ESP packet in place (RFC 4303 §3.4) and returns
// its payload, without padding. The caller holds s.mu.
func (s *sa) open(esp []byte) (payload []byte, next uint8, err error) {
	if s.dead {
		return nil, 0, errExpired
	}
	if len(esp) < espHeaderLen+s.ivLen+espTrailerLen+s.icvLen {
		return nil, 0, errShort
	}
	seq, known := uint64(binary.BigEndian.Uint32(esp[4:])), true
	if s.ESN {
		seq, known = s.replay.infer(uint32(seq))
	}
	if !known || !s.replay.fresh(seq) {
		s.replayErr++
		return nil, 0, errReplay
	}
	aad, tail := s.additional(esp, seq)
	payload, err = s.cipher.Open(esp[espHeaderLen:], aad, tail)
	if err != nil {
		s.authErr++
		return nil, 0, err
	}
	s.replay.accept(seq) // RFC 4303 §3.4.3: only now
	payload, next, ok := trim(payload)
	if !ok {
		return nil, 0, errPadding
	}
	return payload, next, nil
}

// trim takes the trailer off. RFC 4303 §3.4.4.1: the padding should be looked
// at; it is authentic, so what it shows is an error of the sender.
func trim(b []byte) (payload []byte, next uint8, ok bool) {
	if len(b) < espTrailerLen {
		return nil, 0, false
	}
	n := len(b) - espTrailerLen
	pad, next := int(b[n]), b[n+1]
	if pad > n {
		return nil, 0, false
	}
	for i, v := range b[n-pad : n] {
		if v != byte(i+1) {
			return nil, 0, false
		}
	}
	return b[:n-pad], next, true
}

// room is the largest packet, inner header included, that an ESP packet of
// this SA carries over a path of s.pathMTU octets. header is the length of what
// stays in front of ESP in transport mode.
func (s *sa) room(header int) int {
	outer := ipv4HeaderLen
	if s.Dst.Is6() {
		outer = ipv6HeaderLen
	}
	if s.Mode == kernel.Transport {
		outer = header
	}
	if s.Encap != nil {
		outer += udpHeaderLen
	}
	sealed := s.pathMTU - outer - espHeaderLen - s.ivLen - s.icvLen
	room := sealed&^(s.align-1) - espTrailerLen
	if s.Mode == kernel.Transport {
		room += header
	}
	return room
}

// used counts a packet and says which limits it reached, for the caller to
// tell. The caller holds s.mu.
func (s *sa) used(now time.Time, octets int) (soft, hard bool) {
	s.lastUsed = now
	s.packets++
	s.bytes += uint64(octets)
	return s.limits(now)
}

// limits says which limits are newly reached. The caller holds s.mu.
func (s *sa) limits(now time.Time) (soft, hard bool) {
	age := now.Sub(s.added)
	over := func(l kernel.Lifetime) bool {
		return l.Time > 0 && age >= l.Time || l.Bytes > 0 && s.bytes >= l.Bytes
	}
	if !s.dead && over(s.Hard) {
		s.dead = true
		return false, true
	}
	ending := s.sequence != nil && !s.ESN && s.sequence.last.Load() >= softSequence
	if !s.dying && (over(s.Soft) || ending) {
		s.dying = true
		return true, false
	}
	return false, false
}
