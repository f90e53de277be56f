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
	restarted time.Time     // when the epoch was heard first
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

// lateMessage is how long a message of a peer's former life may be on its way: somebody
// may have held it back for as long as its authenticator is good, twice the five minutes
// by which clocks may differ.
const lateMessage = 10 * time.Minute

// late says that a message with this epoch was sent before the peer restarted. Epochs
// are times: an older one is a clock that was put back, or a message that was overtaken.
func (p *peer) late(now time.Time, epoch uint32) bool {
	return epoch != 0 && p.epoch != 0 && int32(epoch-p.epoch) < 0 && now.Sub(p.restarted) < lateMessage
}

// heard notes an authenticated message. A new epoch means that the peer has lost
// its SAs, so all that were made with it go (RFC 4430 §3.7). It is false for a message of
// the peer's former life, which must have no effect.
func (e *Engine) heard(s Session, epoch uint32, r *Remote, addr netip.AddrPort) (*peer, bool) {
	p := e.peerOf(s.Peer())
	if p.late(e.now, epoch) {
		e.trace(trace.ProtoWarn, reasonLate, fmt.Sprintf("a message of before the restart of %s: its epoch is %s, now it is %s", p.principal,
			epochTime(epoch), epochTime(p.epoch)), attr("peer", p.principal))
		return p, false
	}
	p.local, p.etype, p.ticket, p.heard, p.addr = s.Local(), s.EType(), s.Expires(), e.now, addr
	e.strangers.known(e.now, addr.Addr())
	if r != nil {
		p.remote = r
	}
	switch {
	case epoch == 0:
		e.trace(trace.ProtoWarn, reasonNoEpoch, "the peer's epoch is 0: a restart of it will not be noticed", attr("peer", p.principal))
	case p.epoch == 0:
		p.epoch, p.restarted = epoch, e.now
		e.pay(p.principal)
	case p.epoch == epoch:
		e.pay(p.principal)
	default:
		e.trace(trace.Info, reasonPeerRestart, fmt.Sprintf("%s has restarted: its epoch was %s and is %s", p.principal,
			epochTime(p.epoch), epochTime(epoch)), attr("peer", p.principal))
		p.epoch, p.restarted = epoch, e.now
		e.restarted(p)
	}
	return p, true
}

// restarted removes what the peer has lost, and makes anew what this host had made.
func (e *Engine) restarted(p *peer) {
	e.forgive(p.principal)
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
