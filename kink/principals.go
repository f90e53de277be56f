package kink

import (
	"reflect"
	"slices"
	"strings"
)

// same says that SAs of one remote can go on with the other. The addresses of one
// that takes any are those of names, which change.
func (r *Remote) same(old *Remote) bool {
	if r.AnyPeer && old.AnyPeer {
		was := *old
		was.Peers = r.Peers
		old = &was
	}
	return reflect.DeepEqual(r, old)
}

// below marks a principal that stands for the hosts below a domain.
const below = "/*."

// Admits says that the remote is for a principal.
func (r *Remote) Admits(principal string) bool {
	return slices.ContainsFunc(r.PeerPrincipals, func(pattern string) bool { return pattern == principal || stands(pattern, principal) })
}

// stands says that a pattern stands for a principal: the host has labels in
// front of the domain, and nothing that is quoted or would be another component.
func stands(pattern, principal string) bool {
	service, domain, ok := strings.Cut(pattern, below)
	if !ok {
		return false
	}
	labels, ok := strings.CutPrefix(principal, service+"/")
	if !ok {
		return false
	}
	labels, ok = strings.CutSuffix(labels, "."+domain)
	return ok && labels != "" && !strings.ContainsAny(labels, `/@\*`)
}

// firstPrincipal is the one to ask for when nobody names one; "" if there is
// none but patterns.
func (r *Remote) firstPrincipal() string {
	for _, p := range r.PeerPrincipals {
		if !strings.Contains(p, below) {
			return p
		}
	}
	return ""
}
