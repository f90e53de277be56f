package message

// PayloadType is the type of a KINK payload (RFC 4430 §4.2).
type PayloadType uint8

// The payload types.
const (
	KINK_DONE      PayloadType = 0 // ends a chain
	KINK_AP_REQ    PayloadType = 1
	KINK_AP_REP    PayloadType = 2
	KINK_KRB_ERROR PayloadType = 3
	KINK_TGT_REQ   PayloadType = 4
	KINK_TGT_REP   PayloadType = 5
	KINK_ISAKMP    PayloadType = 6
	KINK_ENCRYPT   PayloadType = 7
	KINK_ERROR     PayloadType = 8
)

// Payload is one of the types below.
type Payload interface {
	Type() PayloadType
	appendValue([]byte) []byte // what follows the generic header
}

// The payloads. Their octets point into the datagram that they were decoded from.
type (
	// APReq is KINK_AP_REQ (RFC 4430 §4.2.1).
	APReq struct {
		Epoch  uint32 // low 32 bits of the POSIX time since when the sender has valid SAs
		Octets []byte // the AP-REQ in DER
	}
	// APRep is KINK_AP_REP (RFC 4430 §4.2.2).
	APRep struct {
		Epoch  uint32
		Octets []byte
	}
	// KRBError is KINK_KRB_ERROR (RFC 4430 §4.2.3).
	KRBError struct{ Octets []byte }
	// TGTReq is KINK_TGT_REQ (RFC 4430 §4.2.4).
	TGTReq struct{ Principal string } // RFC 1964 §2.1.3, the name alone
	// TGTRep is KINK_TGT_REP (RFC 4430 §4.2.5).
	TGTRep struct{ Ticket []byte } // in DER
	// ISAKMP is KINK_ISAKMP (RFC 4430 §4.2.6): one SA operation.
	ISAKMP struct {
		First   uint8 // type of the first Quick Mode payload
		Version uint8 // QMMaj and QMMin, QuickMode10 for 1.0
		Data    []byte
	}
	// Encrypt is KINK_ENCRYPT (RFC 4430 §4.2.7), the last one of the outer chain.
	Encrypt struct{ Ciphertext []byte }
	// Error is KINK_ERROR (RFC 4430 §4.2.8).
	Error struct{ Code ErrorCode }
	// Unknown is a payload of another type.
	Unknown struct {
		Number PayloadType
		Value  []byte
	}
)

// QuickMode10 is Quick Mode 1.0, the only version there is (RFC 4430 §4.2.6).
const QuickMode10 = 0x10

// Type is the payload's type.
func (APReq) Type() PayloadType     { return KINK_AP_REQ }
func (APRep) Type() PayloadType     { return KINK_AP_REP }
func (KRBError) Type() PayloadType  { return KINK_KRB_ERROR }
func (TGTReq) Type() PayloadType    { return KINK_TGT_REQ }
func (TGTRep) Type() PayloadType    { return KINK_TGT_REP }
func (ISAKMP) Type() PayloadType    { return KINK_ISAKMP }
func (Encrypt) Type() PayloadType   { return KINK_ENCRYPT }
func (Error) Type() PayloadType     { return KINK_ERROR }
func (p Unknown) Type() PayloadType { return p.Number }

// ErrorCode is the code of a KINK_ERROR payload (RFC 4430 §4.2.8).
type ErrorCode uint32

// The error codes. KINK_OK MUST NOT be returned.
const (
	KINK_OK        ErrorCode = 0
	KINK_PROTOERR  ErrorCode = 1 // the message was malformed
	KINK_INVDOI    ErrorCode = 2
	KINK_INVMAJ    ErrorCode = 3
	KINK_INVMIN    ErrorCode = 4 // reserved by RFC 4430; drafts had it, and the original still sends it
	KINK_INTERR    ErrorCode = 5 // an unrecoverable internal error
	KINK_BADQMVERS ErrorCode = 6 // unsupported Quick Mode version
	KINK_U2UDENIED ErrorCode = 7 // returning a TGT is prohibited
)

// DecodeError says why a message is refused, and with which KINK_ERROR.
type DecodeError struct {
	Code   ErrorCode
	Reason string
}

// Error is the code with the reason.
func (e *DecodeError) Error() string { return e.Code.String() + ": " + e.Reason }
