package message

import (
	"encoding/binary"
	"fmt"
)

// Decode takes a datagram apart. Its errors are *DecodeErrors; a datagram too
// short for a header, or cut off, is one as well. The message keeps slices of the
// datagram.
func Decode(datagram []byte) (*Message, error) {
	end, length, err := checkHeader(datagram)
	if err != nil {
		return nil, err
	}
	h, _ := Peek(datagram)
	m := &Message{Type: h.Type, XID: h.XID, AckRequest: datagram[13]&ackRequest != 0}
	var at int
	m.Payloads, at, err = decodeChain(datagram[:end], HeaderLen, PayloadType(datagram[12]))
	switch {
	case err != nil:
		return nil, err
	case align(at) < end:
		return nil, malformed("%d octets between the last payload and the checksum", end-at)
	}
	for i, p := range m.Payloads {
		// RFC 4430 §4.2.7: KINK_ENCRYPT MUST be the final payload of the outer chain.
		if p.Type() == KINK_ENCRYPT && i != len(m.Payloads)-1 {
			return nil, malformed("KINK_ENCRYPT is followed by %v", m.Payloads[i+1].Type())
		}
	}
	if end < length {
		m.Checksum = datagram[end:length]
		// RFC 4430 §4: to verify, Length has no checksum and CksumLen is zero.
		m.signed = append([]byte(nil), datagram[:end]...)
		binary.BigEndian.PutUint16(m.signed[2:], uint16(end))
		binary.BigEndian.PutUint16(m.signed[14:], 0)
	}
	return m, nil
}

// checkHeader returns where the payloads end and where the message does.
func checkHeader(b []byte) (end, length int, err error) {
	if len(b) < HeaderLen {
		return 0, 0, malformed("%d octets are no header", len(b))
	}
	// RFC 4430 §4.2.8: an unsupported version SHOULD be answered with KINK_INVMAJ.
	// The lower half of the octet is reserved and MUST be ignored (§4).
	if major := b[1] >> 4; major != majorVersion {
		return 0, 0, &DecodeError{KINK_INVMAJ, fmt.Sprintf("major version %d, only %d is known", major, majorVersion)}
	}
	if doi := binary.BigEndian.Uint32(b[4:]); doi != DOI {
		return 0, 0, &DecodeError{KINK_INVDOI, fmt.Sprintf("DOI %d, only %d (IPsec) is known", doi, DOI)}
	}
	length = int(binary.BigEndian.Uint16(b[2:]))
	sum := int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case length > len(b):
		return 0, 0, malformed("Length is %d in a datagram of %d octets", length, len(b))
	case length < HeaderLen+sum:
		return 0, 0, malformed("Length %d does not hold header and checksum of %d octets", length, sum)
	case sum != 0 && (length-sum)%4 != 0:
		// RFC 4430 §4.1: the Cksum field MUST be aligned.
		return 0, 0, malformed("the checksum begins at octet %d, which is no multiple of 4", length-sum)
	}
	return length - sum, length, nil
}

// decodeChain reads the payloads that begin at octet at of b, which ends with
// them. It returns where the last one ends, its padding excluded.
func decodeChain(b []byte, at int, next PayloadType) ([]Payload, int, error) {
	var list []Payload
	for next != KINK_DONE {
		at = align(at)
		switch {
		case len(list) == maxPayloads:
			return nil, 0, malformed("more than %d payloads", maxPayloads)
		case len(b)-at < genericLen:
			return nil, 0, malformed("the message ends where %v should begin", next)
		}
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		if size < genericLen || size > len(b)-at {
			return nil, 0, malformed("%v has a length of %d where %d octets are left", next, size, len(b)-at)
		}
		p, err := decodePayload(next, b[at+genericLen:at+size:at+size])
		if err != nil {
			return nil, 0, err
		}
		list = append(list, p)
		next = PayloadType(b[at])
		at += size
	}
	return list, at, nil
}

// least is the shortest value of a payload type, in octets.
func (p PayloadType) least() int {
	switch p {
	case KINK_AP_REQ, KINK_AP_REP:
		return 5
	case KINK_ISAKMP, KINK_ERROR:
		return 4
	case KINK_KRB_ERROR, KINK_TGT_REQ, KINK_TGT_REP, KINK_ENCRYPT:
		return 1
	}
	return 0
}

// decodePayload reads the value behind a generic header.
func decodePayload(t PayloadType, v []byte) (Payload, error) {
	least := t.least()
	if len(v) < least {
		return nil, malformed("%v of %d octets, at least %d are needed", t, genericLen+len(v), genericLen+least)
	}
	switch t {
	case KINK_AP_REQ:
		return APReq{Epoch: binary.BigEndian.Uint32(v), Octets: v[4:]}, nil
	case KINK_AP_REP:
		return APRep{Epoch: binary.BigEndian.Uint32(v), Octets: v[4:]}, nil
	case KINK_KRB_ERROR:
		return KRBError{Octets: v}, nil
	case KINK_TGT_REQ:
		return TGTReq{Principal: string(v)}, nil
	case KINK_TGT_REP:
		return TGTRep{Ticket: v}, nil
	case KINK_ISAKMP:
		return ISAKMP{First: v[0], Version: v[1], Data: v[4:]}, nil
	case KINK_ENCRYPT:
		return Encrypt{Ciphertext: v}, nil
	case KINK_ERROR:
		if len(v) != 4 {
			return nil, malformed("KINK_ERROR of %d octets", genericLen+len(v))
		}
		return Error{Code: ErrorCode(binary.BigEndian.Uint32(v))}, nil
	}
	return Unknown{Number: t, Value: v}, nil
}

// DecodeInner reads the plaintext of KINK_ENCRYPT (RFC 4430 §4.2.7). Octets after
// the last payload MUST be ignored: the cipher's padding. A KINK_ENCRYPT inside is
// refused.
func DecodeInner(plain []byte) ([]Payload, error) {
	if len(plain) < innerLen {
		return nil, malformed("%d octets inside KINK_ENCRYPT", len(plain))
	}
	list, _, err := decodeChain(plain, innerLen, PayloadType(plain[0]))
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		switch p.Type() {
		case KINK_ENCRYPT, KINK_AP_REQ, KINK_AP_REP, KINK_TGT_REQ, KINK_TGT_REP:
			return nil, malformed("%v inside KINK_ENCRYPT", p.Type())
		}
	}
	return list, nil
}

// align rounds up to the next multiple of 4 (RFC 4430 §4.1).
func align(n int) int { return (n + 3) &^ 3 }

func malformed(format string, args ...any) *DecodeError {
	return &DecodeError{KINK_PROTOERR, fmt.Sprintf(format, args...)}
}
