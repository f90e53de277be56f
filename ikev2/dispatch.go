package ikev2

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// received is a message whose payloads may be trusted as far as its exchange
// allows: in the clear for IKE_SA_INIT, authentic for all others.
type received struct {
	message.Header
	in       Datagram
	payloads []message.Payload
	hash     [sha256.Size]byte // of a request
}

func (m *received) response() bool { return m.Flags&message.FlagResponse != 0 }

// find is the first payload of a Go type; nil when there is none.
func find[T message.Payload](m *received) T {
	for _, p := range m.payloads {
		if t, ok := p.(T); ok {
			return t
		}
	}
	var none T
	return none
}

// notification is the first one of a kind; nil when there is none.
func (m *received) notification(kind message.NotifyType) *message.Notify {
	for _, p := range m.payloads {
		if n, ok := p.(*message.Notify); ok && n.Kind == kind {
			return n
		}
	}
	return nil
}

// refusal is the first error notification (RFC 7296 §3.10.1: below 16384).
func (m *received) refusal() *message.Notify {
	for _, p := range m.payloads {
		if n, ok := p.(*message.Notify); ok && n.Kind < message.INITIAL_CONTACT {
			return n
		}
	}
	return nil
}

// selectors are those of TSi or TSr.
func (m *received) selectors(initiator bool) []message.TrafficSelector {
	for _, p := range m.payloads {
		if ts, ok := p.(*message.TS); ok && ts.Initiator == initiator {
			return ts.Selectors
		}
	}
	return nil
}

// id is IDi or IDr; nil when there is none.
func (m *received) id(initiator bool) *message.ID {
	for _, p := range m.payloads {
		if id, ok := p.(*message.ID); ok && id.Initiator == initiator {
			return id
		}
	}
	return nil
}

func notify(kind message.NotifyType, data []byte) *message.Notify {
	return &message.Notify{Kind: kind, Data: data}
}

// drop reports a datagram that goes no further.
func (e *Engine) drop(in Datagram, reason, text string) {
	e.trace(trace.ProtoWarn, reason, text, attr("peer", in.Remote.String()), attr("local", in.Local.String()))
}

// datagram takes one arriving message to its IKE SA.
func (e *Engine) datagram(in Datagram) {
	if len(in.Data) == 1 && in.Data[0] == 0xff {
		return // NAT keepalive (RFC 3948 §2.3)
	}
	in.Local, in.Remote = plain(in.Local), plain(in.Remote)
	h, err := message.DecodeHeader(in.Data)
	switch {
	case err != nil:
		e.drop(in, reasonInvalidSyntax, "a datagram that is no IKE message: "+err.Error())
	case int(h.Length) != len(in.Data):
		e.drop(in, reasonInvalidSyntax, fmt.Sprintf("a datagram of %d octets whose IKE header says %d", len(in.Data), h.Length))
	case h.Major != 2:
		e.otherVersion(in, h)
	case h.Exchange == message.IKE_SA_INIT && h.Flags&message.FlagResponse == 0:
		e.initRequest(in, h)
	default:
		sa := e.bySPI[ownSPI(h)]
		if sa == nil || sa.state == stateDead {
			e.unknownSPI(in, h)
			return
		}
		sa.receive(in, h)
		sa.pump()
	}
}

// plain is an address as the engine compares it: IPv4 is never mapped into IPv6.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// ownSPI is the SPI of a message that this host allocated. The flag says
// whether the sender is the original initiator (RFC 7296 §3.1).
func ownSPI(h message.Header) uint64 {
	if h.Flags&message.FlagInitiator != 0 {
		return h.SPIr
	}
	return h.SPIi
}

// receive takes a message of this IKE SA through window, integrity and table.
func (sa *ikeSA) receive(in Datagram, h message.Header) {
	if (h.Flags&message.FlagInitiator != 0) == sa.initiator || !sa.spisFit(h) {
		sa.e.unknownSPI(in, h)
		return
	}
	response := h.Flags&message.FlagResponse != 0
	if h.Exchange == message.IKE_SA_INIT && (in.Remote != sa.peer || in.Local != sa.local) {
		// Nothing but its address speaks for the answer yet.
		sa.e.drop(in, reasonUnexpected, "an IKE_SA_INIT response from another address than the one asked")
		return
	}
	if response && sa.x.flight(h) == nil {
		sa.e.drop(in, reasonStaleResponse, fmt.Sprintf("a response with Message ID %d answers no outstanding request", h.MessageID))
		return
	}
	if !response && sa.state == stateAuthSent {
		// The responder is ahead: its answer to IKE_AUTH is lost or late. It will
		// send this again, when the answer to this host's retransmission is here.
		sa.e.trace(trace.Debug, reasonUnexpected, "a request before the answer to IKE_AUTH", sa.attrs()...)
		return
	}
	if !response && !sa.inWindow(in, h) {
		return
	}
	if isFragment(in.Data) {
		sa.fragment(in, h)
		return
	}
	if sa.busy {
		sa.hold(in, h)
		return
	}
	m := &received{Header: h, in: in}
	if !response {
		m.hash = sha256.Sum256(in.Data) // before opening, which decrypts in place
	}
	ok, syntax := sa.open(m)
	if !ok {
		return
	}
	if h.Exchange != message.IKE_SA_INIT {
		sa.authentic(m)
	}
	if syntax != nil {
		sa.malformed(m, syntax.Error())
		return
	}
	sa.dispatch(m)
}

// authentic moves the windows over a message whose integrity is checked.
func (sa *ikeSA) authentic(m *received) {
	sa.heardFrom(m.in)
	if m.response() {
		r := sa.x.flight(m.Header)
		sa.answered(r)
		sa.answeredOn(r, m.in)
	} else {
		sa.x.accept(m.MessageID, m.hash, true)
	}
}

// spisFit says that the peer's SPI is the one of this IKE SA. The answer to
// IKE_SA_INIT brings it.
func (sa *ikeSA) spisFit(h message.Header) bool {
	if sa.state == stateInitSent {
		return h.SPIi == sa.spii && h.Exchange == message.IKE_SA_INIT
	}
	return h.SPIi == sa.spii && h.SPIr == sa.spir
}

func (sa *ikeSA) hold(in Datagram, h message.Header) {
	sa.holdMessage(heldMessage{in: in, h: h})
}

// holdMessage keeps a message until the IKE SA has time for it.
func (sa *ikeSA) holdMessage(held heldMessage) {
	in, h := held.in, held.h
	for _, m := range sa.x.held {
		if m.h.MessageID == h.MessageID && m.h.Flags == h.Flags && sha256.Sum256(m.in.Data) == sha256.Sum256(in.Data) {
			return
		}
	}
	if len(sa.x.held) >= maxHeld+sa.x.window()+int(sa.x.promised()) {
		sa.e.drop(in, reasonHoldLimit, "too many messages for an IKE SA that waits for a job")
		return
	}
	sa.x.held = append(sa.x.held, held)
}

// open decodes a message and, beyond IKE_SA_INIT, checks and decrypts it. An
// authentic message may still be malformed inside: that is the error.
func (sa *ikeSA) open(m *received) (ok bool, malformed error) {
	raw, err := message.Decode(m.in.Data)
	if err != nil {
		sa.e.drop(m.in, reasonInvalidSyntax, "a malformed message: "+err.Error())
		return false, nil
	}
	if m.Exchange == message.IKE_SA_INIT {
		m.payloads = raw.Payloads
		return true, nil
	}
	if !sealed(raw) {
		sa.unprotected(m, raw)
		return false, nil
	}
	if sa.keys == nil {
		sa.e.drop(m.in, reasonUnexpected, fmt.Sprintf("%s before keys are agreed", m.Exchange))
		return false, nil
	}
	m.payloads, err = message.Open(m.in.Data, raw, sa.keys.opens)
	if err == nil {
		return true, nil
	}
	// Only what is wrong inside an authentic message is a SyntaxError here.
	var syntax *message.SyntaxError
	if !errors.As(err, &syntax) {
		sa.e.trace(trace.ProtoWarn, reasonIntegrity, "a message whose integrity check fails", sa.attrs()...)
		return false, nil
	}
	return true, syntax
}

// sealed says that the message has an SK payload.
func sealed(raw *message.Message) bool {
	if len(raw.Payloads) == 0 {
		return false
	}
	_, ok := raw.Payloads[len(raw.Payloads)-1].(*message.Encrypted)
	return ok
}

// malformed deals with an authentic message that does not decode or lacks
// payloads. RFC 7296 §2.21.3: INVALID_SYNTAX is fatal for both ends.
func (sa *ikeSA) malformed(m *received, why string) {
	sa.e.trace(trace.ProtoErr, reasonInvalidSyntax, fmt.Sprintf("a malformed %s %s: %s", m.Exchange, direction(m.response()), why), sa.attrs()...)
	if m.response() {
		sa.destroy(reasonInvalidSyntax, "the peer's answer is malformed: "+why)
		return
	}
	sa.respondNotify(m, message.INVALID_SYNTAX, nil)
	sa.destroy(reasonInvalidSyntax, "the peer's request is malformed: "+why)
}

// dispatch finds the row for a message and runs its handler.
func (sa *ikeSA) dispatch(m *received) {
	if t, critical := message.UnsupportedCritical(m.payloads); critical {
		sa.criticalPayload(m, t)
		return
	}
	r, why := lookUp(sa.e.table, sa.state, m)
	if r != nil {
		r.run(sa, m)
		return
	}
	if m.Exchange == message.IKE_SA_INIT {
		sa.e.drop(m.in, reasonInvalidSyntax, "an IKE_SA_INIT response that is refused: "+why)
		return
	}
	if !sa.rowExists(m) {
		sa.unexpected(m, why)
		return
	}
	sa.malformed(m, why)
}

// rowExists says that this exchange is possible at all in this state.
func (sa *ikeSA) rowExists(m *received) bool {
	for i := range sa.e.table {
		r := &sa.e.table[i]
		if r.state == sa.state && r.exchange == m.Exchange && r.response == m.response() {
			return true
		}
	}
	return false
}

// unexpected refuses an exchange that has no place in this state, such as
// CREATE_CHILD_SA before the peer is authenticated.
func (sa *ikeSA) unexpected(m *received, why string) {
	sa.e.trace(trace.ProtoErr, reasonUnexpected, why, sa.attrs()...)
	if m.response() {
		return
	}
	sa.respondNotify(m, message.INVALID_SYNTAX, nil)
	sa.destroy(reasonUnexpected, why)
}

// criticalPayload rejects a whole message (RFC 7296 §2.5).
func (sa *ikeSA) criticalPayload(m *received, t message.PayloadType) {
	text := fmt.Sprintf("payload %d is critical and not known", t)
	sa.e.trace(trace.ProtoErr, reasonCritical, text, sa.attrs()...)
	if m.response() {
		if m.Exchange != message.IKE_SA_INIT {
			sa.destroy(reasonCritical, text)
		}
		return
	}
	sa.respondNotify(m, message.UNSUPPORTED_CRITICAL_PAYLOAD, []byte{byte(t)})
	// RFC 7296 §2.21.2: in IKE_AUTH it ends the IKE SA.
	if sa.state == stateHalfOpen {
		sa.destroy(reasonCritical, text)
	}
}

// otherVersion deals with another major version. RFC 7296 §2.5: a higher one is
// answered with INVALID_MAJOR_VERSION; a response never is.
func (e *Engine) otherVersion(in Datagram, h message.Header) {
	if h.Major < 2 {
		e.drop(in, reasonMajorVersion, "an IKEv1 message: this agent speaks IKEv2 only, set the peer to it")
		return
	}
	e.drop(in, reasonMajorVersion, fmt.Sprintf("a message of IKE version %d.%d", h.Major, h.Minor))
	if h.Flags&message.FlagResponse == 0 {
		e.answerClear(in, h, notify(message.INVALID_MAJOR_VERSION, nil))
	}
}
