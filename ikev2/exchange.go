package ikev2

import (
	"crypto/sha256"
	"math"
	"net/netip"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// task is one exchange that this host starts; it waits in the queue for the window.
type task interface {
	// start leads, at once or after jobs, to sa.request or to sa.taskDone.
	start(sa *ikeSA)
	// failed says that no answer will come, or that the exchange was never started.
	failed(sa *ikeSA, reason, text string)
}

// exchanger is the one place that knows Message IDs. The window is 1 in both
// directions (RFC 7296 §2.3 allows any size; 1 is the default until
// SET_WINDOW_SIZE says otherwise, and this engine never says it).
type exchanger struct {
	// requests of this host
	next     uint32   // Message ID of the next request
	inFlight *request // nil: none is outstanding
	current  task     // the exchange under way, from its start to its end
	queue    []task

	// requests of the peer
	expected   uint32            // Message ID of the peer's next request
	lastHash   [sha256.Size]byte // of the peer's last request
	lastAnswer [][]byte          // its fragments, or it alone; nil while that request is being worked on
	answer     answered          // what lastAnswer was made of
	protected  bool              // that request was an authentic one, not IKE_SA_INIT
	held       []heldMessage     // arrived while the IKE SA was busy
}

// request is an outstanding request.
type request struct {
	id       uint32
	exchange message.ExchangeType
	data     [][]byte          // its fragments, or it alone
	payloads []message.Payload // to divide it further; nil: it cannot be
	resent   int               // retransmissions so far
	base     int               // retransmissions when it was divided last
	limit    int               // retransmissions before giving up
	first    time.Duration
}

// answered is the last answer before it was sealed.
type answered struct {
	id       uint32
	exchange message.ExchangeType
	payloads []message.Payload
	repeats  int // requests for it since it was sealed
}

type heldMessage struct {
	in        Datagram
	h         message.Header
	whole     *received // reassembled from fragments; nil: in is the message
	malformed error     // of whole
}

// maxHeld bounds the messages held for a busy IKE SA: one request and one
// response fill the windows, the rest are guesses.
const maxHeld = 4

// maxBackoff is the largest multiple of the first interval.
const maxBackoff = 64

// wait is the time until the next retransmission: the interval doubles up to 64
// times itself (RFC 7296 §2.1: timers grow exponentially).
func (r *request) wait() time.Duration {
	n := min(r.resent-r.base, 6)
	return r.first * time.Duration(min(1<<n, maxBackoff))
}

// arrival is what the window says about a request of the peer.
type arrival uint8

const (
	arrivalFresh     arrival = iota // the next one
	arrivalRepeated                 // the last one, octet by octet
	arrivalForgotten                // below the window
	arrivalTooEarly                 // above the window
)

// classify looks a request up in the window. RFC 7296 §2.1: a retransmission
// is recognised by its Message ID and being the same octets; §2.2: Message IDs
// outside the window are dropped.
func (x *exchanger) classify(id uint32, data []byte) arrival {
	switch {
	case id == x.expected:
		return arrivalFresh
	case id+1 == x.expected && sha256.Sum256(data) == x.lastHash:
		return arrivalRepeated
	case id < x.expected:
		return arrivalForgotten
	}
	return arrivalTooEarly
}

// accept moves the window over a request that is authentic.
func (x *exchanger) accept(hash [sha256.Size]byte) {
	x.expected++
	x.lastHash = hash
	x.lastAnswer = nil
	x.answer = answered{}
}

// awaits says that a response with this header answers the outstanding request.
func (x *exchanger) awaits(h message.Header) bool {
	return x.inFlight != nil && h.MessageID == x.inFlight.id && h.Exchange == x.inFlight.exchange
}

// request sends a protected request of the current task and waits for its answer.
func (sa *ikeSA) request(exchange message.ExchangeType, list []message.Payload) {
	// RFC 7296 §2.2: Message IDs must not wrap; the IKE SA is closed before.
	if sa.x.next == math.MaxUint32 {
		sa.destroy(reasonInternal, "its Message IDs are used up")
		return
	}
	data, err := sa.seal(exchange, sa.x.next, false, list)
	if err != nil {
		sa.e.trace(trace.InternalErr, reasonInternal, "cannot build a request: "+err.Error(), sa.attrs()...)
		sa.destroy(reasonInternal, "a request could not be built")
		return
	}
	sa.transmit(exchange, data)
	if sa.frag.agreed {
		sa.x.inFlight.payloads = list
	}
}

// transmit sends a finished request and starts its retransmissions.
func (sa *ikeSA) transmit(exchange message.ExchangeType, data [][]byte) {
	retry := sa.retry()
	sa.x.inFlight = &request{id: sa.x.next, exchange: exchange, data: data, limit: retry.Tries, first: retry.First}
	sa.x.next++
	sa.send(sa.local, sa.peer, data)
	sa.setTimer(timerRetransmit, sa.x.inFlight.wait())
}

// retry is the schedule of this IKE SA's remote, with defaults where it has none.
func (sa *ikeSA) retry() Retransmission {
	r := Retransmission{First: 2 * time.Second, Tries: 5, Copies: 1}
	if sa.remote != nil {
		if sa.remote.Retry.First > 0 {
			r = sa.remote.Retry
		}
	}
	if sa.e.closing {
		r.First, r.Tries = shutdownInterval, 1
	}
	r.Copies = max(1, r.Copies)
	return r
}

// send emits the datagrams of a message as often as configured (times_per_send).
func (sa *ikeSA) send(local, peer netip.AddrPort, parts [][]byte) {
	for range sa.retry().Copies {
		for _, data := range parts {
			sa.e.do(Send{Local: local, Remote: peer, Data: data})
		}
	}
	if sa.natLocal && sa.state == stateEstablished {
		sa.setTimer(timerKeepalive, keepaliveInterval)
	}
}

// retransmit resends the outstanding request, or gives the peer up.
func (sa *ikeSA) retransmit() {
	r := sa.x.inFlight
	if r == nil {
		return
	}
	if r.resent >= r.limit {
		sa.unanswered()
		return
	}
	r.resent++
	sa.finerRequest(r)
	sa.send(sa.local, sa.peer, r.data)
	sa.setTimer(timerRetransmit, r.wait())
}

// unanswered ends an IKE SA whose peer does not answer (RFC 7296 §2.4).
func (sa *ikeSA) unanswered() {
	sa.x.inFlight = nil
	reason, text := reasonRetransmitLimit, "the peer does not answer"
	if sa.setup != nil && sa.setup.refusal != "" {
		reason, text = reasonPeerRefused, "the peer refuses: "+sa.setup.refusal
	}
	sa.e.trace(trace.ProtoErr, reason, text, sa.attrs()...)
	sa.farewell()
	sa.destroy(reason, text)
}

// farewell sends one DELETE that nobody waits for, to a peer whose answers may
// have been lost all the time and that would keep the IKE SA.
func (sa *ikeSA) farewell() {
	if sa.keys == nil || sa.state == stateHalfOpen || sa.state == stateDeleting || sa.x.next == math.MaxUint32 {
		return
	}
	data, err := sa.seal(message.INFORMATIONAL, sa.x.next, false, []message.Payload{&message.Delete{Protocol: message.ProtocolIKE}})
	if err == nil {
		sa.send(sa.local, sa.peer, data)
	}
}

// answeredNow ends the waiting for the outstanding request.
func (sa *ikeSA) answeredNow() {
	sa.x.inFlight = nil
	sa.stopTimer(timerRetransmit)
}

// taskDone ends the current exchange of this host and lets the next one start.
func (sa *ikeSA) taskDone() {
	sa.x.current = nil
	sa.pump()
}

// enqueue adds an exchange; it starts when the window and the IKE SA are free.
func (sa *ikeSA) enqueue(t task) {
	sa.x.queue = append(sa.x.queue, t)
	sa.pump()
}

// wait marks the IKE SA as busy with a job or with the kernel: retransmissions
// are dropped, further messages held.
func (sa *ikeSA) wait() { sa.busy = true }

// pump takes up what was held and starts what is queued.
func (sa *ikeSA) pump() {
	if sa.pumping {
		return
	}
	sa.pumping = true
	defer func() { sa.pumping = false }()
	for !sa.busy && sa.state != stateDead {
		switch x := &sa.x; {
		case len(x.held) > 0:
			m := x.held[0]
			x.held = x.held[1:]
			if m.whole != nil {
				sa.takeWhole(m)
			} else {
				sa.receive(m.in, m.h)
			}
		case x.current == nil && len(x.queue) > 0 && sa.mayStart():
			x.current = x.queue[0]
			x.queue = x.queue[1:]
			x.current.start(sa)
		default:
			return
		}
	}
}

// respond answers the request with Message ID id and keeps the answer for
// retransmissions of the request (RFC 7296 §2.1).
func (sa *ikeSA) respond(m *received, list []message.Payload) {
	data, err := sa.seal(m.Exchange, m.MessageID, true, list)
	if err != nil {
		sa.e.trace(trace.InternalErr, reasonInternal, "cannot build a response: "+err.Error(), sa.attrs()...)
		return
	}
	sa.x.lastAnswer = data
	if sa.frag.agreed && size(data) > smallestSize-overhead6 {
		sa.x.answer = answered{id: m.MessageID, exchange: m.Exchange, payloads: list}
	}
	// RFC 7296 §2.11: the answer goes to where the request came from.
	sa.send(m.in.Local, m.in.Remote, data)
}

// size counts the octets of a message in all of its datagrams.
func size(parts [][]byte) int {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// respondNotify answers with one notification and nothing else.
func (sa *ikeSA) respondNotify(m *received, kind message.NotifyType, data []byte) {
	sa.respond(m, []message.Payload{notify(kind, data)})
}

// seal protects payloads in a message of this IKE SA (RFC 7296 §3.14), divided
// into fragments where both ends know them and the path may not take it whole.
func (sa *ikeSA) seal(exchange message.ExchangeType, id uint32, response bool, list []message.Payload) ([][]byte, error) {
	h := sa.header(exchange, id, response)
	iv, err := sa.nextIV()
	if err != nil {
		return nil, err
	}
	whole, err := message.Seal(h, list, sa.keys.seals, iv)
	if err != nil {
		return nil, err
	}
	if sa.frag.agreed && len(whole)+sa.overhead() > sa.packetSize() {
		if parts, err := sa.divide(h, list, sa.packetSize()); err == nil {
			return parts, nil
		}
	}
	return [][]byte{whole}, nil
}

// header is the header of a message of this IKE SA.
func (sa *ikeSA) header(exchange message.ExchangeType, id uint32, response bool) message.Header {
	h := message.Header{SPIi: sa.spii, SPIr: sa.spir, Major: 2, Exchange: exchange, MessageID: id}
	if sa.initiator {
		h.Flags |= message.FlagInitiator
	}
	if response {
		h.Flags |= message.FlagResponse
	}
	return h
}

// nextIV is a counter for ciphers whose IV must not repeat (RFC 5282 §3.1), and
// random for CBC, whose IV must not be foreseen (RFC 7296 §3.14).
func (sa *ikeSA) nextIV() ([]byte, error) {
	iv := make([]byte, sa.keys.seals.IVSize())
	if sa.suite.encr.ID.CountsIV() {
		sa.keys.ivNext++
		for i, n := len(iv)-1, sa.keys.ivNext; i >= 0; i, n = i-1, n>>8 {
			iv[i] = byte(n)
		}
		return iv, nil
	}
	return iv, sa.e.random(iv)
}
