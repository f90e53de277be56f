package kink

import (
	"fmt"
	"slices"

	"racoon2/kernel/trace"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// statusTask asks whether a peer lives, and for its epoch (RFC 4430 §3.7).
type statusTask struct {
	peer *peer
}

func (s *statusTask) kind() message.Type       { return message.STATUS }
func (s *statusTask) prepare(t *transaction)   { t.send() }
func (s *statusTask) inner() []message.Payload { return nil }

func (s *statusTask) reply(t *transaction, payloads []message.Payload) {
	for _, p := range payloads {
		if q, ok := p.(message.ISAKMP); ok {
			t.e.logNotifies(q, t.attrs())
		}
	}
	s.peer.probing = false
	t.done()
	t.e.watch(s.peer.principal)
}

// failed declares the peer dead if it has not said anything at all. Whoever answers,
// even without authentication, may be alive (RFC 4430 §3.7.1: MUST NOT be thought
// dead), and without a ticket nothing can be said.
func (s *statusTask) failed(t *transaction, reason, text string) {
	e := t.e
	s.peer.probing = false
	if reason != reasonRetransmitLimit || t.heardOf != "" {
		if p := s.peer; p.remote != nil && !e.closing && e.standing(p.principal) != nil {
			e.start(&p.liveness, max(p.remote.DPDDelay, p.remote.Retry.cycle()), func() { e.watch(p.principal) })
		}
		return
	}
	e.trace(trace.ProtoErr, reasonPeerDead, s.peer.principal+" is dead: "+text, t.attrs()...)
	for _, sa := range slices.Clone(e.pairsOf[s.peer.principal]) {
		if sa.state != pairMaking {
			sa.owe()
			sa.remove("the peer is dead")
		}
	}
}

// statusWanted answers STATUS (RFC 4430 §3.7: MUST); its notifications are logged.
func (e *Engine) statusWanted(a *answer, payloads []message.Payload) {
	for _, p := range payloads {
		if q, ok := p.(message.ISAKMP); ok {
			e.logNotifies(q, a.attrs())
		}
	}
	a.reply(nil, false)
}

// logNotifies logs the notifications of a message that has nothing else to say.
func (e *Engine) logNotifies(q message.ISAKMP, attrs []trace.Attr) {
	list, err := isakmp.Decode(isakmp.PayloadType(q.First), q.Data)
	if err != nil {
		e.trace(trace.ProtoWarn, reasonMalformed, "KINK_ISAKMP that cannot be read: "+err.Error(), attrs...)
		return
	}
	for _, p := range list {
		if n, ok := p.(isakmp.Notify); ok {
			e.logNotify(n, attrs)
		}
	}
}

// logNotify logs a notification: status types and unknown errors in requests are
// ignored otherwise (RFC 4430 §5.5).
func (e *Engine) logNotify(n isakmp.Notify, attrs []trace.Attr) {
	e.trace(trace.Info, reasonNotify, fmt.Sprintf("the peer notifies %v for %v %x", n.Kind, n.Protocol, n.SPI), attrs...)
}
