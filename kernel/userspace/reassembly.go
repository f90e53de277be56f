package userspace

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"racoon2/kernel"
)

const (
	// reassemblyTime is how long fragments wait for the rest. They come from
	// this host or through it, so the rest follows at once or never.
	reassemblyTime = 2 * time.Second
	// reassemblyPackets and reassemblyOctets bound what waits.
	reassemblyPackets = 64
	reassemblyOctets  = 1 << 20
	// reassemblyPieces bounds those of one packet, which each new one is held against:
	// as many as 64 KB have on a link with the least MTU of IPv4 (RFC 791 §3.2).
	reassemblyPieces = 1366
)

// reassembly puts fragments together where ESP or a selector needs the whole
// packet: transport mode (RFC 4303 §3.3.4), policies for some ports (RFC 4301 §7)
// and arriving SAs for some ports (§7.3). Fragments that overlap end their packet
// (RFC 5722). The zero reassembly is ready.
type reassembly struct {
	mu      sync.Mutex
	pending map[fragmentKey]*pieces
	octets  int
}

// fragmentKey says which packet a fragment is of (RFC 791 §3.2, RFC 8200 §4.5).
type fragmentKey struct {
	src, dst netip.Addr
	proto    uint8 // IPv4 only
	id       uint32
	sa       kernel.SPI // that they came from; 0: leaving
}

// pieces is what is there of one packet.
type pieces struct {
	since  time.Time
	header []byte // of the first fragment, nil until it is there
	list   []piece
	total  int // octets of the payload, 0 until the last fragment is there
	octets int
}

type piece struct {
	offset int
	data   []byte
}

// add takes a fragment that came from an SA, or leaves (0), and returns the whole
// packet when this was the last one that it lacked.
func (r *reassembly) add(now time.Time, p *packet, from kernel.SPI) []byte {
	key, header, offset, more, data := p.fragmentFields()
	key.sa = from
	end := offset + len(data)
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.pending[key]
	if len(data) == 0 || more && len(data)%8 != 0 || len(header)+end > maxPacket {
		r.forget(key, x)
		return nil
	}
	if x == nil {
		x = r.begin(now, key)
	}
	overlaps := slices.ContainsFunc(x.list, func(o piece) bool {
		return offset < o.offset+len(o.data) && o.offset < end
	})
	if overlaps || !more && x.total != 0 || x.total != 0 && end > x.total || len(x.list) == reassemblyPieces {
		r.forget(key, x)
		return nil
	}
	for r.octets+len(data) > reassemblyOctets {
		r.dropOne()
	}
	if r.pending[key] != x {
		return nil // it was the one
	}
	if offset == 0 {
		x.header = header
	}
	if !more {
		x.total = end
	}
	x.list = append(x.list, piece{offset, slices.Clone(data)})
	x.octets += len(data)
	r.octets += len(data)
	if x.total == 0 || x.octets != x.total || x.header == nil {
		return nil
	}
	r.forget(key, x)
	return x.whole(p.v6)
}

// begin makes room for another packet: those whose time is over go, and, when
// there are too many, one more.
func (r *reassembly) begin(now time.Time, key fragmentKey) *pieces {
	if r.pending == nil {
		r.pending = make(map[fragmentKey]*pieces)
	}
	for k, x := range r.pending {
		if now.Sub(x.since) > reassemblyTime {
			r.forget(k, x)
		}
	}
	if len(r.pending) >= reassemblyPackets {
		r.dropOne()
	}
	x := &pieces{since: now}
	r.pending[key] = x
	return x
}

// dropOne forgets the oldest packet of the SA that has the most waiting, so that a
// peer whose fragments never end takes room from nobody else.
func (r *reassembly) dropOne() {
	share := make(map[kernel.SPI]int)
	var greedy kernel.SPI
	for k, x := range r.pending {
		share[k.sa] += x.octets + reassemblyOctets/reassemblyPackets // of the packets' bound, too
		if share[k.sa] > share[greedy] || share[k.sa] == share[greedy] && k.sa < greedy {
			greedy = k.sa
		}
	}
	var oldest fragmentKey
	for k, x := range r.pending {
		if k.sa != greedy {
			continue
		}
		if o := r.pending[oldest]; o == nil || x.since.Before(o.since) {
			oldest = k
		}
	}
	r.forget(oldest, r.pending[oldest])
}

func (r *reassembly) forget(key fragmentKey, x *pieces) {
	if x != nil {
		r.octets -= x.octets
		delete(r.pending, key)
	}
}

// whole joins the pieces, which cover the payload without gap or overlap.
func (x *pieces) whole(v6 bool) []byte {
	b := make([]byte, len(x.header)+x.total)
	n := copy(b, x.header)
	for _, p := range x.list {
		copy(b[n+p.offset:], p.data)
	}
	setLength(b[:n], v6, len(b))
	return b
}

// fragmentFields takes a fragment apart. header is a copy of what stands in
// front of the payload, without marks of fragmentation.
func (p *packet) fragmentFields() (key fragmentKey, header []byte, offset int, more bool, data []byte) {
	key = fragmentKey{src: p.src(), dst: p.dst()}
	b := p.octets
	if !p.v6 {
		field := binary.BigEndian.Uint16(b[6:])
		key.proto, key.id = b[9], uint32(binary.BigEndian.Uint16(b[4:]))
		header = slices.Clone(b[:p.upper])
		header[6], header[7] = 0, 0
		return key, header, int(field&0x1fff) * 8, field&0x2000 != 0, b[p.upper:]
	}
	fragment := b[p.fragmentAt:]
	field := binary.BigEndian.Uint16(fragment[2:])
	key.id = binary.BigEndian.Uint32(fragment[4:])
	header = slices.Clone(b[:p.fragmentAt])
	header[p.fragmentNextAt] = fragment[0]
	return key, header, int(field &^ 7), field&1 != 0, fragment[8:]
}
