package kink

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// defaultPort is KINK's UDP port (RFC 4430 §9).
const defaultPort = 910

// initiate makes an SA pair for the policy manager or an operator.
func (e *Engine) initiate(in Initiate) {
	fail := func(reason, text string) {
		e.trace(trace.InternalWarn, reason, fmt.Sprintf("no SA pair %s with remote %s: %s", in.Child, in.Remote, text))
		e.do(InitiateFailed{Remote: in.Remote, Child: in.Child, Reason: text})
	}
	r, c := e.find(in.Remote, in.Child)
	switch {
	case e.closing:
		fail(reasonShutdown, "this agent shuts down")
		return
	case c == nil:
		fail(reasonConfiguration, "there is no such child")
		return
	case r.Passive:
		fail(reasonConfiguration, "the remote is passive")
		return
	}
	to, err := r.target(in)
	if err != nil {
		fail(reasonConfiguration, err.Error())
		return
	}
	selector, ok := c.toward(to.addr.Addr(), in.Packet)
	if !ok {
		fail(reasonTraffic, fmt.Sprintf("no selector of it is for %v", to.addr.Addr()))
		return
	}
	for _, sa := range e.pairsOf[to.principal] {
		if sa.child != c || sa.selector.Dst != selector.Dst && !sa.selector.Contains(selector) {
			continue
		}
		// Its CREATE is under way, or its ACK is: traffic of this host on the way back
		// is often faster.
		if sa.state == pairMaking && sa.initiator || sa.awaitsAck() {
			return
		}
		// An acquire of before the pair stood may come late.
		if sa.state == pairUp && !sa.replaced && (in.Packet == nil || e.now.Sub(sa.established) < lateAcquire) {
			e.do(ChildUp{Remote: r.Name, Child: c.Name, Peer: sa.target.principal, Info: sa.info(), Told: true})
			return
		}
	}
	e.create(to, c, selector, nil)
}

// lateAcquire is how long after its making a pair still answers acquires.
const lateAcquire = 2 * time.Second

// toward is the selector of the child for the packet that asked, the first without
// one, before this host's own address is known.
func (c *Child) toward(remote netip.Addr, packet *kernel.Selector) (kernel.Selector, bool) {
	for _, s := range c.Outbound {
		if c.Dynamic {
			s.Dst = hostPrefix(remote)
		}
		if c.Mode == kernel.Transport && s.Dst.Contains(remote) {
			s.Dst = hostPrefix(remote)
		} else if c.Mode == kernel.Transport {
			continue
		}
		if s.Valid() == nil && (packet == nil || s.Matches(*packet)) {
			return s, true
		}
	}
	return kernel.Selector{}, false
}

func (e *Engine) find(remote, child string) (*Remote, *Child) {
	for _, r := range e.settings.Remotes {
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

// target is whom to initiate to. A principal from elsewhere must be one that the
// remote names, or its SAs would not be bound to anybody (RFC 4430 §10).
func (r *Remote) target(in Initiate) (target, error) {
	to := target{remote: r, addr: in.Peer, principal: in.Principal}
	if to.principal == "" {
		to.principal = r.firstPrincipal()
	}
	if !to.addr.IsValid() && len(r.Peers) > 0 {
		to.addr = r.Peers[0]
	}
	if to.addr.IsValid() && to.addr.Port() == 0 {
		to.addr = netip.AddrPortFrom(to.addr.Addr(), defaultPort)
	}
	switch {
	case !to.addr.IsValid():
		return to, fmt.Errorf("no address is configured to initiate to (%s)", r.Where)
	case to.principal == "":
		return to, fmt.Errorf("no principal of the peer is configured (%s)", r.Where)
	case !r.Admits(to.principal):
		return to, fmt.Errorf("%s is not among the principals of the peer (%s)", to.principal, r.Where)
	case !r.at(to.addr.Addr()):
		return to, fmt.Errorf("%v is no address of the peer (%s)", to.addr.Addr(), r.Where)
	}
	return to, nil
}

// awaitsAck says that the peer has its half of the pair, and this host the inbound
// one alone.
func (sa *pair) awaitsAck() bool { return sa.state == pairMaking && !sa.initiator && sa.hasIn }

// terminate deletes pairs for an operator, and ends what would make some.
func (e *Engine) terminate(in Terminate) {
	for _, t := range e.transactions() {
		_, making := t.task.(*createTask)
		if making && t.state != stateAcking && in.Child == 0 && (in.Remote == "" || in.Remote == t.target.remote.Name) {
			t.abort(reasonConfiguration, in.Reason)
		}
	}
	var list []*pair
	for _, sa := range e.allPairs() {
		if (in.Remote == "" || in.Remote == sa.target.remote.Name) && (in.Child == 0 || sa.hasSPI(in.Child)) && sa.state == pairUp {
			list = append(list, sa)
		}
	}
	e.deletePairs(list, in.Reason)
}

// reconfigure replaces the settings. What a changed or removed remote had is deleted.
func (e *Engine) reconfigure(s *Settings) {
	if s == nil {
		s = new(Settings)
	}
	named := make(map[string]*Remote, len(s.Remotes))
	for _, r := range s.Remotes {
		named[r.Name] = r
	}
	kept := make(map[*Remote]*Remote)
	for _, old := range e.settings.Remotes {
		if r := named[old.Name]; r != nil && r.same(old) {
			kept[old] = r
		}
	}
	e.replace(s, kept)
}

// replace puts other settings in the place of these. kept says which remotes go on
// as which; what the others had is deleted.
func (e *Engine) replace(s *Settings, kept map[*Remote]*Remote) {
	e.settings = s
	const why = "the configuration of its remote has changed"
	var gone, moved []*pair
	for _, sa := range e.allPairs() {
		switch r := kept[sa.target.remote]; {
		case r != nil:
			if !slices.Equal(r.Peers, sa.target.remote.Peers) {
				moved = append(moved, sa)
			}
			sa.adopt(r)
		case sa.state == pairMaking && !sa.initiator && !sa.answered:
			sa.unwanted = why // the peer makes its half when the REPLY comes, and is told then
		case sa.state == pairUp || sa.awaitsAck():
			gone = append(gone, sa)
		}
	}
	clear(e.joinable) // its keys are remotes
	for _, p := range e.peers {
		p.remote = kept[p.remote]
	}
	for principal, d := range e.debts {
		if d.to.remote = kept[d.to.remote]; d.to.remote == nil {
			e.forgive(principal)
		}
	}
	for _, t := range e.transactions() {
		if r := kept[t.target.remote]; r != nil {
			t.target.remote = r
		} else if _, ok := t.task.(*createTask); ok && t.state != stateAcking {
			t.abort(reasonConfiguration, why)
		}
	}
	for _, list := range e.answersOf {
		for _, a := range list {
			a.remote = kept[a.remote]
		}
	}
	e.deletePairs(gone, why)
	for _, sa := range moved {
		sa.followAddresses()
	}
}

// hasSPI says that the SPI is one of the inbound SAs'.
func (sa *pair) hasSPI(spi kernel.SPI) bool {
	return slices.ContainsFunc(sa.layers, func(l *layer) bool { return l.spiIn == spi })
}

// adopt moves a pair to the same remote in new settings.
func (sa *pair) adopt(r *Remote) {
	i := slices.Index(sa.target.remote.Children, sa.child)
	sa.target.remote = r
	if i >= 0 {
		sa.child = r.Children[i]
	}
}

// shutdown deletes all pairs; what is under way comes to nothing.
func (e *Engine) shutdown() {
	if e.closing {
		return
	}
	e.closing = true
	for _, t := range e.transactions() {
		if _, ok := t.task.(*deleteTask); !ok && t.state != stateAcking {
			t.abort(reasonShutdown, "this agent shuts down")
		}
	}
	for _, p := range e.peers {
		e.stop(&p.liveness)
	}
	for principal := range e.debts {
		e.forgive(principal)
	}
	var up []*pair
	for _, sa := range e.allPairs() {
		switch {
		case sa.state == pairUp || sa.awaitsAck():
			up = append(up, sa)
		case sa.state == pairDeleting && sa.timer.index > 0 || sa.state == pairMaking && !sa.initiator:
			sa.remove("this agent shuts down")
		}
	}
	e.deletePairs(up, "this agent shuts down")
}

// kernelEvent takes what the kernel noticed by itself.
func (e *Engine) kernelEvent(ev kernel.Event) {
	switch ev := ev.(type) {
	case kernel.Expire:
		sa := e.bySAID[ev.ID]
		switch {
		case sa == nil || !sa.hasIn: // a reservation ends by itself; its SPI stays ours
		case ev.Hard && sa.state == pairUp:
			// The peer counts other octets, and its clock is another's: it is told.
			e.deletePairs([]*pair{sa}, "its lifetime is over")
		case ev.Hard && sa.state == pairMaking:
			sa.lost = "its lifetime is over"
		case ev.Hard:
			sa.remove("its lifetime is over")
		default:
			sa.rekey()
		}
	case kernel.Deleted:
		if sa := e.bySAID[ev.ID]; sa != nil {
			e.lostSAs([]*pair{sa}, "somebody deleted its SA in the kernel")
		}
	case kernel.Flushed:
		var lost []*pair
		for _, sa := range e.allPairs() {
			if ev.Proto == 0 || slices.Contains(sa.child.protocols(), ev.Proto) {
				lost = append(lost, sa)
			}
		}
		e.lostSAs(lost, "somebody flushed the kernel's SAs")
	}
}

// lostSAs ends pairs whose SAs somebody took. One that is being made is ended when it
// stands, for the peer is making its half.
func (e *Engine) lostSAs(list []*pair, why string) {
	var up []*pair
	for _, sa := range list {
		switch {
		case sa.state == pairUp:
			up = append(up, sa)
		case sa.state == pairMaking && (sa.hasIn || sa.hasOut):
			sa.lost = why
		}
	}
	e.deletePairs(up, why)
}
