package userspace

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
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

	esp      []byte          // the ESP packet, or what else goes out, in the buffer that the packet came in or in workshop
	header   []byte          // stands in front of esp: an IP header with options or extension headers; or empty
	proto    kernel.Protocol // of esp
	src, dst netip.Addr
	encap    kernel.Encap // ports of the UDP encapsulation, 0 for none
	tos      uint8        // DSCP and ECN of the outer header
	hops     uint8        // TTL or hop limit of the outer header; 0 is the host's usual
	mtu      int          // of tooBig, in octets

	chain    [kernel.MaxTemplates]*sa // the SAs of the packet, the innermost first
	workshop *workshop                // nil until it is needed
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
		whole := c.fragments.add(now, p, 0)
		if whole == nil {
			c.counts.add(outFragment)
			return drop
		}
		if p.parse(buf[headroom:headroom+copy(buf[headroom:], whole)]) != nil || p.fragment {
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
	n, missing := c.chain(now, policy, out)
	switch {
	case missing:
		policy.hold(now, p.octets)
		c.counts.add(outNoSA)
		return drop
	case n == 0:
		return sendClear
	}
	return c.protect(now, policy, out.chain[:n], buf, out)
}

// wantsWhole says that a policy's packets are not sent in pieces: RFC 4303
// §3.3.4, transport mode takes whole packets only.
func (p *policy) wantsWhole() bool {
	return p != nil && p.Action == kernel.Protect && p.Templates[0].Mode == kernel.Transport
}

// chain finds the SAs of a policy's templates for out.packet, the innermost
// first, and asks for what is missing; missing says that the packet must wait.
// Templates of level Use are left out while they have no SA.
func (c *core) chain(now time.Time, policy *policy, out *outgoing) (n int, missing bool) {
	p := &out.packet
	src, dst := p.src(), p.dst()
	for _, t := range policy.Templates {
		x := c.sad.serving(t, p, src, dst)
		if x != nil {
			out.chain[n] = x
			n++
			src, dst = x.Src, x.Dst
			continue
		}
		if policy.acquire(now, p.dst(), t.Proto) {
			c.emit(kernel.Acquire{Policy: policy.ID, Template: t, Packet: p.sel})
		}
		if t.Level != kernel.Use {
			return 0, true
		}
	}
	return n, false
}

// lacks says that there is no SA at all for a template that needs one.
func (d *sad) lacks(t kernel.Template) bool {
	return t.Level != kernel.Use && !slices.ContainsFunc(d.byReq[t.ReqID], func(x *sa) bool {
		return x.Proto == t.Proto && x.Mode == t.Mode
	})
}

// serving is the newest SA that does what a template asks for this packet, which
// goes from src to dst by then. A template with a request ID names its SAs by it;
// only without one do end points have to be the template's, because those of an
// SA move (NAT, MOBIKE).
func (d *sad) serving(t kernel.Template, p *packet, src, dst netip.Addr) *sa {
	for _, x := range d.byReq[t.ReqID] {
		switch {
		case x.Mode != t.Mode || x.Proto != t.Proto:
			continue
		case x.Selector != (kernel.Selector{}) && !x.Selector.Matches(p.sel):
			continue
		case t.Mode == kernel.Transport && (x.Src != src || x.Dst != dst):
			continue
		case t.Mode == kernel.Tunnel && t.ReqID == 0 && (x.Src != t.Src || x.Dst != t.Dst):
			continue
		}
		return x
	}
	return nil
}

// protect puts the SAs' transforms around the packet.
func (c *core) protect(now time.Time, policy *policy, chain []*sa, buf []byte, out *outgoing) verdict {
	p := &out.packet
	room := room(chain, p.insert)
	policy.clamp(p, room)
	if p.v6 {
		room = max(room, minMTU6) // RFC 8200 §5: smaller packets must pass; the outer one is cut up
	}
	if len(p.octets) > room && p.dontFragment {
		out.mtu = max(room, minMTU4)
		c.counts.add(outTooBig)
		return tooBig
	}
	last := chain[len(chain)-1]
	out.src, out.dst, out.encap = last.Src, last.Dst, kernel.Encap{}
	if last.Encap != nil {
		out.encap = *last.Encap
	}
	out.proto = last.Proto
	var err error
	if len(chain) == 1 && last.Proto == kernel.ESP {
		size := len(p.octets) // encapsulate overwrites the packet
		err = c.use(now, last, size, func() error { return last.encapsulate(buf, out) })
	} else {
		err = c.bundle(now, chain, out)
	}
	switch {
	case err == nil:
		c.counts.add(outProtected)
		return sendESP
	case errors.Is(err, errExpired):
		c.counts.add(outNoSA)
	case errors.Is(err, errHeader):
		c.counts.add(outMalformed)
	default:
		c.counts.add(outSequence)
	}
	return drop
}

// use applies an SA to a packet of a size and tells what limits that reached.
func (c *core) use(now time.Time, x *sa, size int, apply func() error) error {
	x.mu.Lock()
	err := apply()
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
	return err
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
