package ikev2

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// maxWindow bounds both windows: what a configuration may promise, and what of a
// peer's promise is used.
const maxWindow = 32

// taken is a request of the peer that was accepted.
type taken struct {
	id        uint32
	hash      [sha256.Size]byte
	answer    [][]byte // its fragments, or it alone; nil while the request is being worked on
	made      answered // what answer was made of
	protected bool     // the request was an authentic one, not IKE_SA_INIT
}

// answered is an answer before it was sealed.
type answered struct {
	exchange message.ExchangeType
	payloads []message.Payload
	repeats  int // requests for it since it was sealed
}

// arrival is what the window says about a request of the peer.
type arrival uint8

const (
	arrivalFresh     arrival = iota // within the window and new
	arrivalRepeated                 // one of the last, octet by octet
	arrivalForgotten                // below the window, or another request under a Message ID that was used
	arrivalTooEarly                 // above the window
)

// promised is how many requests of the peer this host keeps state for.
func (x *exchanger) promised() uint32 { return uint32(max(1, x.own)) }

// find is the accepted request with a Message ID, as far as it is remembered.
func (x *exchanger) find(id uint32) *taken {
	for _, t := range x.taken {
		if t.id == id {
			return t
		}
	}
	return nil
}

// place looks a Message ID up in the window (RFC 7296 §2.3: requests may arrive
// in any order within it).
func (x *exchanger) place(id uint32) arrival {
	switch {
	case x.find(id) != nil:
		return arrivalRepeated
	case id < x.expected:
		return arrivalForgotten
	case id-x.expected < x.promised():
		return arrivalFresh
	}
	return arrivalTooEarly
}

// classify looks a request up in the window. RFC 7296 §2.1: a retransmission
// is recognised by its Message ID and being the same octets; §2.2: Message IDs
// outside the window are dropped.
func (x *exchanger) classify(id uint32, data []byte) arrival {
	a := x.place(id)
	if a == arrivalRepeated && x.find(id).hash != sha256.Sum256(data) {
		return arrivalForgotten
	}
	return a
}

// accept moves the window over a request that is authentic, and forgets answers
// that no promise covers any more: as many are kept as the window is wide
// (RFC 7296 §2.3).
func (x *exchanger) accept(id uint32, hash [sha256.Size]byte, protected bool) {
	x.taken = append(x.taken, &taken{id: id, hash: hash, protected: protected})
	x.newest = max(x.newest, id)
	for t := x.find(x.expected); t != nil; t = x.find(x.expected) {
		x.expected++
	}
	x.taken = slices.DeleteFunc(x.taken, func(t *taken) bool { return t.id < x.expected && x.expected-t.id > x.promised() })
}

// last is the request that was accepted last; nil when there was none.
func (x *exchanger) last() *taken {
	if len(x.taken) == 0 {
		return nil
	}
	return x.taken[len(x.taken)-1]
}

// keep notes the answer to a request.
func (x *exchanger) keep(id uint32, data [][]byte, made answered) {
	if t := x.find(id); t != nil {
		t.answer, t.made = data, made
	}
}

// inWindow deals with requests that are not new ones within the window.
func (sa *ikeSA) inWindow(in Datagram, h message.Header) bool {
	if t := sa.x.find(h.MessageID); t != nil && t.protected && isFragment(in.Data) {
		sa.fragmentAgain(in, t)
		return false
	}
	switch sa.x.classify(h.MessageID, in.Data) {
	case arrivalFresh:
		return true
	case arrivalRepeated:
		sa.repeated(in, sa.x.find(h.MessageID))
	case arrivalForgotten:
		sa.e.drop(in, reasonOldMessage, fmt.Sprintf("a request with Message ID %d, when %d is next", h.MessageID, sa.x.expected))
	case arrivalTooEarly:
		sa.e.drop(in, reasonFutureMessage, fmt.Sprintf("a request with Message ID %d, when %d is next", h.MessageID, sa.x.expected))
		sa.tooEarly(in, h)
	}
	return false
}

// repeated answers a retransmission from the cache; while the request is still
// being worked on it is dropped.
func (sa *ikeSA) repeated(in Datagram, t *taken) {
	sa.e.trace(trace.Debug, reasonRetransmission, "a request came again", sa.attrs()...)
	if t.answer != nil {
		sa.finerAnswer(t)
		sa.send(in.Local, in.Remote, t.answer)
	}
}

// tooEarly tells the peer of a Message ID above the window, if the peer it was:
// seldom, in a request of this host, and never in an answer (RFC 7296 §2.3).
func (sa *ikeSA) tooEarly(in Datagram, h message.Header) {
	if sa.state != stateEstablished || sa.busy || isFragment(in.Data) || !sa.e.earlies.take(sa.e.now) {
		return
	}
	m := &received{Header: h, in: in}
	if ok, _ := sa.open(m); ok {
		sa.enqueue(&informTask{payloads: []message.Payload{
			notify(message.INVALID_MESSAGE_ID, binary.BigEndian.AppendUint32(nil, h.MessageID)),
		}})
	}
}

// informTask tells the peer something and wants no more than its answer.
type informTask struct{ payloads []message.Payload }

func (t *informTask) start(sa *ikeSA)             { sa.request(message.INFORMATIONAL, t.payloads) }
func (*informTask) failed(*ikeSA, string, string) {}

// windowPayloads promise the peer how many of its requests this host keeps state
// for; nothing where it is one, which needs no promise (RFC 7296 §2.3).
func (sa *ikeSA) windowPayloads(r *Remote) []message.Payload {
	n := min(r.Window, maxWindow)
	if n <= 1 {
		return nil
	}
	sa.x.own = max(sa.x.own, n)
	return []message.Payload{notify(message.SET_WINDOW_SIZE, binary.BigEndian.AppendUint32(nil, uint32(n)))}
}

// noteWindow takes the peer's promise. RFC 7296 §2.3: a window only ever grows.
func (sa *ikeSA) noteWindow(m *received) {
	n := m.notification(message.SET_WINDOW_SIZE)
	if n == nil {
		return
	}
	if len(n.Data) != 4 {
		sa.e.trace(trace.ProtoWarn, reasonInvalidSyntax, fmt.Sprintf("SET_WINDOW_SIZE of %d octets, want 4", len(n.Data)), sa.attrs()...)
		return
	}
	size := int(min(binary.BigEndian.Uint32(n.Data), maxWindow))
	if size > sa.x.window() {
		sa.x.peers = size
		sa.e.trace(trace.Debug, "", fmt.Sprintf("the peer takes %d requests at once", size), sa.attrs()...)
	}
}

// announceWindow promises it anew on the successor of an IKE SA, whose window is
// one again (RFC 7296 §1.3.2).
func (sa *ikeSA) announceWindow() {
	if list := sa.windowPayloads(sa.remote); list != nil {
		sa.enqueue(&informTask{payloads: list})
	}
}
