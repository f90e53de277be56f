// Package message is the wire codec of IKEv2 (RFC 7296 §3 and its extensions):
// pure functions between octets and types. It has no cryptography and no state.
//
// Decoding checks every length before use; decoded slices alias the input.
package message

// Header is the IKE header (RFC 7296 §3.1).
type Header struct {
	SPIi, SPIr  uint64
	NextPayload PayloadType
	Major       uint8
	Minor       uint8
	Exchange    ExchangeType
	Flags       Flags
	MessageID   uint32
	Length      uint32
}

// HeaderLen is the size of the IKE header in octets.
const HeaderLen = 28

// Flags is the flags octet of the header.
type Flags uint8

// The flags (RFC 7296 §3.1).
const (
	FlagInitiator Flags = 1 << 3 // sent by the original initiator of the IKE SA
	FlagVersion   Flags = 1 << 4 // the sender could speak a higher major version
	FlagResponse  Flags = 1 << 5
)

// Message is a decoded message. Where the last payload is Encrypted or
// EncryptedFragment, the payloads inside come from DecodePayloads after opening it.
type Message struct {
	Header
	Payloads []Payload
}

// The functions of this package:
//
//	DecodeHeader(b) (Header, error)
//	Decode(b) (*Message, error)
//	DecodePayloads(first PayloadType, b []byte) ([]Payload, error)
//	Encode(*Message) ([]byte, error)           // fills NextPayload and Length
//	EncodePayloads([]Payload) (PayloadType, []byte, error)
//	ProtectedAAD / Seal helpers: see protected.go
