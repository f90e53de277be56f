package userspace

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

const (
	// firstSPI: 0 is never sent and 1 to 255 are reserved (RFC 4303 §2.1).
	firstSPI = 256
	// reservationTime is how long an SPI waits for its SA.
	reservationTime = 5 * time.Minute
	// defaultPathMTU holds while nobody knows the way to the peer.
	defaultPathMTU = 1500
)

// sa is a security association with what the packet path needs of it.
type sa struct {
	// These change only while the core's lock is held for writing. Keys are wiped.
	kernel.SA
	serial   uint64 // the order of installation
	reserved bool   // an SPI that waits for its SA
	pathMTU  int    // of the way to the peer, in octets
	key      fingerprint
	sequence *sequence // outbound only, and not of IPComp

	cipher        transform.Cipher     // of ESP
	integrity     *transform.Integrity // of AH
	aead          bool
	countsIV      bool // IVs are counted; otherwise they are random
	ivLen, icvLen int
	align         int // of payload and trailer together (RFC 4303 §2.4)
	added         time.Time

	mu        sync.Mutex // guards what is below, cipher and integrity
	replay    replayWindow
	aad       [12]byte
	aeadIV    [8]byte
	covered   []byte // room for headers that AH covers, without what changes on the way
	front     []byte // room for those in front of AH
	ivPool    [64 * maxIVLen]byte
	ivs       []byte // what is left of ivPool
	lastUsed  time.Time
	bytes     uint64
	packets   uint64
	replayErr uint64
	authErr   uint64
	dying     bool           // the soft limit was told
	dead      bool           // the hard limit was told
	mapped    netip.AddrPort // what the last Mapping event told, at mappedAt
	mappedAt  time.Time

	compressSkip, compressMisses int // packets that are not tried (RFC 3173 §2.2)
}

// sad is the security association database (RFC 4301 §4.4.2). The core's lock
// guards it.
type sad struct {
	in, out map[kernel.SAID]*sa
	byReq   map[uint32][]*sa // outbound SAs, the newest first
	serial  uint64
	keys    keys
}

func newSAD() sad {
	return sad{
		in:    make(map[kernel.SAID]*sa),
		out:   make(map[kernel.SAID]*sa),
		byReq: make(map[uint32][]*sa),
		keys:  newKeys(),
	}
}

// CPIs that are negotiated (RFC 3173 §3.3).
const (
	firstCPI = 256
	lastCPI  = 61439
)

// reserve finds a free SPI, or CPI, and keeps it for an inbound SA.
func (d *sad) reserve(now time.Time, op kernel.GetSPI) (kernel.SPI, error) {
	switch {
	case op.Proto != kernel.ESP && op.Proto != kernel.AH && op.Proto != kernel.IPComp:
		return 0, fmt.Errorf("SPI for %v: %w", op.Proto, kernel.ErrUnsupported)
	case !op.Dst.IsValid():
		return 0, fmt.Errorf("SPI for %v: a destination address is needed", op.Proto)
	}
	id := kernel.SAID{Dst: op.Dst, Proto: op.Proto}
	for tries := 0; ; tries++ {
		var b [4]byte
		rand.Read(b[:])
		id.SPI = kernel.SPI(binary.BigEndian.Uint32(b[:]))
		if op.Proto == kernel.IPComp {
			id.SPI = firstCPI + id.SPI%(lastCPI-firstCPI+1)
		}
		if id.SPI >= firstSPI && d.in[id] == nil {
			break
		}
		if tries > 1<<16 { // of the CPIs nearly all are taken
			return 0, fmt.Errorf("SPI for %v: no free one was found", op.Proto)
		}
	}
	x := &sa{reserved: true, added: now}
	x.SAID, x.Src, x.Direction, x.Mode, x.ReqID = id, op.Src, kernel.In, op.Mode, op.ReqID
	x.Hard.Time = reservationTime
	d.in[id] = x
	return id.SPI, nil
}

// add installs an SA.
func (d *sad) add(now time.Time, s kernel.SA, pathMTU int) (*sa, error) {
	if err := capabilities.CheckSA(s); err != nil {
		return nil, err
	}
	table := d.out
	if s.Direction == kernel.In {
		table = d.in
	}
	if old := table[s.SAID]; old != nil && !old.reserved {
		return nil, fmt.Errorf("%v: %w", s.SAID, kernel.ErrExists)
	}
	x := &sa{SA: s, serial: d.serial + 1, pathMTU: pathMTU, added: now}
	if err := x.keyed(s); err != nil {
		return nil, fmt.Errorf("%v: %w", s.SAID, err)
	}
	d.serial++
	x.EncrKey, x.IntegKey, x.Encap = nil, nil, cloneEncap(s.Encap)
	if s.Direction == kernel.In {
		x.replay = newReplayWindow(s.Replay)
	} else {
		if s.Proto != kernel.IPComp {
			x.key = d.keys.fingerprint(s)
			x.sequence = d.keys.use(x.key)
		}
		d.byReq[s.ReqID] = slices.Insert(d.byReq[s.ReqID], 0, x)
	}
	table[s.SAID] = x
	return x, nil
}

// keyed makes what an SA protects packets with.
func (s *sa) keyed(of kernel.SA) (err error) {
	switch of.Proto {
	case kernel.ESP:
		s.cipher, err = transform.NewCipher(of.Encr, of.EncrKey, of.Integ, of.IntegKey)
		if err != nil {
			return err
		}
		s.aead, s.countsIV = of.Encr.AEAD(), of.Encr.CountsIV()
		s.ivLen, s.icvLen, s.align = s.cipher.IVSize(), s.cipher.ICVSize(), max(4, s.cipher.BlockSize())
	case kernel.AH:
		s.integrity, err = transform.NewIntegrity(of.Integ, of.IntegKey)
		s.icvLen = of.Integ.ICVLen()
	}
	return err
}

// peer is the other end's address.
func (s *sa) peer() netip.Addr { return peerOf(s.SA) }

func peerOf(s kernel.SA) netip.Addr {
	if s.Direction == kernel.In {
		return s.Src
	}
	return s.Dst
}

// update changes addresses, encapsulation and lifetimes.
func (d *sad) update(op kernel.UpdateSA) (*sa, error) {
	s, table := op.SA, d.out
	if s.Direction == kernel.In {
		table = d.in
	}
	x := table[op.Old()]
	switch {
	case x == nil || x.reserved:
		return nil, fmt.Errorf("%v: %w", op.Old(), kernel.ErrNotFound)
	case table[s.SAID] != nil && table[s.SAID] != x:
		return nil, fmt.Errorf("%v: %w", s.SAID, kernel.ErrExists)
	case !s.Src.IsValid() || !s.Dst.IsValid() || s.Src.Is4() != s.Dst.Is4():
		return nil, fmt.Errorf("%v: needs two addresses of one family, source is %v", s.SAID, s.Src)
	}
	d.move(x, s)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.Soft, x.Hard, x.dying = s.Soft, s.Hard, false
	return x, nil
}

// move gives an SA the addresses and encapsulation of s.
func (d *sad) move(x *sa, s kernel.SA) {
	table := d.out
	if x.Direction == kernel.In {
		table = d.in
	}
	delete(table, x.SAID)
	table[s.SAID] = x
	x.mu.Lock()
	defer x.mu.Unlock()
	x.SAID, x.Src, x.Encap, x.mapped = s.SAID, s.Src, cloneEncap(s.Encap), netip.AddrPort{}
}

// find returns an SA or a reservation, nil when there is none.
func (d *sad) find(id kernel.SAID) *sa {
	if x := d.in[id]; x != nil {
		return x
	}
	return d.out[id]
}

// remove takes an SA out; what is known of the use of its key stays.
func (d *sad) remove(x *sa) {
	if x.Direction == kernel.In {
		delete(d.in, x.SAID)
		return
	}
	delete(d.out, x.SAID)
	left := slices.DeleteFunc(d.byReq[x.ReqID], func(y *sa) bool { return y == x })
	if len(left) == 0 {
		delete(d.byReq, x.ReqID)
	} else {
		d.byReq[x.ReqID] = left
	}
	if x.sequence != nil {
		d.keys.retire(x.key)
	}
}

// all returns every SA but the reservations, the oldest first.
func (d *sad) all() []*sa {
	var list []*sa
	for _, table := range []map[kernel.SAID]*sa{d.in, d.out} {
		for _, x := range table {
			if !x.reserved {
				list = append(list, x)
			}
		}
	}
	slices.SortFunc(list, func(a, b *sa) int { return int(int64(a.serial - b.serial)) })
	return list
}

// state is the SA as it is reported: without keys.
func (s *sa) state() kernel.SAState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := kernel.SAState{
		SA: s.SA, Added: s.added, LastUsed: s.lastUsed,
		Bytes: s.bytes, Packets: s.packets, ReplayErr: s.replayErr, AuthErr: s.authErr,
	}
	st.Encap = cloneEncap(s.Encap)
	return st
}

func cloneEncap(e *kernel.Encap) *kernel.Encap {
	if e == nil {
		return nil
	}
	c := *e
	return &c
}
