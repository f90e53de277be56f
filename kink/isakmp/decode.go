package isakmp

import (
	"encoding/binary"
)

// doi and situation are the only ones that RFC 4430 §5 allows: IPsec, SIT_IDENTITY_ONLY.
const (
	doi       = 1
	situation = 1

	genericLen = 4 // octets of the generic payload header (RFC 2408 §3.2)

	// maxPayloads and maxTransforms bound one KINK_ISAKMP payload. The number of a
	// transform has one octet.
	maxPayloads   = 64
	maxTransforms = 255
)

// Decode reads a chain of Quick Mode payloads whose first one is of type first.
// Its errors are *DecodeErrors.
func Decode(first PayloadType, b []byte) ([]Payload, error) {
	var list []Payload
	for next := first; next != PayloadNone; {
		if len(list) == maxPayloads {
			return nil, malformed("more than %d payloads", maxPayloads)
		}
		body, rest, following, err := generic(b, next)
		if err != nil {
			return nil, err
		}
		p, err := decodePayload(next, body)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
		b, next = rest, following
	}
	if len(b) > 0 {
		return nil, malformed("%d octets behind the last payload", len(b))
	}
	return list, nil
}

// generic takes one payload off b: its body, what follows it, and the type of that.
func generic(b []byte, t PayloadType) (body, rest []byte, next PayloadType, err error) {
	if len(b) < genericLen {
		return nil, nil, 0, malformed("the payloads end where %v should begin", t)
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size < genericLen || size > len(b) {
		return nil, nil, 0, malformed("%v has a length of %d where %d octets are left", t, size, len(b))
	}
	return b[genericLen:size:size], b[size:], PayloadType(b[0]), nil
}

func decodePayload(t PayloadType, b []byte) (Payload, error) {
	switch t {
	case PayloadSA:
		return decodeSA(b)
	case PayloadKE:
		if len(b) == 0 {
			return nil, malformed("KE is empty")
		}
		return KE{Public: b}, nil
	case PayloadNonce:
		// RFC 2409 §5: between 8 and 256 octets.
		if len(b) < 8 || len(b) > 256 {
			return nil, malformed("NONCE of %d octets; 8 to 256 are allowed", len(b))
		}
		return Nonce{Data: b}, nil
	case PayloadID:
		return decodeID(b)
	case PayloadNotify:
		return decodeNotify(b)
	case PayloadDelete:
		return decodeDelete(b)
	}
	// RFC 4430 §5.5: the data MUST contain the type in one octet.
	return nil, &DecodeError{Kind: INVALID_PAYLOAD_TYPE, Data: []byte{byte(t)}, Reason: t.String() + " is not for Quick Mode in KINK"}
}

// checkDOI reads a DOI, which MUST be that of the KINK header (RFC 4430 §4).
func checkDOI(t PayloadType, b []byte, least int) error {
	if len(b) < least {
		return malformed("%v of %d octets, at least %d are needed", t, genericLen+len(b), genericLen+least)
	}
	if d := binary.BigEndian.Uint32(b); d != doi {
		return malformed("%v has DOI %d, the message has %d", t, d, doi)
	}
	return nil
}

func decodeSA(b []byte) (Payload, error) {
	if err := checkDOI(PayloadSA, b, 8); err != nil {
		return nil, err
	}
	// RFC 4430 §5: MUST be SIT_IDENTITY_ONLY.
	if s := binary.BigEndian.Uint32(b[4:]); s != situation {
		return nil, malformed("SA has situation %d, only %d (SIT_IDENTITY_ONLY) is allowed", s, situation)
	}
	var sa SA
	b = b[8:]
	for next := PayloadProposal; next != PayloadNone; {
		if next != PayloadProposal {
			return nil, malformed("%v among proposals", next)
		}
		if len(sa.Proposals) == maxPayloads {
			return nil, malformed("more than %d proposals", maxPayloads)
		}
		body, rest, following, err := generic(b, next)
		if err != nil {
			return nil, err
		}
		p, err := decodeProposal(body)
		if err != nil {
			return nil, err
		}
		sa.Proposals = append(sa.Proposals, p)
		b, next = rest, following
	}
	if len(b) > 0 {
		return nil, malformed("%d octets behind the last proposal", len(b))
	}
	return sa, nil
}

func decodeProposal(b []byte) (Proposal, error) {
	if len(b) < 4 {
		return Proposal{}, malformed("P of %d octets", genericLen+len(b))
	}
	size, count := int(b[2]), int(b[3])
	p := Proposal{Number: b[0], Protocol: Protocol(b[1])}
	if len(b) < 4+size {
		return Proposal{}, malformed("P has an SPI of %d octets where %d are left", size, len(b)-4)
	}
	if size > 0 {
		p.SPI = b[4 : 4+size]
	}
	b = b[4+size:]
	if count == 0 {
		return Proposal{}, malformed("P without a transform")
	}
	for i := range count {
		body, rest, next, err := generic(b, PayloadTransform)
		if err != nil {
			return Proposal{}, err
		}
		want := PayloadTransform
		if i == count-1 {
			want = PayloadNone
		}
		if next != want {
			return Proposal{}, malformed("T %d of %d is followed by %v", i+1, count, next)
		}
		t, err := decodeTransform(body)
		if err != nil {
			return Proposal{}, err
		}
		p.Transforms = append(p.Transforms, t)
		b = rest
	}
	if len(b) > 0 {
		return Proposal{}, malformed("%d octets behind the last transform", len(b))
	}
	return p, nil
}

func decodeTransform(b []byte) (Transform, error) {
	if len(b) < 4 {
		return Transform{}, malformed("T of %d octets", genericLen+len(b))
	}
	t := Transform{Number: b[0], ID: b[1]}
	for b = b[4:]; len(b) > 0; {
		if len(b) < 4 {
			return Transform{}, malformed("%d octets where an attribute should be", len(b))
		}
		kind := binary.BigEndian.Uint16(b)
		a := Attribute{Type: AttributeType(kind & 0x7fff), Basic: kind&0x8000 != 0}
		if a.Basic {
			a.Value, b = b[2:4:4], b[4:]
		} else {
			size := int(binary.BigEndian.Uint16(b[2:]))
			if size > len(b)-4 {
				return Transform{}, malformed("%v has a length of %d where %d octets are left", a.Type, size, len(b)-4)
			}
			a.Value, b = b[4:4+size:4+size], b[4+size:]
		}
		t.Attributes = append(t.Attributes, a)
	}
	return t, nil
}

func decodeID(b []byte) (Payload, error) {
	if len(b) < 4 {
		return nil, malformed("ID of %d octets", genericLen+len(b))
	}
	id := ID{Kind: IDType(b[0]), Protocol: b[1], Port: binary.BigEndian.Uint16(b[2:]), Data: b[4:]}
	want := 0
	switch id.Kind {
	case ID_IPV4_ADDR:
		want = 4
	case ID_IPV4_ADDR_SUBNET, ID_IPV4_ADDR_RANGE:
		want = 8
	case ID_IPV6_ADDR:
		want = 16
	case ID_IPV6_ADDR_SUBNET, ID_IPV6_ADDR_RANGE:
		want = 32
	default:
		return nil, malformed("%v is not among the types of RFC 4430", id.Kind)
	}
	if len(id.Data) != want {
		return nil, malformed("%v of %d octets, want %d", id.Kind, len(id.Data), want)
	}
	return id, nil
}

func decodeNotify(b []byte) (Payload, error) {
	if err := checkDOI(PayloadNotify, b, 8); err != nil {
		return nil, err
	}
	size := int(b[5])
	if len(b) < 8+size {
		return nil, malformed("N has an SPI of %d octets where %d are left", size, len(b)-8)
	}
	n := Notify{Protocol: Protocol(b[4]), Kind: NotifyType(binary.BigEndian.Uint16(b[6:]))}
	if size > 0 {
		n.SPI = b[8 : 8+size]
	}
	if len(b) > 8+size {
		n.Data = b[8+size:]
	}
	return n, nil
}

func decodeDelete(b []byte) (Payload, error) {
	if err := checkDOI(PayloadDelete, b, 8); err != nil {
		return nil, err
	}
	d := Delete{Protocol: Protocol(b[4])}
	size, count := int(b[5]), int(binary.BigEndian.Uint16(b[6:]))
	b = b[8:]
	if size == 0 || count == 0 || len(b) != size*count {
		return nil, malformed("D lists %d SPIs of %d octets in %d octets", count, size, len(b))
	}
	for ; len(b) > 0; b = b[size:] {
		d.SPIs = append(d.SPIs, b[:size:size])
	}
	return d, nil
}
