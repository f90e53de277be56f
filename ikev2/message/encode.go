package message

import (
	"encoding/binary"
	"fmt"
)

// Encode writes a whole message and fills in version 2.0, the first payload's type
// and the length, whatever m.Header says of them. Its error says what cannot be
// written; whatever it writes, Decode takes.
func Encode(m *Message) ([]byte, error) {
	b := appendHeader(nil, m.Header)
	if len(m.Payloads) > 0 {
		b[16] = byte(m.Payloads[0].Type())
	}
	b, err := appendChain(b, m.Payloads, true)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxLen {
		return nil, fmt.Errorf("a message of %d octets is longer than %d", len(b), MaxLen)
	}
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return b, nil
}

// EncodePayloads writes a chain of payloads as it stands inside an SK payload and
// gives the first one's type. Its error says what cannot be written.
func EncodePayloads(payloads []Payload) (PayloadType, []byte, error) {
	b, err := appendChain(nil, payloads, false)
	if err != nil || len(payloads) == 0 {
		return NoNextPayload, nil, err
	}
	return payloads[0].Type(), b, nil
}

// appendHeader writes the header with no payload and length 0. Reserved flags are
// cleared and the version is ours (RFC 7296 §3.1).
func appendHeader(b []byte, h Header) []byte {
	b = binary.BigEndian.AppendUint64(b, h.SPIi)
	b = binary.BigEndian.AppendUint64(b, h.SPIr)
	b = append(b, byte(NoNextPayload), majorVersion<<4, byte(h.Exchange), byte(h.Flags&knownFlags))
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	return binary.BigEndian.AppendUint32(b, 0)
}

// appendChain writes payloads with their generic headers (RFC 7296 §3.2). Only in
// the outer chain, as its last, may there be an encrypted one.
func appendChain(b []byte, payloads []Payload, outer bool) ([]byte, error) {
	if len(payloads) > MaxPayloads {
		return nil, fmt.Errorf("%d payloads are more than %d", len(payloads), MaxPayloads)
	}
	for i, p := range payloads {
		next := NoNextPayload
		last := i == len(payloads)-1
		if !last {
			next = payloads[i+1].Type()
		}
		var critical byte
		encrypted := false
		switch p := p.(type) {
		case *Encrypted:
			next, encrypted = p.First, true
		case *EncryptedFragment:
			next, encrypted = p.First, true
		case *Unknown:
			if p.Critical {
				critical = 0x80
			}
		}
		if encrypted && !(outer && last) {
			return nil, fmt.Errorf("%v payload: it must be the last of a message", p.Type())
		}
		start := len(b)
		b = append(b, byte(next), critical, 0, 0)
		var err error
		if b, err = appendBody(b, p); err != nil {
			return nil, fmt.Errorf("%v payload: %w", p.Type(), err)
		}
		if err = putLength(b, start); err != nil {
			return nil, fmt.Errorf("%v payload: %w", p.Type(), err)
		}
	}
	return b, nil
}

// putLength completes a structure that begins at start and has its length in its
// third and fourth octet.
func putLength(b []byte, start int) error {
	n := len(b) - start
	if n > 0xffff {
		return fmt.Errorf("%d octets do not fit its length field", n)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	return nil
}

// appendBody writes what follows the generic header.
func appendBody(b []byte, p Payload) ([]byte, error) {
	switch p := p.(type) {
	case *SA:
		return p.append(b)
	case *KE:
		b = binary.BigEndian.AppendUint16(b, uint16(p.Method))
		return append(append(b, 0, 0), p.Data...), nil
	case *ID:
		return p.append(b)
	case *Cert:
		return append(append(b, p.Encoding), p.Data...), nil
	case *CertReq:
		return append(append(b, p.Encoding), p.Data...), nil
	case *Auth:
		return append(append(b, byte(p.Method), 0, 0, 0), p.Data...), nil
	case *Nonce:
		return p.append(b)
	case *Notify:
		return p.append(b)
	case *Delete:
		return p.append(b)
	case *VendorID:
		return append(b, p.Data...), nil
	case *TS:
		return p.append(b)
	case *Config:
		return p.append(b)
	case *EAP:
		return p.append(b)
	case *Encrypted:
		return append(b, p.Body...), nil
	case *EncryptedFragment:
		return p.append(b)
	case *Unknown:
		if p.Kind.known() || p.Kind == NoNextPayload {
			return nil, fmt.Errorf("type %d is none of an unknown payload", uint8(p.Kind))
		}
		return append(b, p.Body...), nil
	}
	return nil, fmt.Errorf("%T cannot be encoded", p)
}
