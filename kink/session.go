package kink

import (
	"io"
	"net/netip"
	"strconv"
	"time"
)

// Principals are text in the form of RFC 1964 §2.1.3 everywhere in this package:
// "kink/gw.example.com@EXAMPLE.COM", with backslash escapes, the realm included.

// Session is one authenticated context: the session key of a ticket together
// with one authenticator. Subkeys are never used (RFC 4430 §7). All its methods
// are symmetric work and never block; none of them keeps its argument.
type Session interface {
	// MIC is the keyed checksum of the session key's etype over data, with key
	// usage 40 (RFC 4430 §8); MICSize octets long.
	MIC(data []byte) ([]byte, error)
	// VerifyMIC checks a MIC in constant time; any length of sum is taken.
	VerifyMIC(data, sum []byte) error
	// MICSize is the length of a MIC in octets.
	MICSize() int

	// Encrypt is the etype's encrypt function with key usage 39 (RFC 4430 §8).
	Encrypt(plain []byte) ([]byte, error)
	// Decrypt reverses Encrypt and checks its integrity; any length is taken. The
	// etype's padding may follow the plaintext (RFC 4430 §4.2.7).
	Decrypt(cipher []byte) ([]byte, error)

	// PRF is the etype's pseudo-random function under the session key (RFC 4430 §7).
	PRF(data []byte) []byte

	// EType is the session key's encryption type.
	EType() int32
	// Local is the principal of this host, Peer that of the peer; what the ticket
	// says, never what the authenticator says alone.
	Local() string
	Peer() string
	// Expires is the end of the ticket.
	Expires() time.Time
	// UserToUser says that the ticket is under a TGT's session key (RFC 4120 §3.3.3).
	UserToUser() bool
}

// ClientSession is a Session with an authenticator that this host made.
type ClientSession interface {
	Session
	// Time is the ctime and cusec of the authenticator, the clock offset included.
	Time() time.Time
	// VerifyAPRep checks that octets are the AP-REP to this authenticator
	// (RFC 4120 §3.2.5: freshness by ctime and cusec). The caller knows the KINK
	// checksum to be right.
	VerifyAPRep(octets []byte) error
}

// ServerSession is a Session with an authenticator that the peer made.
type ServerSession interface {
	Session
	// Commit enters the authenticator in the replay cache, at once or never. It is
	// called after the KINK checksum has been verified, so that a captured AP-REQ
	// with another message behind it cannot burn it. Its error is a *KRBError: a replay
	// has KRB_AP_ERR_REPEAT, an authenticator that has become too old since Accept
	// KRB_AP_ERR_SKEW; KRB_ERR_GENERIC says that it could not be remembered.
	Commit(now time.Time) error
	// APRep makes the AP-REP for the authenticator.
	APRep(now time.Time, rand io.Reader) ([]byte, error)
}

// Ticket is a service ticket of this host for a peer. It may be used by several
// transactions at a time.
type Ticket interface {
	Local() string // this host's principal
	Peer() string  // the principal that the ticket is for
	Expires() time.Time
	UserToUser() bool
	// APReq makes an AP-REQ with a fresh authenticator, which asks for mutual
	// authentication (RFC 4430 §4.2.1). The authenticator's time is now+offset, moved
	// on by microseconds where this host has used it with the same ticket before; it
	// may lie before earlier ones, for the offset can change by hours.
	APReq(now time.Time, offset time.Duration, rand io.Reader) (octets []byte, s ClientSession, err error)
}

// Kerberos is what an Engine asks of Kerberos, without waiting for a KDC.
type Kerberos interface {
	// Accept verifies an AP-REQ for one of this host's principals: format, names,
	// etypes, ticket, authenticator, and last times. Its error is a *KRBError. Where
	// only the times are wrong (KRB_AP_ERR_SKEW, KRB_AP_ERR_TKT_EXPIRED,
	// KRB_AP_ERR_TKT_NYV) the session is returned as well, so that the error can be
	// authenticated. Nothing enters the replay cache before Commit.
	Accept(now time.Time, apReq []byte, source netip.Addr) (ServerSession, error)
	// TGT is the present TGT of this host's principal as a DER Ticket, to be
	// returned in KINK_TGT_REP. A *KRBError with KRB_AP_ERR_NOT_US when the
	// principal is not this host's or there is no TGT for it.
	TGT(now time.Time, principal string) ([]byte, error)
	// Error makes a KRB-ERROR with the code and now as stime. s may be nil; if not,
	// the authenticator's ctime and cusec are echoed (RFC 4430 §3.5). local is this
	// host's principal where known, "" otherwise.
	Error(now time.Time, code KRBCode, local string, s ServerSession) ([]byte, error)
	// ParseError takes a KRB-ERROR apart. Nothing in it is authentic by itself.
	ParseError(octets []byte) (KRBErrorMessage, error)
}

// KRBErrorMessage is what a KRB-ERROR says (RFC 4120 §5.9.1). Its e-text may be
// logged, its e-data is not looked at (RFC 4430 §4.2.3).
type KRBErrorMessage struct {
	Code  KRBCode
	CTime time.Time // of the client's authenticator; zero when absent
	STime time.Time // the server's clock
	Text  string
}

// KRBError is a Kerberos error that this host found or was told.
type KRBError struct {
	Code   KRBCode
	Reason string // one sentence for an operator; no secrets
	// Local is this host's principal that the ticket names, "" when not known.
	Local string
	// Fault says that the library behind Kerberos failed in a way that it must not: a
	// bug of this host's, which was caught.
	Fault bool
	// LostTGT says that a user-to-user ticket is under a TGT that this host no
	// longer has (RFC 4430 §3.7.1).
	LostTGT bool
}

// Error is the code's name with the reason.
func (e *KRBError) Error() string {
	if e.Reason == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Reason
}

// KRBCode is a Kerberos error code (RFC 4120 §7.5.9).
type KRBCode int32

// The codes that KINK sends or acts on.
const (
	KDC_ERR_S_PRINCIPAL_UNKNOWN      KRBCode = 7
	KDC_ERR_MUST_USE_USER2USER       KRBCode = 27
	KRB_AP_ERR_BAD_INTEGRITY         KRBCode = 31
	KRB_AP_ERR_TKT_EXPIRED           KRBCode = 32
	KRB_AP_ERR_TKT_NYV               KRBCode = 33
	KRB_AP_ERR_REPEAT                KRBCode = 34
	KRB_AP_ERR_NOT_US                KRBCode = 35
	KRB_AP_ERR_BADMATCH              KRBCode = 36
	KRB_AP_ERR_SKEW                  KRBCode = 37
	KRB_AP_ERR_BADVERSION            KRBCode = 39
	KRB_AP_ERR_MSG_TYPE              KRBCode = 40
	KRB_AP_ERR_MODIFIED              KRBCode = 41
	KRB_AP_ERR_BADKEYVER             KRBCode = 44
	KRB_AP_ERR_NOKEY                 KRBCode = 45
	KRB_AP_ERR_MUT_FAIL              KRBCode = 46
	KRB_ERR_GENERIC                  KRBCode = 60
	KRB_AP_ERR_USER_TO_USER_REQUIRED KRBCode = 69
)

// String is the code as RFC 4120 spells it.
func (c KRBCode) String() string {
	switch c {
	case KDC_ERR_S_PRINCIPAL_UNKNOWN:
		return "KDC_ERR_S_PRINCIPAL_UNKNOWN"
	case KDC_ERR_MUST_USE_USER2USER:
		return "KDC_ERR_MUST_USE_USER2USER"
	case KRB_AP_ERR_BAD_INTEGRITY:
		return "KRB_AP_ERR_BAD_INTEGRITY"
	case KRB_AP_ERR_TKT_EXPIRED:
		return "KRB_AP_ERR_TKT_EXPIRED"
	case KRB_AP_ERR_TKT_NYV:
		return "KRB_AP_ERR_TKT_NYV"
	case KRB_AP_ERR_REPEAT:
		return "KRB_AP_ERR_REPEAT"
	case KRB_AP_ERR_NOT_US:
		return "KRB_AP_ERR_NOT_US"
	case KRB_AP_ERR_BADMATCH:
		return "KRB_AP_ERR_BADMATCH"
	case KRB_AP_ERR_SKEW:
		return "KRB_AP_ERR_SKEW"
	case KRB_AP_ERR_BADVERSION:
		return "KRB_AP_ERR_BADVERSION"
	case KRB_AP_ERR_MSG_TYPE:
		return "KRB_AP_ERR_MSG_TYPE"
	case KRB_AP_ERR_MODIFIED:
		return "KRB_AP_ERR_MODIFIED"
	case KRB_AP_ERR_BADKEYVER:
		return "KRB_AP_ERR_BADKEYVER"
	case KRB_AP_ERR_NOKEY:
		return "KRB_AP_ERR_NOKEY"
	case KRB_AP_ERR_MUT_FAIL:
		return "KRB_AP_ERR_MUT_FAIL"
	case KRB_ERR_GENERIC:
		return "KRB_ERR_GENERIC"
	case KRB_AP_ERR_USER_TO_USER_REQUIRED:
		return "KRB_AP_ERR_USER_TO_USER_REQUIRED"
	}
	return "KRB error " + strconv.Itoa(int(c))
}
