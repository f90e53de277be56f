package ikev2

import (
	"fmt"
	"slices"
	"strings"

	"racoon2/ikev2/auth"
	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// authRequest checks who the initiator is, and then makes the first child.
func (sa *ikeSA) authRequest(r *row, m *received) {
	s := sa.setup
	if head := sa.authenticate(r, m); head != nil {
		sa.answerChild(m, &childAnswer{head: head, ni: slices.Clone(s.ni), nr: slices.Clone(s.nr)})
		s.wipe()
	}
}

// authChildless does the same without a child, where this host has said that it
// takes such requests (RFC 6023 §3).
func (sa *ikeSA) authChildless(r *row, m *received) {
	s := sa.setup
	if !s.childless {
		sa.malformed(m, "SA, TSi and TSr are missing; "+s.remote.place()+" does not accept IKE_AUTH without a child")
		return
	}
	if head := sa.authenticate(r, m); head != nil {
		sa.respond(m, head)
		s.wipe()
		sa.armGrace()
	}
}

// authenticate checks who the initiator is and establishes the IKE SA. It returns
// IDr and AUTH of the answer; nil when the initiator was refused.
func (sa *ikeSA) authenticate(r *row, m *received) []message.Payload {
	s, id := sa.setup, m.id(true)
	sa.peerID = Identity{id.IDType, slices.Clone(id.Data)}
	remote, why := sa.e.selectRemote(sa, m.id(false))
	if remote == nil {
		sa.e.trace(trace.ProtoErr, reasonIDMismatch, why, sa.attrs(
			attr("offered", sa.peerID.String()), attr("first_mismatch", why))...)
		sa.refuseAuth(m, reasonIDMismatch, why)
		return nil
	}
	authentication, why := sa.choosePPK(remote, m)
	if why != "" {
		sa.e.trace(trace.ProtoErr, reasonPPK, why, sa.attrs(attr("remote", remote.Name), attr("first_mismatch", why))...)
		sa.refuseAuth(m, reasonPPK, why)
		return nil
	}
	signed := auth.Signed{Message: s.initRequest, PeerNonce: s.nr, SKp: sa.keys.pPeer, ID: idBody(sa.peerID)}
	if why := sa.checkAuth(remote, authentication, signed); why != "" {
		sa.e.trace(trace.ProtoErr, reasonAuthFailed, why, sa.attrs(attr("remote", remote.Name), attr("first_mismatch", why))...)
		sa.refuseAuth(m, reasonAuthFailed, why)
		return nil
	}
	if remote.MOBIKE && sa.natOnTheWay(m) {
		sa.respondNotify(m, message.UNEXPECTED_NAT_DETECTED, nil)
		sa.destroy(reasonUnexpectedNAT, "there is a NAT on the way, and the peer allows none")
		return nil
	}
	// From here on the authenticated identity decides: its remote is the one
	// whose policy counts, whatever the address suggested before.
	sa.bind(remote)
	sa.localID = remote.MyID
	if m.notification(message.INITIAL_CONTACT) != nil {
		sa.initialContact()
	}
	mac := sa.authValue(remote, sa.keys.pOwn)
	sa.setup = nil
	sa.establish()
	sa.state = r.next
	sa.agreeMobike(m)
	sa.announce()
	sa.limitAuth()
	head := []message.Payload{idPayload(sa.localID, false), &message.Auth{Method: message.AuthSharedKey, Data: mac}}
	if sa.ppk {
		head = append(head, notify(message.PPK_IDENTITY, nil)) // RFC 8784 §3
	}
	sa.noteWindow(m)
	head = append(head, sa.windowPayloads(remote)...)
	if sa.mob.agreed {
		head = append(head, sa.mobikePayloads(remote)...)
	}
	return append(head, remote.authLifetime()...)
}

// authWithoutAuth refuses an initiator that wants EAP (RFC 7296 §2.16).
func (sa *ikeSA) authWithoutAuth(_ *row, m *received) {
	why := "AUTH: peer asks for EAP; only pre-shared keys are accepted"
	sa.e.trace(trace.ProtoErr, reasonAuthFailed, why, sa.attrs(attr("first_mismatch", why))...)
	sa.refuseAuth(m, reasonAuthFailed, why)
}

// refuseAuth answers AUTHENTICATION_FAILED and ends the IKE SA
// (RFC 7296 §2.21.2). The peer is told nothing more.
func (sa *ikeSA) refuseAuth(m *received, reason, text string) {
	sa.respondNotify(m, message.AUTHENTICATION_FAILED, nil)
	sa.destroy(reason, text)
}

// selectRemote finds the remote of an initiator by its identity, among those
// that accept its address and the IKE SA's suite. Where several accept the
// identity, the one that IDr names wins, then the configuration's order.
func (e *Engine) selectRemote(sa *ikeSA, idr *message.ID) (*Remote, string) {
	var why []string
	var best *Remote
	for _, r := range e.candidates(sa.peer.Addr()) {
		problem := r.acceptsID(sa.peerID)
		if problem == "" && !r.allowsSuite(sa.suite) {
			problem = fmt.Sprintf("IDi %s is of %s, which does not accept %s", sa.peerID, r.place(), sa.suite.summary())
		}
		if problem != "" {
			why = append(why, problem)
			continue
		}
		named := idr != nil && sameIdentity(r.MyID, Identity{idr.IDType, idr.Data})
		if best == nil || named && !e.named(best, idr) {
			best = r
		}
	}
	if best == nil && len(why) == 0 {
		why = []string{fmt.Sprintf("no remote accepts %s any more", sa.peer.Addr())}
	}
	return best, strings.Join(why[:min(len(why), 4)], "; ")
}

func (e *Engine) named(r *Remote, idr *message.ID) bool {
	return sameIdentity(r.MyID, Identity{idr.IDType, idr.Data})
}

// initialContact believes an authenticated peer that it has no other IKE SA
// with this host: what stood before it began is dead (RFC 7296 §2.4). IKE SAs
// that came up meanwhile, as when both ends start at once, are left alone.
func (sa *ikeSA) initialContact() {
	for _, other := range slices.Clone(sa.e.byRemote[sa.remote.Name]) {
		older := !other.established.IsZero() && other.established.Before(sa.created)
		if other != sa && older && sameIdentity(other.peerID, sa.peerID) && sameIdentity(other.localID, sa.localID) {
			sa.e.trace(trace.Info, reasonInitialContact, "the peer says that it has lost its older IKE SA", other.attrs()...)
			other.destroy(reasonInitialContact, "the peer has lost it")
		}
	}
}
