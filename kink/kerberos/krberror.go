package kerberos

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"racoon2/kink"
)

var errTooLong = errors.New("the message is too long")

// Codes that KDCs send and KINK does not (RFC 4120 §7.5.9).
const (
	kdcErrCPrincipalUnknown kink.KRBCode = 6
	kdcErrPolicy            kink.KRBCode = 12
	kdcErrETypeNoSupp       kink.KRBCode = 14
	kdcErrTGTRevoked        kink.KRBCode = 20
	kdcErrSvcUnavailable    kink.KRBCode = 29
	kdcErrPathNotAccepted   kink.KRBCode = 28
	kdcErrPreauthFailed     kink.KRBCode = 24
	kdcErrPreauthRequired   kink.KRBCode = 25
	apErrBadAddr            kink.KRBCode = 38
	krbErrResponseTooBig    kink.KRBCode = 52
)

// codeName is the code as RFC 4120 spells it, with those that only KDCs send.
func codeName(c kink.KRBCode) string {
	switch c {
	case kdcErrCPrincipalUnknown:
		return "KDC_ERR_C_PRINCIPAL_UNKNOWN"
	case kdcErrPolicy:
		return "KDC_ERR_POLICY"
	case kdcErrETypeNoSupp:
		return "KDC_ERR_ETYPE_NOSUPP"
	case kdcErrTGTRevoked:
		return "KDC_ERR_TGT_REVOKED"
	case kdcErrSvcUnavailable:
		return "KDC_ERR_SVC_UNAVAILABLE"
	case kdcErrPathNotAccepted:
		return "KDC_ERR_PATH_NOT_ACCEPTED"
	case kdcErrPreauthFailed:
		return "KDC_ERR_PREAUTH_FAILED"
	case kdcErrPreauthRequired:
		return "KDC_ERR_PREAUTH_REQUIRED"
	case apErrBadAddr:
		return "KRB_AP_ERR_BADADDR"
	case krbErrResponseTooBig:
		return "KRB_ERR_RESPONSE_TOO_BIG"
	}
	return c.String()
}

// krbErrorf makes an error with a code. Its text has no secrets: names, times,
// numbers.
func krbErrorf(code kink.KRBCode, format string, args ...any) *kink.KRBError {
	return &kink.KRBError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// errorMessage is a KRB-ERROR (RFC 4120 §5.9.1).
type errorMessage struct {
	code    kink.KRBCode
	ctime   time.Time // zero: absent
	stime   time.Time
	service Principal
	text    string
	data    []byte // of a KDC's pre-authentication errors
}

func decodeKRBError(octets []byte) (errorMessage, error) {
	var m errorMessage
	if len(octets) > maxMessage {
		return m, errTooLong
	}
	d := application("KRB-ERROR", tagKRBError, octets, false)
	if v := d.integer(0, "pvno"); v != version {
		d.failf("pvno is %d, not 5", v)
	}
	if v := d.integer(1, "msg-type"); v != tagKRBError {
		d.failf("msg-type is %d, not 30", v)
	}
	if d.has(2) {
		m.ctime = d.time(2, "ctime")
	}
	if d.has(3) {
		micro := d.microseconds(3, "cusec")
		if !m.ctime.IsZero() {
			m.ctime = m.ctime.Add(micro)
		}
	}
	m.stime = d.time(4, "stime")
	m.stime = m.stime.Add(d.microseconds(5, "susec"))
	m.code = kink.KRBCode(d.number(6, "error-code"))
	d.skip(7)
	d.skip(8)
	m.service.Realm = d.text(9, "realm")
	m.service.Name = d.name(10, "sname")
	if d.has(11) {
		m.text = d.errorText(11)
	}
	if d.has(12) {
		m.data = d.octets(12, "e-data")
	}
	return m, d.err
}

// errorText is the e-text made fit for a log: it is not authentic, may be long, and
// some servers end it with a NUL.
func (d *decoder) errorText(n int) string {
	s := d.field(n, "e-text")
	var v cryptobyte.String
	if d.err == nil && (!s.ReadASN1(&v, asn1.GeneralString) || !s.Empty()) {
		d.fail("e-text")
		return ""
	}
	out := make([]byte, 0, 256)
	for _, c := range v {
		if len(out) == cap(out) {
			break
		}
		if c >= 0x20 && c < 0x7F {
			out = append(out, c)
		}
	}
	return string(out)
}

func (m errorMessage) encode() ([]byte, error) {
	return encode(tagKRBError, func(e encoder) {
		e.integer(0, version)
		e.integer(1, tagKRBError)
		if !m.ctime.IsZero() {
			e.time(2, m.ctime)
			e.microseconds(3, m.ctime)
		}
		e.time(4, m.stime)
		e.microseconds(5, m.stime)
		e.integer(6, int64(m.code))
		e.text(9, m.service.Realm)
		e.name(10, m.service.Name, ntPrincipal)
	})
}
