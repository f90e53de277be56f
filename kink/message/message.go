package message

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The sizes of RFC 4430 §4.
const (
	HeaderLen  = 16    // octets in front of the payloads
	MaxLen     = 65507 // octets of the largest message that fits in a UDP datagram over IPv4
	genericLen = 4     // octets of the generic payload header (§4.2)
	innerLen   = 4     // InnerNextPload and RESERVED2 of KINK_ENCRYPT (§4.2.7)

	// maxPayloads bounds the payloads of one chain. RFC 4430 has no bound; the
	// longest useful chain is an AP-REQ and a handful of KINK_ISAKMP payloads.
	maxPayloads = 64

	majorVersion = 1
	ackRequest   = 0x80 // ACKREQ in octet 13
)

// DOI is the domain of interpretation, 1 for IPsec (RFC 2407 §4.1).
const DOI = 1

// Type is a message type (RFC 4430 §4).
type Type uint8

// The message types.
const (
	CREATE Type = 1
	DELETE Type = 2
	REPLY  Type = 3
	GETTGT Type = 4
	ACK    Type = 5
	STATUS Type = 6
)

// Command says that the type begins a transaction (RFC 4430 §3).
func (t Type) Command() bool {
	return t == CREATE || t == DELETE || t == GETTGT || t == STATUS
}

// Message is one KINK message. Its DOI is always IPsec's, its version always 1.
type Message struct {
	Type       Type
	XID        uint32 // transaction ID
	AckRequest bool   // ACKREQ
	Payloads   []Payload

	// Checksum is what Decode found behind the payloads, empty for an
	// unauthenticated message. Encode makes its own.
	Checksum []byte
	signed   []byte
}

// Signed is the octets that Checksum is over: the message as it was received,
// with CksumLen zero and Length without the checksum (RFC 4430 §4).
func (m *Message) Signed() []byte { return m.signed }

// String lists the payloads: "CREATE xid 7: KINK_AP_REQ, KINK_ENCRYPT".
func (m *Message) String() string {
	names := make([]string, len(m.Payloads))
	for i, p := range m.Payloads {
		names[i] = p.Type().String()
	}
	ack := ""
	if m.AckRequest {
		ack = " ACKREQ"
	}
	return fmt.Sprintf("%v xid %d%s: %s", m.Type, m.XID, ack, strings.Join(names, ", "))
}

// Header is what can be said about a datagram before its payloads are looked at.
type Header struct {
	Type Type
	XID  uint32
}

// Peek reads type and XID of anything long enough to have them, whatever its
// version and length fields are, so that an error can be answered.
func Peek(datagram []byte) (Header, bool) {
	if len(datagram) < HeaderLen {
		return Header{}, false
	}
	return Header{Type: Type(datagram[0]), XID: binary.BigEndian.Uint32(datagram[8:])}, true
}
