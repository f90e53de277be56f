package kink

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"racoon2/kernel/trace"
	"racoon2/kink/message"
)

// datagram takes a message apart and finds who it is for.
func (e *Engine) datagram(in Datagram) {
	m, err := message.Decode(in.Data)
	if err != nil {
		e.malformed(in, err)
		return
	}
	switch m.Type {
	case message.REPLY:
		e.replyArrived(m, in)
	case message.CREATE, message.DELETE, message.STATUS, message.ACK, message.GETTGT:
		if !e.strangers.admit(e.now, in.Remote.Addr()) {
			e.drop(in, reasonRateLimit, "too much from this address that proves nothing")
			return
		}
		if m.Type == message.GETTGT {
			e.tgtWanted(m, in)
			return
		}
		e.commandArrived(m, in)
	default:
		e.drop(in, reasonInvalidSyntax, m.Type.String()+" is no KINK message")
	}
}

// malformed answers what does not decode, if it can be a command.
func (e *Engine) malformed(in Datagram, err error) {
	var refused *message.DecodeError
	h, ok := message.Peek(in.Data)
	if !errors.As(err, &refused) || !ok || !h.Type.Command() {
		e.drop(in, reasonInvalidSyntax, err.Error())
		return
	}
	if !e.strangers.admit(e.now, in.Remote.Addr()) { // its answers would use up those of others
		e.drop(in, reasonRateLimit, "too much from this address that proves nothing")
		return
	}
	e.strangers.charge(e.now, in.Remote.Addr())
	reason := reasonInvalidSyntax
	switch refused.Code {
	case message.KINK_INVMAJ:
		reason = reasonMajorVersion
	case message.KINK_INVDOI:
		reason = reasonDOI
	}
	e.refuse(h.XID, in, refused.Code, reason, refused.Reason)
}

// commandArrived verifies a message with an AP-REQ: ticket, checksum, principal, replay,
// in this order.
func (e *Engine) commandArrived(m *message.Message, in Datagram) {
	req, ok := soleAPReq(m)
	if !ok {
		e.strangers.charge(e.now, in.Remote.Addr())
		if m.Type == message.ACK {
			e.drop(in, reasonInvalidSyntax, "an ACK must have a KINK_AP_REQ and nothing else")
			return
		}
		e.refuse(m.XID, in, message.KINK_PROTOERR, reasonInvalidSyntax, m.Type.String()+" without one KINK_AP_REQ in front")
		return
	}
	s, err := e.cfg.Kerberos.Accept(e.now, req.Octets, in.Remote.Addr())
	if err != nil {
		e.strangers.charge(e.now, in.Remote.Addr())
		e.fault(err)
		e.notAccepted(m, in, s, req, asKRBError(err))
		return
	}
	// RFC 4430 §4: with a key at hand the checksum MUST be there, and a message whose
	// checksum is wrong MUST be dropped.
	if len(m.Checksum) == 0 || s.VerifyMIC(m.Signed(), m.Checksum) != nil {
		e.strangers.charge(e.now, in.Remote.Addr())
		e.drop(in, reasonChecksum, fmt.Sprintf("the checksum of a %v is missing or wrong", m.Type))
		return
	}
	r := e.remoteOf(s.Local(), s.Peer(), in.Remote.Addr())
	if !e.concerns(s.Peer(), r) {
		// Everybody in the realm gets tickets for this host. What nobody names changes
		// nothing, so a replay of it does no harm, and it takes no room from peers.
		e.strangers.charge(e.now, in.Remote.Addr())
	} else if err := s.Commit(e.now); err != nil {
		e.notCommitted(m, in, s, asKRBError(err))
		return
	}
	if r != nil {
		if _, ok := e.heard(s, req.Epoch, r, in.Remote); !ok {
			return
		}
	}
	key := answerKey{s.Peer(), req.Epoch, m.XID}
	if m.Type == message.ACK {
		e.acknowledged(key, in)
		return
	}
	payloads, err := open(m, s)
	if err != nil {
		e.undecipherable(m, in, s, err)
		return
	}
	e.command(m.Type, key, in, s, r, payloads)
}

// concerns says that a principal is a peer: a remote names it where it is, or it has SAs here.
func (e *Engine) concerns(principal string, r *Remote) bool {
	return r != nil || len(e.pairsOf[principal]) > 0
}

// soleAPReq is the AP-REQ that a command begins with; an ACK has nothing else
// (RFC 4430 §6.2).
func soleAPReq(m *message.Message) (message.APReq, bool) {
	if len(m.Payloads) == 0 || m.Type == message.ACK && len(m.Payloads) > 1 {
		return message.APReq{}, false
	}
	req, ok := m.Payloads[0].(message.APReq)
	for _, p := range m.Payloads[1:] {
		switch p.(type) {
		case message.ISAKMP, message.Encrypt:
		default:
			return message.APReq{}, false
		}
	}
	return req, ok
}

// undecipherable answers a command whose checksum is right and whose inside is not.
func (e *Engine) undecipherable(m *message.Message, in Datagram, s ServerSession, err error) {
	var refused *message.DecodeError
	if errors.As(err, &refused) {
		e.trace(trace.ProtoErr, reasonInvalidSyntax, err.Error(), attr("peer", s.Peer()))
		e.answerOnce(m.XID, in, s, message.Error{Code: refused.Code})
		return
	}
	e.fault(err)
	e.trace(trace.ProtoErr, reasonDecrypt, err.Error(), attr("peer", s.Peer()))
	e.answerKerberos(m.XID, in, s, KRB_AP_ERR_BAD_INTEGRITY)
}

// fault traces an error that is a bug of the library behind Kerberos.
func (e *Engine) fault(err error) {
	if krb := (*KRBError)(nil); errors.As(err, &krb) && krb.Fault {
		e.trace(trace.InternalErr, reasonKerberosFault, err.Error())
	}
}

// notAccepted answers an AP-REQ that Kerberos refuses: authenticated where the key
// is known, which lets the peer use our time (RFC 4430 §3.5).
func (e *Engine) notAccepted(m *message.Message, in Datagram, s ServerSession, req message.APReq, err *KRBError) {
	switch {
	case m.Type == message.ACK || err.Code == KRB_AP_ERR_REPEAT:
		e.drop(in, reasonKerberos, err.Error())
	case s != nil:
		if len(m.Checksum) == 0 || s.VerifyMIC(m.Signed(), m.Checksum) != nil {
			e.drop(in, reasonChecksum, "the checksum is missing or wrong, and "+err.Error())
			return
		}
		reason := reasonKerberos
		if err.Code == KRB_AP_ERR_SKEW {
			reason = reasonSkew
		}
		e.trace(trace.ProtoErr, reason, "the AP-REQ is refused: "+err.Error(), attr("peer", s.Peer()), attr("address", in.Remote.String()))
		e.answerKerberos(m.XID, in, s, err.Code)
	case err.LostTGT:
		e.lostTGT(m, in, err)
	default:
		e.refuseKerberos(m.XID, in, err)
	}
}

// notCommitted takes an authenticator that the replay cache did not take. A replay is
// met with silence, for anybody can send it. Whose time has run out meanwhile is told the
// time, like any other. A cache that is full is this host's trouble and no fault of the
// peer's: what cannot be remembered is not taken, and a retransmission may find room.
func (e *Engine) notCommitted(m *message.Message, in Datagram, s ServerSession, err *KRBError) {
	switch err.Code {
	case KRB_AP_ERR_REPEAT:
		e.strangers.charge(e.now, in.Remote.Addr())
		e.drop(in, reasonReplay, "the authenticator is not new: "+err.Error())
	case KRB_AP_ERR_SKEW:
		e.strangers.charge(e.now, in.Remote.Addr())
		e.drop(in, reasonSkew, err.Error())
		if m.Type != message.ACK {
			e.answerKerberos(m.XID, in, s, err.Code)
		}
	default:
		e.trace(trace.InternalErr, reasonReplayCache, "a message is not taken: "+err.Error(), attr("peer", s.Peer()), attr("address", in.Remote.String()))
	}
}

// answerKerberos sends an authenticated KRB-ERROR.
func (e *Engine) answerKerberos(xid uint32, in Datagram, s ServerSession, code KRBCode) {
	if krb, err := e.cfg.Kerberos.Error(e.now, code, s.Local(), s); err == nil {
		e.answerOnce(xid, in, s, message.KRBError{Octets: krb})
	}
}

// lostTGT answers a user-to-user ticket that this host cannot read any more with
// its present TGT (RFC 4430 §3.7.1).
func (e *Engine) lostTGT(m *message.Message, in Datagram, err *KRBError) {
	r := e.remoteAt(in.Remote.Addr())
	if r == nil || r.DenyTGT {
		e.refuse(m.XID, in, message.KINK_U2UDENIED, reasonUserToUser, err.Error())
		return
	}
	local := err.Local
	if local == "" {
		local = r.MyPrincipal
	}
	tgt, failed := e.cfg.Kerberos.TGT(e.now, local)
	if failed != nil {
		e.refuseKerberos(m.XID, in, err)
		return
	}
	e.trace(trace.Info, reasonUserToUser, "a ticket is under a TGT that is gone; the peer gets the present one", attr("peer", in.Remote.String()))
	e.answerClear(m.XID, in, message.TGTRep{Ticket: tgt})
}

// refuse answers with a KINK_ERROR in the clear.
func (e *Engine) refuse(xid uint32, in Datagram, code message.ErrorCode, reason, text string) {
	e.drop(in, reason, text)
	e.answerClear(xid, in, message.Error{Code: code})
}

// refuseKerberos answers with a KRB-ERROR in the clear.
func (e *Engine) refuseKerberos(xid uint32, in Datagram, err *KRBError) {
	e.drop(in, reasonKerberos, "the AP-REQ is refused: "+err.Error())
	if octets, failed := e.cfg.Kerberos.Error(e.now, err.Code, err.Local, nil); failed == nil {
		e.answerClear(xid, in, message.KRBError{Octets: octets})
	}
}

// answerClear sends an unauthenticated REPLY, as long as there are few of them
// (RFC 4430 §10).
func (e *Engine) answerClear(xid uint32, in Datagram, p message.Payload) {
	if !e.refusals.take(e.now) {
		return
	}
	data, err := message.Encode(&message.Message{Type: message.REPLY, XID: xid, Payloads: []message.Payload{p}}, nil)
	if err == nil {
		e.do(Send{Local: in.Local, Remote: in.Remote, Data: data})
	}
}

// answerOnce sends an authenticated REPLY that is not kept.
func (e *Engine) answerOnce(xid uint32, in Datagram, s ServerSession, inner ...message.Payload) {
	m := &message.Message{Type: message.REPLY, XID: xid}
	e.sendReply(m, in.Local, in.Remote, s, inner)
}

// sendReply makes the AP-REP for the session's authenticator and sends the REPLY.
func (e *Engine) sendReply(m *message.Message, local, remote netip.AddrPort, s ServerSession, inner []message.Payload) {
	octets, err := s.APRep(e.now, e.cfg.Rand)
	if err == nil {
		var data []byte
		m.Payloads = []message.Payload{message.APRep{Epoch: e.epoch, Octets: octets}}
		if data, err = seal(m, inner, s); err == nil {
			e.do(Send{Local: local, Remote: remote, Data: data})
			return
		}
	}
	e.trace(trace.InternalErr, reasonInternal, "no REPLY: "+err.Error(), attr("peer", s.Peer()))
}

// remoteOf finds the remote that names the principal and stands at the address:
// the binding of RFC 4430 §10.
func (e *Engine) remoteOf(local, principal string, addr netip.Addr) *Remote {
	for _, r := range e.settings.Remotes {
		if r.Admits(principal) && (r.MyPrincipal == "" || r.MyPrincipal == local) && r.at(addr) {
			return r
		}
	}
	return nil
}

// remoteAt finds a remote for an address whose principal is not known.
func (e *Engine) remoteAt(addr netip.Addr) *Remote {
	for _, r := range e.settings.Remotes {
		if r.at(addr) {
			return r
		}
	}
	return nil
}

// at says that the peer may have this address.
func (r *Remote) at(addr netip.Addr) bool {
	return r.AnyPeer || slices.ContainsFunc(r.Peers, func(p netip.AddrPort) bool { return p.Addr() == addr })
}

// digest tells a command that came again from another one with its XID: the
// authenticator differs each time, the payloads do not.
func digest(payloads []message.Payload) ([sha256.Size]byte, error) {
	b, err := message.EncodeInner(payloads)
	return sha256.Sum256(b), err
}
