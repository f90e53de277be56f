package config

import (
	"fmt"
	"slices"
	"strings"

	t "racoon2/ikev2/transform"
)

// proposalKey is where the algorithms of a remote come from.
type proposalKey struct {
	encr, prf, integ, ke *entry
}

// ikeProposals is what they come to.
type ikeProposals struct {
	list   []IKEProposal
	reason string // why list is empty
}

// ikeProposals makes a remote's proposals from its lists. AEADs stand in a
// proposal of their own, without INTEG (RFC 7296 §3.3, RFC 5282 §8).
func (r *resolver) ikeProposals(v view) *ikeProposals {
	key := proposalKey{v.get("kmp_enc_alg"), v.get("kmp_prf_alg"), v.get("kmp_hash_alg"), v.get("kmp_dh_group")}
	if p := r.proposals[key]; p != nil {
		return p
	}
	p := &ikeProposals{}
	r.proposals[key] = p
	prf, reason := listOf(key.prf, defaultPRF)
	ke, reasonKE := listOf(key.ke, defaultKE)
	if reason == "" {
		reason = reasonKE
	}
	set, integ, reasonSet := r.protection(key.encr, key.integ)
	if reason == "" {
		reason = reasonSet
	}
	if reason != "" {
		p.reason = reason
		return p
	}
	eachProposal(set, integ, func(encr []Encryption, integ []t.INTEG) {
		p.list = append(p.list, IKEProposal{Encr: encr, PRF: prf, Integ: integ, KE: ke})
	})
	return p
}

// protection returns the encryption and integrity lists of two entries. A
// reason says why together they leave nothing.
func (r *resolver) protection(encr, integ *entry) (set encryptionSet, auth []t.INTEG, reason string) {
	set = defaultEncryption()
	if encr != nil {
		set, _ = encr.val.(encryptionSet)
	}
	auth = defaultInteg
	if integ != nil {
		auth, _ = listOf(integ, auth)
	}
	none := slices.Contains(auth, t.AUTH_NONE)
	auth = slices.DeleteFunc(slices.Clone(auth), func(a t.INTEG) bool { return a == t.AUTH_NONE })
	switch {
	case len(set.aead)+len(set.plain) == 0:
		return set, nil, emptyReason(encr, set.leftOut)
	case len(set.plain) > 0 && len(auth) == 0:
		if len(set.aead) == 0 {
			return set, nil, r.withoutIntegrity(encr, integ, none)
		}
		if encr != nil {
			r.withoutIntegrity(encr, integ, none)
		}
		set.plain = nil
	case encr != nil && len(set.plain) == 0 && len(auth) > 0 && integ != nil && !none:
		r.advise("unused-integrity", integ.nameItem(), "write: "+integ.dir.name+" { non_auth; };",
			"%s has no effect: the encryption algorithms authenticate by themselves (RFC 5282 §8)", integ.dir.name)
	}
	return set, auth, ""
}

// withoutIntegrity reports ciphers that nothing authenticates.
func (r *resolver) withoutIntegrity(encr, integ *entry, none bool) string {
	why := "nothing in " + integ.dir.name + " is built"
	if none || len(integ.leftOut()) == 0 {
		why = integ.dir.name + " names no integrity algorithm"
	}
	what := "AES-CBC"
	if encr != nil {
		what = encr.dir.name
		r.warnf("no-integrity", integ.nameItem(), "add hmac_sha2_256",
			"ciphers of %s that need an integrity algorithm are left out: %s", what, why)
	}
	return why + ", which the ciphers of " + what + " need"
}

// leftOut returns the names that were read and left out of a list.
func (e *entry) leftOut() []string {
	switch v := e.val.(type) {
	case mappedList:
		return v.leftOut
	case encryptionSet:
		return v.leftOut
	}
	return nil
}

// emptyReason says why a list of algorithms is empty.
func emptyReason(e *entry, leftOut []string) string {
	if len(leftOut) == 0 {
		return fmt.Sprintf("%s is empty (%v)", e.dir.name, e.pos)
	}
	return fmt.Sprintf("%s names nothing that is built (%s)", e.dir.name, strings.Join(leftOut, ", "))
}

// listOf returns the transforms of an entry, or the built-in ones. A reason
// says why there are none.
func listOf[T ~uint8 | ~uint16](e *entry, builtin []T) ([]T, string) {
	if e == nil {
		return builtin, ""
	}
	m, _ := e.val.(mappedList)
	if len(m.ids) == 0 {
		return nil, emptyReason(e, m.leftOut)
	}
	out := make([]T, len(m.ids))
	for i, id := range m.ids {
		out[i] = T(id)
	}
	return out, ""
}

// eachProposal makes up to two proposals: one of the AEADs and one of the
// others. The kind that was written first comes first.
func eachProposal(set encryptionSet, integ []t.INTEG, emit func([]Encryption, []t.INTEG)) {
	if len(set.plain) > 0 && !set.aeadFirst {
		emit(set.plain, integ)
	}
	if len(set.aead) > 0 {
		emit(set.aead, nil)
	}
	if len(set.plain) > 0 && set.aeadFirst {
		emit(set.plain, integ)
	}
}
