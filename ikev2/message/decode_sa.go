package message

import "racoon2/ikev2/transform"

// What the "last substructure" octet holds where another one follows (RFC 7296
// §3.3.1, §3.3.2); 0 is the last.
const (
	moreProposals  = 2
	moreTransforms = 3
)

// attributeKeyLength is the only transform attribute there is (RFC 7296 §3.3.5);
// attributeTV marks one whose value stands in place of its length.
const (
	attributeKeyLength = 14
	attributeTV        = 0x8000
)

func (c *cursor) sa() *SA {
	sa := &SA{}
	for more := true; more && c.err == nil; {
		if len(sa.Proposals) == MaxProposals {
			c.fail(c.off, "more than %d proposals", MaxProposals)
			break
		}
		more = c.substructure(moreProposals, "proposal", func() {
			sa.Proposals = append(sa.Proposals, c.proposal())
		})
	}
	return sa
}

// substructure reads the header that proposals and transforms share, and its body
// with f; it says whether another one follows.
func (c *cursor) substructure(another uint8, what string, f func()) (more bool) {
	start := c.off
	last := c.u8(what)
	c.skip(1)
	length := int(c.u16(what))
	switch {
	case last != 0 && last != another:
		c.fail(start, "%s begins with %d, want 0 or %d", what, last, another)
	case length < 4:
		c.fail(start+2, "%s of %d octets is shorter than its header", what, length)
	}
	c.within(length-4, what, f)
	return last != 0
}

func (c *cursor) proposal() Proposal {
	p := Proposal{Number: c.u8("proposal number"), Protocol: Protocol(c.u8("protocol"))}
	size := int(c.u8("SPI size"))
	start := c.off
	count := int(c.u8("number of transforms"))
	p.SPI = c.take(size, "SPI")
	if count > MaxTransforms {
		c.fail(start, "%d transforms are more than %d", count, MaxTransforms)
	}
	for i := 1; i <= count && c.err == nil; i++ {
		at := c.off
		more := c.substructure(moreTransforms, "transform", func() {
			p.Transforms = append(p.Transforms, c.transform())
		})
		if more != (i < count) {
			c.fail(at, "transform %d of %d: its first octet disagrees about whether another one follows", i, count)
		}
	}
	return p
}

func (c *cursor) transform() Transform {
	t := Transform{Type: transform.Type(c.u8("transform type"))}
	c.skip(1)
	t.ID = c.u16("transform ID")
	for c.left() > 0 {
		kind, value := c.u16("attribute"), c.u16("attribute")
		switch {
		case kind == attributeTV|attributeKeyLength && value != 0 && t.KeyBits == 0:
			t.KeyBits = value
		case kind&attributeTV == 0:
			t.Unknown = true
			c.take(int(value), "attribute")
		default:
			t.Unknown = true
		}
	}
	return t
}
