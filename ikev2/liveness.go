package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// armLiveness starts the watch over the peer's silence.
func (sa *ikeSA) armLiveness() {
	if d := sa.remote.DPDDelay; d > 0 {
		sa.setTimer(timerLiveness, d)
	}
}

// checkLiveness asks a silent peer for life. Any protected message counts as
// life, and so does any packet in a child SA (RFC 7296 §2.4), so the timer only
// looks whether there was one.
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
	if sa.mob.agreed {
		// RFC 4555 §3.12: packets count only if they have the right addresses, and
		// kernels do not tell.
		sa.probe()
		return
	}
	sa.lookAtTraffic(slices.Clone(sa.children))
}

// lookAtTraffic asks the kernel about one inbound SA after the other, until one
// has received something of late. Only if none has, the peer is asked itself.
func (sa *ikeSA) lookAtTraffic(children []*childSA) {
	children = slices.DeleteFunc(children, func(c *childSA) bool { return c.state != childUp || c.sa != sa })
	if len(children) == 0 {
		sa.probe()
		return
	}
	c := children[0]
	sa.e.kernelOp(kernel.GetSA{ID: c.said(false)}, func(r kernel.Result) {
		if sa.state != stateEstablished {
			return
		}
		if r.Err == nil && len(r.SAs) == 1 && c.heardIn(r.SAs[0]) {
			return
		}
		sa.lookAtTraffic(children[1:])
	})
}

// heardIn says that a child's inbound SA has received something since the last
// look, or within the last DPDDelay.
func (c *childSA) heardIn(state kernel.SAState) bool {
	sa := c.sa
	more := state.Packets > c.packets
	c.packets = state.Packets
	at := state.LastUsed
	switch {
	case at.After(sa.heard) && !at.After(sa.e.now):
	case more: // a kernel that does not tell the last use
		at = sa.e.now.Add(-sa.remote.DPDDelay / 2)
	default:
		return false
	}
	if sa.e.now.Sub(at) >= sa.remote.DPDDelay {
		return false
	}
	sa.heard = at
	sa.setTimer(timerLiveness, sa.remote.DPDDelay-sa.e.now.Sub(at))
	return true
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
	if e.wayward(in, h) {
		return
	}
	e.drop(in, reasonUnknownSPI, fmt.Sprintf("no IKE SA has the SPIs %016x:%016x", h.SPIi, h.SPIr))
	if h.Flags&message.FlagResponse == 0 && h.Exchange != message.IKE_SA_INIT && e.unknownSPIs.take(e.now) {
		e.answerClear(in, h, notify(message.INVALID_IKE_SPI, nil))
	}
}

// wayward takes INVALID_SPI in the clear: a packet of ours met a host that has no
// SA for it. RFC 7296 §1.5: it is no more than a hint, and never answered. Anybody
// can send it, so that it is looked up and not searched for.
func (e *Engine) wayward(in Datagram, h message.Header) bool {
	if h.Exchange != message.INFORMATIONAL || h.NextPayload != message.PayloadNotify {
		return false
	}
	raw, err := message.Decode(in.Data)
	if err != nil {
		return false
	}
	n := (&received{payloads: raw.Payloads}).notification(message.INVALID_SPI)
	if n == nil || len(n.Data) != 4 {
		return false
	}
	e.drop(in, reasonUnprotected, "INVALID_SPI without protection")
	for _, proto := range []kernel.Protocol{kernel.ESP, kernel.AH} {
		c := e.bySAID[kernel.SAID{Dst: in.Remote.Addr(), Proto: proto, SPI: kernel.SPI(binary.BigEndian.Uint32(n.Data))}]
		if c != nil && c.sa.state == stateEstablished && c.sa.bySPI(n.Data) == c && e.hints.take(e.now) {
			c.sa.probe()
		}
	}
	return true
}

// bySPI finds the child whose outbound SA has an SPI, of either protocol.
func (sa *ikeSA) bySPI(data []byte) *childSA {
	spi := binary.BigEndian.Uint32(data)
	if c := sa.byOutbound(message.ProtocolESP, spi); c != nil {
		return c
	}
	return sa.byOutbound(message.ProtocolAH, spi)
}

// invalidSPI takes the peer's word, on an IKE SA, that it has no SA for a packet of
// a child (RFC 7296 §1.5): the child is closed and made anew. What is on its way
// out anyway is left alone.
func (sa *ikeSA) invalidSPI(n *message.Notify) {
	if len(n.Data) != 4 || sa.state != stateEstablished || sa.closing {
		return
	}
	c := sa.bySPI(n.Data)
	if c == nil || !c.standing() || c.rekeying {
		return
	}
	sa.e.trace(trace.ProtoWarn, reasonChildNotFound, "the peer has no SA for packets of a child", c.attrs()...)
	c.close("the peer does not have it")
	sa.x.queue = append(sa.x.queue, &childTask{negotiation: negotiation{want: c.again()}})
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
