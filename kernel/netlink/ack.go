package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// The causes that callers tell apart.
var (
	// ErrOverrun says that the socket's buffer was full and messages were lost.
	ErrOverrun = errors.New("netlink socket overrun: messages were lost")
	// ErrInterrupted says that a dump's subject kept changing while it ran.
	ErrInterrupted = errors.New("netlink dump interrupted by changes")
	// ErrNotHere says that this system has no netlink.
	ErrNotHere = errors.New("netlink: not on this system")
)

// Error is a kernel's refusal. It unwraps to the error number, so that
// errors.Is(err, unix.EEXIST) works.
type Error struct {
	Errno syscall.Errno
	Text  string // the kernel's own words (extended acknowledgement), or ""
	Index int    // in a batch: which message was refused; otherwise 0
}

// Error says the kernel's words and the error number's meaning.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Errno.Error()
	}
	return e.Text + " (" + e.Errno.Error() + ")"
}

// Unwrap returns the error number.
func (e *Error) Unwrap() error { return e.Errno }

// Attributes of an extended acknowledgement (linux/netlink.h).
const attributeAckText = 1

// ParseAck reads an acknowledgement (TypeError) or the end of a dump
// (TypeDone): nil when all went well, an *Error when the kernel refused.
func ParseAck(m Message) error {
	if len(m.Body) < 4 {
		if m.Type == TypeDone && len(m.Body) == 0 {
			return nil
		}
		return fmt.Errorf("%w: acknowledgement of %d octets", ErrMalformed, len(m.Body))
	}
	errno := int32(binary.NativeEndian.Uint32(m.Body))
	if errno == 0 {
		return nil
	}
	if errno > 0 || errno < -4095 { // MAX_ERRNO
		return fmt.Errorf("%w: error number %d", ErrMalformed, errno)
	}
	return &Error{Errno: syscall.Errno(-errno), Text: ackText(m)}
}

// ackText finds the kernel's words behind the error number and, in an
// acknowledgement, behind the request that it repeats.
func ackText(m Message) string {
	if m.Flags&flagAckTLVs == 0 {
		return ""
	}
	rest := m.Body[4:]
	if m.Type == TypeError {
		if len(rest) < HeaderLen {
			return ""
		}
		skip := HeaderLen
		if m.Flags&flagCapped == 0 {
			skip = int(min(binary.NativeEndian.Uint32(rest), 1<<30))
		}
		if skip < HeaderLen || align(skip) > len(rest) {
			return ""
		}
		rest = rest[align(skip):]
	}
	for a := ParseAttributes(rest); a.Next(); {
		if a.Type() == attributeAckText {
			return a.String()
		}
	}
	return ""
}
