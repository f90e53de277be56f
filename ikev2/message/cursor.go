package message

import (
	"encoding/binary"
	"fmt"
)

// cursor reads one structure after the other. Its first error sticks: everything
// after it reads as zero and empty, so that callers check once, and in loops.
type cursor struct {
	b       []byte
	off     int         // of the next octet
	end     int         // of the structure at hand
	payload PayloadType // for errors
	err     error
}

// fail records an error at the octet off, unless there is one already.
func (c *cursor) fail(off int, format string, args ...any) {
	if c.err == nil {
		c.err = &SyntaxError{Payload: c.payload, Offset: off, What: fmt.Sprintf(format, args...)}
	}
}

// left is the count of octets that remain of the structure; 0 after an error.
func (c *cursor) left() int {
	if c.err != nil {
		return 0
	}
	return c.end - c.off
}

// take reads n octets.
func (c *cursor) take(n int, what string) []byte {
	if n > c.left() {
		c.fail(c.off, "%s needs %d octets, %d are left", what, n, c.left())
	}
	if c.err != nil {
		return nil
	}
	b := c.b[c.off : c.off+n : c.off+n]
	c.off += n
	return b
}

// rest reads all that remains.
func (c *cursor) rest() []byte { return c.take(c.left(), "rest") }

func (c *cursor) u8(what string) uint8 {
	if b := c.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16(what string) uint16 {
	if b := c.take(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32(what string) uint32 {
	if b := c.take(4, what); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// skip passes over reserved octets (RFC 7296 §2.5: they are ignored).
func (c *cursor) skip(n int) { c.take(n, "reserved field") }

// within reads a structure of n octets, all of which f must consume.
func (c *cursor) within(n int, what string, f func()) {
	if n > c.left() {
		c.fail(c.off, "%s has %d more octets, %d are left", what, n, c.left())
	}
	if c.err != nil {
		return
	}
	outer := c.end
	c.end = c.off + n
	f()
	if c.left() > 0 {
		c.fail(c.off, "%d octets too many in %s", c.left(), what)
	}
	c.end = outer
}
