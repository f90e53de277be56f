package ikev2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel/trace"
)

// replacement is what the peer's request to rekey this IKE SA made, while this
// host's own request is under way.
type replacement struct {
	sa  *ikeSA
	low []byte // the lower nonce of that exchange
}

// replacedTime is how long a replaced IKE SA waits for its deletion.
const replacedTime = 60 * time.Second

// maxReplaced bounds the predecessors of an IKE SA that its peer has replaced and not
// deleted, so that rekeying without end makes no IKE SAs without end.
const maxReplaced = 8

// lineage is what an IKE SA shares with its successors.
type lineage struct {
	waiting int // replaced by the peer, which is to delete them
}

// waitsForDeletion counts an IKE SA that the peer has replaced.
func (sa *ikeSA) waitsForDeletion() {
	sa.setTimer(timerGiveUp, replacedTime)
	if !sa.waits {
		sa.waits = true
		sa.line.waiting++
	}
}

// noLongerWaits takes it out of the count.
func (sa *ikeSA) noLongerWaits() {
	if sa.waits {
		sa.waits = false
		sa.line.waiting--
	}
}

// rekeyTask is a CREATE_CHILD_SA exchange of this host for the successor of the
// IKE SA (RFC 7296 §1.3.2, §2.18).
type rekeyTask struct {
	spi     uint64
	ni      []byte
	key     transform.PrivateKey
	tried   []transform.KE
	offered []message.Proposal
	tries   int
}

func (t *rekeyTask) start(sa *ikeSA) {
	var err error
	if t.spi, err = sa.e.newSPI(); err == nil {
		t.ni, err = sa.e.nonce(sa.remote)
	}
	groups := sa.remote.groups()
	if err != nil || len(groups) == 0 {
		sa.e.trace(trace.InternalErr, reasonInternal, fmt.Sprintf("cannot rekey the IKE SA: %v", err), sa.attrs()...)
		sa.taskDone()
		return
	}
	t.offered = offer(sa.remote.ikeAlternatives(), binary.BigEndian.AppendUint64(nil, t.spi))
	group := groups[0]
	if slices.Contains(groups, sa.suite.ke) {
		group = sa.suite.ke // the one that the peer took before
	}
	t.makeKey(sa, group)
}

func (t *rekeyTask) makeKey(sa *ikeSA, group transform.KE) {
	t.tried = append(t.tried, group)
	sa.job("generate key "+group.String(), func() (any, error) { return transform.GenerateKey(group) }, func(v any, err error) {
		key, ok := v.(transform.PrivateKey)
		if err != nil || !ok {
			sa.e.trace(trace.InternalErr, reasonInternal, fmt.Sprintf("no key pair for %s: %v", group, err), sa.attrs()...)
			sa.taskDone()
			return
		}
		t.key = key
		sa.request(message.CREATE_CHILD_SA, []message.Payload{
			&message.SA{Proposals: t.offered}, &message.Nonce{Data: t.ni}, kePayload(key),
		})
	})
}

func (t *rekeyTask) failed(*ikeSA, string, string) {}

// rekeyAnswer takes the responder's half of the successor.
func (sa *ikeSA) rekeyAnswer(_ *row, m *received) {
	t, ok := sa.x.current.(*rekeyTask)
	if !ok {
		sa.malformed(m, "a rekeying that nobody asked for")
		return
	}
	choice, err := verifyChoice(t.offered, find[*message.SA](m).Proposals)
	ke := find[*message.KE](m)
	switch {
	case err == nil && (ke.Method != choice.ke() || ke.Method != t.key.Method()):
		err = fmt.Errorf("the KE payload is not of the group chosen")
	case err == nil && binary.BigEndian.Uint64(choice.spi) == 0:
		err = fmt.Errorf("the new SPI is 0")
	}
	if err != nil {
		sa.malformed(m, err.Error())
		return
	}
	key, value, nr := t.key, ke.Data, slices.Clone(find[*message.Nonce](m).Data)
	t.key = nil
	sa.job("shared secret "+ke.Method.String(), func() (any, error) { return key.SharedSecret(value) }, func(v any, err error) {
		shared, _ := v.([]byte)
		defer clear(shared)
		if err != nil || len(shared) == 0 {
			sa.malformed(m, fmt.Sprintf("the KE payload is not usable: %v", err))
			return
		}
		next, err := sa.successor(true, t.spi, binary.BigEndian.Uint64(choice.spi), choice.suite(), shared, t.ni, nr)
		if err != nil {
			sa.e.trace(trace.InternalErr, reasonInternal, "no keys: "+err.Error(), sa.attrs()...)
			sa.taskDone()
			return
		}
		t.settle(sa, next, lowest(t.ni, nr))
	})
}

// settle decides which IKE SA goes on. After a collision the one whose exchange
// has the lowest of the four nonces is deleted by the end that made it, and the
// other one inherits the children (RFC 7296 §2.8.2).
func (t *rekeyTask) settle(sa, next *ikeSA, low []byte) {
	sa.x.current = nil
	if p := sa.replacement; p != nil && p.sa.state == stateEstablished {
		sa.replacement = nil
		if bytes.Compare(low, p.low) < 0 {
			sa.handOver(p.sa)
			next.terminate("both ends rekeyed at once, and the other IKE SA stays")
			return
		}
		p.sa.redundant(next)
	}
	sa.handOver(next)
	sa.terminate("it was rekeyed")
}

// redundant has an IKE SA of the peer's making wait for the peer's deletion, good
// for nothing else. A peer that our answer has not reached in time does not even
// know it, so nothing may be begun on it.
func (sa *ikeSA) redundant(instead *ikeSA) {
	sa.state, sa.next = stateRekeyed, instead
	sa.stopForSuccessor()
	sa.setTimer(timerGiveUp, replacedTime)
}

// stopForSuccessor stops what an IKE SA no longer does once another stands in its place.
func (sa *ikeSA) stopForSuccessor() {
	for _, k := range []timerKind{timerRekey, timerChildren, timerReauth, timerExpire, timerGrace, timerLiveness, timerKeepalive, timerRetry, timerChildLimit, timerOctets} {
		sa.stopTimer(k)
	}
}

// rekeyRequest answers the peer's request for the successor.
func (sa *ikeSA) rekeyRequest(r *row, m *received) {
	if text := sa.cannotRekey(); text != "" {
		sa.e.trace(trace.ProtoWarn, reasonTemporary, text, sa.attrs()...)
		sa.respondNotify(m, message.TEMPORARY_FAILURE, nil)
		return
	}
	offers, ke := find[*message.SA](m).Proposals, find[*message.KE](m)
	ours := sa.remote.acceptable()
	choice, why := choose(ours, offers, ke.Method)
	switch {
	case choice == nil:
		text := why.words(sa.remote.place())
		sa.e.trace(trace.ProtoErr, reasonNoProposal, "no proposal for rekeying the IKE SA is acceptable: "+text, sa.attrs(
			attr("offered", proposalList(offers)), attr("configured", proposalList(offer(ours, nil))), attr("first_mismatch", text))...)
		sa.respondNotify(m, message.NO_PROPOSAL_CHOSEN, nil)
		return
	case len(choice.spi) != 8 || binary.BigEndian.Uint64(choice.spi) == 0:
		sa.malformed(m, "the new SPI is not 8 octets or is 0")
		return
	case choice.ke() != ke.Method:
		sa.e.trace(trace.ProtoWarn, reasonInvalidKE, fmt.Sprintf("KE: peer sends a value for %s; of its offer %s chooses %s",
			ke.Method, sa.remote.place(), choice.ke()), sa.attrs()...)
		sa.respondNotify(m, message.INVALID_KE_PAYLOAD, binary.BigEndian.AppendUint16(nil, uint16(choice.ke())))
		return
	}
	sa.job("key exchange "+ke.Method.String(), keyExchange(ke.Method, ke.Data), func(v any, err error) {
		x, ok := v.(exchanged)
		if err != nil || !ok {
			sa.malformed(m, fmt.Sprintf("the KE payload is not usable: %v", err))
			return
		}
		defer clear(x.shared)
		sa.answerRekey(r, m, choice, x)
	})
}

// cannotRekey is why the IKE SA cannot be rekeyed now (RFC 7296 §2.25).
func (sa *ikeSA) cannotRekey() string {
	for _, t := range sa.x.underWay() {
		switch t.(type) {
		case *childTask, *deleteChildTask:
			return "the peer rekeys the IKE SA while a child of it is made or closed"
		}
	}
	if sa.closing {
		return "the peer rekeys an IKE SA that is being closed"
	}
	if sa.replacement != nil {
		return "the peer rekeys the IKE SA twice"
	}
	if sa.line.waiting >= maxReplaced {
		return fmt.Sprintf("the peer rekeys the IKE SA and has deleted none of the last %d", sa.line.waiting)
	}
	return ""
}

func (sa *ikeSA) answerRekey(r *row, m *received, choice *chosen, x exchanged) {
	ni := slices.Clone(find[*message.Nonce](m).Data)
	nr, err := sa.e.nonce(sa.remote)
	var spi uint64
	var next *ikeSA
	if err == nil {
		spi, err = sa.e.newSPI()
	}
	if err == nil {
		next, err = sa.successor(false, binary.BigEndian.Uint64(choice.spi), spi, choice.suite(), x.shared, ni, nr)
	}
	if err != nil {
		sa.e.trace(trace.InternalErr, reasonInternal, "cannot rekey the IKE SA: "+err.Error(), sa.attrs()...)
		sa.respondNotify(m, message.TEMPORARY_FAILURE, nil)
		return
	}
	sa.respond(m, []message.Payload{
		&message.SA{Proposals: []message.Proposal{choice.proposal(binary.BigEndian.AppendUint64(nil, spi))}},
		&message.Nonce{Data: nr}, &message.KE{Method: choice.ke(), Data: x.public},
	})
	if _, crossing := exchangeUnderWay[*rekeyTask](sa, nil); crossing {
		sa.replacement = &replacement{next, lowest(ni, nr)}
		return
	}
	sa.handOver(next)
	sa.state = r.next
	sa.waitsForDeletion()
}

// successor makes the IKE SA that follows this one: new SPIs and keys, Message
// IDs from 0, the same identities (RFC 7296 §2.18).
func (sa *ikeSA) successor(initiator bool, spii, spir uint64, s suite, shared, ni, nr []byte) (*ikeSA, error) {
	seed := rekeySeed(sa.keys, shared, ni, nr)
	defer clear(seed)
	k, err := sa.e.deriveKeys(s, seed, ni, nr, spii, spir, initiator)
	if err != nil {
		return nil, err
	}
	next := sa.e.newSA(sa.local, sa.peer, initiator)
	next.spii, next.spir, next.suite, next.keys = spii, spir, s, k
	next.natLocal, next.natPeer, next.forwarded = sa.natLocal, sa.natPeer, sa.forwarded
	next.line = sa.line
	next.inheritAuth(sa)
	next.inheritMobility(sa)
	next.ppk = sa.ppk // RFC 8784 §3: in SK_d already, and not mixed in again
	next.frag.agreed, next.frag.size = sa.frag.agreed, sa.frag.size
	next.localID, next.peerID = sa.localID, sa.peerID
	sa.e.bySPI[next.ownSPI()] = next
	next.bind(sa.remote)
	next.establish()
	return next, nil
}

// handOver gives children and waiting exchanges to the successor.
func (sa *ikeSA) handOver(next *ikeSA) {
	sa.state, sa.next = stateRekeyed, next
	if sa.mob.moves > next.mob.moves {
		next.local, next.peer, next.natLocal, next.natPeer, next.forwarded = sa.local, sa.peer, sa.natLocal, sa.natPeer, sa.forwarded
		next.inheritMobility(sa)
	}
	sa.e.trace(trace.Info, reasonIKERekeyed, "IKE SA rekeyed", next.attrs()...)
	next.succeed(sa)
	for _, c := range sa.children {
		c.sa = next
	}
	next.children = append(next.children, sa.children...)
	sa.children = nil
	tasks := append(sa.x.queue, sa.postponed...)
	sa.x.queue, sa.postponed = nil, nil
	var deletion *deleteTask
	for _, t := range tasks {
		switch t := t.(type) {
		case *childTask, *deleteChildTask, *retireTask, *updateTask, *addressTask, *routabilityTask:
			next.x.queue = append(next.x.queue, t)
		case *deleteTask:
			deletion = t
		}
	}
	sa.passHeir(next)
	sa.stopForSuccessor()
	next.announceWindow()
	next.armGrace()
	next.armChildren()
	next.armChildLimit()
	if len(next.children) > 0 {
		next.stopTimer(timerGrace)
	}
	if deletion != nil {
		// What was to be deleted is the successor by now.
		sa.closing = false
		next.terminate(deletion.why)
	}
	next.pump()
}

// inherit saves the children of an IKE SA that ends while a successor of the
// peer's making stands beside it (RFC 7296 §2.8.2: the peer did not notice that
// both ends rekeyed).
func (sa *ikeSA) inherit() {
	if p := sa.replacement; p != nil && p.sa.state == stateEstablished {
		sa.replacement = nil
		sa.x.current = nil
		sa.handOver(p.sa)
	}
}

// refused deals with an error in answer to this host's request.
func (t *rekeyTask) refused(sa *ikeSA, m *received, n *message.Notify) {
	kind := message.NO_PROPOSAL_CHOSEN
	if n != nil {
		kind = n.Kind
	}
	if p := sa.replacement; p != nil {
		// The peer's own request has made the successor; this one is moot.
		sa.replacement = nil
		sa.x.current = nil
		sa.handOver(p.sa)
		sa.waitsForDeletion()
		return
	}
	if kind == message.INVALID_KE_PAYLOAD && len(n.Data) == 2 {
		group := transform.KE(binary.BigEndian.Uint16(n.Data))
		if slices.Contains(sa.remote.groups(), group) && !slices.Contains(t.tried, group) {
			t.makeKey(sa, group)
			return
		}
	}
	switch {
	case kind == message.TEMPORARY_FAILURE && t.tries < retryTries && sa.state == stateEstablished:
		sa.postpone(&rekeyTask{tries: t.tries + 1})
	case kind == message.NO_ADDITIONAL_SAS && len(sa.remote.Peers) > 0 && !sa.remote.Passive:
		// RFC 7296 §4: such a peer does not rekey; a new IKE SA takes its place.
		sa.e.trace(trace.Info, reasonNoAdditionalSAs, "the peer does not rekey IKE SAs; making another one", sa.attrs()...)
		sa.full = true
		defer sa.reauthenticate()
	default:
		sa.e.trace(trace.ProtoErr, reasonPeerRefused, fmt.Sprintf("the peer does not rekey the IKE SA: %s; it ends with its lifetime", kind), sa.attrs()...)
	}
	sa.taskDone()
}

// refuseTemporarily answers a request for something new on an IKE SA that is
// replaced or being deleted (RFC 7296 §2.25.2).
func (sa *ikeSA) refuseTemporarily(_ *row, m *received) {
	sa.e.trace(trace.Debug, reasonTemporary, "a request on an IKE SA that is "+sa.state.String(), sa.attrs()...)
	sa.respondNotify(m, message.TEMPORARY_FAILURE, nil)
}
