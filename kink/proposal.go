package kink

import (
	"encoding/binary"
	"slices"
	"strings"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink/isakmp"
)

// bundle is what protects a packet together: for each transform, the innermost first, its
// alternatives, the preferred one first. Usually it is ESP alone.
type bundle [][]isakmp.Suite

// optimistic is the choice that the initiator hopes for.
func (b bundle) optimistic() []isakmp.Suite {
	var list []isakmp.Suite
	for _, alternatives := range b {
		list = append(list, alternatives[0])
	}
	return list
}

// bundles are all that a child offers, the optimistic choice first (RFC 4430 §3.2): the
// first alternatives of the first bundle. What the IPsec DOI has no number for is left
// out. Proposals of one transform are one bundle together, as the original kinkd writes them.
func (c *Child) bundles(ke transform.KE) []bundle {
	protocols := c.protocols()
	var list []bundle
	for _, p := range c.Proposals {
		if !slices.Equal(p.protocols(), protocols) {
			continue // the SPD has no entry for it
		}
		var b bundle
		for i, part := range p.parts() {
			b = append(b, part.suites(c, c.mode(i), ke))
		}
		if slices.ContainsFunc(b, func(alternatives []isakmp.Suite) bool { return len(alternatives) == 0 }) {
			continue
		}
		if len(protocols) == 1 && len(list) > 0 {
			list[0][0] = append(list[0][0], b[0]...)
		} else {
			list = append(list, b)
		}
	}
	if len(protocols) == 1 && len(list) > 0 {
		list[0][0] = list[0][0][:min(len(list[0][0]), 255)]
	}
	return list[:min(len(list), 16)]
}

// suites are the combinations of one transform's algorithms.
func (p Proposal) suites(c *Child, mode kernel.Mode, ke transform.KE) []isakmp.Suite {
	base := isakmp.Suite{Protocol: wireProtocol(p.Protocol), Mode: mode, KE: ke, Lifetime: c.Lifetime}
	var list []isakmp.Suite
	add := func(s isakmp.Suite) {
		if t, err := s.Transform(1); err == nil && len(list) < 255 {
			if _, err := isakmp.Parse(s.Protocol, t); err == nil { // AEAD and integrity exclude each other
				list = append(list, s)
			}
		}
	}
	switch p.Protocol {
	case kernel.IPComp:
		for _, comp := range p.Comp {
			s := base
			s.Comp = comp
			add(s)
		}
	case kernel.AH:
		for _, integ := range p.Integ {
			s := base
			s.Integ = integ
			add(s)
		}
	case kernel.ESP:
		for _, encr := range p.Encr {
			integs := p.Integ
			if encr.ID.AEAD() {
				integs = []transform.INTEG{transform.AUTH_NONE}
			}
			for _, integ := range integs {
				s := base
				s.Encr, s.KeyBits, s.Integ = encr.ID, encr.KeyBits, integ
				add(s)
			}
		}
	}
	return list
}

// offers writes the bundles with the SPIs of the layers. Proposals of one bundle have one
// number (RFC 2408 §4.2).
func offers(bundles []bundle, layers []*layer) (isakmp.SA, error) {
	var sa isakmp.SA
	for i, b := range bundles {
		for j, alternatives := range b {
			l := layers[j]
			p := isakmp.Proposal{Number: uint8(i + 1), Protocol: wireProtocol(l.proto), SPI: spiOctets(l.proto, l.spiIn)}
			for n, s := range alternatives {
				t, err := s.Transform(uint8(n + 1))
				if err != nil {
					return isakmp.SA{}, err
				}
				p.Transforms = append(p.Transforms, t)
			}
			sa.Proposals = append(sa.Proposals, p)
		}
	}
	return sa, nil
}

// spiOctets writes an SPI; a CPI has two octets (RFC 3173 §4.1: SHOULD).
func spiOctets(proto kernel.Protocol, spi kernel.SPI) []byte {
	if proto == kernel.IPComp {
		return binary.BigEndian.AppendUint16(nil, uint16(spi))
	}
	return binary.BigEndian.AppendUint32(nil, uint32(spi))
}

// spiOf reads an SPI of four octets; 0 for others and for reserved ones (RFC 4303
// §2.1). A CPI has two octets or four, and is a negotiated one (RFC 3173 §3.3, §4.1).
func spiOf(proto kernel.Protocol, b []byte) kernel.SPI {
	if proto == kernel.IPComp && len(b) == 2 {
		b = append([]byte{0, 0}, b...)
	}
	if len(b) != 4 {
		return 0
	}
	spi := kernel.SPI(binary.BigEndian.Uint32(b))
	if spi < 256 || proto == kernel.IPComp && spi > maxCPI {
		return 0
	}
	return spi
}

// maxCPI is the last CPI that may be negotiated (RFC 3173 §3.3).
const maxCPI = 61439

func names(list []isakmp.Suite) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = s.String()
	}
	return strings.Join(text, ", ")
}

// together are the suites of one bundle, the outermost first, as people say "AH and ESP".
func together(list []isakmp.Suite) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[len(list)-1-i] = s.String()
	}
	return strings.Join(text, " + ")
}

// described are bundles with their alternatives.
func described(list []bundle) string {
	var text []string
	for _, b := range list {
		var parts []string
		for _, alternatives := range slices.Backward(b) {
			parts = append(parts, names(alternatives))
		}
		text = append(text, strings.Join(parts, " + "))
	}
	if len(text) == 0 {
		return "nothing that the IPsec DOI has numbers for"
	}
	return strings.Join(text, "; or ")
}

func protocolsOf(group []isakmp.Proposal) string {
	text := make([]string, len(group))
	for i, p := range group {
		text[i] = p.Protocol.String()
	}
	return strings.Join(text, " + ")
}

func protocolNames(list []kernel.Protocol) string {
	text := make([]string, len(list))
	for i, p := range list {
		text[i] = wireProtocol(p).String()
	}
	return strings.Join(text, " + ")
}
