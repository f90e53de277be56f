package kink

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink/isakmp"
)

// suites are all that a child offers, the optimistic one first (RFC 4430 §3.2).
// What the IPsec DOI has no number for is left out.
func (c *Child) suites(ke transform.KE) []isakmp.Suite {
	var list []isakmp.Suite
	for _, p := range c.Proposals {
		if p.Protocol != kernel.ESP {
			continue
		}
		for _, encr := range p.Encr {
			integs := p.Integ
			if encr.ID.AEAD() {
				integs = []transform.INTEG{transform.AUTH_NONE}
			}
			for _, integ := range integs {
				s := isakmp.Suite{Encr: encr.ID, KeyBits: encr.KeyBits, Integ: integ, Mode: c.Mode, KE: ke, Lifetime: c.Lifetime}
				if _, err := s.Transform(1); err == nil && encr.ID.AEAD() == (integ == transform.AUTH_NONE) {
					list = append(list, s)
				}
			}
		}
	}
	return list[:min(len(list), 255)]
}

// proposal writes the suites as one ESP proposal.
func proposal(suites []isakmp.Suite, spi kernel.SPI) (isakmp.SA, error) {
	p := isakmp.Proposal{Number: 1, Protocol: isakmp.PROTO_IPSEC_ESP, SPI: spiOctets(spi)}
	for i, s := range suites {
		t, err := s.Transform(uint8(i + 1))
		if err != nil {
			return isakmp.SA{}, err
		}
		p.Transforms = append(p.Transforms, t)
	}
	return isakmp.SA{Proposals: []isakmp.Proposal{p}}, nil
}

func spiOctets(spi kernel.SPI) []byte { return binary.BigEndian.AppendUint32(nil, uint32(spi)) }

// spiOf reads an SPI of four octets; 0 for others and for reserved ones (RFC 4303 §2.1).
func spiOf(b []byte) kernel.SPI {
	if len(b) != 4 {
		return 0
	}
	if spi := kernel.SPI(binary.BigEndian.Uint32(b)); spi > 255 {
		return spi
	}
	return 0
}

// choice is what a responder takes of an offer.
type choice struct {
	proposal   isakmp.Proposal // with exactly the chosen transform, its lifetime lowered
	suite      isakmp.Suite
	spi        kernel.SPI // the initiator's
	optimistic bool       // the first transform of the first proposal
}

// choose takes the first acceptable transform in the initiator's order, so that its
// optimistic one wins wherever it can. group is that of the KE payload's length where
// the offer has none; KE_NONE without KE. The error says why nothing fits.
func choose(sa isakmp.SA, c *Child, ke []byte) (choice, error) {
	accepted := c.suites(transform.KE_NONE)
	var why []string
	for i, p := range sa.Proposals {
		if reason := unusable(sa, p); reason != "" {
			why = append(why, fmt.Sprintf("proposal %d: %s", p.Number, reason))
			continue
		}
		for j, t := range p.Transforms {
			s, err := isakmp.ParseESP(t)
			if err == nil {
				err = fits(&s, c, accepted, ke)
			}
			if err != nil {
				why = append(why, fmt.Sprintf("proposal %d transform %d: %v", p.Number, t.Number, err))
				continue
			}
			lower := s
			lower.Lifetime = lowest(s.Lifetime, c.Lifetime)
			p.Transforms = []isakmp.Transform{lowered(t, lower.Lifetime)}
			if s.Lifetime.Time == 0 {
				lower.Lifetime.Time = shorter(c.Lifetime.Time, defaultLifetime)
			}
			if s.Lifetime.Bytes == 0 {
				lower.Lifetime.Bytes = c.Lifetime.Bytes
			}
			return choice{proposal: p, suite: lower, spi: spiOf(p.SPI), optimistic: i == 0 && j == 0}, nil
		}
	}
	return choice{}, fmt.Errorf("configured is %s; %s", names(accepted), strings.Join(why[:min(len(why), 4)], "; "))
}

// defaultLifetime holds where none is negotiated (RFC 2407 §4.5: 8 hours).
const defaultLifetime = 8 * time.Hour

// unusable says why a proposal cannot be taken whatever its transforms are.
func unusable(sa isakmp.SA, p isakmp.Proposal) string {
	same := 0
	for _, other := range sa.Proposals {
		if other.Number == p.Number {
			same++
		}
	}
	switch {
	case same > 1:
		return "it is a bundle"
	case p.Protocol != isakmp.PROTO_IPSEC_ESP:
		return p.Protocol.String() + " is not for this selector"
	case spiOf(p.SPI) == 0:
		return fmt.Sprintf("its SPI %x is none", p.SPI)
	}
	return ""
}

// fits says why a suite is not what the child accepts. A missing group is filled in
// from the length of the KE payload: RFC 4430 §5.1 lists no Group Description.
func fits(s *isakmp.Suite, c *Child, accepted []isakmp.Suite, ke []byte) error {
	switch {
	case ke == nil && s.KE != transform.KE_NONE:
		return fmt.Errorf("%v without a KE payload", s.KE)
	case ke == nil && len(c.KE) > 0 && !c.KEOptional:
		return fmt.Errorf("PFS with %v is configured, none is offered", c.KE[0])
	case ke != nil && s.KE == transform.KE_NONE:
		for _, group := range c.KE {
			if group.PublicLen() == len(ke) {
				s.KE = group
				break
			}
		}
	}
	if ke != nil && (!slices.Contains(c.KE, s.KE) || s.KE.PublicLen() != len(ke)) {
		return fmt.Errorf("KE of %d octets with %v; configured is %v", len(ke), s.KE, c.KE)
	}
	bare := *s
	bare.KE = transform.KE_NONE
	if !slices.ContainsFunc(accepted, func(a isakmp.Suite) bool { return a.SameExceptLifetime(bare) }) {
		return fmt.Errorf("%v is not configured", *s)
	}
	return nil
}

// lowest is the lower of two lifetimes in each respect; what was not offered stays out.
func lowest(offered, own kernel.Lifetime) kernel.Lifetime {
	l := offered
	if offered.Time > 0 {
		l.Time = shorter(offered.Time, own.Time)
	}
	if offered.Bytes > 0 && own.Bytes > 0 {
		l.Bytes = min(offered.Bytes, own.Bytes)
	}
	return l
}

// shorter is the shorter of two times, where 0 is no limit.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// lowered is a transform with its durations replaced where they are higher than l.
// All else stays as the initiator wrote it, for it compares (RFC 4430 §3.2).
func lowered(t isakmp.Transform, l kernel.Lifetime) isakmp.Transform {
	was, err := isakmp.ParseESP(t)
	if err != nil || was.Lifetime == l {
		return t
	}
	was.Lifetime = l
	again, err := was.Transform(t.Number)
	if err != nil {
		return t
	}
	return again
}

func names(list []isakmp.Suite) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = s.String()
	}
	return strings.Join(text, ", ")
}

// traffic is what the child protects between two hosts: for transport mode what the
// outer addresses can carry, for dynamic children what the peer's own address is.
// Nothing else may a principal get SAs for (RFC 4430 §10).
func (c *Child) traffic(local, remote netip.Addr) []kernel.Selector {
	host := kernel.Selector{Src: hostPrefix(local), Dst: hostPrefix(remote), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}
	var list []kernel.Selector
	for _, s := range c.Outbound {
		if c.Dynamic {
			s.Dst = host.Dst
		}
		if c.Mode == kernel.Transport {
			var ok bool
			if s, ok = s.Intersect(host); !ok {
				continue
			}
		}
		if s.Valid() == nil {
			list = append(list, s)
		}
	}
	return list
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// match finds the selector that fits the traffic that a peer names, from this host's
// side; nil for a peer that names none.
func (c *Child) match(local, remote netip.Addr, wanted *kernel.Selector) (s kernel.Selector, exact, ok bool) {
	for _, own := range c.traffic(local, remote) {
		switch {
		case wanted == nil || *wanted == own:
			return own, true, true
		case own.Contains(*wanted) && !ok:
			s, ok = *wanted, true
		}
	}
	return s, false, ok
}
