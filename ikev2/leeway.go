package ikev2

import (
	"fmt"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// ProposalCheck says how far a responder goes beyond what is configured. IKEv2 does
// not negotiate lifetimes, which the original's words were about too. Whatever the
// word, no algorithm and no shorter key than configured is taken
// (RFC 7296 §3.3.4: what local policy does not authorize MUST be rejected).
type ProposalCheck uint8

// The checks.
const (
	// CheckStrict takes longer keys of a configured cipher (RFC 7296 §3.3.5) and a
	// peer's forward secrecy in a group of the remote's, though none is asked for.
	CheckStrict ProposalCheck = iota
	// CheckObey also does without the forward secrecy that need_pfs asks for.
	CheckObey
	// CheckExact takes what is configured and nothing else; extended sequence
	// numbers that are configured are then demanded.
	CheckExact
)

// acceptable are what a remote accepts for the IKE SA as responder.
func (r *Remote) acceptable() []alternative {
	return r.relax(r.ikeAlternatives())
}

// acceptable are what a child accepts in this IKE SA as responder.
func (sa *ikeSA) acceptable(c *Child, use keUse) []alternative {
	r := sa.remote
	groups := r.groups()
	if r.Check == CheckExact {
		groups = nil
	}
	list := r.relax(c.alternatives(use, groups))
	for _, a := range list {
		for i := range a.choices {
			if ch := &a.choices[i]; ch.kind == transform.TypeKE && r.Check == CheckObey {
				ch.mayBeAbsent = true
			}
		}
	}
	return sa.bound(list)
}

// relax lets ciphers have longer keys than configured.
func (r *Remote) relax(list []alternative) []alternative {
	for _, a := range list {
		for i := range a.choices {
			if ch := &a.choices[i]; ch.kind == transform.TypeENCR {
				ch.longer = r.Check != CheckExact
			}
		}
	}
	return list
}

// bound leaves out of a child's alternatives what is stronger than the IKE SA that
// protects their negotiation (parent_child_strength).
func (sa *ikeSA) bound(list []alternative) []alternative {
	if !sa.remote.ParentStrength {
		return list
	}
	most := sa.suite.encr.strength()
	var out []alternative
	for _, a := range list {
		fits := true
		for i := range a.choices {
			ch := &a.choices[i]
			if ch.kind != transform.TypeENCR {
				continue
			}
			ch.transforms = slices.DeleteFunc(slices.Clone(ch.transforms), func(t message.Transform) bool { return cipherOf(t).strength() > most })
			ch.most = most
			fits = len(ch.transforms) > 0
		}
		if fits {
			out = append(out, a)
		}
	}
	return out
}

// tooStrong says why an IKE SA can have none of a child's proposals.
func (sa *ikeSA) tooStrong(c *Child) string {
	return fmt.Sprintf("ENCR: %s has only ciphers that are stronger than %s of its IKE SA, which parent_child_strength forbids",
		c.place(), encryptionName(sa.suite.encr))
}

func cipherOf(t message.Transform) Encryption { return Encryption{transform.ENCR(t.ID), t.KeyBits} }

// strength is the key of a cipher in bits, as far as it keeps secrets: DES has 56 and
// 3DES 112 (RFC 2451 §2), what does not encrypt has none.
func (e Encryption) strength() int {
	switch e.ID {
	case transform.ENCR_NULL, transform.ENCR_NULL_AUTH_AES_GMAC:
		return 0
	case transform.ENCR_DES:
		return 56
	case transform.ENCR_3DES:
		return 112
	}
	n, err := e.ID.KeyLen(e.KeyBits)
	if err != nil {
		return 0
	}
	return (n - e.ID.SaltLen()) * 8
}

// allowsLonger says that an offered cipher is one of the choice's with a longer key.
func (ch *choice) allowsLonger(t message.Transform) bool {
	e := cipherOf(t)
	if !ch.longer || t.Unknown || !e.ID.ValidKeyBits(e.KeyBits) || ch.most > 0 && e.strength() > ch.most {
		return false
	}
	return slices.ContainsFunc(ch.transforms, func(want message.Transform) bool {
		return want.ID == t.ID && want.KeyBits < t.KeyBits
	})
}
