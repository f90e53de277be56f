package kink

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel/trace"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// answerKey names a transaction of a peer: XIDs come again after its restart, with
// another epoch.
type answerKey struct {
	principal string
	epoch     uint32
	xid       uint32
}

// answer is a command of a peer with our REPLY, kept to be sent again.
type answer struct {
	e       *Engine
	key     answerKey
	kind    message.Type
	digest  [sha256.Size]byte
	session ServerSession // of the newest authenticator
	first   ServerSession // whose key SAs come from
	remote  *Remote       // nil: no remote names the principal
	once    bool          // not kept: it changes nothing
	from    netip.AddrPort
	to      netip.AddrPort // the peer's

	ready    bool
	inner    []message.Payload
	wantsAck bool
	waiting  []*pair // whose outbound SAs wait for the ACK
	sends    int
	timer    timer
	dead     bool
}

// Bounds of what is kept for one peer.
const (
	maxAnswers   = 128 // transactions of one principal
	keepAnswers  = 60 * time.Second
	maxPerCreate = 16 // KINK_ISAKMP payloads in one CREATE
)

// command takes a verified CREATE, DELETE or STATUS.
func (e *Engine) command(kind message.Type, key answerKey, in Datagram, s ServerSession, r *Remote, payloads []message.Payload) {
	sum, err := digest(payloads)
	if err != nil {
		e.drop(in, reasonInternal, err.Error())
		return
	}
	if a := e.incoming[key]; a != nil && a.kind == kind && a.digest == sum {
		// The REPLY was lost: the same one, but for the newest authenticator.
		a.session, a.from, a.to = s, in.Local, in.Remote
		if a.ready {
			e.trace(trace.Debug, reasonRetransmission, fmt.Sprintf("%v came again and is answered again", kind), a.attrs()...)
			a.transmit()
		}
		return
	} else if a != nil {
		e.forget(a)
	}
	a := &answer{e: e, key: key, kind: kind, digest: sum, session: s, first: s, remote: r, from: in.Local, to: in.Remote}
	if a.once = !e.concerns(key.principal, r); !a.once {
		if !e.room(key.principal) {
			e.trace(trace.ProtoErr, reasonLimit, "the peer has too many transactions", a.attrs()...)
			return
		}
		e.incoming[key] = a
		e.answersOf[key.principal] = append(e.answersOf[key.principal], a)
	}
	if r != nil && r.RequireUserToUser && !s.UserToUser() {
		a.refuseKerberos(KRB_AP_ERR_USER_TO_USER_REQUIRED)
		return
	}
	if code := unfit(payloads); code != message.KINK_OK {
		a.refuse(code)
		return
	}
	switch {
	case e.closing && kind == message.CREATE:
		e.trace(trace.Info, reasonShutdown, "a CREATE comes too late", a.attrs()...)
		a.refuse(message.KINK_INTERR)
	case kind == message.CREATE:
		e.createWanted(a, payloads)
	case kind == message.DELETE:
		e.deleteWanted(a, payloads)
	default:
		e.statusWanted(a, payloads)
	}
}

// room says whether the principal may have one more transaction; the oldest that
// is answered gives way.
func (e *Engine) room(principal string) bool {
	list := e.answersOf[principal]
	if len(list) < maxAnswers {
		return true
	}
	for _, a := range list {
		if a.ready && len(a.waiting) == 0 {
			e.forget(a)
			return true
		}
	}
	return false
}

// unfit is the error for payloads that no command has, KINK_OK for none. All Quick
// Mode versions must be 1.0 (RFC 4430 §12: KINK_BADQMVERS).
func unfit(payloads []message.Payload) message.ErrorCode {
	for _, p := range payloads {
		q, ok := p.(message.ISAKMP)
		if !ok {
			return message.KINK_PROTOERR
		}
		if q.Version != message.QuickMode10 {
			return message.KINK_BADQMVERS
		}
	}
	if len(payloads) > maxPerCreate {
		return message.KINK_PROTOERR
	}
	return message.KINK_OK
}

// refuse answers with an authenticated KINK_ERROR.
func (a *answer) refuse(code message.ErrorCode) {
	reason := kinkReason(code)
	if code == message.KINK_PROTOERR {
		reason = reasonInvalidSyntax
	}
	a.e.trace(trace.ProtoErr, reason, fmt.Sprintf("%v is answered with %v", a.kind, code), a.attrs()...)
	a.reply([]message.Payload{message.Error{Code: code}}, false)
}

// refuseKerberos answers with an authenticated KRB-ERROR.
func (a *answer) refuseKerberos(code KRBCode) {
	a.e.trace(trace.ProtoErr, reasonKerberos, fmt.Sprintf("%v is answered with %v", a.kind, code), a.attrs()...)
	octets, err := a.e.cfg.Kerberos.Error(a.e.now, code, a.first.Local(), a.session)
	if err != nil {
		a.refuse(message.KINK_INTERR)
		return
	}
	a.reply([]message.Payload{message.KRBError{Octets: octets}}, false)
}

// reply keeps the REPLY and sends it. One that asks for an ACK is sent again until
// the ACK comes (RFC 4430 §9).
func (a *answer) reply(inner []message.Payload, wantsAck bool) {
	a.inner, a.wantsAck, a.ready = inner, wantsAck, true
	if a.once {
		a.transmit()
		return
	}
	a.e.start(&a.timer, keepAnswers, func() { a.e.forget(a) })
	a.sends = 0
	a.transmit()
	if wantsAck {
		a.e.start(&a.timer, a.retry().after(0), a.retransmit)
	}
}

// transmit sends the REPLY with an AP-REP for the newest authenticator.
func (a *answer) transmit() {
	m := &message.Message{Type: message.REPLY, XID: a.key.xid, AckRequest: a.wantsAck}
	a.e.sendReply(m, a.from, a.to, a.session, a.inner)
}

func (a *answer) retry() Retransmission {
	if a.remote != nil {
		return a.remote.Retry
	}
	return Retransmission{First: time.Second, Tries: 4}
}

// retransmit sends a REPLY again whose ACK has not come, and gives up at last:
// KINK allows no half-open SAs (RFC 4430 §3.3), so they go.
func (a *answer) retransmit() {
	a.sends++
	if a.sends <= a.retry().Tries {
		a.transmit()
		a.e.start(&a.timer, a.retry().after(a.sends), a.retransmit)
		return
	}
	a.e.trace(trace.ProtoErr, reasonNoAck, fmt.Sprintf("%s does not acknowledge the REPLY", a.key.principal), a.attrs()...)
	waiting := a.waiting
	a.waiting = nil
	a.e.forget(a)
	a.e.deletePairs(waiting, "the peer does not acknowledge it")
}

// acknowledged takes a verified ACK: the outbound SAs are installed now (RFC 4430
// §3.2 step 6).
func (e *Engine) acknowledged(key answerKey, in Datagram) {
	a := e.incoming[key]
	if a == nil || !a.wantsAck {
		e.drop(in, reasonUnexpected, "an ACK that nothing waits for")
		return
	}
	a.wantsAck = false
	waiting := a.waiting
	a.waiting = nil
	e.start(&a.timer, keepAnswers, func() { e.forget(a) })
	for _, sa := range waiting {
		sa.complete()
	}
}

// forget ends a transaction of a peer.
func (e *Engine) forget(a *answer) {
	a.dead = true
	e.stop(&a.timer)
	if e.incoming[a.key] == a {
		delete(e.incoming, a.key)
	}
	list := slices.DeleteFunc(e.answersOf[a.key.principal], func(other *answer) bool { return other == a })
	if len(list) == 0 {
		delete(e.answersOf, a.key.principal)
	} else {
		e.answersOf[a.key.principal] = list
	}
	for _, sa := range a.waiting {
		sa.remove("its ACK cannot come any more")
	}
	a.waiting = nil
}

func (a *answer) attrs(more ...trace.Attr) []trace.Attr {
	name := ""
	if a.remote != nil {
		name = a.remote.Name
	}
	return append([]trace.Attr{attr("peer", a.key.principal), attr("address", a.to.String()),
		attr("xid", fmt.Sprint(a.key.xid)), attr("remote", name)}, more...)
}

// quickMode writes Quick Mode payloads as a KINK_ISAKMP payload.
func quickMode(list ...isakmp.Payload) (message.ISAKMP, error) {
	first, data, err := isakmp.Encode(list)
	return message.ISAKMP{First: uint8(first), Version: message.QuickMode10, Data: data}, err
}
