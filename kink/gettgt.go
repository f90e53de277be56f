package kink

import (
	"errors"
	"fmt"

	"racoon2/kernel/trace"
	"racoon2/kink/message"
)

// getTGT asks the peer for its TGT (RFC 4430 §3.1), once in a transaction.
func (t *transaction) getTGT(why string) {
	e := t.e
	t.triedU2U = true
	e.trace(trace.Info, reasonUserToUser, fmt.Sprintf("asking %s for its TGT: %s", t.target.principal, why), t.attrs()...)
	e.stop(&t.timer)
	delete(e.outgoing, t.xid)
	t.number()
	t.sessions, t.sends, t.rounds = nil, 0, t.rounds+1
	t.state = stateGetTGT
	t.transmit()
}

// sendGetTGT sends GETTGT, which has a KINK_TGT_REQ and no checksum (RFC 4430 §6.6).
func (t *transaction) sendGetTGT() {
	m := &message.Message{Type: message.GETTGT, XID: t.xid, Payloads: []message.Payload{message.TGTReq{Principal: t.target.principal}}}
	data, err := message.Encode(m, nil)
	if err != nil {
		return // the name is too long for a payload, and so for any KDC
	}
	t.e.do(Send{Local: t.target.local, Remote: t.target.addr, Data: data})
}

// gotTGT takes the answer to GETTGT. Nothing in it is authentic: the KDC says
// whether the TGT is good, and errors are only remembered.
func (t *transaction) gotTGT(m *message.Message, in Datagram) {
	e := t.e
	if in.Remote.Addr() != t.target.addr.Addr() {
		e.drop(in, reasonUnprotected, "a TGT that comes from elsewhere")
		return
	}
	for _, p := range m.Payloads {
		switch p := p.(type) {
		case message.TGTRep:
			e.stop(&t.timer)
			t.tgt = append([]byte(nil), p.Ticket...)
			t.again("the peer has sent its TGT", false)
			return
		case message.Error:
			t.remember(p.Code.String(), 0, p.Code)
		case message.KRBError:
			if said, err := e.cfg.Kerberos.ParseError(p.Octets); err == nil {
				t.remember(said.Code.String(), said.Code, message.KINK_OK)
			}
		}
	}
}

// tgtWanted answers GETTGT. The requester is not known, so the address decides and
// the rate is limited.
func (e *Engine) tgtWanted(m *message.Message, in Datagram) {
	var wanted *message.TGTReq
	for _, p := range m.Payloads {
		if req, ok := p.(message.TGTReq); ok {
			wanted = &req
			break
		}
	}
	e.strangers.charge(e.now, in.Remote.Addr())
	if wanted == nil || len(m.Payloads) != 1 {
		e.refuse(m.XID, in, message.KINK_PROTOERR, reasonInvalidSyntax, "GETTGT has other payloads than one KINK_TGT_REQ")
		return
	}
	r := e.remoteAt(in.Remote.Addr())
	if r == nil || r.DenyTGT {
		e.refuse(m.XID, in, message.KINK_U2UDENIED, reasonUserToUser, "GETTGT from a peer that gets no TGT")
		return
	}
	tgt, err := e.cfg.Kerberos.TGT(e.now, wanted.Principal)
	if err != nil {
		e.refuseKerberos(m.XID, in, asKRBError(err))
		return
	}
	e.trace(trace.Info, reasonUserToUser, "the peer gets the TGT of "+wanted.Principal, attr("peer", in.Remote.String()))
	e.answerClear(m.XID, in, message.TGTRep{Ticket: tgt})
}

// asKRBError is a Kerberos error as such, whatever else it may be.
func asKRBError(err error) *KRBError {
	var krb *KRBError
	if errors.As(err, &krb) {
		return krb
	}
	return &KRBError{Code: KRB_ERR_GENERIC, Reason: err.Error()}
}
