package kink

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"racoon2/kernel/trace"
	"racoon2/kink/message"
)

// target is whom a transaction is with.
type target struct {
	remote    *Remote
	principal string
	addr      netip.AddrPort
	local     netip.AddrPort // not valid before Routed
}

// task is what a transaction is for: a CREATE, DELETE or STATUS.
type task interface {
	kind() message.Type
	// prepare gets ready to send with the transaction's ticket, then calls send. It
	// is called again when the transaction begins anew.
	prepare(t *transaction)
	// inner are the payloads to encrypt, nil for none.
	inner() []message.Payload
	// reply takes the payloads of an authentic answer that is no error of Kerberos
	// or KINK, and calls done or abort at last.
	reply(t *transaction, payloads []message.Payload)
	// failed hears that the transaction came to nothing.
	failed(t *transaction, reason, text string)
}

// transactionState is where a transaction of this host stands.
type transactionState uint8

const (
	statePreparing transactionState = iota // a route, a ticket or an SPI is awaited
	stateGetTGT                            // a GETTGT was sent
	stateSent                              // the command was sent
	stateReplied                           // the answer is being worked on
	stateAcking                            // over, but its ACK may be asked for again
	stateOver
)

// maxOutstanding bounds the authenticators that an answer may be to, and ACKs of one
// transaction: more than anybody retransmits (RFC 4430 §9).
const maxOutstanding = 16

// transaction is a command of this host with its answer (RFC 4430 §3).
type transaction struct {
	e      *Engine
	task   task
	target target
	xid    uint32
	state  transactionState

	ticket   Ticket
	tgt      []byte          // the peer's, for a user-to-user ticket
	sessions []ClientSession // outstanding authenticators, the oldest first
	spare    struct {        // an AP-REQ that was not sent yet
		octets  []byte
		session ClientSession
	}
	sends    int // of the command, in this round
	sent     bool
	timer    timer
	needsAck bool
	acks     int    // sent
	rounds   uint64 // counts restarts, so that late results fall to the ground

	heardOf  string            // what an unauthenticated error said last
	heardKRB KRBCode           // its code, 0 for others
	heardErr message.ErrorCode // KINK_OK for none

	// each remedy is tried once (RFC 4430 §9, §10)
	triedU2U, triedTGT, triedPlain, triedFresh, triedOffset bool
	hinted                                                  bool // user-to-user was asked for by what anybody could have sent
}

// begin starts a transaction.
func (e *Engine) begin(to target, what task) *transaction {
	t := &transaction{e: e, task: what, target: to}
	t.number()
	if to.local.IsValid() {
		t.routed(to.local.Addr(), nil)
		return t
	}
	serial := e.nextSerial()
	e.routes[serial] = t.current(t.routed)
	e.do(Route{Serial: serial, Remote: to.addr.Addr()})
	return t
}

// current drops a result that comes after the transaction has ended.
func (t *transaction) current(f func(netip.Addr, error)) func(netip.Addr, error) {
	return func(a netip.Addr, err error) {
		if t.state != stateOver {
			f(a, err)
		}
	}
}

// number gives the transaction an XID that no outstanding one has (RFC 4430 §4).
func (t *transaction) number() {
	for t.e.outgoing[t.e.xid] != nil {
		t.e.xid++
	}
	t.xid = t.e.xid
	t.e.xid++
	t.e.outgoing[t.xid] = t
}

func (t *transaction) routed(local netip.Addr, err error) {
	if err != nil {
		t.abort(reasonNoRoute, fmt.Sprintf("no address of this host reaches %v: %v", t.target.addr, err))
		return
	}
	t.target.local = netip.AddrPortFrom(local, t.e.settings.Port)
	t.fetch(false)
}

// fetch asks for the ticket. A transaction keeps it for all retransmissions, so it
// must outlive them (RFC 4430 §9).
func (t *transaction) fetch(evict bool) {
	e := t.e
	t.state = statePreparing
	serial, round := e.nextSerial(), t.rounds
	e.tickets[serial] = func(ticket Ticket, err error) {
		if t.state == stateOver || t.rounds != round {
			return
		}
		t.fetched(ticket, err)
	}
	e.do(FetchTicket{Serial: serial, Local: t.target.remote.MyPrincipal, Peer: t.target.principal,
		Until: e.now.Add(t.target.remote.Retry.cycle()), Evict: evict, UserToUser: t.wantsU2U(), TGT: t.tgt})
}

// wantsU2U says that only a user-to-user ticket will do: the policy says so, or
// the peer has taken nothing else before.
func (t *transaction) wantsU2U() bool {
	return t.target.remote.UserToUser || !t.triedPlain && t.e.peerOf(t.target.principal).userToUser
}

func (t *transaction) fetched(ticket Ticket, err error) {
	t.closed()
	var refused *KRBError
	switch {
	case err == nil && ticket.Peer() != t.target.principal:
		t.abort(reasonTicket, fmt.Sprintf("asked for a ticket for %s, got one for %s", t.target.principal, ticket.Peer()))
	case err == nil && t.wantsU2U() && !ticket.UserToUser() && !t.triedU2U:
		t.getTGT("a user-to-user ticket is needed")
	case err == nil:
		t.ticket = ticket
		t.task.prepare(t)
	case errors.As(err, &refused) && refused.Code == KDC_ERR_MUST_USE_USER2USER && !t.triedU2U:
		t.getTGT("the KDC answers " + refused.Code.String())
	case t.triedTGT && !t.triedFresh && t.tgt != nil && t.ticket != nil && t.ticket.UserToUser():
		// RFC 4430 §3.7.1: the old ticket stays until a new one is in hand.
		t.e.trace(trace.ProtoWarn, reasonUnprotected, "the TGT that came in the peer's name is no good: "+err.Error(), t.attrs()...)
		t.tgt = nil
		t.task.prepare(t)
	default:
		t.abort(reasonTicket, fmt.Sprintf("no ticket for %s: %v", t.target.principal, err))
	}
}

// send sends the command for the first time in this round.
func (t *transaction) send() {
	t.state = stateSent
	t.sends = 0
	t.transmit()
}

// transmit makes the command with a fresh authenticator (RFC 4430 §9: MUST) and
// sends it, or gives up.
func (t *transaction) transmit() {
	retry := t.target.remote.Retry
	if t.sends > retry.Tries {
		t.unanswered()
		return
	}
	if t.state == stateGetTGT {
		t.sendGetTGT()
	} else if err := t.command(t.task.kind(), t.task.inner()); err != nil {
		t.abort(reasonInternal, err.Error())
		return
	}
	t.e.start(&t.timer, retry.after(t.sends), t.transmit)
	t.sends++
}

// session is a context of the ticket before anything is sent. Its authenticator is
// the next one that goes out.
func (t *transaction) session() (Session, error) {
	octets, s, err := t.authenticator()
	t.spare.octets, t.spare.session = octets, s
	return s, err
}

// authenticator makes an AP-REQ on the peer's clock, as far as that is known.
func (t *transaction) authenticator() ([]byte, ClientSession, error) {
	if octets, s := t.spare.octets, t.spare.session; s != nil {
		t.spare.octets, t.spare.session = nil, nil
		return octets, s, nil
	}
	octets, s, err := t.ticket.APReq(t.e.now, t.e.peerOf(t.target.principal).offset, t.e.cfg.Rand)
	if err != nil {
		return nil, nil, fmt.Errorf("no AP-REQ for %s: %w", t.target.principal, err)
	}
	return octets, s, nil
}

// command sends one authenticated message. Its authenticator counts as
// outstanding, but that of an ACK, which has no answer.
func (t *transaction) command(kind message.Type, inner []message.Payload) error {
	e := t.e
	octets, s, err := t.authenticator()
	if err != nil {
		return err
	}
	m := &message.Message{Type: kind, XID: t.xid, Payloads: []message.Payload{message.APReq{Epoch: e.epoch, Octets: octets}}}
	data, err := seal(m, inner, s)
	if err != nil {
		return err
	}
	t.sent = true
	if kind != message.ACK {
		t.sessions = append(t.sessions, s)
		if len(t.sessions) > maxOutstanding {
			t.sessions = t.sessions[1:]
		}
	}
	e.do(Send{Local: t.target.local, Remote: t.target.addr, Data: data})
	return nil
}

// seal encrypts the inner payloads (RFC 4430 §6 allows it wherever there is a key,
// this engine always does it) and puts the checksum behind the message.
func seal(m *message.Message, inner []message.Payload, s Session) ([]byte, error) {
	if inner != nil {
		plain, err := message.EncodeInner(inner)
		if err != nil {
			return nil, err
		}
		cipher, err := s.Encrypt(plain)
		if err != nil {
			return nil, fmt.Errorf("encrypting KINK_ENCRYPT: %w", err)
		}
		m.Payloads = append(m.Payloads, message.Encrypt{Ciphertext: cipher})
	}
	return message.Encode(m, s.MIC)
}

// open is the payloads of a message besides its AP-REQ or AP-REP: those in the
// clear, which the checksum covers, and those in KINK_ENCRYPT.
func open(m *message.Message, s Session) ([]message.Payload, error) {
	var list []message.Payload
	for _, p := range m.Payloads {
		switch p := p.(type) {
		case message.APReq, message.APRep:
		case message.Encrypt:
			plain, err := s.Decrypt(p.Ciphertext)
			if err != nil {
				return nil, fmt.Errorf("KINK_ENCRYPT: %w", err)
			}
			inner, err := message.DecodeInner(plain)
			if err != nil {
				return nil, err
			}
			list = append(list, inner...)
		default:
			list = append(list, p)
		}
	}
	return list, nil
}

// unanswered ends a transaction that all retransmissions have not brought an
// answer. An error that anybody could have sent may explain it; a fresh ticket is
// tried once where it would help.
func (t *transaction) unanswered() {
	switch t.heardKRB {
	case KRB_AP_ERR_NOKEY, KRB_AP_ERR_BADKEYVER, KRB_AP_ERR_MODIFIED, KRB_AP_ERR_BAD_INTEGRITY:
		if !t.triedFresh {
			t.triedFresh = true
			t.again("the peer cannot read the ticket, as it seems", true)
			return
		}
	}
	if t.state == stateGetTGT && (t.heardErr == message.KINK_U2UDENIED || t.hinted) && !t.triedPlain && !t.target.remote.UserToUser {
		t.triedPlain = true
		t.tgt = nil
		t.again("the peer gives no TGT, as it seems", false)
		return
	}
	text := fmt.Sprintf("%s at %v does not answer %v", t.target.principal, t.target.addr, t.task.kind())
	if t.heardOf != "" {
		text += "; somebody, perhaps it, said " + t.heardOf
	}
	t.abort(reasonRetransmitLimit, text)
}

// again begins the transaction anew under another XID (RFC 4430 §9), with another
// ticket if the present one is no good.
func (t *transaction) again(why string, evict bool) {
	e := t.e
	e.trace(trace.Info, "", fmt.Sprintf("%v to %s begins anew: %s", t.task.kind(), t.target.principal, why), t.attrs()...)
	e.stop(&t.timer)
	delete(e.outgoing, t.xid)
	t.number()
	t.sessions, t.sends, t.rounds = nil, 0, t.rounds+1
	t.spare.octets, t.spare.session = nil, nil
	t.heardOf, t.heardKRB, t.heardErr = "", 0, message.KINK_OK
	t.fetch(evict)
}

// done ends a transaction that succeeded. The ACK goes out, and can be made again
// for a whole cycle of retransmissions (RFC 4430 §9).
func (t *transaction) done() {
	e := t.e
	e.stop(&t.timer)
	if t.needsAck {
		t.acknowledge()
	}
	if !t.needsAck || e.closing {
		t.state = stateOver
		delete(e.outgoing, t.xid)
		return
	}
	t.state = stateAcking
	e.start(&t.timer, t.target.remote.Retry.cycle(), func() {
		t.state = stateOver
		delete(e.outgoing, t.xid)
	})
}

// acknowledge sends an ACK, which has a KINK_AP_REQ and nothing else (RFC 4430 §6.2).
func (t *transaction) acknowledge() {
	t.acks++
	if err := t.command(message.ACK, nil); err != nil {
		t.e.trace(trace.InternalErr, reasonInternal, "no ACK: "+err.Error(), t.attrs()...)
	}
}

// abort ends a transaction that failed. An ACK that was asked for goes out all the
// same (RFC 4430 §3.2: MUST).
func (t *transaction) abort(reason, text string) {
	if t.state == stateOver {
		return
	}
	e := t.e
	e.stop(&t.timer)
	t.closed()
	if t.state == stateReplied && t.needsAck {
		t.acknowledge()
	}
	t.state = stateOver
	delete(e.outgoing, t.xid)
	e.trace(trace.ProtoErr, reason, fmt.Sprintf("%v to %s failed: %s", t.task.kind(), t.target.principal, text), t.attrs()...)
	t.task.failed(t, reason, text)
}

// attrs names the transaction in a trace event.
func (t *transaction) attrs(more ...trace.Attr) []trace.Attr {
	return append([]trace.Attr{
		attr("peer", t.target.principal), attr("address", t.target.addr.String()),
		attr("xid", fmt.Sprint(t.xid)), attr("remote", t.target.remote.Name),
	}, more...)
}

// after is the wait after the n-th sending, counted from 0.
func (r Retransmission) after(n int) time.Duration {
	limit := r.Max
	if limit <= 0 {
		limit = time.Minute
	}
	d := max(r.First, 10*time.Millisecond)
	for range n {
		if d *= 2; d >= limit {
			return limit
		}
	}
	return min(d, limit)
}

// cycle is how long all retransmissions take together.
func (r Retransmission) cycle() time.Duration {
	var sum time.Duration
	for n := range r.Tries + 1 {
		sum += r.after(n)
	}
	return sum
}
