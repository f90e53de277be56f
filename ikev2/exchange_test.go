package ikev2

import (
	"crypto/sha256"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// act runs something on an engine as if an input had led to it.
func (n *node) act(f func(*Engine)) {
	n.w.t.Helper()
	var out Outbox
	n.e.now, n.e.out = n.w.now, &out
	f(n.e)
	n.e.out = nil
	for _, effect := range out.Effects {
		n.carryOut(effect)
	}
}

// askAgain asks for one more child of the first selector.
func (n *node) askAgain() {
	n.w.t.Helper()
	c := n.e.settings.Remotes[0].Children[0]
	packet := c.Outbound[0]
	packet.Src = netip.PrefixFrom(packet.Src.Addr().Next(), packet.Src.Addr().BitLen())
	packet.Dst = netip.PrefixFrom(packet.Dst.Addr().Next(), packet.Dst.Addr().BitLen())
	n.handle(Initiate{Remote: n.e.settings.Remotes[0].Name, Child: c.Name, Packet: &packet})
}

func TestWindow(t *testing.T) {
	x := exchanger{expected: 5}
	data := []byte("request 5")
	m := &received{Header: message.Header{MessageID: 5}}
	for _, c := range []struct {
		id   uint32
		want arrival
	}{{5, arrivalFresh}, {4, arrivalForgotten}, {0, arrivalForgotten}, {6, arrivalTooEarly}, {math.MaxUint32, arrivalTooEarly}} {
		if got := x.classify(c.id, data); got != c.want {
			t.Errorf("Message ID %d: %v, want %v", c.id, got, c.want)
		}
	}
	m.hash = hashOf(data)
	x.accept(5, m.hash, true)
	if x.classify(5, data) != arrivalRepeated || x.classify(5, []byte("other")) != arrivalForgotten || x.classify(6, data) != arrivalFresh {
		t.Error("a repetition is the same octets under the last Message ID")
	}
	zero := exchanger{}
	if zero.classify(math.MaxUint32, nil) == arrivalRepeated {
		t.Error("the Message ID before 0 is no repetition")
	}
	r := request{first: time.Second}
	var waits []time.Duration
	for ; r.resent < 9; r.resent++ {
		waits = append(waits, r.wait()/time.Second)
	}
	if !slices.Equal(waits, []time.Duration{1, 2, 4, 8, 8, 8, 8, 8, 8}) {
		t.Errorf("waits %v", waits)
	}
}

func hashOf(data []byte) [32]byte { return sha256.Sum256(data) }

// A response that arrives while a job runs for the peer's request is held, not lost.
func TestHeldWhileBusy(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519} })
	}
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	b.act(func(e *Engine) { e.all()[0].probe() })
	w.step() // the check reaches a, its answer waits on the wire
	b.holdJobs = true
	a.askAgain()
	w.wire[0], w.wire[1] = w.wire[1], w.wire[0] // the request overtakes the answer
	w.settle()
	if len(b.e.all()[0].x.held) != 1 || len(b.e.all()[0].x.flights) == 0 {
		t.Fatalf("%d messages held", len(b.e.all()[0].x.held))
	}
	// Guesses fill the room but harm nothing.
	sa := b.e.all()[0]
	for i := range 10 {
		data := slices.Clone(w.sent[len(w.sent)-1].Data)
		data[23]++ // the next Message ID
		data[len(data)-1] ^= byte(i + 1)
		b.handle(Datagram{Local: sa.local, Remote: sa.peer, Data: data})
	}
	b.wantReason(reasonHoldLimit)
	b.releaseJobs()
	w.settle()
	w.wantUp(a, b, 1, 2)
	if len(sa.x.flights) > 0 {
		t.Error("the held answer was lost")
	}
	w.advance(10 * time.Second)
	b.wantNoReason(reasonRetransmitLimit)
}

// Message IDs do not wrap: the IKE SA ends before.
func TestMessageIDsEnd(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.e.all()[0].x.next = math.MaxUint32
	a.act(func(e *Engine) { e.all()[0].probe() })
	a.wantNothing()
	_ = b
}

// A peer that has no time for a child is asked again, and given up after minutes.
func TestTemporaryFailureForever(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	b.e.all()[0].closing = true // refuses every child with TEMPORARY_FAILURE
	a.askAgain()
	w.settle()
	a.wantReason(reasonTemporary)
	if len(a.failures) != 0 {
		t.Errorf("failures %+v", a.failures)
	}
	b.e.all()[0].closing = false
	w.advance(11 * time.Second)
	w.wantUp(a, b, 1, 2)

	b.e.all()[0].closing = true
	w.advance(time.Minute)
	a.askAgain()
	w.advance(5 * time.Minute)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing() // RFC 7296 §2.25: the state is out of step, so the IKE SA goes
}

// Rekeying the IKE SA retries with the group that the peer wants.
func TestRekeyIKEGroup(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) {
		r.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519, transform.KE_ECP_256}
	})
	a.initiate()
	w.settle()
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Proposals[0].KE = []transform.KE{transform.KE_ECP_256} })
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	w.settle()
	w.wantUp(a, b, 1, 1)
	b.wantReason(reasonInvalidKE)
	if ke := a.e.Status()[0].KE; ke != "ECP_256" {
		t.Errorf("key exchange %s", ke)
	}
	a.askAgain()
	w.settle()
	b.wantNoReason(reasonIntegrity)
}

// Waiting exchanges go over to the successor of the IKE SA.
func TestQueueMovesToSuccessor(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	a.askAgain()
	if n := len(a.e.all()[0].x.queue); n != 1 {
		t.Fatalf("%d exchanges wait", n)
	}
	w.settle()
	w.wantUp(a, b, 1, 2)
}

// A rekeying that the peer refuses leaves the old child in place.
func TestRekeyRefused(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	b.kernel.fail = func(op kernel.Op) error {
		if _, ok := op.(kernel.GetSPI); ok {
			return kernel.ErrUnsupported
		}
		return nil
	}
	a.expireSoft(t)
	w.settle()
	w.wantUp(a, b, 1, 1)
	b.kernel.fail = nil
	a.expireSoft(t) // may be tried again
	w.settle()
	w.wantUp(a, b, 1, 1)
	if len(a.failures) != 0 {
		t.Errorf("a rekeying was reported as a failed initiate: %+v", a.failures)
	}
}

// This host's own kernel refuses the SPI of a further child.
func TestNoSPIForChild(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	a.kernel.fail = func(op kernel.Op) error {
		if _, ok := op.(kernel.GetSPI); ok {
			return kernel.ErrUnsupported
		}
		return nil
	}
	a.askAgain()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.kernel.fail = nil
	a.askAgain()
	w.settle()
	w.wantUp(a, b, 1, 2)
}

// A random source that fails ends what needs it, with a word, and nothing else.
func TestRandomFails(t *testing.T) {
	w, a, b := pair(t)
	b.e.cfg.Rand = failing{}
	a.initiate()
	w.advance(2 * time.Minute)
	b.wantReason(reasonRandom)
	b.wantNothing()
	a.wantNothing()
	w, a, b = pair(t)
	a.e.cfg.Rand = failing{}
	a.initiate()
	a.wantReason(reasonInternal)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
	_, _ = w, b
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, kernel.ErrUnsupported }

// Settings that are the same may come at any moment of an exchange.
func TestReconfigureAnywhere(t *testing.T) {
	same := func() *Settings { return testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24") }
	for at := range 12 {
		w, a, b := pair(t)
		a.initiate()
		steps := 0
		w.filter = func(p Send) []Send {
			if steps == at {
				a.handle(Reconfigure{Settings: same()})
			}
			steps++
			return []Send{p}
		}
		w.settle()
		w.advance(time.Minute)
		a.askAgain()
		w.settle()
		a.expireSoft(t)
		w.settle()
		w.wantUp(a, b, 1, 2)
		if t.Failed() {
			t.Fatalf("settings came at step %d", at)
		}
	}
}
