package agent

import (
	"context"
	"crypto/rand"
	"net/netip"
	"strings"
	"time"

	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/policy"
	"racoon2/resolver"
)

type kinkDriver = driver[kink.Input, kink.Outbox]

// ticketTime bounds the asking for one ticket: the policy manager asks another
// engine, or again, when it has heard nothing for as long.
const ticketTime = 25 * time.Second

// makeKINK makes KINK's engine, one shard: its transactions and replies are
// kept by principal, and an address says nothing about that.
func (a *Agent) makeKINK() {
	a.tickets = newTickets(a)
	a.kinkStart = a.o.Now()
	if a.usesKINK() {
		a.kinkStart = a.kinkEpoch(a.kinkStart)
	}
	a.engine = kink.New(kink.Config{
		Rand: rand.Reader, Kerberos: a.tickets, Settings: a.plan.Load().compiled.KINK, Start: a.kinkStart,
	})
	a.kink = newDriver[kink.Input, kink.Outbox](areaKINK, a.engine, kink.Timeout{})
	a.kink.perform, a.kink.panicked, a.kink.now = a.performKINK, a.corePanicked, a.o.Now
}

// performKINK does the effects of KINK's engine.
func (a *Agent) performKINK(out *kink.Outbox) {
	for i, effect := range out.Effects {
		out.Effects[i] = nil
		a.kinkHook(effect)
		a.revealKINK(effect)
		switch e := effect.(type) {
		case kink.Send:
			a.send(e.Local, e.Remote, e.Data)
		case kink.KernelRequest:
			a.backend.Submit(e.Request)
		case kink.Job:
			a.kink.hand(a.pool.queue, a.kinkJob(e))
		case kink.FetchTicket:
			if ticket := a.tickets.cached(e); ticket != nil {
				a.kink.answer(kink.TicketReady{Serial: e.Serial, Ticket: ticket})
				continue
			}
			a.kink.hand(a.tickets.pool.queue, a.fetch(e))
		case kink.Route:
			local, err := a.route(e.Remote, a.plan.Load().compiled.KINK.Port)
			a.kink.answer(kink.Routed{Serial: e.Serial, Local: local, Err: err})
		case kink.ChildUp:
			a.kinkUp(e)
		case kink.ChildDown:
			down := policy.ChildDown{Engine: kernel.KINK, Child: e.Child, Reason: e.Reason}
			a.kink.hand(a.policy.urgent, a.policy.input(down))
		case kink.InitiateFailed:
			failed := policy.InitiateFailed{Engine: kernel.KINK, Child: e.Child, Reason: e.Reason}
			a.kink.hand(a.policy.urgent, a.policy.input(failed))
		case kink.Trace:
			a.trace(areaKINK, e.Event)
		}
	}
	out.Effects = out.Effects[:0]
}

// kinkJob is a key exchange on a worker.
func (a *Agent) kinkJob(j kink.Job) func() {
	return func() {
		value, err := runJob(j.Name, j.Run, a.jobPanicked)
		_ = a.kink.post(a.ctx, kink.JobDone{Serial: j.Serial, Value: value, Err: err}) // fails when the agent has ended
	}
}

// fetch is the asking for a ticket, on a worker for what waits for KDCs.
func (a *Agent) fetch(f kink.FetchTicket) func() {
	return func() {
		value, err := runJob("ticket", func() (any, error) {
			ctx, cancel := context.WithTimeout(a.ctx, ticketTime)
			defer cancel()
			return a.tickets.fetch(ctx, f)
		}, a.jobPanicked)
		ticket, _ := value.(kink.Ticket)
		_ = a.kink.post(a.ctx, kink.TicketReady{Serial: f.Serial, Ticket: ticket, Err: err})
	}
}

// kinkUp tells the policy manager of a pair. A responder has the policies made
// that the configuration leaves to it, as the original's kinkd does with POLICY
// ADD: for a selector that is only declared (install off) and that the remote
// names (selector_index), and in transport mode for a peer whose address was not
// known before it came (IP_RW).
func (a *Agent) kinkUp(e kink.ChildUp) {
	i := e.Info
	up := policy.ChildUp{
		Engine: kernel.KINK, Child: e.Child, Local: i.Local, Remote: i.Remote,
		TSLocal: []netip.Prefix{i.Selector.Src}, TSRemote: []netip.Prefix{i.Selector.Dst},
	}
	if !i.Expires.IsZero() {
		up.Lifetime = max(i.Expires.Sub(a.o.Now()), time.Second)
	}
	a.kink.hand(a.policy.urgent, a.policy.input(up))
	if i.Initiator || !a.plan.Load().makesPolicies(e.Remote, e.Child) {
		return
	}
	add := policy.AddPolicy{Dynamic: policy.Dynamic{
		Selector: e.Child, Mode: i.Mode, Src: i.Selector.Src, Dst: i.Selector.Dst, Lifetime: up.Lifetime,
	}}
	if i.Mode == kernel.Tunnel {
		add.Dynamic.SASrc, add.Dynamic.SADst = i.Local, i.Remote
	}
	a.kink.hand(a.policy.urgent, a.policy.input(add))
}

// makesPolicies says that the pairs of a child bring their policies with them.
func (p *plan) makesPolicies(remote, child string) bool {
	s := p.cfg.Selector(child)
	if s == nil || s.Policy == nil {
		return false
	}
	_, c := p.kinkChild(remote, child)
	r := s.Policy.Remote
	named := r != nil && r.Selector != nil && (r.Selector == s || r.Selector == s.Reverse)
	return !s.Policy.Install && named || c != nil && c.Dynamic && c.Mode == kernel.Transport
}

// kinkChild finds a child with the part of its remote that it is in.
func (p *plan) kinkChild(remote, child string) (*kink.Remote, *kink.Child) {
	for _, r := range p.compiled.KINK.Remotes {
		if r.Name != remote {
			continue
		}
		for _, c := range r.Children {
			if c.Name == child {
				return r, c
			}
		}
	}
	return nil, nil
}

// initiateKINK asks KINK's engine for a child. It runs on the policy manager's
// goroutine. Where several principals may have the traffic, the name that the
// application used tells which one it is; the resolver is asked for that on a
// worker, since it may be waiting for the policy manager.
func (a *Agent) initiateKINK(e policy.Initiate) {
	in := kink.Initiate{Remote: e.Remote, Child: e.Child, Packet: e.Packet}
	r, c := a.plan.Load().kinkChild(e.Remote, e.Child)
	if r != nil {
		in.Peer = peerOf(r, c, e.Packet)
	}
	if r == nil || len(r.PeerPrincipals) < 2 && !strings.Contains(strings.Join(r.PeerPrincipals, ""), "*") || !in.Peer.IsValid() {
		a.policy.hand(a.kink.urgent, a.kink.input(in))
		return
	}
	a.policy.hand(a.pool.queue, func() {
		in.Principal = a.principalAt(r, in.Peer.Addr())
		_ = a.kink.post(a.ctx, in)
	})
}

// peerOf is the address to initiate to: that which the packet is for in
// transport mode, or the tunnel's far end; not valid where the remote says it all.
func peerOf(r *kink.Remote, c *kink.Child, packet *kernel.Selector) netip.AddrPort {
	var to netip.Addr
	switch {
	case c.Mode == kernel.Tunnel && len(r.Peers) > 0:
		return netip.AddrPort{}
	case c.Mode == kernel.Tunnel:
		to = c.PeerEnd
	case packet != nil:
		to = packet.Dst.Addr()
	default:
		for _, s := range c.Outbound {
			if s.Dst.IsSingleIP() && !to.IsValid() {
				to = s.Dst.Addr()
			}
		}
	}
	if !to.IsValid() || to.IsUnspecified() {
		return netip.AddrPort{}
	}
	for _, p := range r.Peers {
		if p.Addr() == to {
			return p
		}
	}
	return netip.AddrPortFrom(to, 0)
}

// principalAt is the principal of the name by which an address is known here,
// "" where no name of it is one of the remote's.
func (a *Agent) principalAt(r *kink.Remote, addr netip.Addr) string {
	var names []string
	_ = commands{a}.look(func(res *resolver.Resolver, _ time.Time) { names = res.Names(addr) })
	hosts := KINKOptions{Etc: a.o.Etc}
	hosts.complete()
	for _, name := range append(names, hosts.NamesOf(addr)...) {
		conf := a.tickets.confOf(r.MyPrincipal)
		if conf == nil {
			return ""
		}
		p, err := conf.KINKPrincipal(name)
		if err == nil && r.Admits(p) && !strings.Contains(p, "*") {
			return p
		}
	}
	return ""
}
