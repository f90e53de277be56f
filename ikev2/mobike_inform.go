package ikev2

import (
	"bytes"
	"crypto/subtle"
	"net/netip"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// What MOBIKE says in INFORMATIONAL exchanges.

// updateTask tells the peer the new pair of addresses (RFC 4555 §3.5). Only the
// end that began does so.
type updateTask struct {
	cookie []byte
	move   uint64 // it tells of
	told   []netip.Addr
	tries  int // after UNEXPECTED_NAT_DETECTED
}

// addressTask tells the peer this host's additional addresses (RFC 4555 §3.6).
type addressTask struct {
	move  uint64 // that it was sent after
	told  []netip.Addr
	tries int
}

// routabilityTask asks for a sign of the peer at the address that it has moved to
// (RFC 4555 §3.7).
type routabilityTask struct {
	cookie []byte
	move   uint64
}

// addressing says that a task is about addresses. Such do not overlap, so that the
// peer need not find out which was the last.
func addressing(t task) bool {
	switch t.(type) {
	case *updateTask, *addressTask, *routabilityTask:
		return true
	}
	return false
}

// tellUpdate queues an update, before all else, unless one waits already.
func (sa *ikeSA) tellUpdate() { sa.queueFirst(&updateTask{}) }

// tellAddresses tells the additional addresses where the peer knows others.
func (sa *ikeSA) tellAddresses() {
	if sa.mob.agreed && sa.state == stateEstablished && (sa.mob.untold || !slices.Equal(sa.mob.told, sa.additional(sa.remote))) {
		sa.queueFirst(&addressTask{})
	}
}

// queueFirst puts a task about addresses in front of the queue.
func (sa *ikeSA) queueFirst(t task) {
	for _, waiting := range sa.x.queue {
		if _, update := waiting.(*updateTask); update {
			return // it tells the addresses, too
		}
	}
	sa.x.queue = slices.DeleteFunc(sa.x.queue, func(o task) bool { _, same := o.(*addressTask); return same })
	sa.x.queue = append([]task{t}, sa.x.queue...)
	sa.pump()
}

func (t *updateTask) start(sa *ikeSA) {
	t.move, t.told, t.cookie = sa.mob.moves, sa.additional(sa.remote), make([]byte, cookie2Size)
	if err := sa.e.random(t.cookie); err != nil {
		sa.e.trace(trace.InternalErr, reasonRandom, "no COOKIE2: "+err.Error(), sa.attrs()...)
		sa.taskDone()
		return
	}
	list := []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}
	list = append(list, sa.natPayloads(sa.remote, sa.local, sa.peer)...)
	list = append(list, sa.noNATs(sa.remote)...)
	list = append(list, additionalPayloads(t.told)...)
	sa.request(message.INFORMATIONAL, append(list, notify(message.COOKIE2, t.cookie)))
}

func (*updateTask) failed(*ikeSA, string, string) {}

// answered takes the responder's answer (RFC 4555 §3.5, §3.7, §3.9).
func (t *updateTask) answered(old *ikeSA, m *received, paths []path) {
	sa := old.now()
	switch {
	case !sameCookie(m, t.cookie):
		sa.cookieLied()
	case t.move != sa.mob.moves || len(paths) > 1:
		// It is not known which of the pairs the peer has taken: it is told again.
		sa.tellUpdate()
	case m.notification(message.UNEXPECTED_NAT_DETECTED) != nil:
		if t.tries < sa.retry().Tries {
			sa.queueFirst(&updateTask{tries: t.tries + 1})
			return
		}
		sa.e.trace(trace.ProtoErr, reasonUnexpectedNAT, "there is a NAT on the way, and "+sa.remote.place()+" does not traverse NATs", sa.attrs()...)
		sa.refusedPath()
	case m.notification(message.UNACCEPTABLE_ADDRESSES) != nil:
		sa.e.trace(trace.ProtoWarn, reasonAddresses, "the peer does not accept the addresses", sa.attrs()...)
		sa.refusedPath()
	default:
		sa.updated(t, m)
	}
}

// updated has the peer's word that the pair is in use at its end.
func (sa *ikeSA) updated(t *updateTask, m *received) {
	sa.mob.told, sa.mob.untold, sa.mob.refused = t.told, false, nil
	sa.mob.check(sa.peer.Addr())
	sa.noteNAT(m)
	sa.moveChildren()
	sa.e.trace(trace.Info, reasonPeerMoved, "the peer follows to "+sa.here().String(), sa.attrs()...)
}

// noteNAT looks for NATs on the path again, where the message tells.
func (sa *ikeSA) noteNAT(m *received) {
	if !sa.detectNAT(m, sa.remote) {
		return
	}
	if n := m.notification(message.NAT_DETECTION_DESTINATION_IP); m.response() && n != nil {
		sa.mob.seen = slices.Clone(n.Data)
	}
	if sa.needsKeepalive() {
		sa.setTimer(timerKeepalive, keepaliveInterval)
	} else {
		sa.stopTimer(timerKeepalive)
	}
}

func (t *addressTask) start(sa *ikeSA) {
	t.move, t.told = sa.mob.moves, sa.additional(sa.remote)
	sa.request(message.INFORMATIONAL, append(additionalPayloads(t.told), sa.noNATs(sa.remote)...))
}

func (*addressTask) failed(*ikeSA, string, string) {}

func (t *addressTask) answered(old *ikeSA, m *received, paths []path) {
	sa := old.now()
	if m.notification(message.UNEXPECTED_NAT_DETECTED) != nil {
		if t.tries < sa.retry().Tries {
			sa.queueFirst(&addressTask{tries: t.tries + 1})
		}
		return
	}
	// RFC 4555 §3.6: what was sent from several addresses is said once more from one.
	sa.mob.told, sa.mob.untold = t.told, t.move != sa.mob.moves || len(paths) > 1
	sa.tellAddresses()
}

func (t *routabilityTask) start(sa *ikeSA) {
	t.move, t.cookie = sa.mob.moves, make([]byte, cookie2Size)
	if err := sa.e.random(t.cookie); err != nil {
		sa.e.trace(trace.InternalErr, reasonRandom, "no COOKIE2: "+err.Error(), sa.attrs()...)
		sa.taskDone()
		return
	}
	sa.request(message.INFORMATIONAL, []message.Payload{notify(message.COOKIE2, t.cookie)})
}

func (*routabilityTask) failed(*ikeSA, string, string) {}

func (t *routabilityTask) answered(old *ikeSA, m *received, paths []path) {
	sa := old.now()
	switch {
	case !sameCookie(m, t.cookie):
		sa.cookieLied()
	case t.move != sa.mob.moves || len(paths) > 1:
		// RFC 4555 §3.7: it does not tell which address was reached.
		sa.checkRoutability()
	default:
		sa.mob.check(sa.peer.Addr())
		sa.moveChildren()
	}
}

// checkRoutability has the tunnels follow, at once or when the peer has answered
// from its new address.
func (sa *ikeSA) checkRoutability() {
	if sa.mob.hasChecked(sa.peer.Addr()) {
		sa.moveChildren()
		return
	}
	if !slices.ContainsFunc(sa.x.queue, func(t task) bool { _, same := t.(*routabilityTask); return same }) {
		sa.x.queue = append([]task{&routabilityTask{}}, sa.x.queue...)
	}
}

// sameCookie says that an answer has the COOKIE2 of the request.
func sameCookie(m *received, cookie []byte) bool {
	n := m.notification(message.COOKIE2)
	return n != nil && subtle.ConstantTimeCompare(n.Data, cookie) == 1
}

// cookieLied ends an IKE SA whose peer answers without having seen the question:
// RFC 4555 §3.7, it must be closed.
func (sa *ikeSA) cookieLied() {
	text := "the answer has not the COOKIE2 of the request"
	sa.e.trace(trace.ProtoErr, reasonCookie2, text, sa.attrs()...)
	sa.terminate(text)
}

// mobileRequest processes what a request says about addresses, and returns what
// the answer has of it. then is done when the answer is out.
func (sa *ikeSA) mobileRequest(m *received) (answer []message.Payload, then func()) {
	then = func() {}
	if n := m.notification(message.COOKIE2); n != nil && len(n.Data) >= 8 && len(n.Data) <= 64 {
		answer = append(answer, notify(message.COOKIE2, n.Data)) // RFC 4555 §3.7: as it is
	}
	s := sa.now()
	if !s.mob.agreed || s.state != stateEstablished {
		return answer, then
	}
	if m.notification(message.NAT_DETECTION_SOURCE_IP) != nil {
		answer = append(answer, sa.natPayloads(s.remote, m.in.Local, m.in.Remote)...) // RFC 4555 §3.8
	}
	update := m.notification(message.UPDATE_SA_ADDRESSES) != nil && !s.began
	if !update && !m.tellsAddresses() {
		return answer, then
	}
	if sa.natOnTheWay(m) {
		return append(answer, notify(message.UNEXPECTED_NAT_DETECTED, nil)), then
	}
	if m.tellsAddresses() && m.MessageID >= s.mob.addressesBy {
		s.mob.addressesBy = m.MessageID + 1
		s.mob.peers = additionalOf(m)
		s.e.trace(trace.Info, reasonPeerAddresses, "the peer tells its addresses: "+s.mobileWords(), s.attrs()...)
		if s.began {
			then = func() { s.peerTold(m.in) }
		}
	}
	if update && m.MessageID >= s.mob.updatedBy {
		s.mob.updatedBy = m.MessageID + 1
		if why := s.unacceptable(m.in); why != "" {
			s.e.trace(trace.ProtoWarn, reasonAddresses, "the peer would move: "+why, s.attrs(attr("from", m.in.Remote.String()))...)
			return append(answer, notify(message.UNACCEPTABLE_ADDRESSES, nil)), then
		}
		then = func() { s.peerMoved(m) }
	}
	return answer, then
}

// peerTold re-evaluates the path when the peer has said where it is (RFC 4555 §3.5).
// The one that it says it from is the one that it uses, even if it has the other
// back since.
func (sa *ikeSA) peerTold(in Datagram) {
	if in.Remote.Addr() != sa.peer.Addr() {
		sa.ask(in.Remote)
	}
}

// unacceptable is why this host does not talk to the peer at these addresses; ""
// is nothing.
func (sa *ikeSA) unacceptable(in Datagram) string {
	a := in.Remote.Addr()
	switch {
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "to an address that is no host's"
	case in.Remote.Port() == 0:
		return "to port 0"
	case a == in.Local.Addr() || sa.e.locals != nil && slices.Contains(sa.e.locals, a):
		return "to an address of this host"
	case a.IsLoopback() && !in.Local.Addr().IsLoopback():
		return "to the loopback address"
	}
	return ""
}

// peerMoved follows UPDATE_SA_ADDRESSES: the addresses are those of the packet
// (RFC 4555 §3.5).
func (sa *ikeSA) peerMoved(m *received) {
	from, to := sa.here(), path{m.in.Local, m.in.Remote}
	if from != to {
		sa.mob.leave(from.local.Addr(), from.peer.Addr())
		sa.local, sa.peer = to.local, to.peer
		sa.mob.moves++
		sa.frag.size = 0
		sa.e.trace(trace.Info, reasonPeerMoved, "the peer moves the IKE SA from "+from.String(), sa.attrs()...)
	}
	sa.noteNAT(m)
	sa.checkRoutability()
	for _, r := range sa.x.flights {
		if from != to {
			sa.sendOn(r, to)
		}
	}
}

// checkMapping compares how the peer sees this host with how it did before: the
// NAT in front of this host may have given it another address (RFC 4555 §3.8).
func (sa *ikeSA) checkMapping(m *received) {
	n := m.notification(message.NAT_DETECTION_DESTINATION_IP)
	if n == nil || !sa.mob.agreed || !sa.began || !sa.natLocal || bytes.Equal(n.Data, sa.mob.seen) {
		return
	}
	sa.e.trace(trace.Info, reasonPeerMoved, "the NAT in front of this host has given it another address or port", sa.attrs()...)
	sa.tellUpdate()
}
