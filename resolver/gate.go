package resolver

import (
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel/trace"
)

// held is an answer that waits for policies.
type held struct {
	reply Reply
	names []*name
	left  int // policies that it waits for
	timer timer
}

// wait is one answer that waits for one generation of a name.
type wait struct {
	held       *held
	generation uint64
}

// needs is the generation that has to stand before a client may have addresses
// of a name; 0 when nothing has to.
func (n *name) needs(addrs []netip.Addr) uint64 {
	if !n.gated || n.dead {
		return 0
	}
	var generation uint64
	for _, a := range addrs {
		if known := n.addrs[a]; known != nil && known.added > n.stands {
			generation = max(generation, known.added)
		}
	}
	return generation
}

// closed says whether an answer has to wait.
func (r *Resolver) closed(e *entry) bool {
	if r.s.GateBound <= 0 {
		return false
	}
	for _, n := range e.names {
		if n.needs(e.known) > 0 {
			return true
		}
	}
	return false
}

// hold keeps an answer back until the policies of all its names stand.
func (r *Resolver) hold(now time.Time, reply Reply, e *entry, out *Outbox) {
	if r.clients >= clientsByOthers*r.s.MaxPending {
		out.trace(trace.Debug, ReasonPendingLimit, nil, "%d clients wait: no more are taken", r.clients)
		r.reply(Reply{Client: reply.Client, Question: reply.Question, RCode: ServFail}, out)
		return
	}
	h := &held{reply: reply}
	h.timer.Of = h
	for _, n := range e.names {
		if generation := n.needs(e.known); generation > 0 {
			h.left++
			h.names = append(h.names, n)
			n.waits = append(n.waits, wait{h, generation})
		}
	}
	r.clients++
	r.timers.Set(&h.timer, now.Add(r.s.GateBound))
}

// policyStands opens the gate for the answers up to a generation.
func (r *Resolver) policyStands(in PolicyStands, out *Outbox) {
	n := r.names[in.Name]
	if n == nil {
		return
	}
	n.stands = max(n.stands, min(in.Generation, n.generation))
	r.release(n, n.stands, out)
}

// release lets answers go that wait for a name up to a generation.
func (r *Resolver) release(n *name, generation uint64, out *Outbox) {
	var rest []wait
	for _, w := range n.waits {
		if w.generation > generation {
			rest = append(rest, w)
			continue
		}
		if w.held.left--; w.held.left > 0 {
			continue
		}
		r.timers.Stop(&w.held.timer)
		r.clients--
		r.reply(w.held.reply, out)
	}
	n.waits = rest
}

// ring ends the waiting without a policy.
func (h *held) ring(r *Resolver, now time.Time, out *Outbox) {
	for _, n := range h.names {
		n.waits = slices.DeleteFunc(n.waits, func(w wait) bool { return w.held == h })
	}
	r.clients--
	reply := h.reply
	what := "the answer passes all the same"
	if r.s.GateOutcome != ServeAnswer {
		what = "the client gets SERVFAIL"
		reply = Reply{Client: reply.Client, Question: reply.Question, RCode: ServFail}
	}
	out.trace(trace.InternalWarn, ReasonGateBound, []string{"name", reply.Question.Name},
		"no policy stands for the addresses of %s within %v: %s", reply.Question.Name, r.s.GateBound, what)
	r.reply(reply, out)
}
