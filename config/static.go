package config

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	t "racoon2/ikev2/transform"
)

// Secret is a key. It is never printed.
type Secret []byte

// String and its like keep the octets from logs.
func (Secret) String() string   { return "(secret)" }
func (Secret) GoString() string { return "(secret)" }

// MarshalText keeps them from JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// Format keeps them from every verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(secret)") }

// staticKey is a key as it was written behind an algorithm.
type staticKey struct {
	pos  Pos
	key  Secret
	used bool // by a policy with static_ipsec
}

// staticKeyOf reads a key: 0x and hexadecimal digits, or the octets themselves.
// It is a secret: neither it nor its line may be shown.
func (r *resolver) staticKeyOf(e *entry, it Item) bool {
	r.report.conceal(it.Pos)
	s, ok := r.text(it)
	if !ok {
		return false
	}
	key := Secret(s)
	if digits, isHex := strings.CutPrefix(s, "0x"); isHex {
		octets, err := hex.DecodeString(digits)
		if err != nil {
			r.report.add(Finding{Code: "bad-key", Severity: Error, Pos: it.Pos,
				Text: "the key is not an even number of hexadecimal digits behind 0x"})
			return false
		}
		key = octets
	}
	r.keys[e] = append(r.keys[e], &staticKey{pos: it.Pos, key: key})
	return true
}

// checkStaticKeys points out the keys that nothing uses.
func (r *resolver) checkStaticKeys() {
	for _, keys := range r.keys {
		for _, k := range keys {
			if !k.used {
				r.report.add(Finding{Code: staticKeyCode, Severity: Warning, Pos: k.pos,
					Text: "a key for a static SA has no effect: no policy with action static_ipsec uses it", Hint: "remove it"})
			}
		}
	}
}

// saKeys are the keys that stand in an sa section.
type saKeys struct {
	encr, integ []*staticKey
	garbled     bool // a list of algorithms was not understood, which was said
}

// keepKeys notes the keys of an sa section for the policies that are static.
func (r *resolver) keepKeys(sa *SA, v view) {
	encr, integ := "esp_enc_alg", "esp_auth_alg"
	switch sa.Protocol {
	case SAAH:
		encr, integ = "", "ah_auth_alg"
	case SAIPComp:
		encr, integ = "", ""
	}
	k := saKeys{encr: r.keys[v.get(encr)], integ: r.keys[v.get(integ)]}
	for _, name := range []string{encr, integ} {
		k.garbled = k.garbled || v.get(name) == nil && !v.lacks(name)
	}
	r.keysOf[sa] = k
}

// staticPolicy checks a policy whose SAs have their keys in the configuration,
// and fills in those.
func (r *resolver) staticPolicy(p *Policy) {
	if p.Disabled {
		return
	}
	if len(p.IPsecs) > 1 {
		r.errorf("static-alternatives", at(p.Pos, "policy"), "name one ipsec section",
			"policy %s is static_ipsec and has alternatives: nobody negotiates which of them it is", clip(p.Name))
	}
	for _, i := range p.IPsecs {
		if i.ExtSequence {
			r.warnf("no-effect", at(i.Pos, "ipsec"), "", "ext_sequence has no effect on static SAs, which have no anti-replay service (RFC 4303 §3.3.3)")
		}
		for _, sa := range i.SAs {
			r.staticSA(p, sa)
		}
	}
}

// staticSA checks one transform of a static policy.
func (r *resolver) staticSA(p *Policy, sa *SA) {
	if sa.Disabled || r.keysChecked[sa] {
		return
	}
	r.keysChecked[sa] = true
	bad := func(code, hint, format string, args ...any) {
		r.errorf(code, at(sa.Pos, "sa"), hint, "sa %s of static policy %s: %s", clip(sa.Name), clip(p.Name), fmt.Sprintf(format, args...))
	}
	lowest, highest := uint32(256), ^uint32(0) // RFC 4303 §2.1, RFC 4302 §2.4
	if sa.Protocol == SAIPComp {
		highest = 0xffff // RFC 3173 §3.3
	}
	if sa.SPI < lowest || sa.SPI > highest {
		bad("static-spi", "add: spi 0x1000;", "it needs an spi between %d and %#x", lowest, highest)
	}
	given := r.keysOf[sa]
	if given.garbled {
		return
	}
	if len(sa.Proposals) != 1 || len(sa.Proposals[0].Integ) > 1 || len(sa.Proposals[0].Comp) > 1 {
		bad("static-alternatives", "name one algorithm of each kind", "nobody negotiates which of several algorithms it is")
		return
	}
	only := &sa.Proposals[0]
	if sa.Protocol == SAESP {
		sa.EncrKey = r.onlyKey(given.encr)
		if !only.staticCipher(sa.EncrKey, bad) {
			return
		}
	}
	if len(only.Integ) == 1 {
		sa.IntegKey = r.onlyKey(given.integ)
		if want := only.Integ[0].KeyLen(); len(sa.IntegKey) != want {
			bad("static-key-length", fmt.Sprintf("write the algorithm as NAME,,KEY with %d octets", want),
				"the key of %v has %d octets and not %d", only.Integ[0], len(sa.IntegKey), want)
		}
	}
}

// onlyKey is the key of a list of one algorithm.
func (r *resolver) onlyKey(keys []*staticKey) Secret {
	if len(keys) != 1 {
		return nil
	}
	keys[0].used = true
	return keys[0].key
}

// staticCipher checks the cipher of a static SA, and settles its key length.
func (p *SAProposal) staticCipher(key Secret, bad func(code, hint, format string, args ...any)) bool {
	first := p.Encr[0]
	switch {
	case slices.ContainsFunc(p.Encr, func(e Encryption) bool { return e.ID != first.ID }):
		bad("static-alternatives", "name one algorithm of each kind", "nobody negotiates which of several algorithms it is")
		return false
	case first.ID.CountsIV():
		// Their IVs would repeat under the same key after a restart.
		bad("static-counter-mode", "use aes_cbc with hmac_sha2_256",
			"%v is not to be used with static keys (RFC 3686 §7, RFC 4106 §10, RFC 4309 §9)", first.ID)
		return false
	case first.ID == t.ENCR_NULL && len(key) == 0:
		return true
	}
	var lengths []string
	for _, e := range p.Encr {
		n, err := e.ID.KeyLen(e.KeyBits)
		if err == nil && n == len(key) {
			p.Encr = []Encryption{e}
			return true
		}
		lengths = append(lengths, fmt.Sprint(n))
	}
	bad("static-key-length", "write the algorithm as NAME,BITS,KEY, the key as 0x and hexadecimal digits",
		"the key of %v has %d octets and not %s", first.ID, len(key), strings.Join(lengths, " or "))
	return false
}
