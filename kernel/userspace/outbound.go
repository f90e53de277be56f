package userspace

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"racoon2/kernel"
)

// verdict is what becomes of an outgoing packet.
type verdict uint8

const (
	drop      verdict = iota
	sendESP           // outgoing.esp, from outgoing.src to outgoing.dst
	sendClear         // the packet as it is, past all policies
	tooBig            // tell its sender that outgoing.mtu is the limit
)

// outgoing is the result of the outbound path. It is reused from packet to packet.
type outgoing struct {
	packet packet // the packet that came in

	esp      []byte // the ESP packet, in the buffer that the packet came in
	header   []byte // stands in front of esp: an IP header with options or extension headers; or empty
	src, dst netip.Addr
	encap    kernel.Encap // ports of the UDP encapsulation, 0 for none
	tos      uint8        // DSCP and ECN of the outer header
	hops     uint8        // TTL or hop limit of the outer header; 0 is the host's usual
	mtu      int          // of tooBig, in octets
}

// outbound takes the packet buf[headroom:headroom+n] through policy and SA. buf
// must have tailroom octets behind it.
func (c *core) outbound(now time.Time, buf []byte, n int, out *outgoing) verdict {
	p := &out.packet
	if err := p.parse(buf[headroom : headroom+n]); err != nil {
		c.counts.add(outMalformed)
		return drop
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	policy, hidden := c.spd.match(kernel.Out, p)
	if p.fragment && (hidden || policy.wantsWhole()) {
		whole := c.fragments.add(now, p)
		if whole == nil {
			c.counts.add(outFragment)
			return drop
		}
		if p.parse(buf[headroom:headroom+copy(buf[headroom:], whole)]) != nil {
			c.counts.add(outMalformed)
			return drop
		}
		p.dontFragment = false // its sender did not mind
		policy, _ = c.spd.match(kernel.Out, p)
	}
	switch {
	case policy == nil || policy.Action == kernel.Bypass:
		return sendClear
	case policy.Action == kernel.Discard:
		c.counts.add(outDiscard)
		return drop
	}
	x := c.sad.serving(policy.Templates[0], p)
	if x == nil {
		return c.missing(now, policy, p)
	}
	return c.protect(now, x, buf, out)
}

// wantsWhole says that a policy's packets are not sent in pieces: RFC 4303
// §3.3.4, transport mode takes whole packets only.
func (p *policy) wantsWhole() bool {
	return p != nil && p.Action == kernel.Protect && p.Templates[0].Mode == kernel.Transport
}

// missing deals with protected traffic that has no SA: it asks for one and
// keeps the packet for a moment; only Use lets it pass in clear.
func (c *core) missing(now time.Time, policy *policy, p *packet) verdict {
	t := policy.Templates[0]
	if policy.acquire(now, p.dst()) {
		c.emit(kernel.Acquire{Policy: policy.ID, Template: t, Packet: p.sel})
	}
	if t.Level == kernel.Use {
		return sendClear
	}
	policy.hold(now, p.octets)
	c.counts.add(outNoSA)
	return drop
}

// serving is the newest SA that does what a template asks for this packet. A
// template with a request ID names its SAs by it; only without one do end
// points have to be the template's, because those of an SA move (NAT, MOBIKE).
func (d *sad) serving(t kernel.Template, p *packet) *sa {
	for _, x := range d.byReq[t.ReqID] {
		switch {
		case x.Mode != t.Mode || x.Proto != t.Proto:
			continue
		case x.Selector != (kernel.Selector{}) && !x.Selector.Matches(p.sel):
			continue
		case t.Mode == kernel.Transport && (x.Src != p.src() || x.Dst != p.dst()):
			continue
		case t.Mode == kernel.Tunnel && t.ReqID == 0 && (x.Src != t.Src || x.Dst != t.Dst):
			continue
		}
		return x
	}
	return nil
}

// protect seals the packet with an SA.
func (c *core) protect(now time.Time, x *sa, buf []byte, out *outgoing) verdict {
	p := &out.packet
	room := x.room(p.insert)
	if p.v6 {
		room = max(room, minMTU6) // RFC 8200 §5: smaller packets must pass; the outer one is cut up
	}
	if len(p.octets) > room && p.dontFragment {
		out.mtu = max(room, minMTU4)
		c.counts.add(outTooBig)
		return tooBig
	}
	out.src, out.dst, out.encap = x.Src, x.Dst, kernel.Encap{}
	if x.Encap != nil {
		out.encap = *x.Encap
	}
	x.mu.Lock()
	size := len(p.octets) // encapsulate overwrites the packet
	err := x.encapsulate(buf, out)
	var soft, hard bool
	switch {
	case err == nil:
		soft, hard = x.used(now, size)
	case errors.Is(err, errSequence):
		x.dead, hard = true, true
	}
	x.mu.Unlock()
	if soft || hard {
		c.emit(x.expire(hard))
	}
	switch {
	case errors.Is(err, errExpired):
		c.counts.add(outNoSA)
		return drop
	case err != nil:
		c.counts.add(outSequence)
		return drop
	}
	c.counts.add(outProtected)
	return sendESP
}

// The smallest MTUs that may be told (RFC 791 §3.2, RFC 8200 §5).
const (
	minMTU4 = 68
	minMTU6 = 1280
)

// encapsulate makes the ESP packet, in place.
func (s *sa) encapsulate(buf []byte, out *outgoing) (err error) {
	p := &out.packet
	end := headroom + len(p.octets)
	out.header = nil
	if s.Mode == kernel.Tunnel {
		// RFC 4301 §5.1.2, RFC 6040 §4.1 (normal mode): DSCP and ECN are copied.
		out.tos, out.hops = p.tos, 0
		next := uint8(protoIPv4)
		if p.v6 {
			next = protoIPv6
		}
		out.esp, err = s.seal(buf, headroom, end, next)
		return err
	}
	out.tos, out.hops = p.tos, p.hops
	next := p.next
	at := headroom + p.insert
	plain := ipv4HeaderLen
	if p.v6 {
		plain = ipv6HeaderLen
	}
	if p.insert == plain {
		out.esp, err = s.seal(buf, at, end, next)
		return err
	}
	// The header moves up to make room for ESP's fields in front of the payload.
	start := headroom - espHeaderLen - s.ivLen
	out.header = buf[start : start+p.insert]
	v6, nextAt := p.v6, p.nextAt
	copy(out.header, p.octets[:p.insert])
	out.esp, err = s.seal(buf, at, end, next)
	if err != nil {
		return err
	}
	out.header[nextAt] = protoESP
	setLength(out.header, v6, len(out.header)+len(out.esp))
	return nil
}

// setLength puts a packet's length into its header, and IPv4's checksum.
func setLength(header []byte, v6 bool, total int) {
	if v6 {
		binary.BigEndian.PutUint16(header[4:], uint16(total-ipv6HeaderLen))
		return
	}
	binary.BigEndian.PutUint16(header[2:], uint16(total))
	setChecksum4(header)
}
