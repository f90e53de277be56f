package ikev2

import (
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// While a job runs, retransmissions are dropped and further messages held.
func TestBusyWithAJob(t *testing.T) {
	w, a, b := pair(t)
	b.holdJobs = true
	a.initiate()
	w.advance(2 * time.Second) // the request and one retransmission
	if len(b.jobs) != 1 || len(b.e.Status()) != 1 {
		t.Fatalf("%d jobs and %d IKE SAs, want 1 and 1", len(b.jobs), len(b.e.Status()))
	}
	b.wantReason(reasonRetransmission)
	b.releaseJobs()
	w.settle()
	w.wantUp(a, b, 1, 1)

	// A second child with PFS: the liveness check that crosses it waits.
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519} })
	}
	w.advance(time.Minute)
	packet := selector("10.0.1.1/32", "10.0.2.1/32")
	b.holdJobs = true
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.advance(500 * time.Millisecond)
	if len(b.jobs) != 1 {
		t.Fatalf("%d jobs, want 1", len(b.jobs))
	}
	b.releaseJobs()
	w.advance(5 * time.Second)
	w.wantUp(a, b, 1, 2)
}

// A job's result for an IKE SA that is gone falls to the ground.
func TestLateJob(t *testing.T) {
	w, a, b := pair(t)
	b.holdJobs = true
	a.initiate()
	w.settle()
	w.advance(20 * time.Minute)
	b.wantReason(reasonSetupTimeout)
	b.releaseJobs()
	w.settle()
	b.wantNothing()
	a.wantNothing()
}

// A message of the responder's own numbering: its first request has Message ID 0.
func TestResponderCountsFromZero(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	b.handle(Terminate{})
	p := w.wire[0]
	h, err := message.DecodeHeader(p.Data)
	if err != nil || h.MessageID != 0 || h.Flags != 0 || h.Exchange != message.INFORMATIONAL {
		t.Errorf("header %+v, %v", h, err)
	}
	w.settle()
	a.wantNothing()
}
