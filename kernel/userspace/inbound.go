package userspace

import (
	"encoding/binary"
	"net/netip"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// arrival is what is known of an ESP packet besides its octets.
type arrival struct {
	src, dst netip.Addr
	header   []byte // the IPv4 header with its options, where the host gave it
	tos      uint8  // DSCP and ECN of the outer header; 0 where they are not known
	hops     uint8  // TTL or hop limit; 0 where it is not known
	encap    bool   // in UDP
	port     uint16 // the sender's, in UDP
}

// usualHops stands for a hop limit that is not known.
const usualHops = 64

// inbound opens an ESP packet and returns what is to be delivered, nil when
// that is nothing. The result lies in esp or in scratch.
func (c *core) inbound(now time.Time, from *arrival, esp, scratch []byte) []byte {
	if len(esp) < espHeaderLen {
		c.counts.add(inShort)
		return nil
	}
	id := kernel.SAID{Dst: from.dst, Proto: kernel.ESP, SPI: kernel.SPI(binary.BigEndian.Uint32(esp))}
	c.mu.RLock()
	defer c.mu.RUnlock()
	x := c.sad.in[id]
	if x == nil || x.reserved {
		c.counts.add(inNoSA)
		return nil
	}
	payload, next, ok := c.unseal(now, x, from, esp)
	if !ok || next == protoNoNext { // RFC 4303 §2.6: a dummy packet is dropped without a word
		return nil
	}
	var p packet
	if x.Mode == kernel.Tunnel {
		ok = c.tunnelled(&p, from, payload, next)
	} else {
		ok = c.transported(&p, from, payload, next, scratch)
	}
	if !ok || !c.permitted(x, &p) {
		return nil
	}
	if x.Mode == kernel.Transport && from.encap {
		p.setUpperChecksum()
	}
	c.counts.add(inProtected)
	return p.octets
}

// unseal opens a packet and tells what its SA has to tell.
func (c *core) unseal(now time.Time, x *sa, from *arrival, esp []byte) (payload []byte, next uint8, ok bool) {
	x.mu.Lock()
	payload, next, err := x.open(esp)
	var soft, hard bool
	var moved kernel.Event
	if err == nil {
		soft, hard = x.used(now, len(payload))
		moved = x.moved(from)
	}
	x.mu.Unlock()
	if soft || hard {
		c.emit(x.expire(hard))
	}
	if moved != nil {
		c.emit(moved)
	}
	switch err {
	case nil:
		return payload, next, true
	case errExpired:
		c.counts.add(inNoSA)
	case errReplay:
		c.counts.add(inReplay)
	case errShort:
		c.counts.add(inShort)
	case transform.ErrIntegrity:
		c.counts.add(inIntegrity)
	default:
		c.counts.add(inPadding)
	}
	return nil, 0, false
}

// moved tells, once for each new place, that an authentic packet of an
// encapsulated SA came from elsewhere (RFC 7296 §2.23). The caller holds s.mu.
func (s *sa) moved(from *arrival) kernel.Event {
	if s.Encap == nil || !from.encap {
		return nil
	}
	old, now := netip.AddrPortFrom(s.Src, s.Encap.Remote), netip.AddrPortFrom(from.src, from.port)
	if now == old {
		s.mapped = netip.AddrPort{}
		return nil
	}
	if now == s.mapped {
		return nil
	}
	s.mapped = now
	return kernel.Mapping{ID: s.SAID, Old: old, New: now}
}

// tunnelled takes the packet out of a tunnel (RFC 4301 §5.2.1).
func (c *core) tunnelled(p *packet, from *arrival, payload []byte, next uint8) bool {
	if next != protoIPv4 && next != protoIPv6 {
		c.counts.add(inMode)
		return false
	}
	if p.parse(payload) != nil || p.v6 != (next == protoIPv6) {
		c.counts.add(inMalformed)
		return false
	}
	ecn, ok := decapsulatedECN(p.ecn(), from.tos&3)
	if !ok {
		c.counts.add(inECN)
		return false
	}
	p.setECN(ecn)
	return true
}

// The ECN codepoints (RFC 3168 §5).
const (
	notECT = 0
	ect1   = 1
	ect0   = 2
	ce     = 3
)

// decapsulatedECN is the table of RFC 6040 §4.2: the inner packet's new ECN
// field; false when it must be dropped.
func decapsulatedECN(inner, outer uint8) (uint8, bool) {
	switch {
	case outer == ce && inner == notECT:
		return 0, false
	case outer == ce && inner != notECT:
		return ce, true
	case outer == ect1 && inner == ect0:
		return ect1, true
	}
	return inner, true
}

// transported puts the IP header back in front of a payload.
func (c *core) transported(p *packet, from *arrival, payload []byte, next uint8, scratch []byte) bool {
	header := scratch[:0]
	v6 := from.dst.Is6()
	hops := from.hops
	if hops == 0 {
		hops = usualHops
	}
	nextAt := 6
	switch {
	case len(from.header) > 0:
		header, nextAt = append(header, from.header...), 9
		header[6], header[7] = 0, 0 // fragments were put together
	case v6:
		header = append(header, 0x60|from.tos>>4, from.tos<<4, 0, 0, 0, 0, 0, hops)
		src, dst := from.src.As16(), from.dst.As16()
		header = append(append(header, src[:]...), dst[:]...)
	default:
		nextAt = 9
		header = append(header, 0x45, from.tos, 0, 0, 0, 0, 0, 0, hops, 0, 0, 0)
		src, dst := from.src.As4(), from.dst.As4()
		header = append(append(header, src[:]...), dst[:]...)
	}
	octets := append(header, payload...)
	if len(octets) > 65535 {
		c.counts.add(inMalformed)
		return false
	}
	octets[nextAt] = next
	setLength(octets[:len(header)], v6, len(octets))
	if p.parse(octets) != nil {
		c.counts.add(inMalformed)
		return false
	}
	return true
}

// permitted checks a packet against the SA's selector and the inbound policies
// (RFC 4301 §5.2 step 4).
func (c *core) permitted(x *sa, p *packet) bool {
	if x.Selector != (kernel.Selector{}) && !x.Selector.Matches(p.sel) {
		c.counts.add(inSelector)
		return false
	}
	policy, _ := c.spd.match(kernel.In, p)
	if policy == nil || policy.Action != kernel.Protect || !x.does(policy.Templates[0]) {
		c.counts.add(inPolicy)
		return false
	}
	return true
}

// does says whether an SA is what a template asks for.
func (s *sa) does(t kernel.Template) bool {
	return s.Mode == t.Mode && s.Proto == t.Proto && (t.ReqID == 0 || t.ReqID == s.ReqID)
}
