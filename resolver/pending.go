package resolver

import (
	"slices"
	"time"

	"racoon2/kernel/trace"
)

// The bounds of one question.
const (
	minAttempts   = 3
	maxAttempts   = 8
	maxBackground = 32                      // questions under way that no client caused
	staleAfter    = 1800 * time.Millisecond // RFC 8767 §5: the client response timer
	staleRecheck  = 30 * time.Second        // RFC 8767 §5: the failure recheck timer
	failureLife   = time.Second             // RFC 9520 §3.2
)

// pending is one question under way.
type pending struct {
	question   Question
	background bool
	clients    []any
	asks       []ask
	tried      []*upstream
	attempt    int
	started    time.Time
	refusal    *Answer // SERVFAIL and the like of an upstream
	timer      timer
}

// ask is one upstream that has been asked and has not answered.
type ask struct {
	id uint64
	up *upstream
	at time.Time
}

// begin notes a question; nextAttempt asks it.
func (r *Resolver) begin(q Question, background bool) *pending {
	p := &pending{question: q, background: background}
	p.timer.Of = p
	r.pending[q] = p
	if background {
		r.background++
	}
	return p
}

// nextAttempt asks the next upstream.
func (r *Resolver) nextAttempt(now time.Time, p *pending, out *Outbox) {
	up := r.choose(now, p.tried)
	if up == nil {
		out.trace(trace.InternalWarn, ReasonUpstreamNone, []string{"name", p.question.Name}, "there is no name server to ask")
		r.fail(now, p, "there is no name server to ask", out)
		return
	}
	if p.attempt == 0 {
		p.started = now
	}
	p.attempt++
	p.tried = append(p.tried, up)
	r.serial++
	r.asks[r.serial] = p
	p.asks = append(p.asks, ask{r.serial, up, now})
	r.stats.QueriesProxy++
	wait := r.s.AttemptTimeout
	if p.attempt >= r.attempts() {
		wait *= 2 // the last ones get some more time
	}
	r.timers.Set(&p.timer, now.Add(wait))
	out.add(Ask{ID: r.serial, Upstream: up.Upstream, Question: p.question, Attempt: p.attempt})
}

// attempts is how often a question is sent before it fails.
func (r *Resolver) attempts() int { return min(max(minAttempts, len(r.upstreams)), maxAttempts) }

// ring is the silence of the upstream that was asked last.
func (p *pending) ring(r *Resolver, now time.Time, out *Outbox) {
	if len(p.asks) > 0 {
		p.asks[len(p.asks)-1].up.bad(r, now, false, "it is silent", out)
	}
	if now.Sub(p.started) >= staleAfter {
		r.serveStale(now, p, out)
	}
	if p.attempt < r.attempts() {
		r.nextAttempt(now, p, out)
		return
	}
	r.stats.ExpiredQueries++
	if p.refusal != nil {
		r.finishRefused(now, p, out)
		return
	}
	r.fail(now, p, "no name server answers", out)
}

// askFailed goes on to the next upstream at once.
func (r *Resolver) askFailed(now time.Time, f AskFailed, out *Outbox) {
	p, a := r.takeAsk(f.Ask)
	if p == nil {
		return
	}
	a.up.bad(r, now, true, f.Reason, out)
	switch {
	case p.attempt < r.attempts():
		r.nextAttempt(now, p, out)
	case len(p.asks) > 0: // another may still answer
	case p.refusal != nil:
		r.finishRefused(now, p, out)
	default:
		r.fail(now, p, f.Reason, out)
	}
}

// takeAsk finds and closes an ask; nil for one that nobody waits for.
func (r *Resolver) takeAsk(id uint64) (*pending, ask) {
	p := r.asks[id]
	if p == nil {
		return nil, ask{}
	}
	delete(r.asks, id)
	i := slices.IndexFunc(p.asks, func(a ask) bool { return a.id == id })
	a := p.asks[i]
	p.asks = slices.Delete(p.asks, i, i+1)
	return p, a
}

// answer takes what an upstream said.
func (r *Resolver) answer(now time.Time, a Answer, out *Outbox) {
	p, asked := r.takeAsk(a.Ask)
	if p == nil {
		return
	}
	r.stats.Responses++
	asked.up.good(now.Sub(asked.at), out)
	if a.RCode == NoError || a.RCode == NXDomain {
		a.Authentic = a.Authentic && asked.up.Trusted
		r.conclude(now, p, &a, out)
		return
	}
	// SERVFAIL, REFUSED and their like are one server's word: the others may know.
	p.refusal = &a
	fresh := slices.ContainsFunc(r.upstreams, func(u *upstream) bool { return !slices.Contains(p.tried, u) && !u.down(now) })
	switch {
	case fresh && p.attempt < r.attempts():
		r.nextAttempt(now, p, out)
	case len(p.asks) == 0:
		r.finishRefused(now, p, out)
	}
}

// finishRefused ends a question with the refusal of an upstream.
func (r *Resolver) finishRefused(now time.Time, p *pending, out *Outbox) {
	a := p.refusal
	r.serveStale(now, p, out)
	r.failNames(now, p, "the name server says "+a.RCode.String(), out)
	if r.failToFiles(now, p, out) {
		return
	}
	e := r.newEntry(now, p.question, a, failureLife)
	r.cacheFailure(now, e)
	r.finish(now, p, e, out)
}

// fail ends a question without an answer.
func (r *Resolver) fail(now time.Time, p *pending, why string, out *Outbox) {
	out.trace(trace.Debug, ReasonQueryExpired, []string{"name", p.question.Name}, "no answer for %s: %s", p.question.Name, clip(why))
	r.serveStale(now, p, out)
	r.failNames(now, p, why, out)
	if r.failToFiles(now, p, out) {
		return
	}
	e := r.newEntry(now, p.question, &Answer{RCode: ServFail}, failureLife)
	e.local = true
	r.cacheFailure(now, e)
	r.finish(now, p, e, out)
}

// failToFiles ends a question that failed with the hosts file's answer, where
// that comes behind DNS. Addresses that DNS has given before stay instead.
func (r *Resolver) failToFiles(now time.Time, p *pending, out *Outbox) bool {
	e := r.hostsFallback(p.question)
	if n := r.names[p.question.Name]; e == nil || n != nil && !n.fallback && len(n.addrs) > 0 {
		return false
	}
	r.concludeFromFiles(now, p, e, r.s.TTLFloor, out)
	return true
}

// cacheFailure keeps a failure for a moment (RFC 2308 §7), unless the answer
// before is still good or may be served stale.
func (r *Resolver) cacheFailure(now time.Time, e *entry) {
	if old := r.cache.get(e.question); old != nil && old.good() && now.Before(old.expires.Add(r.s.ServeStale)) {
		old.recheck = now.Add(staleRecheck)
		return
	}
	r.cache.put(e)
}

// serveStale gives clients an answer past its life when the upstreams fail
// (RFC 8767); it says whether there was one.
func (r *Resolver) serveStale(now time.Time, p *pending, out *Outbox) bool {
	e := r.cache.get(p.question)
	if e == nil || !now.Before(e.expires.Add(r.s.ServeStale)) || !e.good() || !e.live() {
		return false
	}
	stale := !now.Before(e.expires)
	for _, client := range p.clients {
		r.clients--
		r.deliver(now, client, p.question, e, stale, out)
	}
	if len(p.clients) > 0 {
		out.trace(trace.Debug, ReasonAnswerStale, []string{"name", p.question.Name}, "a stale answer for %s is given", p.question.Name)
	}
	p.clients = nil
	return true
}

// finish gives the answer to all that wait and forgets the question.
func (r *Resolver) finish(now time.Time, p *pending, e *entry, out *Outbox) {
	delete(r.pending, p.question)
	r.timers.Stop(&p.timer)
	for _, a := range p.asks {
		delete(r.asks, a.id)
		out.add(Cancel{a.id})
	}
	for _, client := range p.clients {
		r.clients--
		r.deliver(now, client, p.question, e, false, out)
	}
	p.clients, p.asks = nil, nil
	if p.background {
		r.background--
	}
	r.nextRefresh(now, out)
}

// newEntry makes what the cache keeps of an answer.
func (r *Resolver) newEntry(now time.Time, q Question, a *Answer, life time.Duration) *entry {
	return &entry{
		question: q, rcode: a.RCode, octets: a.Octets, authentic: a.Authentic,
		since: now, expires: now.Add(life), life: life,
	}
}
