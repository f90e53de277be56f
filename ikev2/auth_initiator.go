package ikev2

import (
	"fmt"
	"slices"

	"racoon2/ikev2/auth"
	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel/trace"
)

// reserveFirst asks the kernel for the SPI of the first child and then sends
// IKE_AUTH.
func (sa *ikeSA) reserveFirst() {
	s := sa.setup
	n := &negotiation{want: s.wanted[0]}
	s.first = n
	sa.reserve(n.want.child, true, func(c *childSA, err error) {
		if err != nil {
			text := "the kernel gives no SPI: " + err.Error()
			sa.e.trace(trace.InternalErr, reasonKernel, text, sa.attrs()...)
			sa.destroy(reasonKernel, text)
			return
		}
		n.child = c
		sa.sendAuth(n)
	})
}

// sendAuth sends IKE_AUTH (RFC 7296 §1.2):
//
//	IDi, [N(INITIAL_CONTACT),] [IDr,] AUTH, [N(USE_TRANSPORT_MODE),] … SA, TSi, TSr
//
// n is nil for an IKE_AUTH without a child (RFC 6023 §5).
func (sa *ikeSA) sendAuth(n *negotiation) {
	s, r := sa.setup, sa.remote
	var child []message.Payload
	if n != nil {
		var why string
		if child, why = n.payloads(sa, keNever); why != "" {
			sa.e.trace(trace.InternalErr, reasonTSUnacceptable, why, sa.attrs()...)
			sa.destroy(reasonTSUnacceptable, why)
			return
		}
		child = append(child, n.tsPayloads()...)
	}
	sa.localID = r.MyID
	list := []message.Payload{idPayload(r.MyID, true)}
	if !r.NoInitialContact && sa.firstContact() {
		list = append(list, notify(message.INITIAL_CONTACT, nil))
	}
	if r.SendIDr && len(r.PeerIDs) > 0 && !r.PeerIDs[0].wildcard() {
		list = append(list, idPayload(r.PeerIDs[0], false))
	}
	list = append(list, sa.windowPayloads(r)...)
	list = append(list, sa.mobikePayloads(r)...)
	if r.MOBIKE {
		list = append(list, sa.noNATs(r)...) // RFC 4555 §3.9: in the first IKE_AUTH request, too
	}
	plain := sa.authValue(r, sa.keys.pOwn)
	if s.ppk {
		s.mixed = sa.keys.withPPK(r.PPK.Secret)
		list = append(list, &message.Auth{Method: message.AuthSharedKey, Data: sa.authValue(r, s.mixed.pOwn)})
		list = append(list, r.PPK.payloads(plain)...)
	} else {
		list = append(list, &message.Auth{Method: message.AuthSharedKey, Data: plain})
	}
	sa.request(message.IKE_AUTH, append(list, child...))
}

// firstContact says that this host knows of no other IKE SA with the peer
// (RFC 7296 §2.4).
func (sa *ikeSA) firstContact() bool {
	return !slices.ContainsFunc(sa.e.byRemote[sa.remote.Name], func(other *ikeSA) bool {
		return other != sa && (other.state == stateAuthSent || !other.established.IsZero())
	})
}

// idPayload makes IDi or IDr.
func idPayload(id Identity, initiator bool) *message.ID {
	return &message.ID{Initiator: initiator, IDType: id.Type, Data: id.Data}
}

// idBody is the body of an ID payload, RestOfIDPayload of RFC 7296 §2.15.
func idBody(id Identity) []byte {
	return concat([]byte{byte(id.Type), 0, 0, 0}, id.Data)
}

// authAnswer checks who the responder is and takes the first child
// (RFC 7296 §1.2). A child that failed alone leaves the IKE SA (§2.21.2).
func (sa *ikeSA) authAnswer(r *row, m *received) {
	s, id := sa.setup, m.id(false)
	sa.peerID = Identity{id.IDType, slices.Clone(id.Data)}
	if why := sa.remote.acceptsID(sa.peerID); why != "" {
		sa.e.trace(trace.ProtoErr, reasonIDMismatch, why, sa.attrs(
			attr("offered", sa.peerID.String()), attr("configured", identityList(sa.remote.PeerIDs)), attr("first_mismatch", why))...)
		sa.rejectPeer(reasonIDMismatch, why)
		return
	}
	if why := sa.settlePPK(m); why != "" {
		sa.e.trace(trace.ProtoErr, reasonPPK, why, sa.attrs(attr("first_mismatch", why))...)
		sa.rejectPeer(reasonPPK, why)
		return
	}
	signed := auth.Signed{Message: s.initResponse, PeerNonce: s.ni, SKp: sa.keys.pPeer, ID: idBody(sa.peerID)}
	if why := sa.checkAuth(sa.remote, find[*message.Auth](m), signed); why != "" {
		sa.e.trace(trace.ProtoErr, reasonAuthFailed, why, sa.attrs(attr("first_mismatch", why))...)
		sa.rejectPeer(reasonAuthFailed, why)
		return
	}
	sa.x.current = nil
	sa.setup = nil
	sa.establish()
	sa.state = r.next
	sa.agreeMobike(m)
	sa.announce()
	sa.limitAuth()
	sa.noteAuthLifetime(m)
	sa.noteWindow(m)
	sa.firstChild(s, m)
	s.wipe()
	sa.armGrace()
}

// firstChild takes the child in the answer to IKE_AUTH and queues the others that
// are wanted: all of them where there was none in the request.
func (sa *ikeSA) firstChild(s *setup, m *received) {
	n := s.first
	if sa.closing {
		if n != nil {
			n.drop("the IKE SA is to be deleted")
		}
		sa.x.queue = []task{&deleteTask{why: "it was to be deleted before it stood"}}
		return
	}
	rest := s.wanted
	if n != nil {
		rest = rest[min(1, len(rest)):]
	}
	for _, w := range rest {
		sa.x.queue = append(sa.x.queue, &childTask{negotiation: negotiation{want: w}})
	}
	if s.replaces != nil {
		sa.x.queue = append(sa.x.queue, &retireTask{old: s.replaces})
	}
	switch refusal := m.refusal(); {
	case n == nil && find[*message.SA](m) != nil:
		sa.malformed(m, "a child that nobody asked for")
	case n == nil:
	case refusal != nil && refusal.Kind == message.SINGLE_PAIR_REQUIRED && (&childTask{negotiation: *n}).singlePair(sa):
	case refusal != nil || find[*message.SA](m) == nil:
		n.refused(sa, refusal)
	default:
		n.child.atOnce = n.want.child.RekeyAtOnce
		n.accept(sa, m, slices.Clone(s.ni), slices.Clone(s.nr), nil, nil)
	}
}

// checkAuth verifies an AUTH payload; "" is good.
func (sa *ikeSA) checkAuth(r *Remote, a *message.Auth, signed auth.Signed) string {
	switch {
	case a.Method != message.AuthSharedKey:
		return fmt.Sprintf("AUTH: peer uses %s; %s accepts %s", a.Method, r.place(), message.AuthSharedKey)
	case len(r.SharedKey) == 0:
		return fmt.Sprintf("AUTH: %s has no pre-shared key", r.place())
	case !auth.CheckSharedKey(sa.keys.prf, r.SharedKey, signed, a.Data):
		return fmt.Sprintf("AUTH: the value of %s is wrong; its pre-shared key is not the one of %s", sa.peerID, r.place())
	}
	return ""
}

// rejectPeer ends an IKE SA whose responder is not who it should be. The
// responder holds it for established, so it is told in an INFORMATIONAL
// exchange, without a Delete payload (RFC 7296 §2.21.2).
func (sa *ikeSA) rejectPeer(reason, text string) {
	s := sa.setup
	sa.setup, sa.x.current = nil, nil
	if s.first != nil && s.first.child != nil {
		s.first.child.remove(text)
	}
	remote := sa.remote
	sa.x.queue = []task{&deleteTask{notify: message.AUTHENTICATION_FAILED}}
	sa.state = stateRekeyed // good for nothing but its end
	s.wipe()
	sa.e.setupFailed(remote, s, reason, text)
	sa.pump()
}

// authRefused takes a protected answer without AUTH.
func (sa *ikeSA) authRefused(_ *row, m *received) {
	n := m.refusal()
	if n == nil {
		sa.malformed(m, "neither AUTH nor an error")
		return
	}
	if n.Kind == message.UNEXPECTED_NAT_DETECTED && sa.setup.natTries < sa.retry().Tries {
		// RFC 4555 §3.9: one changed packet is no NAT yet.
		sa.e.trace(trace.ProtoWarn, reasonUnexpectedNAT, "the peer sees a NAT on the way, and "+sa.remote.place()+" does not traverse NATs; trying again", sa.attrs()...)
		sa.setup.natTries++
		sa.beginElsewhere("the peer sees a NAT on the way")
		return
	}
	// RFC 7296 §2.21.2: the peer has not authenticated itself, but it holds the
	// keys of IKE_SA_INIT, and nothing can follow.
	reason, text := reasonPeerRefused, fmt.Sprintf("the peer answers IKE_AUTH with %s", n.Kind)
	if n.Kind == message.AUTHENTICATION_FAILED {
		reason = reasonAuthFailed
		text += fmt.Sprintf("; it does not accept %s with this pre-shared key", sa.localID)
	}
	sa.e.trace(trace.ProtoErr, reason, text, sa.attrs()...)
	sa.destroy(reason, text)
}

// allowsSuite says that one of the remote's proposals has all of a suite.
func (r *Remote) allowsSuite(s suite) bool {
	return slices.ContainsFunc(r.Proposals, func(p IKEProposal) bool {
		integ := len(p.Integ) == 0 && s.integ == transform.AUTH_NONE || slices.Contains(p.Integ, s.integ)
		encr := slices.ContainsFunc(p.Encr, func(e Encryption) bool {
			return e == s.encr || r.Check != CheckExact && e.ID == s.encr.ID && e.KeyBits < s.encr.KeyBits
		})
		return encr && slices.Contains(p.PRF, s.prf) && integ && slices.Contains(p.KE, s.ke)
	})
}
