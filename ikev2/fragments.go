package ikev2

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// fragmentation is what an IKE SA knows of fragments (RFC 7383).
type fragmentation struct {
	agreed  bool       // both ends have sent IKEV2_FRAGMENTATION_SUPPORTED
	size    int        // octets of an IP packet with a fragment; 0 until one is needed
	partial []*partial // messages that are coming in, the one that began first in front
}

// partial is a message of which some fragments are there.
type partial struct {
	message.Reassembly
	id       uint32
	response bool
	first    [sha256.Size]byte // of fragment 1, by which its retransmission is known
	largest  int               // IKE message among them
	counted  int               // octets of it in Engine.reassembling
}

const (
	// What an IP packet and UDP take of its size, with the non-ESP marker.
	overhead4 = 20 + 8 + 4
	overhead6 = 40 + 8 + 4

	// RFC 7383 §2.5.1 recommends 576 octets with IPv4, which every host takes, and
	// 1280 with IPv6. This engine begins with the size of an Ethernet on IPv4 and
	// goes down when there is no answer (§2.5.2).
	firstSize4   = 1500
	firstSize6   = 1280
	smallestSize = 576

	// triesPerSize is how many retransmissions a size gets before a smaller one is tried.
	triesPerSize = 2
	// reassemblyTime is how long fragments wait for the others (RFC 7383 §2.6).
	reassemblyTime = 30 * time.Second
	// maxReassembling bounds the octets that incomplete messages hold in one shard.
	maxReassembling = 4 << 20
)

// finerSize is the next smaller size of packets; 0 when there is none.
func finerSize(size int) int {
	for _, s := range []int{firstSize6, smallestSize} {
		if s < size {
			return s
		}
	}
	return 0
}

// packetSize is the largest IP packet that a message is sent in unfragmented,
// where fragments are agreed on.
func (sa *ikeSA) packetSize() int {
	if sa.frag.size == 0 {
		sa.frag.size = firstSize4
		if sa.peer.Addr().Is6() {
			sa.frag.size = firstSize6
		}
		r := sa.remote
		if r == nil && sa.setup != nil {
			r = sa.setup.remote
		}
		if r != nil && r.FragmentSize > 0 {
			sa.frag.size = max(r.FragmentSize, smallestSize)
		}
	}
	return sa.frag.size
}

// overhead is what packets have besides the IKE message.
func (sa *ikeSA) overhead() int {
	if sa.peer.Addr().Is6() {
		return overhead6
	}
	return overhead4
}

// divide seals payloads in fragments for packets of a size.
func (sa *ikeSA) divide(h message.Header, list []message.Payload, size int) ([][]byte, error) {
	return message.SealFragments(h, list, sa.keys.seals, sa.nextIV, size-sa.overhead())
}

// finer seals a message again in more fragments, for a path that may lose those of
// this size (RFC 7383 §2.5.2: the total really grows). nil says that it cannot.
func (sa *ikeSA) finer(h message.Header, list []message.Payload, parts int) [][]byte {
	if !sa.frag.agreed || list == nil || sa.keys == nil || sa.keys.seals == nil {
		return nil
	}
	for size := finerSize(sa.packetSize()); size > 0; size = finerSize(size) {
		again, err := sa.divide(h, list, size)
		if err != nil || len(again) <= parts {
			continue
		}
		sa.frag.size = size
		sa.e.trace(trace.Info, reasonPathSize, fmt.Sprintf("no answer to large packets; trying fragments of %d octets", size), sa.attrs()...)
		return again
	}
	return nil
}

// finerRequest divides the outstanding request further when its size has had its
// tries. Its retransmissions begin anew (RFC 7383 §2.5.2).
func (sa *ikeSA) finerRequest(r *request) {
	if r.resent-r.base <= triesPerSize {
		return
	}
	if parts := sa.finer(sa.header(r.exchange, r.id, false), r.payloads, len(r.data)); parts != nil {
		r.data = parts
		r.limit += r.resent - r.base
		r.base = r.resent
	}
}

// finerAnswer divides the cached answer further when the request keeps coming
// (RFC 7383 §2.4: repeated retransmissions tell that the answer is lost).
func (sa *ikeSA) finerAnswer(t *taken) {
	a := &t.made
	a.repeats++
	if a.repeats < triesPerSize {
		return
	}
	if parts := sa.finer(sa.header(a.exchange, t.id, true), a.payloads, len(t.answer)); parts != nil {
		t.answer = parts
		a.repeats = 0
	}
}

// isFragment says that a message begins with an SKF payload.
func isFragment(data []byte) bool {
	return len(data) > message.HeaderLen && message.PayloadType(data[16]) == message.PayloadSKF
}

// openFragment verifies one fragment. New ones only: what is there already costs nothing.
func (sa *ikeSA) openFragment(in Datagram, known *partial) (*message.EncryptedFragment, []byte) {
	raw, err := message.Decode(in.Data)
	if err != nil || sa.keys == nil || !sa.frag.agreed {
		why := "before keys are agreed or without agreement on fragments"
		if err != nil {
			why = "that is malformed: " + err.Error()
		}
		sa.e.drop(in, reasonFragment, "a fragment "+why)
		return nil, nil
	}
	if f, ok := raw.Payloads[len(raw.Payloads)-1].(*message.EncryptedFragment); ok && known != nil && known.Has(f) {
		return nil, nil // RFC 7383 §2.6: a replay
	}
	f, part, err := message.OpenFragment(in.Data, raw, sa.keys.opens)
	if err != nil {
		sa.e.trace(trace.ProtoWarn, reasonIntegrity, "a fragment whose integrity check fails", sa.attrs()...)
		return nil, nil
	}
	return f, part
}

// partialOf is what is there of the message of a fragment; a new one is not listed.
func (sa *ikeSA) partialOf(h message.Header) *partial {
	response := h.Flags&message.FlagResponse != 0
	for _, p := range sa.frag.partial {
		if p.id == h.MessageID && p.response == response {
			return p
		}
	}
	return &partial{id: h.MessageID, response: response}
}

// listPartial keeps a message of which a first fragment is there. No more messages
// are in pieces than the windows have room for: beyond that the oldest is given up.
func (sa *ikeSA) listPartial(p *partial) {
	if slices.Contains(sa.frag.partial, p) {
		return
	}
	if len(sa.frag.partial) > sa.x.window()+int(sa.x.promised()) {
		sa.forgetFragments(sa.frag.partial[0])
	}
	sa.setTimer(timerFragments, reassemblyTime)
	sa.frag.partial = append(sa.frag.partial, p)
}

// fragment takes one fragment of the message that is next. Nothing is kept
// before its integrity is checked.
func (sa *ikeSA) fragment(in Datagram, h message.Header) {
	p := sa.partialOf(h)
	hash := sha256.Sum256(in.Data) // before opening, which decrypts in place
	f, part := sa.openFragment(in, p)
	if f == nil {
		return
	}
	if sa.e.reassembling+len(part) > maxReassembling {
		sa.e.drop(in, reasonFragmentLimit, "incomplete messages hold as much memory as allowed")
		return
	}
	complete, err := p.Add(f, part)
	if err != nil {
		sa.badFragment(in, err)
		return
	}
	sa.listPartial(p)
	p.largest = max(p.largest, len(in.Data))
	sa.e.reassembling += p.Size() - p.counted
	p.counted = p.Size()
	if f.Number == 1 {
		p.first = hash
	}
	if complete {
		sa.reassembled(in, h, p)
	}
}

// badFragment deals with an authentic fragment that does not fit the others.
func (sa *ikeSA) badFragment(in Datagram, err error) {
	if errors.Is(err, message.ErrOldFragment) {
		sa.e.trace(trace.Debug, reasonFragment, "a fragment of an older division", sa.attrs()...)
		return
	}
	sa.e.drop(in, reasonFragment, "a fragment is dropped: "+err.Error())
}

// reassembled processes a message as if it had come whole (RFC 7383 §2.6).
func (sa *ikeSA) reassembled(in Datagram, h message.Header, p *partial) {
	payloads, err := p.Payloads()
	m := &received{Header: h, in: in, payloads: payloads, hash: p.first}
	// RFC 7383 §2.5.1: what the peer's fragments measure is a good size for the
	// answer, too.
	if size := p.largest + sa.overhead(); size < sa.packetSize() {
		sa.frag.size = max(size, smallestSize)
	}
	sa.forgetFragments(p)
	if sa.busy {
		sa.holdMessage(heldMessage{in: in, h: h, whole: m, malformed: err})
		return
	}
	sa.authentic(m)
	if err != nil {
		sa.malformed(m, err.Error())
		return
	}
	sa.dispatch(m)
}

// takeWhole takes up a reassembled message that waited for a job. The window may
// have moved over another copy of it.
func (sa *ikeSA) takeWhole(held heldMessage) {
	m := held.whole
	if m.response() && sa.x.flight(m.Header) == nil || !m.response() && sa.x.place(m.MessageID) != arrivalFresh {
		return
	}
	sa.authentic(m)
	if held.malformed != nil {
		sa.malformed(m, held.malformed.Error())
		return
	}
	sa.dispatch(m)
}

// fragmentAgain deals with a fragment of a request that was processed.
// RFC 7383 §2.6.1: only number 1 makes the answer go out again.
func (sa *ikeSA) fragmentAgain(in Datagram, t *taken) {
	f, _ := sa.openFragment(in, nil)
	if f != nil && f.Number == 1 {
		sa.repeated(in, t)
	}
}

// forgetFragments wipes what is there of an incomplete message.
func (sa *ikeSA) forgetFragments(p *partial) {
	sa.e.reassembling -= p.counted
	p.Reset()
	p.counted = 0
	sa.frag.partial = slices.DeleteFunc(sa.frag.partial, func(o *partial) bool { return o == p })
}

// forgetAllFragments does so for both directions: their time is over, or the IKE SA's.
func (sa *ikeSA) forgetAllFragments() {
	for _, p := range slices.Clone(sa.frag.partial) {
		if p.counted > 0 && sa.state != stateDead {
			sa.e.trace(trace.ProtoWarn, reasonFragment, "a message of which fragments are missing is given up", sa.attrs()...)
		}
		sa.forgetFragments(p)
	}
}
