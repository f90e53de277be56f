package kink

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink/isakmp"
)

// choice is what a responder takes of an offer, in the order of the child's transforms.
type choice struct {
	proposals  []isakmp.Proposal // with exactly the chosen transform, its lifetime lowered
	suites     []isakmp.Suite
	spis       []kernel.SPI // the initiator's
	optimistic bool         // the first transforms of the first proposal
}

// choose takes the first acceptable bundle in the initiator's order, so that its
// optimistic one wins wherever it can. ke is the KE payload, nil without. The error
// says why nothing fits.
func choose(sa isakmp.SA, c *Child, ke []byte) (choice, error) {
	accepted := c.bundles(transform.KE_NONE)
	var why []string
	for i, group := range groups(sa) {
		sorted, reason := arrange(group, c.protocols())
		if reason != "" {
			why = append(why, fmt.Sprintf("proposal %d: %s", group[0].Number, reason))
			continue
		}
		got, refused := best(sorted, c, accepted, ke)
		if got.suites != nil {
			got.optimistic = got.optimistic && i == 0
			return got, nil
		}
		why = append(why, refused...)
	}
	return choice{}, fmt.Errorf("configured is %s; %s", described(accepted), strings.Join(why[:min(len(why), maxWhy)], "; "))
}

// maxWhy bounds the refusals that an operator is told.
const maxWhy = 4

// groups are the proposals of one number each, in the initiator's order.
func groups(sa isakmp.SA) [][]isakmp.Proposal {
	var list [][]isakmp.Proposal
	at := make(map[uint8]int)
	for _, p := range sa.Proposals {
		i, seen := at[p.Number]
		if !seen {
			i = len(list)
			at[p.Number] = i
			list = append(list, nil)
		}
		list[i] = append(list[i], p)
	}
	return list
}

// arrange puts the proposals of a group into the order of the protocols, or says why the
// group cannot be taken whatever its transforms are.
func arrange(group []isakmp.Proposal, protocols []kernel.Protocol) ([]isakmp.Proposal, string) {
	if len(group) != len(protocols) {
		return nil, fmt.Sprintf("it has %s, and this selector has %s", protocolsOf(group), protocolNames(protocols))
	}
	var sorted []isakmp.Proposal
	for _, proto := range protocols {
		i := slices.IndexFunc(group, func(p isakmp.Proposal) bool { return p.Protocol == wireProtocol(proto) })
		switch {
		case i < 0:
			return nil, fmt.Sprintf("%s is not for this selector, which has %s", protocolsOf(group), protocolNames(protocols))
		case spiOf(proto, group[i].SPI) == 0:
			return nil, fmt.Sprintf("its SPI %x is none", group[i].SPI)
		}
		sorted = append(sorted, group[i])
	}
	return sorted, ""
}

// best takes the first transforms of a group that one of the accepted bundles has all of; the
// optimistic ones where it can.
func best(group []isakmp.Proposal, c *Child, accepted []bundle, ke []byte) (got choice, why []string) {
	for _, b := range accepted {
		one, refused := pick(group, c, b, ke)
		if one.suites != nil && (got.suites == nil || one.optimistic && !got.optimistic) {
			got = one
		}
		why = append(why, refused...)
	}
	return got, why
}

// pick takes the first transforms of a group that a bundle has.
func pick(group []isakmp.Proposal, c *Child, b bundle, ke []byte) (choice, []string) {
	got := choice{optimistic: true}
	var why []string
	for i, p := range group {
		found := false
		for j, t := range p.Transforms {
			s, err := isakmp.Parse(p.Protocol, t)
			if err == nil {
				err = fits(&s, c, b[i], ke)
			}
			if err == nil && i > 0 && s.KE != got.suites[0].KE {
				err = fmt.Errorf("%v, and %v before", s.KE, got.suites[0].KE)
			}
			if err != nil {
				if len(why) < maxWhy {
					why = append(why, fmt.Sprintf("proposal %d transform %d: %v", p.Number, t.Number, err))
				}
				continue
			}
			proposal, lower := p, s
			lower.Lifetime = lowest(s.Lifetime, c.Lifetime)
			proposal.Transforms = []isakmp.Transform{lowered(p.Protocol, t, lower.Lifetime)}
			if s.Lifetime.Time == 0 {
				lower.Lifetime.Time = shorter(c.Lifetime.Time, defaultLifetime)
			}
			if s.Lifetime.Bytes == 0 {
				lower.Lifetime.Bytes = c.Lifetime.Bytes
			}
			got.proposals, got.suites = append(got.proposals, proposal), append(got.suites, lower)
			got.spis = append(got.spis, spiOf(kernelProtocol(p.Protocol), p.SPI))
			got.optimistic = got.optimistic && j == 0
			found = true
			break
		}
		if !found {
			return choice{}, why
		}
	}
	return got, why
}

// defaultLifetime holds where none is negotiated (RFC 2407 §4.5: 8 hours).
const defaultLifetime = 8 * time.Hour

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
func lowered(proto isakmp.Protocol, t isakmp.Transform, l kernel.Lifetime) isakmp.Transform {
	was, err := isakmp.Parse(proto, t)
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
