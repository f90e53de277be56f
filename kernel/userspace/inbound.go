package userspace

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// arrival is what is known of an ESP, AH or IPComp packet besides its octets.
type arrival struct {
	proto    kernel.Protocol
	src, dst netip.Addr
	header   []byte // the IPv4 header with its options, where the host gave it

	// Of IPv6, where the host gave them: the extension headers in front, and
	// what the first of them is.
	extensions     []byte
	firstExtension uint8

	tos   uint8  // DSCP and ECN of the outer header; 0 where they are not known
	hops  uint8  // TTL or hop limit; 0 where it is not known
	encap bool   // in UDP
	port  uint16 // the sender's, in UDP
}

// usualHops stands for a hop limit that is not known.
const usualHops = 64

// maxFront is how much transported puts in front of a payload at most.
const maxFront = 64

// inbound takes a packet's transforms off, the outermost first, and returns what
// is to be delivered, nil when that is nothing. The result lies in packet or in
// scratch.
func (c *core) inbound(now time.Time, from *arrival, packet, scratch []byte) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var opened [kernel.MaxTemplates]*sa
	n, proto, payload, next := 0, from.proto, packet, uint8(0)
	for {
		x := c.lookup(from.dst, proto, payload)
		if x == nil {
			return nil
		}
		var ok bool
		payload, next, ok = c.unseal(now, x, from, payload, scratch)
		if !ok || next == protoNoNext { // RFC 4303 §2.6: a dummy packet is dropped without a word
			return nil
		}
		opened[n] = x
		n++
		proto = kernel.Protocol(next)
		if x.Mode == kernel.Tunnel || proto != kernel.AH && proto != kernel.ESP && proto != kernel.IPComp {
			break
		}
		if n == len(opened) {
			c.counts.add(inPolicy)
			return nil
		}
	}
	return c.unwrap(now, opened[:n], from, payload, next, scratch)
}

// unwrap makes the packet of what was inside the transforms, and checks it.
func (c *core) unwrap(now time.Time, opened []*sa, from *arrival, payload []byte, next uint8, scratch []byte) []byte {
	var p packet
	transport := false
	switch {
	case opened[len(opened)-1].Mode == kernel.Tunnel, c.uncompressed(payload, next):
		if !c.tunnelled(&p, from, payload, next) {
			return nil
		}
		if p.fragment && slices.ContainsFunc(opened, func(x *sa) bool { return x.Fragments }) && !c.gathered(now, opened[len(opened)-1], &p, scratch) {
			return nil
		}
	default:
		transport = true
		if !c.transported(&p, from, payload, next, scratch) {
			return nil
		}
	}
	policy := c.permitted(opened, &p)
	if policy == nil {
		return nil
	}
	if transport && from.encap {
		p.setUpperChecksum()
	}
	if policy.MSS != 0 {
		slices.Reverse(opened)
		policy.clamp(&p, room(opened, p.insert))
	}
	c.counts.add(inProtected)
	return p.octets
}

// gathered puts a fragment to the others that came from its SA: RFC 4301 §7.3, one
// that does not comply with the policy of the whole packet is discarded, and only the
// whole packet tells. False while some are missing.
func (c *core) gathered(now time.Time, x *sa, p *packet, scratch []byte) bool {
	whole := c.arrived.add(now, p, x.SPI)
	if whole == nil {
		c.counts.add(inFragment)
		return false
	}
	if p.parse(scratch[:copy(scratch, whole)]) != nil {
		c.counts.add(inMalformed)
		return false
	}
	return true
}

// lookup finds the SA of a packet (RFC 4301 §4.1: SPI, protocol, destination).
func (c *core) lookup(dst netip.Addr, proto kernel.Protocol, packet []byte) *sa {
	id := kernel.SAID{Dst: dst, Proto: proto}
	switch {
	case proto == kernel.ESP && len(packet) >= espHeaderLen:
		id.SPI = kernel.SPI(binary.BigEndian.Uint32(packet))
	case proto == kernel.AH && len(packet) >= ahFixedLen:
		id.SPI = kernel.SPI(binary.BigEndian.Uint32(packet[4:]))
	case proto == kernel.IPComp && len(packet) >= ipcompHeaderLen:
		id.SPI = kernel.SPI(binary.BigEndian.Uint16(packet[2:]))
	default:
		c.counts.add(inShort)
		return nil
	}
	x := c.sad.in[id]
	if x == nil || x.reserved {
		c.counts.add(inNoSA)
		return nil
	}
	return x
}

// uncompressed says that a packet in transport mode is that of a tunnel of IPComp
// which was not compressed (RFC 3173 §2.2): its policy says so. Whether the SAs around
// it are those of the policy is asked as for every packet.
func (c *core) uncompressed(payload []byte, next uint8) bool {
	var p packet
	if next != protoIPv4 && next != protoIPv6 || p.parse(payload) != nil {
		return false
	}
	policy, _ := c.spd.match(kernel.In, &p)
	if policy == nil || policy.Action != kernel.Protect {
		return false
	}
	t := policy.Templates[0]
	return t.Proto == kernel.IPComp && t.Mode == kernel.Tunnel
}

// unseal takes one transform off and tells what its SA has to tell.
func (c *core) unseal(now time.Time, x *sa, from *arrival, packet, scratch []byte) (payload []byte, next uint8, ok bool) {
	x.mu.Lock()
	var err error
	switch x.Proto {
	case kernel.ESP:
		payload, next, err = x.open(packet)
	case kernel.AH:
		payload, next, err = x.openAH(from, packet)
	default:
		payload, next, err = x.inflatePayload(&c.codecs, packet, scratch[maxFront:])
	}
	var soft, hard bool
	var moved kernel.Event
	if err == nil {
		soft, hard = x.used(now, len(payload))
		moved = x.moved(now, from)
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
	case errCompressed:
		c.counts.add(inCompressed)
	case transform.ErrIntegrity:
		c.counts.add(inIntegrity)
	default:
		c.counts.add(inPadding)
	}
	return nil, 0, false
}

// mappedInterval is the shortest time between two Mapping events of an SA, whose peer
// may send each packet from another port.
const mappedInterval = 100 * time.Millisecond

// moved tells, once for each new place, that an authentic packet of an
// encapsulated SA came from elsewhere (RFC 7296 §2.23). The caller holds s.mu.
func (s *sa) moved(now time.Time, from *arrival) kernel.Event {
	if s.Encap == nil || !from.encap {
		return nil
	}
	old, place := netip.AddrPortFrom(s.Src, s.Encap.Remote), netip.AddrPortFrom(from.src, from.port)
	if place == old {
		s.mapped = netip.AddrPort{}
		return nil
	}
	if passed := now.Sub(s.mappedAt); place == s.mapped || passed >= 0 && passed < mappedInterval {
		return nil
	}
	s.mapped, s.mappedAt = place, now
	return kernel.Mapping{ID: s.SAID, Old: old, New: place}
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

// permitted checks a packet against its SAs' selectors and the inbound policies
// (RFC 4301 §5.2 step 4), and returns the policy that lets it pass. The outermost
// SA comes first.
func (c *core) permitted(opened []*sa, p *packet) *policy {
	for _, x := range opened {
		if x.Selector != (kernel.Selector{}) && !x.Selector.Matches(p.sel) {
			c.counts.add(inSelector)
			return nil
		}
	}
	policy, _ := c.spd.match(kernel.In, p)
	if policy == nil || policy.Action != kernel.Protect || !policy.wants(opened) {
		c.counts.add(inPolicy)
		return nil
	}
	return policy
}

// wants says whether SAs, the outermost first, are what a policy asks for.
func (p *policy) wants(opened []*sa) bool {
	for _, t := range p.Templates {
		n := len(opened) - 1
		switch {
		case n >= 0 && opened[n].does(t):
			opened = opened[:n]
		case t.Level == kernel.Use, t.Proto == kernel.IPComp: // RFC 3173 §2.2: it may be left out
		default:
			return false
		}
	}
	return len(opened) == 0
}

// does says whether an SA is what a template asks for.
func (s *sa) does(t kernel.Template) bool {
	return s.Mode == t.Mode && s.Proto == t.Proto && (t.ReqID == 0 || t.ReqID == s.ReqID)
}
