// Package netlink speaks Linux's netlink: messages, attributes, and a socket
// that sends requests and collects their replies. Everything but the socket is
// pure and runs on every system; the socket says ErrNotHere where there is none.
//
// It knows no family: NETLINK_ROUTE, NETLINK_XFRM and NETLINK_NETFILTER lay
// their own headers into Message.Body. Numbers are in the processor's byte
// order, as netlink has them, except where a name says BE.
//
// Sources: linux/netlink.h and RFC 3549 §2.3.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderLen is the length of a message's header in octets.
const HeaderLen = 16

// Message flags (RFC 3549 §2.3.2.2 and linux/netlink.h). Those from 0x100 on
// mean different things for a get, a new and an acknowledgement.
const (
	FlagRequest     = 0x001
	FlagMulti       = 0x002
	FlagAck         = 0x004
	FlagEcho        = 0x008
	FlagInterrupted = 0x010 // what a dump shows changed while it ran

	FlagDump = 0x300

	FlagReplace = 0x100
	FlagExcl    = 0x200
	FlagCreate  = 0x400
	FlagAppend  = 0x800

	flagCapped  = 0x100 // an acknowledgement leaves the request's body out
	flagAckTLVs = 0x200 // an acknowledgement has attributes
)

// Message types that every family shares.
const (
	TypeNoop    = 1
	TypeError   = 2 // also an acknowledgement, with error number 0
	TypeDone    = 3 // the end of a multi-part reply
	TypeOverrun = 4
)

// Message is one netlink message; Body is what follows the header.
type Message struct {
	Type, Flags uint16
	Seq, PID    uint32
	Body        []byte
}

// ErrMalformed is the cause of every decoding error.
var ErrMalformed = errors.New("malformed netlink message")

// AppendMessage appends the message's octets, padded to the alignment that the
// next message needs.
func AppendMessage(dst []byte, m Message) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, uint32(HeaderLen+len(m.Body)))
	dst = binary.NativeEndian.AppendUint16(dst, m.Type)
	dst = binary.NativeEndian.AppendUint16(dst, m.Flags)
	dst = binary.NativeEndian.AppendUint32(dst, m.Seq)
	dst = binary.NativeEndian.AppendUint32(dst, m.PID)
	dst = append(dst, m.Body...)
	return append(dst, make([]byte, align(len(m.Body))-len(m.Body))...)
}

// ParseMessages splits what one read of a socket gave. The bodies alias b.
func ParseMessages(b []byte) ([]Message, error) {
	var messages []Message
	for len(b) > 0 {
		if len(b) < HeaderLen {
			return messages, fmt.Errorf("%w: %d octets left, a header has %d", ErrMalformed, len(b), HeaderLen)
		}
		n := binary.NativeEndian.Uint32(b)
		if n < HeaderLen || uint64(n) > uint64(len(b)) {
			return messages, fmt.Errorf("%w: length %d of %d octets", ErrMalformed, n, len(b))
		}
		messages = append(messages, Message{
			Type:  binary.NativeEndian.Uint16(b[4:]),
			Flags: binary.NativeEndian.Uint16(b[6:]),
			Seq:   binary.NativeEndian.Uint32(b[8:]),
			PID:   binary.NativeEndian.Uint32(b[12:]),
			Body:  b[HeaderLen:n:n],
		})
		b = b[min(align(int(n)), len(b)):]
	}
	return messages, nil
}

// align rounds up to netlink's alignment of four octets.
func align(n int) int { return (n + 3) &^ 3 }
