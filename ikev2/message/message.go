// Package message is the wire codec of IKEv2 (RFC 7296 §3 and its extensions):
// pure functions between octets and types, and the framing of the SK and SKF
// payloads (RFC 5282, RFC 7383) around a cipher that the caller brings. It owns
// no key, no state and no protocol decision.
//
// Decoding checks every length before use. Decoded slices alias the input, which
// must not change while they are in use. What is malformed is a *SyntaxError,
// which INVALID_SYNTAX answers (RFC 7296 §3.10.1). Reserved fields and bits are
// ignored, as RFC 7296 §2.5 demands, and so is the critical bit of a payload type
// that is known. A payload type that is not known becomes Unknown.
//
// Only form is judged: whether an algorithm, a length of a KE payload or the
// presence of a payload makes sense is for the engine. A traffic selector may
// begin behind its end: OPAQUE ports do (RFC 7296 §3.13.1).
//
// Limits: messages of at most MaxLen octets, MaxPayloads payloads, MaxProposals
// proposals of MaxTransforms transforms each, MaxAttributes attributes in a
// Configuration payload, MaxFragments fragments; only IKE major version 2. What an
// unknown transform attribute or an unknown kind of traffic selector contains is
// not kept, so a payload with one of them cannot be encoded again.
package message

import "strings"

// Limits of what is decoded and encoded; beyond them a message is malformed.
const (
	MaxLen        = 65535 // octets of a message: what UDP could carry at most
	MaxPayloads   = 64    // payloads of one chain: of the message, or inside SK
	MaxProposals  = 32    // proposals of an SA payload
	MaxTransforms = 128   // transforms of a proposal
	MaxAttributes = 256   // attributes of a Configuration payload
)

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

	knownFlags = FlagInitiator | FlagVersion | FlagResponse
)

// String lists the flags that are set, as "initiator|response"; "none" for none.
func (f Flags) String() string {
	var set []string
	for _, flag := range []struct {
		bit  Flags
		name string
	}{{FlagInitiator, "initiator"}, {FlagVersion, "version"}, {FlagResponse, "response"}} {
		if f&flag.bit != 0 {
			set = append(set, flag.name)
		}
	}
	if set == nil {
		return "none"
	}
	return strings.Join(set, "|")
}

// majorVersion is the only version of IKE that is spoken (RFC 7296 §3.1).
const majorVersion = 2

// Message is a decoded message. Where the last payload is Encrypted or
// EncryptedFragment, the payloads inside come from Open or OpenFragment.
type Message struct {
	Header
	Payloads []Payload
}
