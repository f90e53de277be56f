package ikev2

import (
	"slices"

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

// maxListed bounds the transforms that one explanation names.
const maxListed = 16
