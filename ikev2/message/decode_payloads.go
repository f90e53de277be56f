package message

import (
	"net/netip"

	"racoon2/ikev2/transform"
)

func (c *cursor) ke() *KE {
	p := &KE{Method: transform.KE(c.u16("key exchange method"))}
	c.skip(2)
	p.Data = c.rest()
	return p
}

func (c *cursor) id(initiator bool) *ID {
	p := &ID{Initiator: initiator, IDType: IDType(c.u8("ID type"))}
	c.skip(3)
	start := c.off
	p.Data = c.rest()
	if !p.IDType.fits(len(p.Data)) {
		c.fail(start, "%v of %d octets", p.IDType, len(p.Data))
	}
	return p
}

// fits says whether identification data can have n octets (RFC 7296 §3.5).
func (t IDType) fits(n int) bool {
	switch t {
	case ID_IPV4_ADDR:
		return n == 4
	case ID_IPV6_ADDR:
		return n == 16
	}
	return true
}

func (c *cursor) auth() *Auth {
	p := &Auth{Method: AuthMethod(c.u8("authentication method"))}
	c.skip(3)
	p.Data = c.rest()
	return p
}

// Sizes of nonces in octets (RFC 7296 §3.9).
const (
	minNonce = 16
	maxNonce = 256
)

func (c *cursor) nonce() *Nonce {
	start := c.off
	p := &Nonce{Data: c.rest()}
	if n := len(p.Data); n < minNonce || n > maxNonce {
		c.fail(start, "%d octets of nonce, want %d to %d", n, minNonce, maxNonce)
	}
	return p
}

func (c *cursor) notify() *Notify {
	p := &Notify{Protocol: Protocol(c.u8("protocol"))}
	size := int(c.u8("SPI size"))
	p.Kind = NotifyType(c.u16("notify type"))
	p.SPI = c.take(size, "SPI")
	p.Data = c.rest()
	return p
}

// delete reads a Delete payload: no SPI for IKE, those of 4 octets for the rest
// (RFC 7296 §3.11).
func (c *cursor) delete() *Delete {
	start := c.off
	p := &Delete{Protocol: Protocol(c.u8("protocol"))}
	size := int(c.u8("SPI size"))
	count := int(c.u16("number of SPIs"))
	switch {
	case p.Protocol == ProtocolIKE && (size != 0 || count != 0):
		c.fail(start, "%d SPIs of %d octets for the IKE SA, which has none here", count, size)
	case p.Protocol != ProtocolIKE && size != 4:
		c.fail(start+1, "SPIs of %d octets for %v, want 4", size, p.Protocol)
	case count*size != c.left():
		c.fail(start+2, "%d SPIs of %d octets announced, %d octets follow", count, size, c.left())
	}
	for c.left() > 0 {
		p.SPIs = append(p.SPIs, c.u32("SPI"))
	}
	return p
}

// Types of traffic selectors (RFC 7296 §3.13.1).
const (
	tsIPv4 = 7
	tsIPv6 = 8
)

func (c *cursor) ts(initiator bool) *TS {
	p := &TS{Initiator: initiator}
	start := c.off
	count := int(c.u8("number of traffic selectors"))
	c.skip(3)
	if count == 0 {
		c.fail(start, "no traffic selector")
	}
	for range count {
		if c.err != nil {
			break
		}
		p.Selectors = append(p.Selectors, c.selector())
	}
	return p
}

// selector reads one traffic selector. Of an unknown type only the length is
// looked at.
func (c *cursor) selector() (s TrafficSelector) {
	start := c.off
	kind := c.u8("traffic selector")
	s.Protocol = c.u8("traffic selector")
	length := int(c.u16("traffic selector"))
	size := 0
	switch kind {
	case tsIPv4:
		size = 4
	case tsIPv6:
		size = 16
	}
	switch {
	case size != 0 && length != 8+2*size:
		c.fail(start+2, "a traffic selector of type %d has %d octets, want %d", kind, length, 8+2*size)
	case length < 4:
		c.fail(start+2, "a traffic selector of %d octets is shorter than its header", length)
	}
	if size == 0 {
		s.UnknownType = kind
		c.take(length-4, "traffic selector")
		return s
	}
	s.StartPort = c.u16("start port")
	s.EndPort = c.u16("end port")
	s.Start, _ = netip.AddrFromSlice(c.take(size, "starting address"))
	s.End, _ = netip.AddrFromSlice(c.take(size, "ending address"))
	return s
}

func (c *cursor) config() *Config {
	p := &Config{Kind: c.u8("configuration type")}
	c.skip(3)
	for c.left() > 0 {
		if len(p.Attributes) == MaxAttributes {
			c.fail(c.off, "more than %d attributes", MaxAttributes)
			break
		}
		kind := c.u16("attribute") & 0x7fff // RFC 7296 §3.15.1: the first bit is reserved
		length := int(c.u16("attribute"))
		p.Attributes = append(p.Attributes, ConfigAttribute{Kind: kind, Value: c.take(length, "attribute")})
	}
	return p
}

// eap reads an EAP packet, whose own length must agree (RFC 7296 §3.16).
func (c *cursor) eap() *EAP {
	start := c.off
	c.take(2, "EAP header")
	length := int(c.u16("EAP header"))
	if n := c.end - start; length != n {
		c.fail(start+2, "EAP length is %d, but there are %d octets", length, n)
	}
	c.off = start
	return &EAP{Data: c.rest()}
}
