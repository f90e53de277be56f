package message

import (
	"errors"
	"fmt"
)

// ErrNotEncrypted says that a message has no SK or SKF payload to open.
var ErrNotEncrypted = errors.New("the message has no encrypted payload")

// SyntaxError says what is malformed in a message. Within an authentic message
// INVALID_SYNTAX answers it (RFC 7296 §2.21, §3.10.1).
type SyntaxError struct {
	Payload PayloadType // the payload at fault; NoNextPayload is the IKE header or the chain itself
	Offset  int         // in octets, from the start of the decoded octets
	What    string      // a plain sentence without its full stop
}

func (e *SyntaxError) Error() string {
	where := "message"
	if e.Payload != NoNextPayload {
		where = e.Payload.String() + " payload"
	}
	return fmt.Sprintf("%s malformed at octet %d: %s", where, e.Offset, e.What)
}
