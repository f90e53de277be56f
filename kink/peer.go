package kink

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel/trace"
)

// peer is what is known of one principal, all of it authenticated.
type peer struct {
	principal string
	local     string
	remote    *Remote
	addr      netip.AddrPort
	epoch     uint32        // 0: not known
	offset    time.Duration // its clock less ours (RFC 4430 §3.5)
	etype     int32
	ticket    time.Time
	heard     time.Time
	liveness  timer
	probing   bool // a STATUS is under way
	// userToUser: it has answered a user-to-user ticket last
	userToUser bool
}

// peerOf finds or makes the peer of a principal.
func (e *Engine) peerOf(principal string) *peer {
	p := e.peers[principal]
	if p == nil {
		p = &peer{principal: principal}
		e.peers[principal] = p
	}
	return p
}

// heard notes an authenticated message. A new epoch means that the peer has lost
// its SAs, so all that were made with it go (RFC 4430 §3.7).
func (e *Engine) heard(s Session, epoch uint32, r *Remote, addr netip.AddrPort) *peer {
	p := e.peerOf(s.Peer())
	p.local, p.etype, p.ticket, p.heard, p.addr = s.Local(), s.EType(), s.Expires(), e.now, addr
	e.strangers.known(e.now, addr.Addr())
	if r != nil {
		p.remote = r
	}
	switch {
	case epoch == 0:
		e.trace(trace.ProtoWarn, "", "the peer's epoch is 0 and says nothing", attr("peer", p.principal))
	case p.epoch == 0:
		p.epoch = epoch
	case p.epoch != epoch:
		e.trace(trace.Info, reasonPeerRestart, fmt.Sprintf("%s has restarted: its epoch was %s and is %s", p.principal,
			epochTime(p.epoch), epochTime(epoch)), attr("peer", p.principal))
		p.epoch = epoch
		e.restarted(p)
	}
	return p
}

// restarted removes what the peer has lost, and makes anew what this host had made.
func (e *Engine) restarted(p *peer) {
	for _, a := range slices.Clone(e.answersOf[p.principal]) {
		if a.key.epoch != p.epoch {
			e.forget(a)
		}
	}
	for _, sa := range slices.Clone(e.pairsOf[p.principal]) {
		if sa.state == pairMaking && sa.initiator {
			continue
		}
		again := sa.initiator && sa.state == pairUp && !sa.replaced && !sa.rekeying && !e.closing
		sa.remove("the peer has restarted")
		if again {
			e.create(sa.target, sa.child, sa.selector, nil)
		}
	}
}

func epochTime(epoch uint32) string {
	return time.Unix(int64(epoch), 0).UTC().Format(time.RFC3339)
}

// watch sees to it that a peer with SAs is asked for its STATUS after a silence
// (RFC 4430 §3.7).
func (e *Engine) watch(principal string) {
	p := e.peers[principal]
	if p == nil || p.remote == nil || p.remote.DPDDelay <= 0 || p.probing || e.closing {
		return
	}
	quiet := e.now.Sub(p.heard)
	if quiet < p.remote.DPDDelay {
		e.start(&p.liveness, p.remote.DPDDelay-quiet, func() { e.watch(principal) })
		return
	}
	sa := e.standing(principal)
	if sa == nil {
		return
	}
	p.probing = true
	e.begin(sa.target, &statusTask{peer: p})
}

// standing is an SA pair with the principal, nil if there is none.
func (e *Engine) standing(principal string) *pair {
	for _, sa := range e.pairsOf[principal] {
		if sa.state == pairUp {
			return sa
		}
	}
	return nil
}
