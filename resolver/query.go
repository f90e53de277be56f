package resolver

import (
	"net/netip"
	"time"

	"racoon2/kernel/trace"
)

// Cached answers a client out of the cache, as Handle does a Query, without an
// effect and without garbage: most questions are such. False says that nothing
// has happened, and that it is Handle's to answer.
func (r *Resolver) Cached(now time.Time, from netip.Addr, q *Question, reply *Reply) bool {
	e := r.cache.entries[*q]
	if e == nil || !now.Before(e.expires) || r.s.Prefetch && e.expires.Sub(now) < e.life/10 ||
		len(e.names) > 0 && (!e.live() || r.closed(e)) || !r.limiter.allow(now, from, r.s.RateLimit, r.s.RateBurst) {
		return false
	}
	r.cache.use(e)
	r.stats.Queries++
	r.stats.ResponsesProxy++
	for _, n := range e.names {
		n.used = true
	}
	*reply = e.reply(now)
	reply.Question = *q
	return true
}

// query answers a client: from the cache, from what is known here, or by asking
// an upstream.
func (r *Resolver) query(now time.Time, q Query, out *Outbox) {
	r.stats.Queries++
	if !r.limiter.allow(now, q.From, r.s.RateLimit, r.s.RateBurst) {
		out.trace(trace.Debug, ReasonRateLimit, []string{"client", q.From.String()},
			"a client asks more than %d questions a second", r.s.RateLimit)
		out.add(Drop{q.Client})
		return
	}
	// RFC 4035 §3.2.2 has CD pass, and so it does but for watched names: what their
	// policies are made of has met whatever checks the upstream makes.
	if q.Question.CheckingDisabled && len(r.watchesOf(q.Question.Name)) > 0 {
		q.Question.CheckingDisabled = false
	}
	r.serve(now, q, out)
}

// serve answers a client that may ask.
func (r *Resolver) serve(now time.Time, q Query, out *Outbox) {
	// Nothing that is answered locally ever is in the cache.
	if e := r.cache.get(q.Question); e != nil && e.live() {
		stale := !now.Before(e.expires)
		if !stale || now.Before(e.recheck) && now.Before(e.expires.Add(r.s.ServeStale)) {
			if r.s.Prefetch && !stale && e.expires.Sub(now) < e.life/10 {
				r.prefetch(now, q.Question, out)
			}
			r.deliver(now, q.Client, q.Question, e, stale, out)
			return
		}
	}
	if e := r.localEntry(q.Question); e != nil {
		r.deliver(now, q.Client, q.Question, e, false, out)
		return
	}
	r.forward(now, q, out)
}

// forward asks an upstream on behalf of a client, or joins what is under way:
// the same question twice would double a forger's chances (RFC 5452 §5).
func (r *Resolver) forward(now time.Time, q Query, out *Outbox) {
	p := r.pending[q.Question]
	if p != nil {
		r.stats.DupQueries++
	}
	if r.clients >= clientsByOthers*r.s.MaxPending || p == nil && len(r.pending)-r.background >= r.s.MaxPending {
		out.trace(trace.Debug, ReasonPendingLimit, nil, "%d clients wait for %d questions: no more are taken", r.clients, len(r.pending))
		r.reply(Reply{Client: q.Client, Question: q.Question, RCode: ServFail}, out)
		return
	}
	if p == nil {
		p = r.begin(q.Question, false)
	}
	p.clients = append(p.clients, q.Client)
	r.clients++
	if p.attempt == 0 {
		r.nextAttempt(now, p, out)
		r.askSibling(now, q.Question, out)
	}
}

// askChecked puts a question once more, without CD: its answer leads to a watched name.
func (r *Resolver) askChecked(now time.Time, p *pending, out *Outbox) {
	clients := p.clients
	p.clients = nil
	r.finish(now, p, nil, out)
	q := p.question
	q.CheckingDisabled = false
	for _, client := range clients {
		r.clients--
		r.serve(now, Query{Client: client, Question: q}, out)
	}
}

// askSibling asks for the other family of a watched name together with the one
// that a client wants.
func (r *Resolver) askSibling(now time.Time, q Question, out *Outbox) {
	other := Question{Name: q.Name}
	switch q.Type {
	case TypeA:
		other.Type = TypeAAAA
	case TypeAAAA:
		other.Type = TypeA
	default:
		return
	}
	if r.pending[other] != nil || r.background >= maxBackground || len(r.watchesOf(q.Name)) == 0 {
		return
	}
	if e := r.cache.get(other); e != nil && now.Before(e.expires) {
		return
	}
	r.nextAttempt(now, r.begin(other, true), out)
}

// prefetch asks again for an answer that is in use and about to run out.
func (r *Resolver) prefetch(now time.Time, q Question, out *Outbox) {
	if r.pending[q] == nil && r.background < maxBackground {
		r.nextAttempt(now, r.begin(q, true), out)
	}
}

// deliver gives a client an answer, or has it wait at the gate.
func (r *Resolver) deliver(now time.Time, client any, q Question, e *entry, stale bool, out *Outbox) {
	reply := e.reply(now)
	reply.Client, reply.Question, reply.Stale = client, q, stale
	for _, n := range e.names {
		n.used = true
	}
	if r.closed(e) {
		r.hold(now, reply, e, out)
		return
	}
	r.reply(reply, out)
}

// reply is what a client gets of an answer.
func (e *entry) reply(now time.Time) Reply {
	reply := Reply{
		RCode: e.rcode, Octets: e.octets, Authentic: e.authentic,
		Local: e.local, Addresses: e.addresses, Names: e.ptr,
	}
	if e.octets != nil {
		reply.Age = uint32(max(now.Sub(e.since), 0) / time.Second)
	}
	return reply
}

// reply lets an answer go.
func (r *Resolver) reply(reply Reply, out *Outbox) {
	r.stats.ResponsesProxy++
	out.add(reply)
}

// localEntry is the answer that needs nobody else; nil when there is none.
func (r *Resolver) localEntry(q Question) *entry {
	if r.before(Files, DNS) {
		if e := r.hostsEntry(q); e != nil {
			return e
		}
	}
	if e := r.self.answer(q, r.looks(Files), &r.hosts); e != nil && (!e.yields || len(r.watchesOf(q.Name)) == 0) {
		if e.yields && r.looks(Files) {
			if e := r.hostsEntry(q); e != nil {
				return e
			}
		}
		return e
	}
	if !r.looks(DNS) {
		if e := r.hostsEntry(q); e != nil {
			return e
		}
		return &entry{local: true, rcode: Refused}
	}
	return nil
}

// hostsEntry is the answer of the hosts file: a name that it has, it has for
// every type; nil when it does not have it.
func (r *Resolver) hostsEntry(q Question) *entry {
	e := &entry{local: true}
	if addr, ok := reverseAddr(q.Name); ok && q.Type == TypePTR {
		if names := r.hosts.byAddr[addr]; len(names) > 0 {
			e.ptr = names
			return e
		}
		return nil
	}
	addrs, ok := r.hosts.byName[q.Name]
	if !ok || q.Type != TypeA && q.Type != TypeAAAA {
		return nil
	}
	e.addresses = ofFamily(addrs, q.Type)
	switch n := r.names[q.Name]; {
	case n != nil:
		e.names, e.known = []*name{n}, e.addresses
	case len(e.addresses) > 0 && len(r.watchesOf(q.Name)) > 0:
		// Too many names are followed already: nobody would make its policy.
		return &entry{local: true, rcode: ServFail}
	}
	return e
}
