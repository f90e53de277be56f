package ikev2

import (
	"math"
	"net/netip"
	"slices"
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

// exchanger is the one place that knows Message IDs and windows. Exchanges of this
// host overlap only in their waiting for answers, and only as far as the peer has
// promised to keep state for them (RFC 7296 §2.3); what they do at their beginning
// and end, jobs and kernel operations included, is done by one after the other.
type exchanger struct {
	// requests of this host
	next    uint32     // Message ID of the next request
	peers   int        // how many the peer takes at once; 0 is as 1
	flights []*request // outstanding, by Message ID
	current task       // that is started just now, or whose answer is worked on
	asked   *request   // that was answered last
	queue   []task

	// requests of the peer (window.go)
	own      int      // how many this host has promised to take at once; 0 is as 1
	expected uint32   // the lowest Message ID that did not come yet
	newest   uint32   // the highest one that came
	taken    []*taken // in the order in which they came
	held     []heldMessage
}

// request is an outstanding request.
type request struct {
	task     task
	id       uint32
	exchange message.ExchangeType
	data     [][]byte          // its fragments, or it alone
	payloads []message.Payload // to divide it further; nil: it cannot be
	resent   int               // retransmissions so far
	base     int               // retransmissions when it was divided last
	limit    int               // retransmissions before giving up
	first    time.Duration
	due      time.Time // of the next retransmission
	paths    []path    // that it was sent on
}

// heldMessage arrived while the IKE SA was busy.
type heldMessage struct {
	in        Datagram
	h         message.Header
	whole     *received // reassembled from fragments; nil: in is the message
	malformed error     // of whole
}

// maxHeld bounds the messages held for a busy IKE SA, beyond what fills the
// windows: the rest are guesses.
const maxHeld = 2

// maxBackoff is the largest multiple of the first interval.
const maxBackoff = 8

// wait is the time until the next retransmission: the interval doubles up to 8
// times itself (RFC 7296 §2.1: timers grow exponentially). With what config has built
// in, a peer is given up after 2, 4, 8 and four times 16 seconds.
func (r *request) wait() time.Duration {
	n := min(r.resent-r.base, 6)
	return r.first * time.Duration(min(1<<n, maxBackoff))
}

// window is how many requests may be outstanding.
func (x *exchanger) window() int { return max(1, x.peers) }

// open says that the window has room for one more request: RFC 7296 §2.3, all up
// to request X-N are answered.
func (x *exchanger) open() bool {
	return len(x.flights) == 0 || x.next-x.flights[0].id < uint32(x.window())
}

// flight is the outstanding request that a response with this header answers.
func (x *exchanger) flight(h message.Header) *request {
	for _, r := range x.flights {
		if r.id == h.MessageID && r.exchange == h.Exchange {
			return r
		}
	}
	return nil
}

// underWay are the exchanges of this host from their start to their end.
func (x *exchanger) underWay() []task {
	var list []task
	if x.current != nil {
		list = append(list, x.current)
	}
	for _, r := range x.flights {
		if r.task != nil && r.task != x.current {
			list = append(list, r.task)
		}
	}
	return list
}

// exchangeUnderWay finds an exchange of this host by its kind.
func exchangeUnderWay[T task](sa *ikeSA, fits func(T) bool) (T, bool) {
	for _, t := range sa.x.underWay() {
		if found, ok := t.(T); ok && (fits == nil || fits(found)) {
			return found, true
		}
	}
	var none T
	return none, false
}

// alone says that a task shares the IKE SA with no other.
func alone(t task) bool {
	switch t.(type) {
	case setupTask, *rekeyTask, *deleteTask, *retireTask, *relocateTask:
		return true
	}
	return false
}

// about is the child that a task replaces or deletes; nil: none.
func about(t task) *childSA {
	switch t := t.(type) {
	case *childTask:
		return t.replace
	case *deleteChildTask:
		return t.child
	}
	return nil
}

// collides says that two exchanges of this host must not overlap.
func collides(a, b task) bool {
	return alone(a) || alone(b) || about(a) != nil && about(a) == about(b) || addressing(a) && addressing(b)
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
	r := sa.transmit(exchange, data)
	if sa.frag.agreed {
		r.payloads = list
	}
	if !alone(r.task) {
		sa.x.current = nil // others may start while it waits for its answer
		sa.pump()
	}
}

// transmit sends a finished request of the current task and starts its
// retransmissions.
func (sa *ikeSA) transmit(exchange message.ExchangeType, data [][]byte) *request {
	retry := sa.retry()
	r := &request{task: sa.x.current, id: sa.x.next, exchange: exchange, data: data, limit: retry.Tries, first: retry.First}
	r.due = sa.e.now.Add(r.wait())
	sa.x.flights = append(sa.x.flights, r)
	sa.x.next++
	sa.sendOn(r, sa.here())
	sa.armRetransmit()
	return r
}

// armRetransmit sets the timer for the request that is due first.
func (sa *ikeSA) armRetransmit() {
	if len(sa.x.flights) == 0 {
		sa.stopTimer(timerRetransmit)
		return
	}
	first := slices.MinFunc(sa.x.flights, func(a, b *request) int { return a.due.Compare(b.due) })
	sa.setTimer(timerRetransmit, first.due.Sub(sa.e.now))
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
	return sa.patience(r)
}

// send emits the datagrams of a message as often as configured (times_per_send).
func (sa *ikeSA) send(local, peer netip.AddrPort, parts [][]byte) {
	for range sa.retry().Copies {
		for _, data := range parts {
			sa.e.do(Send{Local: local, Remote: peer, Data: data})
		}
	}
	if sa.needsKeepalive() && sa.state == stateEstablished {
		sa.setTimer(timerKeepalive, keepaliveInterval)
	}
}

// retransmit resends what is due, or gives the peer up.
func (sa *ikeSA) retransmit() {
	for _, r := range sa.x.flights {
		if r.due.After(sa.e.now) {
			continue
		}
		if r.resent >= r.limit {
			sa.unanswered()
			return
		}
		r.resent++
		sa.finerRequest(r)
		sa.resend(r)
		r.due = sa.e.now.Add(r.wait())
	}
	sa.armRetransmit()
}

// unanswered ends an IKE SA whose peer does not answer (RFC 7296 §2.4).
func (sa *ikeSA) unanswered() {
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

// answered ends the waiting for an outstanding request: its task goes on.
func (sa *ikeSA) answered(r *request) {
	sa.x.current, sa.x.asked = r.task, r
	sa.x.flights = slices.DeleteFunc(sa.x.flights, func(o *request) bool { return o == r })
	sa.armRetransmit()
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
		case x.current == nil && len(x.queue) > 0 && x.open() && sa.mayStart():
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
	var made answered
	if sa.frag.agreed && size(data) > smallestSize-overhead6 {
		made = answered{exchange: m.Exchange, payloads: list}
	}
	sa.x.keep(m.MessageID, data, made)
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
	whole, err := message.SealPadded(h, list, sa.keys.seals, iv, sa.padding())
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
