package message

import (
	"encoding/binary"
	"fmt"
)

// Encode writes a message. With mic, the last payload is padded and the checksum
// that mic makes over all of it follows (RFC 4430 §4). Without
// mic the message is unauthenticated and ends with its last payload.
func Encode(m *Message, mic func([]byte) ([]byte, error)) ([]byte, error) {
	b := make([]byte, HeaderLen, 1024)
	b[0] = byte(m.Type)
	b[1] = majorVersion << 4
	binary.BigEndian.PutUint32(b[4:], DOI)
	binary.BigEndian.PutUint32(b[8:], m.XID)
	b[12] = byte(first(m.Payloads))
	if m.AckRequest {
		b[13] = ackRequest
	}
	b, err := appendChain(b, m.Payloads)
	if err != nil {
		return nil, err
	}
	if mic != nil {
		b = pad(b)
	}
	if len(b) > MaxLen {
		return nil, fmt.Errorf("a message of %d octets fits in no datagram", len(b))
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	if mic == nil {
		return b, nil
	}
	sum, err := mic(b)
	if err != nil {
		return nil, err
	}
	if len(b)+len(sum) > MaxLen || len(sum) == 0 {
		return nil, fmt.Errorf("a message of %d octets with a checksum of %d cannot be sent", len(b), len(sum))
	}
	b = append(b, sum...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[14:], uint16(len(sum)))
	return b, nil
}

// EncodeInner writes the plaintext of KINK_ENCRYPT (RFC 4430 §4.2.7). The last
// payload is not padded.
func EncodeInner(payloads []Payload) ([]byte, error) {
	return appendChain([]byte{byte(first(payloads)), 0, 0, 0}, payloads)
}

// appendChain appends the payloads, each on a multiple of 4 from the beginning of b.
func appendChain(b []byte, list []Payload) ([]byte, error) {
	for i, p := range list {
		b = pad(b)
		start := len(b)
		b = append(b, byte(first(list[i+1:])), 0, 0, 0)
		b = p.appendValue(b)
		size := len(b) - start
		if size > 0xffff {
			return nil, fmt.Errorf("%v of %d octets does not fit its length field", p.Type(), size)
		}
		binary.BigEndian.PutUint16(b[start+2:], uint16(size))
	}
	return b, nil
}

func first(list []Payload) PayloadType {
	if len(list) == 0 {
		return KINK_DONE
	}
	return list[0].Type()
}

// pad appends zeros up to a multiple of 4. Length fields never count them (RFC 4430 §4.1).
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (p APReq) appendValue(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, p.Epoch), p.Octets...)
}

func (p APRep) appendValue(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, p.Epoch), p.Octets...)
}

func (p KRBError) appendValue(b []byte) []byte { return append(b, p.Octets...) }
func (p TGTReq) appendValue(b []byte) []byte   { return append(b, p.Principal...) }
func (p TGTRep) appendValue(b []byte) []byte   { return append(b, p.Ticket...) }
func (p ISAKMP) appendValue(b []byte) []byte {
	return append(append(b, p.First, p.Version, 0, 0), p.Data...)
}
func (p Encrypt) appendValue(b []byte) []byte { return append(b, p.Ciphertext...) }
func (p Error) appendValue(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(p.Code))
}
func (p Unknown) appendValue(b []byte) []byte { return append(b, p.Value...) }
