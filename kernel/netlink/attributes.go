package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Attributes walks through attributes:
//
//	a := netlink.ParseAttributes(body[headerLen:])
//	for a.Next() {
//		switch a.Type() {
//		case attributeMark:
//			mark = a.U32()
//		}
//	}
//	return mark, a.Err()
//
// A value of the wrong length reads as zero and ends the walk with an error.
type Attributes struct {
	rest  []byte
	typ   uint16
	value []byte
	err   error
}

// ParseAttributes starts a walk through b. Octets of a fixed header in front
// of the attributes are the caller's to take off, padded to four.
func ParseAttributes(b []byte) *Attributes { return &Attributes{rest: b} }

// Next goes to the next attribute and says whether there is one.
func (a *Attributes) Next() bool {
	if a.err != nil || len(a.rest) == 0 {
		return false
	}
	if len(a.rest) < attributeHeaderLen {
		a.err = fmt.Errorf("%w: %d octets left, an attribute's header has %d", ErrMalformed, len(a.rest), attributeHeaderLen)
		return false
	}
	n := int(binary.NativeEndian.Uint16(a.rest))
	typ := binary.NativeEndian.Uint16(a.rest[2:]) & typeMask
	if n < attributeHeaderLen || n > len(a.rest) {
		a.err = fmt.Errorf("%w: attribute %d has length %d of %d octets", ErrMalformed, typ, n, len(a.rest))
		return false
	}
	a.typ, a.value = typ, a.rest[attributeHeaderLen:n:n]
	a.rest = a.rest[min(align(n), len(a.rest)):]
	return true
}

// Err says what ended the walk early.
func (a *Attributes) Err() error { return a.err }

// Type is the attribute's type, without the bits for nesting and byte order.
func (a *Attributes) Type() uint16 { return a.typ }

// Octets is the attribute's value; it aliases what was parsed.
func (a *Attributes) Octets() []byte { return a.value }

// String is the value without the NUL that ends it.
func (a *Attributes) String() string {
	s, _, _ := bytes.Cut(a.value, []byte{0})
	return string(s)
}

// Nested walks through the attributes inside this one. Its Err is its own.
func (a *Attributes) Nested() *Attributes { return ParseAttributes(a.value) }

// U8 is an octet.
func (a *Attributes) U8() uint8 {
	if !a.sized(1) {
		return 0
	}
	return a.value[0]
}

// U16 is a number in the processor's byte order.
func (a *Attributes) U16() uint16 {
	if !a.sized(2) {
		return 0
	}
	return binary.NativeEndian.Uint16(a.value)
}

// U32 is a number in the processor's byte order.
func (a *Attributes) U32() uint32 {
	if !a.sized(4) {
		return 0
	}
	return binary.NativeEndian.Uint32(a.value)
}

// U64 is a number in the processor's byte order.
func (a *Attributes) U64() uint64 {
	if !a.sized(8) {
		return 0
	}
	return binary.NativeEndian.Uint64(a.value)
}

// BE16 is a number in network byte order.
func (a *Attributes) BE16() uint16 {
	if !a.sized(2) {
		return 0
	}
	return binary.BigEndian.Uint16(a.value)
}

// BE32 is a number in network byte order.
func (a *Attributes) BE32() uint32 {
	if !a.sized(4) {
		return 0
	}
	return binary.BigEndian.Uint32(a.value)
}

// BE64 is a number in network byte order.
func (a *Attributes) BE64() uint64 {
	if !a.sized(8) {
		return 0
	}
	return binary.BigEndian.Uint64(a.value)
}

func (a *Attributes) sized(n int) bool {
	if len(a.value) == n {
		return true
	}
	if a.err == nil {
		a.err = fmt.Errorf("%w: attribute %d has a value of %d octets, not %d", ErrMalformed, a.typ, len(a.value), n)
	}
	return false
}
