package ikev2

import (
	"fmt"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// deleteTask deletes the IKE SA (RFC 7296 §1.4.1), or tells why it ends.
type deleteTask struct {
	why    string
	notify message.NotifyType // 0: a Delete payload
}

// deletingTime bounds the waiting for the answer to a deletion.
const deletingTime = 60 * time.Second

func (t *deleteTask) start(sa *ikeSA) {
	sa.state = stateDeleting
	limit := deletingTime
	if sa.e.closing {
		limit = shutdownTime
	}
	sa.setTimer(timerGiveUp, limit)
	for _, c := range append([]*childSA(nil), sa.children...) {
		c.remove(t.why)
	}
	if t.notify != 0 {
		sa.request(message.INFORMATIONAL, []message.Payload{notify(t.notify, nil)})
		return
	}
	sa.request(message.INFORMATIONAL, []message.Payload{&message.Delete{Protocol: message.ProtocolIKE}})
}

func (t *deleteTask) failed(*ikeSA, string, string) {}

// terminate queues the deletion of the IKE SA, before everything else that waits.
func (sa *ikeSA) terminate(why string) {
	if sa.closing || sa.state == stateDead || sa.state == stateDeleting {
		return
	}
	switch sa.state {
	case stateEstablished, stateRekeyed:
	case stateAuthSent:
		// The peer may hold it for established: its answer is waited for, and
		// answered with the deletion.
		sa.closing = true
		wanted := sa.setup.wanted
		sa.setup.wanted = nil
		for _, w := range wanted {
			sa.e.do(InitiateFailed{Remote: sa.remoteName(), Child: w.child.Name, Reason: why})
		}
		return
	default:
		sa.destroy(reasonIKEDeleted, why)
		return
	}
	sa.closing = true
	// The window may be taken by a request that is never answered, whose
	// retransmissions go on for long: the deletion does not wait for all of them.
	sa.setTimer(timerGiveUp, deletingTime)
	waiting := sa.x.queue
	sa.x.queue = []task{&deleteTask{why: why}}
	for _, t := range append(waiting, sa.postponed...) {
		t.failed(sa, reasonIKEDeleted, why)
	}
	sa.postponed = nil
	sa.pump()
}

// deleteAnswer takes the answer to the deletion.
func (sa *ikeSA) deleteAnswer(_ *row, _ *received) {
	why := "this host has deleted it"
	if t, ok := sa.x.current.(*deleteTask); ok && t.why != "" {
		why = t.why
	}
	sa.destroy(reasonIKEDeleted, why)
}

// deleteChildTask tells the peer that a child goes.
type deleteChildTask struct {
	proto message.Protocol
	spi   kernel.SPI // of this host's inbound SA
	child *childSA   // nil when it has left the kernel already
	why   string
}

func (t *deleteChildTask) start(sa *ikeSA) {
	if t.child != nil && t.child.state == childGone {
		sa.taskDone() // the peer was faster
		return
	}
	sa.request(message.INFORMATIONAL, []message.Payload{
		&message.Delete{Protocol: t.proto, SPIs: []uint32{uint32(t.spi)}},
	})
}

func (t *deleteChildTask) failed(*ikeSA, string, string) {}

// livenessTask asks whether the peer is alive (RFC 7296 §2.4).
type livenessTask struct{}

func (livenessTask) start(sa *ikeSA) {
	var list []message.Payload
	if sa.mob.agreed && sa.began && sa.natLocal {
		list = sa.natPayloads(sa.remote, sa.local, sa.peer) // RFC 4555 §3.8
	}
	sa.request(message.INFORMATIONAL, list)
}
func (livenessTask) failed(*ikeSA, string, string) {}

// informAnswer ends an INFORMATIONAL exchange of this host.
func (sa *ikeSA) informAnswer(_ *row, m *received) {
	paths := sa.x.asked.paths
	switch t := sa.x.current.(type) {
	case *deleteChildTask:
		if t.child != nil {
			t.child.remove(t.why)
		}
	case *updateTask:
		t.answered(sa, m, paths)
	case *addressTask:
		t.answered(sa, m, paths)
	case *routabilityTask:
		t.answered(sa, m, paths)
	case livenessTask:
		sa.now().checkMapping(m)
	}
	// The paired SPIs in the answer are of children that went with the request
	// (RFC 7296 §1.4.1); whatever else is named there goes too.
	sa.deleteNamed(m)
	sa.taskDone()
}

// informRequest answers an INFORMATIONAL request: deletions, and the empty one
// that asks for life (RFC 7296 §1.4).
func (sa *ikeSA) informRequest(_ *row, m *received) {
	for _, p := range m.payloads {
		switch p := p.(type) {
		case *message.Delete:
			if p.Protocol == message.ProtocolIKE {
				sa.respond(m, nil)
				sa.destroy(reasonIKEDeleted, "the peer has deleted it")
				return
			}
		case *message.Notify:
			if p.Kind == message.AUTHENTICATION_FAILED || p.Kind == message.INVALID_SYNTAX {
				// RFC 7296 §2.21.2: it ends the IKE SA without a Delete payload.
				sa.respond(m, nil)
				sa.e.trace(trace.ProtoErr, reasonAuthFailed, fmt.Sprintf("the peer says %s", p.Kind), sa.attrs()...)
				sa.destroy(reasonAuthFailed, fmt.Sprintf("the peer says %s", p.Kind))
				return
			}
			if p.Kind == message.INVALID_SPI {
				sa.invalidSPI(p)
			}
			sa.e.trace(trace.Debug, "", fmt.Sprintf("the peer says %s", p.Kind), sa.attrs()...)
		}
	}
	sa.noteAuthLifetime(m)
	sa.noteWindow(m)
	answer := sa.deleteNamed(m)
	mobile, then := sa.mobileRequest(m)
	sa.respond(m, append(answer, mobile...))
	then()
	sa.now().pump()
	sa.pump()
}

// deleteNamed removes the children whose outbound SPIs a Delete payload names,
// and returns Delete payloads with the paired inbound SPIs, one for each protocol.
// RFC 7296 §1.4.1: not those that this host is deleting itself, for they are in
// its own request.
func (sa *ikeSA) deleteNamed(m *received) []message.Payload {
	paired := map[message.Protocol][]uint32{}
	for _, p := range m.payloads {
		d, ok := p.(*message.Delete)
		if !ok || d.Protocol != message.ProtocolESP && d.Protocol != message.ProtocolAH {
			continue
		}
		for _, spi := range d.SPIs {
			c := sa.byOutbound(d.Protocol, spi)
			if c == nil {
				sa.deletedEarly(spi)
				continue
			}
			if c.state != childDeleting {
				paired[d.Protocol] = append(paired[d.Protocol], uint32(c.spiIn))
			}
			c.remove("the peer has deleted it")
		}
	}
	var answer []message.Payload
	for _, proto := range []message.Protocol{message.ProtocolAH, message.ProtocolESP} {
		if spis := paired[proto]; len(spis) > 0 {
			answer = append(answer, &message.Delete{Protocol: proto, SPIs: spis})
		}
	}
	return answer
}

// deletedEarly remembers a deletion that overtook the answer which would have
// made the child: without it the child would stand at this end alone.
func (sa *ikeSA) deletedEarly(spi uint32) {
	for _, t := range sa.x.underWay() {
		if t, ok := t.(*childTask); ok && len(t.deleted) < maxDeleted {
			t.deleted = append(t.deleted, spi)
		}
	}
}
