package kerberos

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"

	"racoon2/kink"
)

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
// numbers. It says so where the reason is a panic of gokrb5.
func krbErrorf(code kink.KRBCode, format string, args ...any) *kink.KRBError {
	err := fmt.Errorf(format, args...)
	return &kink.KRBError{Code: code, Reason: err.Error(), Fault: isFault(args)}
}

func isFault(args []any) bool {
	return slices.ContainsFunc(args, func(a any) bool {
		err, ok := a.(error)
		var f *fault
		return ok && errors.As(err, &f)
	})
}

// errorMessage is a KRB-ERROR (RFC 4120 §5.9.1).
type errorMessage struct {
	code    kink.KRBCode
	ctime   time.Time // zero: absent
	stime   time.Time
	service Principal // zero where it has none; some servers do not know their name
	text    string
	data    []byte // of a KDC's pre-authentication errors
}

func decodeKRBError(octets []byte) (errorMessage, error) {
	var m errorMessage
	var lib messages.KRBError
	if err := whole("KRB-ERROR", tagKRBError, octets); err != nil {
		return m, err
	}
	if err := unmarshal("the KRB-ERROR", &lib, octets); err != nil {
		return m, err
	}
	if lib.PVNO != version {
		return m, fmt.Errorf("pvno is %d, not 5", lib.PVNO)
	}
	var err error
	if m.stime, err = moment("stime", lib.STime, lib.Susec); err != nil {
		return m, err
	}
	if !lib.CTime.IsZero() {
		if m.ctime, err = moment("ctime", lib.CTime, lib.Cusec); err != nil {
			return m, err
		}
	}
	if m.service, err = principalOf("sname", lib.SName, lib.Realm); err != nil {
		m.service = Principal{}
	}
	m.code, m.text, m.data = kink.KRBCode(lib.ErrorCode), loggable(lib.EText), lib.EData
	return m, nil
}

// loggable is the e-text made fit for a log: it is not authentic, may be long, and
// some servers end it with a NUL.
func loggable(text string) string {
	out := make([]byte, 0, 256)
	for i := range len(text) {
		if len(out) == cap(out) {
			break
		}
		if c := text[i]; c >= 0x20 && c < 0x7F {
			out = append(out, c)
		}
	}
	return string(out)
}

func (m errorMessage) encode() ([]byte, error) {
	lib := messages.KRBError{
		PVNO: version, MsgType: tagKRBError, STime: m.stime.UTC(), Susec: microseconds(m.stime),
		ErrorCode: int32(m.code), Realm: m.service.Realm, SName: nameOf(m.service, ntPrincipal),
	}
	if !m.ctime.IsZero() {
		lib.CTime, lib.Cusec = m.ctime.UTC(), microseconds(m.ctime)
	}
	return marshal("the KRB-ERROR", &lib)
}
