package userspace

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"racoon2/kernel"
)

const (
	// ipcompHeaderLen is next header, flags and CPI (RFC 3173 §3).
	ipcompHeaderLen = 4
	// compressThreshold is the length below which nothing is compressed
	// (RFC 2394 §2.3 leaves it to the implementation; 90 octets is what others take).
	compressThreshold = 90
	// compressPause bounds for how many packets an SA gives up, after packets
	// that did not get smaller.
	compressPause = 64
)

// errCompressed says that a packet's data is not what DEFLATE makes, or too much.
var errCompressed = errors.New("compressed data is malformed or too large")

// codecs lends out compressors and decompressors, which are large.
type codecs struct{ deflate, inflate sync.Pool }

// deflater compresses packets by themselves (RFC 3173 §2: stateless).
type deflater struct {
	w    *flate.Writer
	room bounded
}

// bounded takes no more than it has room for.
type bounded struct {
	b []byte
	n int
}

func (w *bounded) Write(p []byte) (int, error) {
	n := copy(w.b[w.n:], p)
	w.n += n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// compress compresses payload into room; false when the result does not fit.
func (c *codecs) compress(room, payload []byte) ([]byte, bool) {
	d, _ := c.deflate.Get().(*deflater)
	if d == nil {
		w, err := flate.NewWriter(nil, flate.BestSpeed)
		if err != nil {
			panic(err) // the level is a good one
		}
		d = &deflater{w: w}
	}
	defer c.deflate.Put(d)
	d.room = bounded{b: room}
	d.w.Reset(&d.room)
	_, err := d.w.Write(payload)
	if err = errors.Join(err, d.w.Close()); err != nil {
		return nil, false
	}
	return room[:d.room.n], true
}

// inflater is compress the other way.
type inflater struct {
	r  io.Reader
	in bytes.Reader
}

// decompress decompresses data into room; an error when it is malformed or more
// than there is room for, however small it was.
func (c *codecs) decompress(room, data []byte) ([]byte, error) {
	d, _ := c.inflate.Get().(*inflater)
	if d == nil {
		d = new(inflater)
		d.r = flate.NewReader(&d.in)
	}
	defer c.inflate.Put(d)
	d.in.Reset(data)
	if err := d.r.(flate.Resetter).Reset(&d.in, nil); err != nil {
		return nil, errCompressed
	}
	n := 0
	for n < len(room) {
		m, err := d.r.Read(room[n:])
		n += m
		if err == io.EOF {
			return room[:n], nil
		}
		if err != nil {
			return nil, errCompressed
		}
	}
	var more [1]byte
	if m, err := d.r.Read(more[:]); m > 0 || err != io.EOF {
		return nil, errCompressed
	}
	return room, nil
}

// deflatePayload puts IPComp around buf[at:end], in place, and returns its end and
// what follows the header in front: nothing changes when it would not get
// smaller (RFC 3173 §2.2). room is as large as the payload. The caller holds s.mu.
func (s *sa) deflatePayload(c *codecs, buf []byte, at, end int, next uint8, room []byte) (int, uint8, error) {
	if s.dead {
		return 0, 0, errExpired
	}
	payload := buf[at:end]
	if len(payload) < compressThreshold {
		return end, next, nil
	}
	if s.compressSkip > 0 { // RFC 3173 §2.2: adapt to what does not get smaller
		s.compressSkip--
		return end, next, nil
	}
	small, ok := c.compress(room[:len(payload)-ipcompHeaderLen-1], payload)
	if !ok {
		s.compressMisses = min(2*s.compressMisses+1, compressPause)
		s.compressSkip = s.compressMisses - 1
		return end, next, nil
	}
	s.compressMisses = 0
	payload[0], payload[1] = next, 0
	binary.BigEndian.PutUint16(payload[2:], uint16(s.SPI))
	return at + ipcompHeaderLen + copy(payload[ipcompHeaderLen:], small), uint8(kernel.IPComp), nil
}

// inflatePayload takes IPComp off (RFC 3173 §2.1). The caller holds s.mu.
func (s *sa) inflatePayload(c *codecs, packet, room []byte) (payload []byte, next uint8, err error) {
	switch {
	case s.dead:
		return nil, 0, errExpired
	case len(packet) < ipcompHeaderLen:
		return nil, 0, errShort
	}
	// RFC 3173 §3.3: flags are ignored.
	payload, err = c.decompress(room, packet[ipcompHeaderLen:])
	return payload, packet[0], err
}
