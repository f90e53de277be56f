package netlink

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// attributeLimit is the longest attribute, header included: its length field has 16 bits.
const attributeLimit = 65535

const (
	attributeHeaderLen = 4
	typeNested         = 0x8000 // NLA_F_NESTED
	typeNetByteOrder   = 0x4000 // NLA_F_NET_BYTEORDER
	typeMask           = 0x3fff // NLA_TYPE_MASK
)

// Builder makes a message's body: first the family's fixed header by Raw, then
// attributes. The zero Builder is empty and ready.
type Builder struct {
	b   []byte
	err error
}

// Grow makes room for n octets, so that a message with keys is not left behind
// in a smaller buffer.
func (b *Builder) Grow(n int) { b.b = slices.Grow(b.b, n) }

// Raw appends octets as they are, padded to the alignment.
func (b *Builder) Raw(p []byte) {
	b.b = append(b.b, p...)
	b.pad(len(p))
}

// Octets adds an attribute with the given value.
func (b *Builder) Octets(typ uint16, p []byte) {
	if !b.header(typ, len(p)) {
		return
	}
	b.b = append(b.b, p...)
	b.pad(len(p))
}

// Flag adds an attribute without a value.
func (b *Builder) Flag(typ uint16) { b.header(typ, 0) }

// String adds a string with the NUL that ends it.
func (b *Builder) String(typ uint16, s string) {
	b.Octets(typ, append([]byte(s), 0))
}

// U8 adds an octet.
func (b *Builder) U8(typ uint16, v uint8) { b.Octets(typ, []byte{v}) }

// U16 adds a number in the processor's byte order.
func (b *Builder) U16(typ uint16, v uint16) {
	b.Octets(typ, binary.NativeEndian.AppendUint16(nil, v))
}

// U32 adds a number in the processor's byte order.
func (b *Builder) U32(typ uint16, v uint32) {
	b.Octets(typ, binary.NativeEndian.AppendUint32(nil, v))
}

// U64 adds a number in the processor's byte order.
func (b *Builder) U64(typ uint16, v uint64) {
	b.Octets(typ, binary.NativeEndian.AppendUint64(nil, v))
}

// BE16 adds a number in network byte order.
func (b *Builder) BE16(typ uint16, v uint16) {
	b.Octets(typ, binary.BigEndian.AppendUint16(nil, v))
}

// BE32 adds a number in network byte order.
func (b *Builder) BE32(typ uint16, v uint32) {
	b.Octets(typ, binary.BigEndian.AppendUint32(nil, v))
}

// BE64 adds a number in network byte order.
func (b *Builder) BE64(typ uint16, v uint64) {
	b.Octets(typ, binary.BigEndian.AppendUint64(nil, v))
}

// Nested adds an attribute whose value is the attributes that fill adds.
func (b *Builder) Nested(typ uint16, fill func(*Builder)) {
	start := len(b.b)
	if !b.header(typ|typeNested, 0) {
		return
	}
	fill(b)
	n := len(b.b) - start
	if n > attributeLimit {
		b.tooLong(typ, n)
		return
	}
	if b.err == nil {
		binary.NativeEndian.PutUint16(b.b[start:], uint16(n))
	}
}

// Body returns what was built; nil when an attribute was too long, so that no
// half-built message can be taken for a whole one.
func (b *Builder) Body() []byte {
	if b.err != nil {
		return nil
	}
	return b.b
}

// Err says which attribute was too long.
func (b *Builder) Err() error { return b.err }

// header starts an attribute whose value has n octets.
func (b *Builder) header(typ uint16, n int) bool {
	n += attributeHeaderLen
	if n > attributeLimit {
		b.tooLong(typ, n)
		return false
	}
	b.b = binary.NativeEndian.AppendUint16(b.b, uint16(n))
	b.b = binary.NativeEndian.AppendUint16(b.b, typ)
	return true
}

func (b *Builder) pad(n int) {
	b.b = append(b.b, make([]byte, align(n)-n)...)
}

func (b *Builder) tooLong(typ uint16, n int) {
	if b.err == nil {
		b.err = fmt.Errorf("netlink attribute %d has %d octets, the limit is %d", typ&typeMask, n, attributeLimit)
	}
}
