package message

import "strconv"

// String is the type as RFC 4430 §4 spells it.
func (t Type) String() string {
	switch t {
	case CREATE:
		return "CREATE"
	case DELETE:
		return "DELETE"
	case REPLY:
		return "REPLY"
	case GETTGT:
		return "GETTGT"
	case ACK:
		return "ACK"
	case STATUS:
		return "STATUS"
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

// String is the type as RFC 4430 §4.2 spells it.
func (p PayloadType) String() string {
	switch p {
	case KINK_DONE:
		return "KINK_DONE"
	case KINK_AP_REQ:
		return "KINK_AP_REQ"
	case KINK_AP_REP:
		return "KINK_AP_REP"
	case KINK_KRB_ERROR:
		return "KINK_KRB_ERROR"
	case KINK_TGT_REQ:
		return "KINK_TGT_REQ"
	case KINK_TGT_REP:
		return "KINK_TGT_REP"
	case KINK_ISAKMP:
		return "KINK_ISAKMP"
	case KINK_ENCRYPT:
		return "KINK_ENCRYPT"
	case KINK_ERROR:
		return "KINK_ERROR"
	}
	return "PayloadType(" + strconv.Itoa(int(p)) + ")"
}

// String is the code as RFC 4430 §4.2.8 spells it.
func (c ErrorCode) String() string {
	switch c {
	case KINK_OK:
		return "KINK_OK"
	case KINK_PROTOERR:
		return "KINK_PROTOERR"
	case KINK_INVDOI:
		return "KINK_INVDOI"
	case KINK_INVMAJ:
		return "KINK_INVMAJ"
	case KINK_INVMIN:
		return "KINK_INVMIN"
	case KINK_INTERR:
		return "KINK_INTERR"
	case KINK_BADQMVERS:
		return "KINK_BADQMVERS"
	case KINK_U2UDENIED:
		return "KINK_U2UDENIED"
	}
	return "ErrorCode(" + strconv.FormatUint(uint64(c), 10) + ")"
}
