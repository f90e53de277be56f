package ikev2

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// alternative is one proposal of the configuration in the wire's terms: for
// each transform type what is accepted, in order of preference.
type alternative struct {
	protocol message.Protocol
	choices  []choice
}

// choice is the transforms of one type.
type choice struct {
	kind       transform.Type
	transforms []message.Transform
	// mayBeAbsent says that a proposal without this type means "none" (INTEG
	// for AEADs, KE without PFS: RFC 7296 §3.3.3).
	mayBeAbsent bool
	longer      bool // of ENCR: longer keys than those of transforms are taken
	most        int  // and their bits at most; 0: any
}

// childSuite is the set of transforms that a child SA uses.
type childSuite struct {
	encr  Encryption
	integ transform.INTEG
	ke    transform.KE
	sn    transform.SN
}

func encrChoice(list []Encryption) choice {
	c := choice{kind: transform.TypeENCR}
	for _, e := range list {
		c.transforms = append(c.transforms, message.Transform{Type: transform.TypeENCR, ID: uint16(e.ID), KeyBits: e.KeyBits})
	}
	return c
}

// listChoice makes a choice of transforms that are only a number.
func listChoice[T ~uint16](kind transform.Type, list []T) choice {
	c := choice{kind: kind}
	for _, id := range list {
		c.transforms = append(c.transforms, message.Transform{Type: kind, ID: uint16(id)})
	}
	return c
}

// optionalChoice is of a type that RFC 7296 §3.3.3 makes optional: where the list
// has "none" (0), a proposal without the type says the same (§3.3.2).
func optionalChoice[T ~uint16](kind transform.Type, list []T) choice {
	c := listChoice(kind, list)
	c.mayBeAbsent = slices.Contains(list, 0)
	return c
}

// noneChoice accepts the absence of a type, and its transform "none" (0).
func noneChoice(kind transform.Type) choice {
	return choice{kind: kind, transforms: []message.Transform{{Type: kind}}, mayBeAbsent: true}
}

// integChoice is the integrity part. RFC 7296 §3.3.3 and RFC 5282 §8: with a
// combined-mode cipher there is none.
func integChoice(list []transform.INTEG) choice {
	if len(list) == 0 {
		return noneChoice(transform.TypeINTEG)
	}
	return optionalChoice(transform.TypeINTEG, list)
}

// ikeAlternatives are what a remote offers or accepts for the IKE SA: never a
// cipher that is for ESP alone (RFC 8750 §7, RFC 4543 §1).
func (r *Remote) ikeAlternatives() []alternative {
	list := make([]alternative, 0, len(r.Proposals))
	for _, p := range r.Proposals {
		p.Encr = slices.DeleteFunc(slices.Clone(p.Encr), func(e Encryption) bool { return !e.ID.UsableForIKE() })
		if len(p.Encr) == 0 {
			continue
		}
		list = append(list, alternative{message.ProtocolIKE, []choice{
			encrChoice(p.Encr), listChoice(transform.TypePRF, p.PRF), integChoice(p.Integ), listChoice(transform.TypeKE, p.KE),
		}})
	}
	return list
}

// keUse says what part key exchange plays in a child's proposals.
type keUse uint8

const (
	keNever   keUse = iota // in IKE_AUTH, which carries no KE payload (RFC 7296 §1.2)
	keOffer                // in a CREATE_CHILD_SA request: what is configured
	keRespond              // in a CREATE_CHILD_SA answer: also what the peer may ask for beyond it
)

// alternatives are what a child offers or accepts. groups are those that the
// remote accepts for its IKE SA: a peer may use them for perfect forward
// secrecy that the configuration does not ask for.
func (c *Child) alternatives(use keUse, groups []transform.KE) []alternative {
	list := make([]alternative, 0, len(c.Proposals))
	for _, p := range c.Proposals {
		ke := noneChoice(transform.TypeKE)
		switch {
		case use != keNever && len(p.KE) > 0:
			ke = optionalChoice(transform.TypeKE, p.KE)
		case use == keRespond:
			ke.transforms = append(ke.transforms, listChoice(transform.TypeKE, groups).transforms...)
		}
		sn := p.SN
		if len(sn) == 0 {
			sn = []transform.SN{transform.SN_32BIT}
		}
		a := alternative{c.wireProtocol(), []choice{integChoice(p.Integ), ke, listChoice(transform.TypeSN, sn)}}
		if a.protocol == message.ProtocolESP {
			a.choices = slices.Insert(a.choices, 0, encrChoice(p.Encr)) // RFC 7296 §3.3.3: AH has no ENCR
		}
		list = append(list, a)
	}
	return list
}

// groups are all the key exchange methods of a remote's IKE proposals, each once.
func (r *Remote) groups() []transform.KE {
	var list []transform.KE
	for _, p := range r.Proposals {
		for _, ke := range p.KE {
			if !slices.Contains(list, ke) {
				list = append(list, ke)
			}
		}
	}
	return list
}

// offer makes an SA payload's proposals, numbered from 1 (RFC 7296 §3.3.1).
func offer(list []alternative, spi []byte) []message.Proposal {
	var proposals []message.Proposal
	for i, a := range list {
		p := message.Proposal{Number: uint8(i + 1), Protocol: a.protocol, SPI: spi}
		for _, c := range a.choices {
			if c.mayBeAbsent && len(c.transforms) == 1 {
				continue // RFC 7296 §3.3.3: leaving it out says "none"
			}
			p.Transforms = append(p.Transforms, c.transforms...)
		}
		proposals = append(proposals, p)
	}
	return proposals
}

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

// typeName is the registry's name of a transform type.
func typeName(kind transform.Type) string {
	switch kind {
	case 0:
		return "protocol"
	case transform.TypeENCR:
		return "ENCR"
	case transform.TypePRF:
		return "PRF"
	case transform.TypeINTEG:
		return "INTEG"
	case transform.TypeKE:
		return "KE"
	case transform.TypeSN:
		return "SN"
	}
	return "transform type " + strconv.Itoa(int(kind))
}

// transformName is the registry's name of a transform, with its key length:
// "ENCR_AES_GCM_16-128".
func transformName(t message.Transform) string {
	name := strconv.Itoa(int(t.ID))
	switch t.Type {
	case transform.TypeENCR:
		name = transform.ENCR(t.ID).String()
	case transform.TypePRF:
		name = transform.PRF(t.ID).String()
	case transform.TypeINTEG:
		name = transform.INTEG(t.ID).String()
	case transform.TypeKE:
		name = transform.KE(t.ID).String()
	case transform.TypeSN:
		name = transform.SN(t.ID).String()
	}
	if t.KeyBits != 0 {
		name += "-" + strconv.Itoa(int(t.KeyBits))
	}
	if t.Unknown {
		name += " with an unknown attribute"
	}
	return name
}

// maxListed bounds the transforms that one explanation names.
const maxListed = 16

func transformList(list []message.Transform) string {
	if len(list) == 0 {
		return "nothing"
	}
	names := make([]string, 0, len(list))
	for i, t := range list {
		if i == maxListed {
			names = append(names, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		names = append(names, transformName(t))
	}
	return strings.Join(names, ", ")
}

// proposalList describes an SA payload for an explanation.
func proposalList(list []message.Proposal) string {
	var b strings.Builder
	for i, p := range list {
		if i == maxListed {
			fmt.Fprintf(&b, "; and %d more", len(list)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "#%d %s", p.Number, transformList(p.Transforms))
	}
	return b.String()
}
