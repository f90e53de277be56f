package isakmp

import (
	"fmt"
	"net/netip"
)

// PayloadType is an ISAKMP payload type (RFC 2408 §3.1).
type PayloadType uint8

// The payload types that Quick Mode in KINK has.
const (
	PayloadNone      PayloadType = 0
	PayloadSA        PayloadType = 1
	PayloadProposal  PayloadType = 2
	PayloadTransform PayloadType = 3
	PayloadKE        PayloadType = 4
	PayloadID        PayloadType = 5
	PayloadNonce     PayloadType = 10
	PayloadNotify    PayloadType = 11
	PayloadDelete    PayloadType = 12
)

// Payload is one of the types below.
type Payload interface {
	Type() PayloadType
	appendBody([]byte) ([]byte, error) // what follows the generic header
}

// The payloads. Their octets point into what they were decoded from.
type (
	// SA offers or chooses (RFC 2408 §3.4). Situation is always SIT_IDENTITY_ONLY.
	SA struct{ Proposals []Proposal }
	// KE is a Diffie-Hellman public value (RFC 2408 §3.7).
	KE struct{ Public []byte }
	// Nonce is Ni or Nr (RFC 2408 §3.13).
	Nonce struct{ Data []byte }
	// ID describes one end's traffic (RFC 2407 §4.6.2).
	ID struct {
		Kind     IDType
		Protocol uint8  // upper-layer protocol; 0 is any
		Port     uint16 // 0 is any
		Data     []byte
	}
	// Notify reports an error or a status (RFC 2408 §3.14).
	Notify struct {
		Protocol Protocol
		SPI      []byte
		Kind     NotifyType
		Data     []byte
	}
	// Delete lists inbound SPIs of its sender (RFC 2408 §3.15).
	Delete struct {
		Protocol Protocol
		SPIs     [][]byte // all of one length
	}
)

// Type is the payload's type.
func (SA) Type() PayloadType     { return PayloadSA }
func (KE) Type() PayloadType     { return PayloadKE }
func (Nonce) Type() PayloadType  { return PayloadNonce }
func (ID) Type() PayloadType     { return PayloadID }
func (Notify) Type() PayloadType { return PayloadNotify }
func (Delete) Type() PayloadType { return PayloadDelete }

// Proposal is one protocol with alternatives. Proposals of the same number belong
// together: a bundle (RFC 2408 §4.2).
type Proposal struct {
	Number     uint8
	Protocol   Protocol
	SPI        []byte
	Transforms []Transform
}

// Transform is one alternative (RFC 2408 §3.6).
type Transform struct {
	Number     uint8
	ID         uint8 // in the registry of the proposal's protocol
	Attributes []Attribute
}

// Attribute is a data attribute (RFC 2408 §3.3).
type Attribute struct {
	Type  AttributeType
	Basic bool // TV: two octets of value
	Value []byte
}

// DecodeError says why Quick Mode payloads are refused, and which notification
// answers them (RFC 4430 §5.5).
type DecodeError struct {
	Kind   NotifyType
	Data   []byte // of the notification
	Reason string
}

// Error is the notification's name with the reason.
func (e *DecodeError) Error() string { return e.Kind.String() + ": " + e.Reason }

func malformed(format string, args ...any) *DecodeError {
	return &DecodeError{Kind: PAYLOAD_MALFORMED, Reason: fmt.Sprintf(format, args...)}
}

// addr is an address for error texts and IDs; the zero Addr for other lengths.
func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}
