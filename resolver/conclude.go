package resolver

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"racoon2/kernel/trace"
)

// conclude takes an answer over: into the map, the cache, and to the clients.
func (r *Resolver) conclude(now time.Time, p *pending, a *Answer, out *Outbox) {
	q := p.question
	if len(a.Chain) == 0 {
		a.Chain = []string{q.Name}
	}
	watched := r.watchedChain(a.Chain)
	if q.CheckingDisabled && len(watched) > 0 {
		r.askChecked(now, p, out)
		return
	}
	if why := r.refuse(q, a, watched, out); why != "" {
		r.fail(now, p, why, out)
		return
	}
	life := r.clamp(a.TTL)
	if q.Type == TypeA || q.Type == TypeAAAA {
		if len(a.Addresses) == 0 {
			if e := r.hostsFallback(q); e != nil {
				r.concludeFromFiles(now, p, e, life, out)
				return
			}
		}
		for i := range watched {
			watched[i].name = r.updateChain(now, watched[i], q.Type, a, life, out)
		}
	}
	e := r.newEntry(now, q, a, life)
	for _, w := range watched {
		if w.name != nil {
			e.names = append(e.names, w.name)
		}
	}
	if len(e.names) > 0 {
		e.known = a.Addresses
	}
	if a.Hints && len(watched) > 0 {
		// It would give addresses past the gate; without it, clients ask for A and
		// AAAA, as RFC 9460 §3 has them do anyway.
		out.trace(trace.Debug, ReasonAnswerHints, []string{"name", q.Name}, "addresses in other records of %s are kept from clients", q.Name)
		e.octets, e.local = nil, true
	}
	if a.TTL > 0 || len(e.names) > 0 || len(a.Addresses) > 0 {
		r.cache.put(e)
	} else {
		r.cache.forget(q.Name) // RFC 2308 §5: a negative answer without SOA is not kept
	}
	r.finish(now, p, e, out)
}

// chained is a watched name on the chain of an answer.
type chained struct {
	canonical string
	watches   []*watch
	name      *name
}

// watchedChain picks the watched names of a chain.
func (r *Resolver) watchedChain(chain []string) []chained {
	var out []chained
	for _, c := range chain {
		if watches := r.watchesOf(c); len(watches) > 0 {
			out = append(out, chained{c, watches, r.names[c]})
		}
	}
	return out
}

// refuse says why an answer about watched names is not taken; "" when it is.
func (r *Resolver) refuse(q Question, a *Answer, watched []chained, out *Outbox) string {
	if len(watched) == 0 {
		return ""
	}
	who := []string{"name", watched[0].canonical, "question", q.Name}
	if r.s.RequireDNSSEC && !a.Authentic {
		out.trace(trace.InternalWarn, ReasonNotAuthentic, who,
			"an answer about %s is not taken: require_dnssec is on, and no trusted name server vouches for it with AD", watched[0].canonical)
		return "the answer is not authentic"
	}
	if len(a.Addresses) > maxAddresses {
		out.trace(trace.InternalWarn, ReasonNameAddresses, who,
			"an answer about %s is not taken: it has %d addresses, more than %d", watched[0].canonical, len(a.Addresses), maxAddresses)
		return "the answer has " + strconv.Itoa(len(a.Addresses)) + " addresses"
	}
	if slices.ContainsFunc(a.Addresses, netip.Addr.Is4In6) {
		out.trace(trace.InternalWarn, ReasonNameAddresses, who,
			"an answer about %s is not taken: it has an IPv4 address in the form of an IPv6 one, which no policy would meet", watched[0].canonical)
		return "the answer has IPv4-mapped addresses"
	}
	if i := slices.IndexFunc(a.Addresses, nobodys); i >= 0 {
		out.trace(trace.InternalWarn, ReasonNameAddresses, who,
			"an answer about %s is not taken: %v is not the address of another host; a name server that blocks names answers so", watched[0].canonical, a.Addresses[i])
		return "the answer has the address " + a.Addresses[i].String()
	}
	for _, w := range watched {
		if w.name == nil && len(a.Addresses) > 0 && r.brought >= r.s.MaxNames {
			out.trace(trace.InternalWarn, ReasonNamesLimit, who,
				"%s is not followed: wildcards have brought in %d names already", w.canonical, r.brought)
			return "there are too many names below wildcards"
		}
	}
	return ""
}

// nobodys says that an address is no other host's: a policy for it would stop what this
// host says to itself, or concern hosts that the name does not stand for.
func nobodys(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback()
}

// updateChain updates one watched name of a chain, and returns it; nil when it
// is not followed, as it has no address and only a wildcard names it.
func (r *Resolver) updateChain(now time.Time, w chained, kind uint16, a *Answer, life time.Duration, out *Outbox) *name {
	n := w.name
	if n == nil {
		n = r.names[w.canonical] // the same name twice on one chain
	}
	if n == nil {
		if len(a.Addresses) == 0 {
			return nil
		}
		n = r.newName(w.canonical, w.watches)
		// The other family may have been answered before the name was known.
		r.answered(now, n, TypeA+TypeAAAA-kind, life)
	}
	if n.files {
		return n // the hosts file has the word
	}
	n.families[slot(kind)].asking = false
	n.fallback = false
	r.update(now, n, kind, a.Addresses, now.Add(life), out)
	r.answered(now, n, kind, life)
	return n
}

// concludeFromFiles ends a question that DNS has no addresses for, and the hosts
// file has.
func (r *Resolver) concludeFromFiles(now time.Time, p *pending, e *entry, life time.Duration, out *Outbox) {
	n := r.names[p.question.Name]
	if watches := r.watchesOf(p.question.Name); n == nil && len(watches) > 0 && r.brought < r.s.MaxNames {
		n = r.newName(p.question.Name, watches)
		e = r.hostsEntry(p.question)
	}
	if n != nil {
		n.families[slot(p.question.Type)].asking = false
		n.fallback = true
		r.update(now, n, p.question.Type, e.addresses, now.Add(life), out)
		r.answered(now, n, p.question.Type, life)
	}
	r.finish(now, p, e, out)
}
