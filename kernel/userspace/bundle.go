package userspace

import (
	"encoding/binary"
	"net/netip"
	"time"

	"racoon2/kernel"
)

const (
	// maxHeader bounds what stands in front of a payload in transport mode: an
	// IPv4 header, or an IPv6 one with an extension header as long as any may be.
	maxHeader = 2560
	// bundleHead and bundleTail are what a bundle adds in front of and behind a packet.
	bundleHead = maxHeader + headroom + maxAHLen
	bundleTail = tailroom
)

// workshop is where packets are built that more than one SA protects, or AH or
// IPComp.
type workshop struct {
	buf  [bundleHead + maxPacket + bundleTail]byte
	room [maxPacket]byte // of compressed data

	start, end int    // of the payload, in buf
	next       uint8  // what the payload is
	header     []byte // what goes in front of it, elsewhere
	nextAt     int    // of the octet in header that says what the payload is
	v6         bool
	fresh      [ipv6HeaderLen]byte // room for the header of a tunnel
}

// bundle makes the packet of several SAs, the innermost first.
func (c *core) bundle(now time.Time, chain []*sa, out *outgoing) error {
	if out.workshop == nil {
		out.workshop = new(workshop)
	}
	w, p := out.workshop, &out.packet
	w.begin(chain[0], p)
	if len(w.header) > maxHeader {
		return errHeader
	}
	size := len(p.octets)
	for _, x := range chain {
		if err := c.use(now, x, size, func() error { return w.add(c, x) }); err != nil {
			return err
		}
	}
	last := chain[len(chain)-1]
	switch {
	case last.Encap != nil:
		out.header, out.esp = nil, w.buf[w.start:w.end]
	case last.Proto == kernel.ESP && chain[0].Mode == kernel.Tunnel: // the host makes the header
		out.header, out.esp = nil, w.buf[w.start:w.end]
		out.tos, out.hops = p.tos, 0
	case last.Proto == kernel.AH: // its header is in place
		out.header = w.buf[w.start-len(w.header) : w.start]
		out.esp = w.buf[w.start:w.end]
	default:
		out.header = w.place()
		out.esp = w.buf[w.start:w.end]
	}
	return nil
}

// begin takes a packet: all of it as the payload of a tunnel, or what is behind
// its headers.
func (w *workshop) begin(innermost *sa, p *packet) {
	at := 0
	w.v6, w.nextAt, w.next, w.header = p.v6, p.nextAt, p.next, p.octets[:p.insert]
	if innermost.Mode == kernel.Tunnel {
		w.next = protoIPv4
		if p.v6 {
			w.next = protoIPv6
		}
		w.tunnel(innermost.Src, innermost.Dst, p.tos)
	} else {
		at = p.insert
	}
	w.start = bundleHead
	w.end = w.start + copy(w.buf[w.start:], p.octets[at:])
}

// tunnel makes the header of a tunnel (RFC 4301 §5.1.2, RFC 6040 §4.1): DSCP and
// ECN are copied, and DF is clear.
func (w *workshop) tunnel(src, dst netip.Addr, tos uint8) {
	h := w.fresh[:0]
	w.v6 = dst.Is6()
	if w.v6 {
		w.nextAt = 6
		a, b := src.As16(), dst.As16()
		h = append(h, 0x60|tos>>4, tos<<4, 0, 0, 0, 0, 0, usualHops)
		w.header = append(append(h, a[:]...), b[:]...)
		return
	}
	w.nextAt = 9
	a, b := src.As4(), dst.As4()
	h = append(h, 0x45, tos, 0, 0, 0, 0, 0, 0, usualHops, 0, 0, 0)
	w.header = append(append(h, a[:]...), b[:]...)
}

// add puts an SA's transform around the payload. The caller holds x.mu.
func (w *workshop) add(c *core, x *sa) (err error) {
	switch x.Proto {
	case kernel.IPComp:
		w.end, w.next, err = x.deflatePayload(&c.codecs, w.buf[:], w.start, w.end, w.next, w.room[:])
		return err
	case kernel.AH:
		w.start -= x.ahLen()
		next := w.next
		w.next = protoAH
		return x.sealAH(w.placed(c), w.buf[w.start:w.end], next)
	}
	sealed, err := x.seal(w.buf[:], w.start, w.end, w.next)
	if err != nil {
		return err
	}
	w.start -= espHeaderLen + x.ivLen
	w.end = w.start + len(sealed)
	w.next = protoESP
	return nil
}

// placed is place with an IPv4 identification, which AH covers and which the host
// would choose where there is none.
func (w *workshop) placed(c *core) []byte {
	header := w.place()
	if !w.v6 && header[4] == 0 && header[5] == 0 {
		id := uint16(c.identification.Add(1))
		if id == 0 {
			id = uint16(c.identification.Add(1))
		}
		binary.BigEndian.PutUint16(header[4:], id)
		setChecksum4(header)
	}
	return header
}

// place copies the header in front of the payload and completes it.
func (w *workshop) place() []byte {
	at := w.start - len(w.header)
	header := w.buf[at:w.start]
	copy(header, w.header)
	header[w.nextAt] = w.next
	setLength(header, w.v6, w.end-at)
	return header
}

// room is the largest packet, inner header included, that a chain of SAs carries
// over the outermost one's path. header is the length of what stays in front
// in transport mode.
func room(chain []*sa, header int) int {
	last := chain[len(chain)-1]
	if len(chain) == 1 && last.Proto == kernel.ESP {
		return last.room(header)
	}
	outer := header
	if chain[0].Mode == kernel.Tunnel {
		outer = ipv4HeaderLen
		if last.Dst.Is6() {
			outer = ipv6HeaderLen
		}
	}
	left := last.pathMTU - outer
	for i := len(chain) - 1; i >= 0; i-- {
		x := chain[i]
		switch x.Proto {
		case kernel.AH:
			left -= x.ahLen()
		case kernel.ESP:
			if x.Encap != nil {
				left -= udpHeaderLen
			}
			left = (left-espHeaderLen-x.ivLen-x.icvLen)&^(x.align-1) - espTrailerLen
		}
	}
	if chain[0].Mode == kernel.Transport {
		left += header
	}
	return left
}
