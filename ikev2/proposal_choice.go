package ikev2

import (
	"fmt"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// chosen is the outcome of a negotiation: one transform of each type.
type chosen struct {
	number     uint8
	protocol   message.Protocol
	spi        []byte
	transforms []message.Transform
}

// get is the identifier and key length of one type, 0 when there is none.
func (c *chosen) get(kind transform.Type) (id, bits uint16) {
	for _, t := range c.transforms {
		if t.Type == kind {
			return t.ID, t.KeyBits
		}
	}
	return 0, 0
}

func (c *chosen) ke() transform.KE {
	id, _ := c.get(transform.TypeKE)
	return transform.KE(id)
}

func (c *chosen) suite() suite {
	encr, bits := c.get(transform.TypeENCR)
	prf, _ := c.get(transform.TypePRF)
	integ, _ := c.get(transform.TypeINTEG)
	return suite{Encryption{transform.ENCR(encr), bits}, transform.PRF(prf), transform.INTEG(integ), c.ke()}
}

func (c *chosen) childSuite() childSuite {
	encr, bits := c.get(transform.TypeENCR)
	integ, _ := c.get(transform.TypeINTEG)
	sn, _ := c.get(transform.TypeSN)
	return childSuite{Encryption{transform.ENCR(encr), bits}, transform.INTEG(integ), c.ke(), transform.SN(sn)}
}

// proposal is the answer's single proposal, with the number of the one chosen.
func (c *chosen) proposal(spi []byte) message.Proposal {
	return message.Proposal{Number: c.number, Protocol: c.protocol, SPI: spi, Transforms: c.transforms}
}

// mismatch says why nothing could be chosen.
type mismatch struct {
	kind    transform.Type // the first type that did not match
	offered string         // of that type, by the peer
	accepts string         // of that type, by the configuration
}

// words is the sentence for a log; who is the configuration's place.
func (m *mismatch) words(who string) string {
	return fmt.Sprintf("%s: peer offers %s; %s accepts %s", typeName(m.kind), m.offered, who, m.accepts)
}

// choose finds the first of our alternatives that one of the peer's proposals
// allows (RFC 7296 §2.7). Within it our order decides for each type, except
// that the group of the KE payload at hand wins over others that are accepted
// too, for it saves a round trip. sent is KE_NONE without a KE payload.
func choose(ours []alternative, theirs []message.Proposal, sent transform.KE) (*chosen, *mismatch) {
	worst := &mismatch{offered: "nothing", accepts: "nothing"}
	depth := -2
	for _, a := range ours {
		for _, p := range theirs {
			c, reached, why := a.match(p, sent)
			if c != nil {
				return c, nil
			}
			if reached > depth {
				depth, worst = reached, why
			}
		}
	}
	return nil, worst
}

// match tries one alternative against one proposal; reached counts the types
// that matched before the first that did not.
func (a *alternative) match(p message.Proposal, sent transform.KE) (c *chosen, reached int, why *mismatch) {
	if p.Protocol != a.protocol {
		return nil, -1, &mismatch{offered: p.Protocol.String(), accepts: a.protocol.String()}
	}
	c = &chosen{number: p.Number, protocol: p.Protocol, spi: p.SPI}
	for i, ch := range a.choices {
		offered := ofType(p.Transforms, ch.kind)
		if len(offered) == 0 && ch.mayBeAbsent {
			continue
		}
		t, ok := ch.pick(offered, sent)
		if !ok {
			return nil, i, &mismatch{ch.kind, transformList(offered), transformList(ch.transforms)}
		}
		c.transforms = append(c.transforms, t)
	}
	for _, t := range p.Transforms {
		// RFC 7296 §3.3.6: a proposal with a transform type that is not
		// understood is unacceptable.
		known := slices.ContainsFunc(a.choices, func(ch choice) bool { return ch.kind == t.Type })
		if !known {
			return nil, len(a.choices), &mismatch{t.Type, transformList(ofType(p.Transforms, t.Type)), "no transform of this type"}
		}
	}
	return c, len(a.choices), nil
}

// pick is the most preferred transform that is offered, and behind those that are
// configured, a cipher of theirs with a longer key (RFC 7296 §3.3.5). What is wanted
// has no unknown attribute, so none that has one is chosen (§3.3.6).
func (ch *choice) pick(offered []message.Transform, sent transform.KE) (message.Transform, bool) {
	if ch.kind == transform.TypeKE && sent != transform.KE_NONE {
		want := message.Transform{Type: transform.TypeKE, ID: uint16(sent)}
		if slices.Contains(ch.transforms, want) && slices.Contains(offered, want) {
			return want, true
		}
	}
	for _, want := range ch.transforms {
		if slices.Contains(offered, want) {
			return want, true
		}
	}
	for _, t := range offered {
		if ch.kind == transform.TypeENCR && ch.allowsLonger(t) {
			return t, true
		}
	}
	return message.Transform{}, false
}

// verifyChoice checks an answer against what was offered (RFC 7296 §2.7: one
// proposal, with its number, and exactly one transform of each type offered).
func verifyChoice(offered, answer []message.Proposal) (*chosen, error) {
	if len(answer) != 1 {
		return nil, fmt.Errorf("the answer has %d proposals instead of one", len(answer))
	}
	got := answer[0]
	for _, p := range offered {
		if p.Number != got.Number || p.Protocol != got.Protocol {
			continue
		}
		if len(got.SPI) != len(p.SPI) {
			return nil, fmt.Errorf("the answer's SPI has %d octets instead of %d", len(got.SPI), len(p.SPI))
		}
		return verifyTransforms(p, got)
	}
	return nil, fmt.Errorf("the answer chooses proposal %d, which was not offered", got.Number)
}

func verifyTransforms(p, got message.Proposal) (*chosen, error) {
	seen := map[transform.Type]bool{}
	for _, t := range got.Transforms {
		if isNone(t) && len(ofType(p.Transforms, t.Type)) == 0 {
			continue // "none" where nothing was offered says the same as silence
		}
		if t.Unknown || !slices.Contains(p.Transforms, t) {
			return nil, fmt.Errorf("the answer chooses %s, which was not offered", transformName(t))
		}
		if seen[t.Type] {
			return nil, fmt.Errorf("the answer chooses %s twice", typeName(t.Type))
		}
		seen[t.Type] = true
	}
	for _, t := range p.Transforms {
		none := slices.ContainsFunc(p.Transforms, func(o message.Transform) bool { return o.Type == t.Type && isNone(o) })
		if !seen[t.Type] && !none { // silence says "none", where that was offered
			return nil, fmt.Errorf("the answer chooses no %s", typeName(t.Type))
		}
	}
	return &chosen{number: got.Number, protocol: got.Protocol, spi: got.SPI, transforms: got.Transforms}, nil
}

// isNone says that a transform stands for the absence of its type: Transform ID 0
// of a type that some protocol can do without (RFC 7296 §3.3.2, §3.3.3). SN 0 is an
// answer, not its absence.
func isNone(t message.Transform) bool {
	return t.ID == 0 && (t.Type == transform.TypeINTEG || t.Type == transform.TypeKE)
}

func ofType(list []message.Transform, kind transform.Type) []message.Transform {
	var some []message.Transform
	for _, t := range list {
		if t.Type == kind {
			some = append(some, t)
		}
	}
	return some
}
