package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

func (p *SA) append(b []byte) ([]byte, error) {
	if n := len(p.Proposals); n == 0 || n > MaxProposals {
		return nil, fmt.Errorf("%d proposals, want 1 to %d", n, MaxProposals)
	}
	for i := range p.Proposals {
		start := len(b)
		b = append(b, another(i, len(p.Proposals), moreProposals), 0, 0, 0)
		var err error
		if b, err = p.Proposals[i].append(b); err != nil {
			return nil, fmt.Errorf("proposal %d: %w", p.Proposals[i].Number, err)
		}
		if err = putLength(b, start); err != nil {
			return nil, fmt.Errorf("proposal %d: %w", p.Proposals[i].Number, err)
		}
	}
	return b, nil
}

// another is the "last substructure" octet of the element i of n.
func another(i, n int, more byte) byte {
	if i == n-1 {
		return 0
	}
	return more
}

func (p *Proposal) append(b []byte) ([]byte, error) {
	if len(p.SPI) > 255 {
		return nil, fmt.Errorf("SPI of %d octets", len(p.SPI))
	}
	if len(p.Transforms) > MaxTransforms {
		return nil, fmt.Errorf("%d transforms are more than %d", len(p.Transforms), MaxTransforms)
	}
	b = append(b, p.Number, byte(p.Protocol), byte(len(p.SPI)), byte(len(p.Transforms)))
	b = append(b, p.SPI...)
	for i, t := range p.Transforms {
		if t.Unknown {
			return nil, fmt.Errorf("transform %v has an attribute that is not known", t)
		}
		length := byte(8)
		if t.KeyBits != 0 {
			length = 12
		}
		b = append(b, another(i, len(p.Transforms), moreTransforms), 0, 0, length, byte(t.Type), 0)
		b = binary.BigEndian.AppendUint16(b, t.ID)
		if t.KeyBits != 0 {
			b = binary.BigEndian.AppendUint16(b, attributeTV|attributeKeyLength)
			b = binary.BigEndian.AppendUint16(b, t.KeyBits)
		}
	}
	return b, nil
}

func (p *ID) append(b []byte) ([]byte, error) {
	if !p.IDType.fits(len(p.Data)) {
		return nil, fmt.Errorf("%v of %d octets", p.IDType, len(p.Data))
	}
	return append(append(b, byte(p.IDType), 0, 0, 0), p.Data...), nil
}

func (p *Nonce) append(b []byte) ([]byte, error) {
	if n := len(p.Data); n < minNonce || n > maxNonce {
		return nil, fmt.Errorf("%d octets, want %d to %d", n, minNonce, maxNonce)
	}
	return append(b, p.Data...), nil
}

func (p *Notify) append(b []byte) ([]byte, error) {
	if len(p.SPI) > 255 {
		return nil, fmt.Errorf("SPI of %d octets", len(p.SPI))
	}
	b = append(b, byte(p.Protocol), byte(len(p.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(p.Kind))
	return append(append(b, p.SPI...), p.Data...), nil
}

func (p *Delete) append(b []byte) ([]byte, error) {
	var size byte
	switch {
	case p.Protocol != ProtocolIKE:
		size = 4
	case len(p.SPIs) > 0: // RFC 7296 §3.11
		return nil, errors.New("an SPI for the IKE SA, which has none here")
	}
	if len(p.SPIs) > 0xffff {
		return nil, fmt.Errorf("%d SPIs do not fit its count", len(p.SPIs))
	}
	b = append(b, byte(p.Protocol), size)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.SPIs)))
	for _, spi := range p.SPIs {
		b = binary.BigEndian.AppendUint32(b, spi)
	}
	return b, nil
}

func (p *TS) append(b []byte) ([]byte, error) {
	if n := len(p.Selectors); n == 0 || n > 255 {
		return nil, fmt.Errorf("%d traffic selectors, want 1 to 255", n)
	}
	b = append(b, byte(len(p.Selectors)), 0, 0, 0)
	for i := range p.Selectors {
		var err error
		if b, err = p.Selectors[i].append(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (s *TrafficSelector) append(b []byte) ([]byte, error) {
	var kind byte
	switch {
	case s.UnknownType != 0:
		return nil, fmt.Errorf("traffic selector of the unknown type %d", s.UnknownType)
	case s.Start.Is4() && s.End.Is4():
		kind = tsIPv4
	case plainIPv6(s.Start) && plainIPv6(s.End):
		kind = tsIPv6
	default:
		return nil, fmt.Errorf("traffic selector from address %v to %v", s.Start, s.End)
	}
	length := uint16(8 + 2*s.Start.BitLen()/8)
	b = append(b, kind, s.Protocol)
	b = binary.BigEndian.AppendUint16(b, length)
	b = binary.BigEndian.AppendUint16(b, s.StartPort)
	b = binary.BigEndian.AppendUint16(b, s.EndPort)
	return append(append(b, s.Start.AsSlice()...), s.End.AsSlice()...), nil
}

// plainIPv6 says whether the address has 16 octets and nothing besides.
func plainIPv6(a netip.Addr) bool { return a.Is6() && a.Zone() == "" }

func (p *Config) append(b []byte) ([]byte, error) {
	if len(p.Attributes) > MaxAttributes {
		return nil, fmt.Errorf("%d attributes are more than %d", len(p.Attributes), MaxAttributes)
	}
	b = append(b, p.Kind, 0, 0, 0)
	for _, a := range p.Attributes {
		if a.Kind > 0x7fff || len(a.Value) > 0xffff {
			return nil, fmt.Errorf("attribute %d of %d octets", a.Kind, len(a.Value))
		}
		b = binary.BigEndian.AppendUint16(b, a.Kind)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Value)))
		b = append(b, a.Value...)
	}
	return b, nil
}

func (p *EAP) append(b []byte) ([]byte, error) {
	if len(p.Data) < 4 || int(binary.BigEndian.Uint16(p.Data[2:])) != len(p.Data) {
		return nil, fmt.Errorf("%d octets disagree with the length inside", len(p.Data))
	}
	return append(b, p.Data...), nil
}

func (p *EncryptedFragment) append(b []byte) ([]byte, error) {
	if p.Number == 0 || p.Number > p.Total || p.Number > 1 && p.First != NoNextPayload {
		return nil, fmt.Errorf("fragment %d of %d with first payload %v", p.Number, p.Total, p.First)
	}
	b = binary.BigEndian.AppendUint16(b, p.Number)
	b = binary.BigEndian.AppendUint16(b, p.Total)
	return append(b, p.Body...), nil
}
