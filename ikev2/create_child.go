package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel/trace"
)

// childTask is a CREATE_CHILD_SA exchange of this host for a new child or for
// the successor of one.
type childTask struct {
	negotiation
	ni    []byte
	key   transform.PrivateKey // nil without perfect forward secrecy
	tried []transform.KE
	tries int       // after TEMPORARY_FAILURE
	limit time.Time // of its setting up; zero: none
	late  bool      // the limit is over
}

// start reserves the SPI and makes a key pair where the proposals have groups.
func (t *childTask) start(sa *ikeSA) {
	if t.replace != nil && !t.replace.standing() {
		sa.taskDone() // it went, or the peer has replaced it meanwhile
		return
	}
	sa.limitTask(t)
	var err error
	if t.ni, err = sa.e.nonce(sa.remote); err != nil {
		t.giveUp(sa, reasonRandom, "no nonce: "+err.Error())
		return
	}
	sa.reserve(t.want.child, true, func(c *childSA, err error) {
		if err != nil {
			t.giveUp(sa, reasonKernel, "the kernel gives no SPI: "+err.Error())
			return
		}
		t.child = c
		if group := t.firstGroup(); group != transform.KE_NONE {
			t.makeKey(sa, group)
			return
		}
		t.send(sa)
	})
}

// firstGroup is the group to begin with: that which the peer took for what is
// replaced, or the first configured one.
func (t *childTask) firstGroup() transform.KE {
	groups := t.groups()
	switch {
	case len(groups) == 0:
		return transform.KE_NONE
	case t.replace != nil && slices.Contains(groups, t.replace.suite.ke):
		return t.replace.suite.ke
	}
	return groups[0]
}

// groups are those of the child's proposals, each once.
func (t *childTask) groups() []transform.KE {
	var list []transform.KE
	for _, p := range t.want.child.Proposals {
		for _, ke := range p.KE {
			if ke != transform.KE_NONE && !slices.Contains(list, ke) {
				list = append(list, ke)
			}
		}
	}
	return list
}

func (t *childTask) makeKey(sa *ikeSA, group transform.KE) {
	t.tried = append(t.tried, group)
	sa.job("generate key "+group.String(), func() (any, error) { return transform.GenerateKey(group) }, func(v any, err error) {
		key, ok := v.(transform.PrivateKey)
		if err != nil || !ok {
			t.giveUp(sa, reasonInternal, fmt.Sprintf("no key pair for %s: %v", group, err))
			return
		}
		t.key = key
		t.send(sa)
	})
}

// send sends CREATE_CHILD_SA (RFC 7296 §1.3.1):
//
//	[N(REKEY_SA),] [N(USE_TRANSPORT_MODE),] … SA, Ni, [KEi,] TSi, TSr
func (t *childTask) send(sa *ikeSA) {
	if t.replace != nil && !t.replace.standing() {
		t.drop("what it was to replace is gone")
		sa.taskDone()
		return
	}
	list, why := t.payloads(sa, keOffer)
	if why != "" {
		t.giveUp(sa, reasonTSUnacceptable, why)
		return
	}
	if t.replace != nil {
		rekeyed := &message.Notify{Kind: message.REKEY_SA, Protocol: t.replace.conf.wireProtocol(), SPI: spiOctets(t.replace.spiIn)}
		list = append([]message.Payload{rekeyed}, list...)
	}
	list = append(list, &message.Nonce{Data: t.ni})
	if t.key != nil {
		list = append(list, kePayload(t.key))
	}
	sa.request(message.CREATE_CHILD_SA, append(list, t.tsPayloads()...))
}

// giveUp ends the exchange before it was sent.
func (t *childTask) giveUp(sa *ikeSA, reason, text string) {
	sa.e.trace(trace.InternalErr, reason, text, sa.attrs(attr("child", t.want.child.Name))...)
	t.drop(text)
	t.finish(sa, reason, text)
}

// finish ends the exchange without a child.
func (t *childTask) finish(sa *ikeSA, reason, text string) {
	if t.replace != nil {
		t.replace.rekeying = false
	}
	t.negotiation.failed(sa, reason, text)
	sa.taskDone()
}

// failed says that the IKE SA ended under it.
func (t *childTask) failed(sa *ikeSA, reason, text string) {
	t.drop(text)
	t.negotiation.failed(sa, reason, text)
}

// childAnswer takes the responder's choice (RFC 7296 §1.3.1).
func (sa *ikeSA) childAnswer(_ *row, m *received) {
	t, ok := sa.x.current.(*childTask)
	if !ok {
		sa.malformed(m, "a child that nobody asked for")
		return
	}
	nr := slices.Clone(find[*message.Nonce](m).Data)
	ke := find[*message.KE](m)
	if t.key == nil {
		t.accepted(sa, m, nr, nil)
		return
	}
	choice, err := verifyChoice(t.offered, find[*message.SA](m).Proposals)
	switch {
	case err != nil || choice.ke() == transform.KE_NONE:
		// The proposal check says what is wrong; a choice without a group has no g^ir.
		t.accepted(sa, m, nr, nil)
	case ke == nil || ke.Method != choice.ke() || ke.Method != t.key.Method():
		sa.malformed(m, "the KE payload is not of the group chosen")
	default:
		key, value := t.key, ke.Data
		t.key = nil
		sa.job("shared secret "+ke.Method.String(), func() (any, error) { return key.SharedSecret(value) }, func(v any, err error) {
			shared, _ := v.([]byte)
			if err != nil || len(shared) == 0 {
				sa.malformed(m, fmt.Sprintf("the KE payload is not usable: %v", err))
				return
			}
			t.accepted(sa, m, nr, shared)
			clear(shared)
		})
	}
}

// accepted installs the child and, after a rekey, settles what becomes of the
// old one.
func (t *childTask) accepted(sa *ikeSA, m *received, nr, shared []byte) {
	ni := t.ni
	// What loses a collision never sends: the peer deletes it at the first word of this
	// host, while the old one, and then the peer's own, still carry everything.
	t.child.outWaits = t.loses(lowest(ni, nr))
	t.accept(sa, m, ni, nr, shared, func(problem string) {
		switch {
		case t.replace != nil && slices.Contains(t.deleted, uint32(t.child.spiOut)):
			t.replace.rekeying = false
			t.replace.close("the peer has deleted its successor already")
		case t.replace != nil:
			t.replace.rekeying = false
			if problem == "" {
				t.settle(sa, lowest(ni, nr))
			}
		case problem == "" && t.late:
			t.child.close("it came too late")
		}
		sa.taskDone()
	})
}

// retryDelay is how long an exchange waits after TEMPORARY_FAILURE, and
// retryTries how often it is tried (RFC 7296 §2.25: not at once, and over a
// period of several minutes).
const (
	retryDelay = 10 * time.Second
	retryTries = 12
)

// createRefused takes an error in answer to CREATE_CHILD_SA.
func (sa *ikeSA) createRefused(_ *row, m *received) {
	n := m.refusal()
	switch t := sa.x.current.(type) {
	case *rekeyTask:
		t.refused(sa, m, n)
	case *childTask:
		t.refusedWith(sa, n)
	default:
		sa.taskDone()
	}
}

func (t *childTask) refusedWith(sa *ikeSA, n *message.Notify) {
	kind := message.NO_PROPOSAL_CHOSEN
	if n != nil {
		kind = n.Kind
	}
	superseded := t.replace != nil && !t.replace.standing()
	switch {
	case superseded:
		// RFC 7296 §2.8.1: the peer finished its own rekey first.
		t.drop("the peer has replaced the child already")
		sa.taskDone()
	case kind == message.INVALID_KE_PAYLOAD && t.otherGroup(sa, n):
	case kind == message.TEMPORARY_FAILURE && t.tries < retryTries && !t.late && sa.state == stateEstablished:
		sa.e.trace(trace.Info, reasonTemporary, "the peer has no time for a child now; trying again later", sa.attrs()...)
		t.tries++
		t.drop("tried again later")
		t.child, t.key, t.tried = nil, nil, nil
		sa.postpone(t)
		sa.taskDone()
	case kind == message.TEMPORARY_FAILURE:
		t.finish(sa, reasonTemporary, "the peer had no time for it for minutes")
		sa.terminate("the peer has answered TEMPORARY_FAILURE for minutes") // RFC 7296 §2.25
	case kind == message.CHILD_SA_NOT_FOUND && t.replace != nil:
		t.notFound(sa)
	case kind == message.NO_ADDITIONAL_SAS:
		t.elsewhere(sa, n)
	case kind == message.SINGLE_PAIR_REQUIRED && t.singlePair(sa):
	default:
		if t.replace != nil {
			t.replace.rekeying = false
		}
		t.refused(sa, n)
		sa.taskDone()
	}
}

// otherGroup retries with the group that the peer wants, if it was offered and
// not tried yet.
func (t *childTask) otherGroup(sa *ikeSA, n *message.Notify) bool {
	if n == nil || len(n.Data) != 2 {
		return false
	}
	group := transform.KE(binary.BigEndian.Uint16(n.Data))
	if !slices.Contains(t.groups(), group) || slices.Contains(t.tried, group) {
		return false
	}
	sa.e.trace(trace.Info, reasonInvalidKE, fmt.Sprintf("the peer wants %s", group), sa.attrs()...)
	t.makeKey(sa, group)
	return true
}

// notFound deals with a child that the peer does not have: it goes silently and
// another one is made (RFC 7296 §2.25).
func (t *childTask) notFound(sa *ikeSA) {
	old := t.replace
	sa.e.trace(trace.ProtoWarn, reasonChildNotFound, "the peer does not know the child SA that this host rekeys", old.attrs()...)
	t.drop("the peer does not know the old one")
	old.remove("the peer does not know it")
	sa.x.queue = append(sa.x.queue, &childTask{negotiation: negotiation{want: old.again()}})
	sa.taskDone()
}

// elsewhere asks for the child in a new IKE SA, because the peer takes no more
// in this one (RFC 7296 §1.3: NO_ADDITIONAL_SAS is for minimal responders).
func (t *childTask) elsewhere(sa *ikeSA, n *message.Notify) {
	remote := sa.remote
	if len(remote.Peers) == 0 || remote.Passive || sa.e.closing {
		t.refused(sa, n)
		sa.taskDone()
		return
	}
	sa.full = true
	sa.e.trace(trace.Info, reasonNoAdditionalSAs, "the peer takes no more children here; making another IKE SA", sa.attrs()...)
	t.drop("it is made in another IKE SA")
	sa.taskDone()
	sa.e.open(remote, []want{t.want}, 0, nil)
}

// postpone puts a task aside for a while. Where one end makes a child and the other
// rekeys the IKE SA, both are refused: the child comes first the next time, and no
// two ends keep step with each other for long.
func (sa *ikeSA) postpone(t task) {
	sa.postponed = append(sa.postponed, t)
	delay := retryDelay
	if _, rekey := t.(*rekeyTask); rekey {
		delay *= 2
	}
	sa.setTimer(timerRetry, sa.e.jitter(delay, !sa.began))
}

// retryPostponed takes the tasks up again.
func (sa *ikeSA) retryPostponed() {
	sa.x.queue = append(sa.x.queue, sa.postponed...)
	sa.postponed = nil
	sa.pump()
}
