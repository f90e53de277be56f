package ikev2

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// children2 gives both hosts a second pair of selectors.
func children2(nodes ...*node) {
	for i, n := range nodes {
		n.change(func(_ *Settings, r *Remote, c *Child) {
			more := *c
			more.Name, more.Inbound = "more_out", "more_in"
			s := selector("10.1.1.0/24", "10.1.2.0/24")
			if i == 1 {
				s = selector("10.1.2.0/24", "10.1.1.0/24")
			}
			more.Outbound = []kernel.Selector{s}
			r.Children = append(r.Children, &more)
		})
	}
}

// The authentication is repeated in time, whoever limits it; there is a child all
// the time, and one pair in the end.
func TestReauthentication(t *testing.T) {
	for _, limiting := range []string{"initiator", "responder", "both"} {
		t.Run(limiting, func(t *testing.T) {
			w, a, b := pair(t)
			children2(a, b)
			for _, n := range w.nodes {
				if limiting == "both" || (limiting == "initiator") == (n == a) {
					n.change(func(_ *Settings, r *Remote, _ *Child) { r.AuthLifetime = time.Hour })
				}
			}
			a.initiate()
			a.handle(Initiate{Remote: "tokyo", Child: "more_out"})
			w.settle()
			w.wantUp(a, b, 1, 2)
			if at := a.e.Status()[0].Reauth; at.Sub(w.now) < 40*time.Minute || at.Sub(w.now) > time.Hour {
				t.Errorf("status says that it is repeated in %v", at.Sub(w.now))
			}
			if !b.e.Status()[0].Reauth.IsZero() {
				t.Error("the responder wants to repeat it, too")
			}
			first := a.e.all()[0].serial
			for range 6 {
				w.advance(time.Hour)
				w.wantUp(a, b, 1, 2)
			}
			if a.e.all()[0].serial == first {
				t.Error("it is the same IKE SA")
			}
			a.wantReason(reasonReauthenticated)
			if len(a.downs)+len(b.downs) > 0 {
				t.Errorf("children were down: %+v %+v", a.downs, b.downs)
			}
			a.handle(Terminate{})
			w.settle()
			a.wantNothing()
			b.wantNothing()
		})
	}
}

// The limit survives rekeying by either end, and rekeying in the middle of it.
func TestReauthenticationAndRekeying(t *testing.T) {
	for _, who := range []int{0, 1} {
		for _, stop := range []int{0, 1, 2, 3, 4, 5, 6, 7} {
			t.Run(fmt.Sprintf("by %d after %d datagrams", who, stop), func(t *testing.T) {
				w, a, b := pair(t)
				b.change(func(_ *Settings, r *Remote, _ *Child) { r.AuthLifetime = time.Hour })
				a.initiate()
				w.settle()
				w.nodes[who].act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
				w.settle()
				w.wantUp(a, b, 1, 1)
				a.act(func(e *Engine) { e.all()[0].reauthenticate() })
				for range stop {
					if len(w.wire) > 0 {
						w.step()
					}
				}
				w.nodes[who].act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
				w.advance(5 * time.Minute)
				w.wantUp(a, b, 1, 1)
				w.advance(3 * time.Hour)
				w.wantUp(a, b, 1, 1)
				if len(a.failures) > 0 {
					t.Errorf("failures %+v", a.failures)
				}
			})
		}
	}
}

// A peer that does not repeat it loses the IKE SA when the time is over.
func TestReauthenticationMissing(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.AuthLifetime = time.Hour })
	a.initiate()
	w.settle()
	a.act(func(e *Engine) { e.all()[0].reauthAt = time.Time{}; e.all()[0].stopTimer(timerReauth) })
	w.advance(time.Hour + 2*authGrace)
	a.wantNothing()
	b.wantNothing()
}

// When it fails the old IKE SA stays and tries again.
func TestReauthenticationFails(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.AuthLifetime = time.Hour; r.Retry.Tries = 2 })
	a.initiate()
	w.settle()
	w.filter = func(p Send) []Send {
		if x, _ := exchangeOf(p); x == message.IKE_SA_INIT {
			return nil
		}
		return []Send{p}
	}
	w.advance(55 * time.Minute)
	w.filter = nil
	if n := len(a.failures); n > 0 {
		t.Errorf("%d failures are reported while the old children stand", n)
	}
	a.wantReason(reasonAuthLifetime)
	w.advance(5 * time.Minute)
	w.wantUp(a, b, 1, 1)
	a.wantReason(reasonReauthenticated)
}

// What is started while the other IKE SA is made is not lost with the old one.
func TestReauthenticationTakesAlong(t *testing.T) {
	w, a, b := pair(t)
	children2(a, b)
	a.initiate()
	w.settle()
	a.act(func(e *Engine) { e.all()[0].reauthenticate() })
	w.step()
	a.handle(Initiate{Remote: "tokyo", Child: "more_out"})
	w.settle()
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 2)
}

// AUTH_LIFETIME of an INFORMATIONAL request counts for whoever began, and a peer
// cannot keep this host busy with it.
func TestAuthLifetimeAtAnyTime(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	say := func(from, to *node, data []byte) {
		from.forge(to, message.INFORMATIONAL, []message.Payload{notify(message.AUTH_LIFETIME, data)})
		w.settle()
	}
	say(a, b, binary.BigEndian.AppendUint32(nil, 600))
	if !b.e.Status()[0].Reauth.IsZero() {
		t.Error("the original responder listens to AUTH_LIFETIME")
	}
	say(b, a, []byte{1, 2})
	if !a.e.Status()[0].Reauth.IsZero() {
		t.Error("half a lifetime counts")
	}
	say(b, a, binary.BigEndian.AppendUint32(nil, 0))
	if at := a.e.Status()[0].Reauth; at.Sub(w.now) != soonestReauth {
		t.Errorf("a lifetime of 0 is repeated in %v", at.Sub(w.now))
	}
	w.advance(10 * time.Minute)
	w.wantUp(a, b, 1, 1)
	if a.e.Counters()[reasonReauthenticated] != 1 {
		t.Errorf("repeated %d times", a.e.Counters()[reasonReauthenticated])
	}
}
