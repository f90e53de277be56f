package isakmp

import (
	"encoding/binary"
	"fmt"
)

// Encode writes a chain of payloads; first is the type of its first one.
func Encode(list []Payload) (first PayloadType, b []byte, err error) {
	for i, p := range list {
		next := PayloadNone
		if i+1 < len(list) {
			next = list[i+1].Type()
		}
		if b, err = appendPayload(b, next, p.appendBody); err != nil {
			return 0, nil, fmt.Errorf("%v: %w", p.Type(), err)
		}
	}
	if len(list) > 0 {
		first = list[0].Type()
	}
	return first, b, nil
}

// appendPayload appends a generic header and the body that appendBody makes.
func appendPayload(b []byte, next PayloadType, appendBody func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(b)
	b, err := appendBody(append(b, byte(next), 0, 0, 0))
	if err != nil {
		return nil, err
	}
	size := len(b) - start
	if size > 0xffff {
		return nil, fmt.Errorf("%d octets do not fit the length field", size)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(size))
	return b, nil
}

func (s SA) appendBody(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint32(b, doi)
	b = binary.BigEndian.AppendUint32(b, situation)
	var err error
	for i, p := range s.Proposals {
		next := PayloadNone
		if i+1 < len(s.Proposals) {
			next = PayloadProposal
		}
		if b, err = appendPayload(b, next, p.appendBody); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (p Proposal) appendBody(b []byte) ([]byte, error) {
	if len(p.Transforms) > maxTransforms || len(p.SPI) > 255 {
		return nil, fmt.Errorf("a proposal has %d transforms and an SPI of %d octets", len(p.Transforms), len(p.SPI))
	}
	b = append(b, p.Number, byte(p.Protocol), byte(len(p.SPI)), byte(len(p.Transforms)))
	b = append(b, p.SPI...)
	var err error
	for i, t := range p.Transforms {
		next := PayloadNone
		if i+1 < len(p.Transforms) {
			next = PayloadTransform
		}
		if b, err = appendPayload(b, next, t.appendBody); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (t Transform) appendBody(b []byte) ([]byte, error) {
	b = append(b, t.Number, t.ID, 0, 0)
	for _, a := range t.Attributes {
		if a.Basic {
			if len(a.Value) != 2 {
				return nil, fmt.Errorf("%v has %d octets in place of 2", a.Type, len(a.Value))
			}
			b = binary.BigEndian.AppendUint16(b, uint16(a.Type)|0x8000)
		} else {
			if len(a.Value) > 0xffff {
				return nil, fmt.Errorf("%v has %d octets", a.Type, len(a.Value))
			}
			b = binary.BigEndian.AppendUint16(b, uint16(a.Type))
			b = binary.BigEndian.AppendUint16(b, uint16(len(a.Value)))
		}
		b = append(b, a.Value...)
	}
	return b, nil
}

func (k KE) appendBody(b []byte) ([]byte, error)    { return append(b, k.Public...), nil }
func (n Nonce) appendBody(b []byte) ([]byte, error) { return append(b, n.Data...), nil }

func (id ID) appendBody(b []byte) ([]byte, error) {
	b = append(b, byte(id.Kind), id.Protocol)
	b = binary.BigEndian.AppendUint16(b, id.Port)
	return append(b, id.Data...), nil
}

func (n Notify) appendBody(b []byte) ([]byte, error) {
	if len(n.SPI) > 255 {
		return nil, fmt.Errorf("an SPI of %d octets", len(n.SPI))
	}
	b = binary.BigEndian.AppendUint32(b, doi)
	b = append(b, byte(n.Protocol), byte(len(n.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(n.Kind))
	return append(append(b, n.SPI...), n.Data...), nil
}

func (d Delete) appendBody(b []byte) ([]byte, error) {
	if len(d.SPIs) == 0 || len(d.SPIs) > 0xffff || len(d.SPIs[0]) > 255 {
		return nil, fmt.Errorf("%d SPIs", len(d.SPIs))
	}
	b = binary.BigEndian.AppendUint32(b, doi)
	b = append(b, byte(d.Protocol), byte(len(d.SPIs[0])))
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.SPIs)))
	for _, spi := range d.SPIs {
		if len(spi) != len(d.SPIs[0]) {
			return nil, fmt.Errorf("SPIs of %d and %d octets", len(d.SPIs[0]), len(spi))
		}
		b = append(b, spi...)
	}
	return b, nil
}
