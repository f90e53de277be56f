package message

import (
	"net/netip"

	"racoon2/ikev2/transform"
)

// Payload is one decoded payload.
type Payload interface {
	Type() PayloadType
}

// SA is the Security Association payload (RFC 7296 §3.3).
type SA struct {
	Proposals []Proposal
}

// Proposal is one alternative of an SA payload (RFC 7296 §3.3.1).
type Proposal struct {
	Number     uint8
	Protocol   Protocol
	SPI        []byte // 0 octets in IKE_SA_INIT, 8 for IKE, 4 for ESP and AH
	Transforms []Transform
}

// Transform is one alternative within a proposal (RFC 7296 §3.3.2).
type Transform struct {
	Type transform.Type
	ID   uint16
	// KeyBits is the Key Length attribute (RFC 7296 §3.3.5); 0 when absent.
	KeyBits uint16
	// Unknown is set when there was an attribute other than one proper Key
	// Length: such a transform must not be chosen (RFC 7296 §3.3.6).
	Unknown bool
}

// KE is the Key Exchange payload (RFC 7296 §3.4).
type KE struct {
	Method transform.KE
	Data   []byte
}

// ID is IDi or IDr (RFC 7296 §3.5).
type ID struct {
	Initiator bool
	IDType    IDType
	Data      []byte
}

// Cert is the Certificate payload (RFC 7296 §3.6); decoded, not yet used.
type Cert struct {
	Encoding uint8
	Data     []byte
}

// CertReq is the Certificate Request payload (RFC 7296 §3.7).
type CertReq struct {
	Encoding uint8
	Data     []byte
}

// Auth is the Authentication payload (RFC 7296 §3.8).
type Auth struct {
	Method AuthMethod
	Data   []byte
}

// Nonce is the Nonce payload (RFC 7296 §3.9): 16 to 256 octets.
type Nonce struct {
	Data []byte
}

// Notify is the Notify payload (RFC 7296 §3.10).
type Notify struct {
	Protocol Protocol // 0 when no SPI is concerned
	SPI      []byte
	Kind     NotifyType
	Data     []byte
}

// Delete is the Delete payload (RFC 7296 §3.11). SPIs is empty for IKE.
type Delete struct {
	Protocol Protocol
	SPIs     []uint32
}

// VendorID is the Vendor ID payload (RFC 7296 §3.12).
type VendorID struct {
	Data []byte
}

// TS is TSi or TSr (RFC 7296 §3.13).
type TS struct {
	Initiator bool
	Selectors []TrafficSelector
}

// TrafficSelector is one address, protocol and port range (RFC 7296 §3.13.1).
// For ICMP the ports hold type and code; StartPort 65535 with EndPort 0 is OPAQUE.
type TrafficSelector struct {
	Protocol  uint8 // 0 is any
	StartPort uint16
	EndPort   uint16
	Start     netip.Addr
	End       netip.Addr
	// UnknownType is the TS type when it is none of the two address ranges;
	// such a selector matches nothing.
	UnknownType uint8
}

// Config is the Configuration payload (RFC 7296 §3.15).
type Config struct {
	Kind       uint8 // CFG_REQUEST 1, CFG_REPLY 2, CFG_SET 3, CFG_ACK 4
	Attributes []ConfigAttribute
}

// ConfigAttribute is one attribute of a Configuration payload.
type ConfigAttribute struct {
	Kind  uint16
	Value []byte
}

// EAP is an EAP message (RFC 7296 §3.16).
type EAP struct {
	Data []byte
}

// Encrypted is the SK payload (RFC 7296 §3.14), still sealed. It is always the
// last one of a message.
type Encrypted struct {
	First PayloadType // type of the first payload inside
	Body  []byte      // IV, ciphertext, ICV
}

// EncryptedFragment is the SKF payload (RFC 7383 §2.5), still sealed.
type EncryptedFragment struct {
	First  PayloadType // of the whole message; 0 but in fragment 1
	Number uint16      // 1 … Total
	Total  uint16
	Body   []byte
}

// Unknown is a payload of a type that this package does not know.
type Unknown struct {
	Kind     PayloadType
	Critical bool // RFC 7296 §2.5: answer UNSUPPORTED_CRITICAL_PAYLOAD
	Body     []byte
}

// Type is PayloadSA.
func (*SA) Type() PayloadType { return PayloadSA }

// Type is PayloadKE.
func (*KE) Type() PayloadType { return PayloadKE }

// Type is PayloadIDi or PayloadIDr.
func (p *ID) Type() PayloadType {
	if p.Initiator {
		return PayloadIDi
	}
	return PayloadIDr
}

// Type is PayloadCERT.
func (*Cert) Type() PayloadType { return PayloadCERT }

// Type is PayloadCERTREQ.
func (*CertReq) Type() PayloadType { return PayloadCERTREQ }

// Type is PayloadAUTH.
func (*Auth) Type() PayloadType { return PayloadAUTH }

// Type is PayloadNonce.
func (*Nonce) Type() PayloadType { return PayloadNonce }

// Type is PayloadNotify.
func (*Notify) Type() PayloadType { return PayloadNotify }

// Type is PayloadDelete.
func (*Delete) Type() PayloadType { return PayloadDelete }

// Type is PayloadVendor.
func (*VendorID) Type() PayloadType { return PayloadVendor }

// Type is PayloadTSi or PayloadTSr.
func (p *TS) Type() PayloadType {
	if p.Initiator {
		return PayloadTSi
	}
	return PayloadTSr
}

// Type is PayloadCP.
func (*Config) Type() PayloadType { return PayloadCP }

// Type is PayloadEAP.
func (*EAP) Type() PayloadType { return PayloadEAP }

// Type is PayloadSK.
func (*Encrypted) Type() PayloadType { return PayloadSK }

// Type is PayloadSKF.
func (*EncryptedFragment) Type() PayloadType { return PayloadSKF }

// Type is the unknown type.
func (p *Unknown) Type() PayloadType { return p.Kind }

// UnsupportedCritical gives the type of the first payload that is not known and
// has the critical bit: a request with one is answered with
// UNSUPPORTED_CRITICAL_PAYLOAD and that type, a response is ignored (RFC 7296 §2.5).
func UnsupportedCritical(payloads []Payload) (PayloadType, bool) {
	for _, p := range payloads {
		if u, ok := p.(*Unknown); ok && u.Critical {
			return u.Kind, true
		}
	}
	return NoNextPayload, false
}

// known says whether payloads of the type are decoded.
func (t PayloadType) known() bool {
	return t >= PayloadSA && t <= PayloadEAP || t == PayloadSKF
}
