package ikev2

import (
	"fmt"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// armLiveness starts the watch over the peer's silence.
func (sa *ikeSA) armLiveness() {
	if d := sa.remote.DPDDelay; d > 0 {
		sa.setTimer(timerLiveness, d)
	}
}

// checkLiveness asks a silent peer for life. Any protected message counts as
// life (RFC 7296 §2.4), so the timer only looks whether there was one.
func (sa *ikeSA) checkLiveness() {
	if sa.state != stateEstablished || sa.remote.DPDDelay <= 0 {
		return
	}
	silence := sa.e.now.Sub(sa.heard)
	if silence < sa.remote.DPDDelay {
		sa.setTimer(timerLiveness, sa.remote.DPDDelay-silence)
		return
	}
	sa.setTimer(timerLiveness, sa.remote.DPDDelay)
	sa.probe()
}

// probe sends an empty INFORMATIONAL, unless a request is on its way anyway:
// its answer or its end says as much.
func (sa *ikeSA) probe() {
	if len(sa.x.underWay()) == 0 && len(sa.x.queue) == 0 {
		sa.enqueue(livenessTask{})
	}
}

// armGrace starts the time that an IKE SA without children has left.
func (sa *ikeSA) armGrace() {
	if sa.state == stateEstablished && sa.remote != nil && sa.remote.Grace > 0 && len(sa.children) == 0 {
		sa.setTimer(timerGrace, sa.remote.Grace)
	}
}

// graceOver deletes an IKE SA that has had no child for Grace.
func (sa *ikeSA) graceOver() {
	if sa.state == stateEstablished && len(sa.children) == 0 {
		sa.terminate("it has no child SA")
	}
}

// bucket limits how often something is done: rate times at once, and then so
// often in a second.
type bucket struct {
	rate   float64
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.at.IsZero() {
		b.tokens = b.rate
	} else {
		b.tokens = min(b.rate, b.tokens+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// unknownSPI deals with a message for no IKE SA of this host. A request is
// answered with INVALID_IKE_SPI, rarely and never longer than what came
// (RFC 7296 §1.5, §2.21.4); a response never is.
func (e *Engine) unknownSPI(in Datagram, h message.Header) {
	e.lingering.expire(e.now)
	if w := e.lingering.bySPI[ownSPI(h)]; w != nil && h.Flags&message.FlagResponse == 0 && w.matches(in.Data) {
		e.trace(trace.Debug, reasonRetransmission, "a last request came again", attr("peer", in.Remote.String()))
		for _, part := range w.answer {
			e.do(Send{Local: in.Local, Remote: in.Remote, Data: part})
		}
		return
	}
	e.drop(in, reasonUnknownSPI, fmt.Sprintf("no IKE SA has the SPIs %016x:%016x", h.SPIi, h.SPIr))
	if h.Flags&message.FlagResponse == 0 && h.Exchange != message.IKE_SA_INIT && e.unknownSPIs.take(e.now) {
		e.answerClear(in, h, notify(message.INVALID_IKE_SPI, nil))
	}
}

// unprotected takes a message without an SK payload on an IKE SA. Nobody signed
// it: it is at most a hint that the peer has lost the IKE SA, to be checked by
// asking for life (RFC 7296 §2.4, §2.21.4).
func (sa *ikeSA) unprotected(m *received, raw *message.Message) {
	sa.e.drop(m.in, reasonUnprotected, fmt.Sprintf("a %s %s without protection", m.Exchange, direction(m.response())))
	clear := received{payloads: raw.Payloads}
	if clear.notification(message.INVALID_IKE_SPI) == nil || sa.state != stateEstablished {
		return
	}
	if sa.e.hints.take(sa.e.now) {
		sa.probe()
	}
}
