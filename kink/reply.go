package kink

import (
	"fmt"
	"time"

	"racoon2/kernel/trace"
	"racoon2/kink/message"
)

// replyArrived takes a REPLY.
func (e *Engine) replyArrived(m *message.Message, in Datagram) {
	t := e.outgoing[m.XID]
	if t == nil {
		e.drop(in, reasonStaleReply, fmt.Sprintf("a REPLY to XID %d, which is not outstanding", m.XID))
		return
	}
	if t.state == stateGetTGT {
		t.gotTGT(m, in)
		return
	}
	if len(t.sessions) == 0 {
		e.drop(in, reasonStaleReply, "a REPLY to what was not sent yet")
		return
	}
	if len(m.Checksum) == 0 {
		t.unauthenticated(m, in)
		return
	}
	// RFC 4430 §4: a message whose checksum is wrong MUST be dropped. The key is the
	// ticket's, whichever authenticator is answered.
	if err := t.sessions[0].VerifyMIC(m.Signed(), m.Checksum); err != nil {
		e.drop(in, reasonChecksum, "the checksum of a REPLY is wrong")
		return
	}
	rep, s := t.answered(m)
	if s == nil {
		if !t.lateError(m) {
			e.drop(in, reasonStaleReply, "a REPLY whose AP-REP answers no outstanding AP-REQ")
		}
		return
	}
	t.authentic(m, rep, s, in)
}

// answered finds the authenticator that the AP-REP is to.
func (t *transaction) answered(m *message.Message) (message.APRep, ClientSession) {
	for _, p := range m.Payloads {
		rep, ok := p.(message.APRep)
		if !ok {
			continue
		}
		for i := len(t.sessions) - 1; i >= 0; i-- {
			if t.sessions[i].VerifyAPRep(rep.Octets) == nil {
				return rep, t.sessions[i]
			}
		}
		break
	}
	return message.APRep{}, nil
}

// lateError takes a KRB-ERROR whose only proof is the checksum: it counts where it
// echoes the time of an outstanding authenticator.
func (t *transaction) lateError(m *message.Message) bool {
	for _, p := range m.Payloads {
		krb, ok := p.(message.KRBError)
		if !ok || t.state != stateSent {
			continue
		}
		said, err := t.e.cfg.Kerberos.ParseError(krb.Octets)
		if err != nil {
			return false
		}
		for _, s := range t.sessions {
			if !said.CTime.IsZero() && said.CTime.Equal(s.Time()) {
				t.krbError(said, s.Time())
				return true
			}
		}
	}
	return false
}

// authentic takes a REPLY that the peer made for one of our AP-REQs.
func (t *transaction) authentic(m *message.Message, rep message.APRep, s ClientSession, in Datagram) {
	e := t.e
	p, ok := e.heard(s, rep.Epoch, t.target.remote, t.target.addr)
	if !ok {
		return
	}
	p.userToUser = s.UserToUser()
	switch t.state {
	case stateAcking:
		// The ACK was lost: the peer asks for it again. So does a recorded REPLY, however
		// often somebody sends it, and each ACK takes a place in the peer's replay cache.
		if m.AckRequest && t.acks < maxOutstanding {
			e.trace(trace.Debug, reasonRetransmission, "the REPLY came again, and so does the ACK", t.attrs()...)
			t.acknowledge()
		}
		return
	case stateSent:
	default:
		return
	}
	payloads, err := open(m, s)
	if err != nil {
		e.drop(in, reasonDecrypt, err.Error())
		return
	}
	// RFC 4430 §3.2: the ACK MUST be sent even where the responder is in error.
	t.needsAck = m.AckRequest
	for _, p := range payloads {
		switch p := p.(type) {
		case message.KRBError:
			said, err := e.cfg.Kerberos.ParseError(p.Octets)
			if err != nil {
				e.drop(in, reasonInvalidSyntax, "a KRB-ERROR that cannot be read: "+err.Error())
				return
			}
			t.krbError(said, s.Time())
			return
		case message.Error:
			// RFC 4430 §4.2.8: KINK_OK MAY be treated as if it were absent.
			if p.Code != message.KINK_OK {
				t.state = stateReplied
				t.abort(kinkReason(p.Code), fmt.Sprintf("the peer answers %v", p.Code))
				return
			}
		}
	}
	e.stop(&t.timer)
	t.state = stateReplied
	t.task.reply(t, payloads)
}

// kinkReason is the counter of an error code.
func kinkReason(c message.ErrorCode) string {
	switch c {
	case message.KINK_BADQMVERS:
		return reasonQuickMode
	case message.KINK_INVDOI:
		return reasonDOI
	case message.KINK_INVMAJ:
		return reasonMajorVersion
	}
	return reasonPeerRefused
}

// krbError takes an authentic Kerberos error to an authenticator of the time ctime.
func (t *transaction) krbError(said KRBErrorMessage, ctime time.Time) {
	switch said.Code {
	case KRB_AP_ERR_SKEW:
		// RFC 4430 §3.5: the difference is kept and used from now on; only because the
		// error is protected.
		if t.triedOffset || said.STime.IsZero() {
			break
		}
		t.triedOffset = true
		p := t.e.peerOf(t.target.principal)
		p.offset += said.STime.Sub(ctime)
		t.e.trace(trace.Info, reasonSkew, fmt.Sprintf("the clock of %s differs by %v", p.principal, p.offset), t.attrs()...)
		t.again("the clocks differ", false)
		return
	case KRB_AP_ERR_TKT_EXPIRED, KRB_AP_ERR_BAD_INTEGRITY, KRB_AP_ERR_MODIFIED, KRB_AP_ERR_NOKEY, KRB_AP_ERR_BADKEYVER:
		if t.triedFresh {
			break
		}
		t.triedFresh = true
		t.again("the peer answers "+said.Code.String(), true)
		return
	case KRB_AP_ERR_USER_TO_USER_REQUIRED:
		if !t.triedU2U {
			t.getTGT("the peer answers " + said.Code.String())
			return
		}
	}
	t.state = stateReplied
	t.abort(reasonPeerRefused, fmt.Sprintf("the peer answers %v %s", said.Code, said.Text))
}

// unauthenticated takes what anybody could have sent. It never ends the
// transaction: it is remembered, and a TGT or the wish for one is acted on once.
func (t *transaction) unauthenticated(m *message.Message, in Datagram) {
	e := t.e
	if in.Remote.Addr() != t.target.addr.Addr() || t.state != stateSent {
		e.drop(in, reasonUnprotected, "an unauthenticated REPLY that comes from elsewhere or too late")
		return
	}
	for _, p := range m.Payloads {
		switch p := p.(type) {
		case message.TGTRep:
			// RFC 4430 §3.7.1: the peer has lost its TGT. The old ticket stays until the
			// new one is in hand, and the peer is not thought dead.
			if t.ticket.UserToUser() && !t.triedTGT {
				t.triedTGT = true
				e.trace(trace.Info, reasonUserToUser, "the peer sends a new TGT", t.attrs()...)
				t.tgt = append([]byte(nil), p.Ticket...)
				t.again("the peer has another TGT", false)
				return
			}
			t.remember("KINK_TGT_REP", 0, message.KINK_OK)
		case message.KRBError:
			said, err := e.cfg.Kerberos.ParseError(p.Octets)
			if err != nil {
				e.drop(in, reasonInvalidSyntax, "a KRB-ERROR that cannot be read: "+err.Error())
				return
			}
			if said.Code == KRB_AP_ERR_USER_TO_USER_REQUIRED && !t.triedU2U {
				t.hinted = true
				t.getTGT("the peer, as it seems, wants user-to-user")
				return
			}
			t.remember(said.Code.String(), said.Code, message.KINK_OK)
		case message.Error:
			t.remember(p.Code.String(), 0, p.Code)
		}
	}
}

// remember keeps an unauthenticated error for the log and for the end.
func (t *transaction) remember(text string, krb KRBCode, kink message.ErrorCode) {
	t.heardOf, t.heardKRB, t.heardErr = text, krb, kink
	t.e.trace(trace.ProtoWarn, reasonUnprotected, "an error that is not authenticated, and only remembered: "+text, t.attrs()...)
}

// drop leaves a datagram without an answer.
func (e *Engine) drop(in Datagram, reason, text string) {
	e.trace(trace.ProtoWarn, reason, text, attr("peer", in.Remote.String()))
}
