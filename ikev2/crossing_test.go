package ikev2

import (
	"fmt"
	"testing"
	"time"

	"racoon2/ikev2/message"
)

// The peer deletes a child before its answer that makes the child has arrived:
// none stands in the end, and whoever asked is told.
func TestDeletionOvertakesAnswer(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.handle(Terminate{Child: a.e.Status()[0].Children[0].SPIIn})
	w.settle()
	w.wantUp(a, b, 1, 0)

	var late []Send
	w.filter = func(p Send) []Send {
		if exchange, response := exchangeOf(p); exchange == message.CREATE_CHILD_SA && response {
			late = append(late, p)
			return nil
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	b.handle(Terminate{Child: b.e.Status()[0].Children[0].SPIIn})
	w.settle()
	w.filter = nil
	if len(late) != 1 {
		t.Fatalf("%d answers held back", len(late))
	}
	w.deliver(late[0])
	w.settle()
	w.wantUp(a, b, 1, 0)
	a.wantReason(reasonChildRefused)
	if len(a.failures) != 1 {
		t.Errorf("%d failures reported, want 1", len(a.failures))
	}
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// Both ends rekey a child at once, and one answer comes only after the other
// end is through, with the old child deleted and perhaps its successor rekeyed
// again: one child stays all the same, whichever end has the lowest nonce.
func TestRekeyCollisionWithLateAnswer(t *testing.T) {
	for n := range 8 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w, a, b := pair(t)
			for range n { // other nonces
				_, _ = a.e.nonce(a.e.settings.Remotes[0])
			}
			a.initiate()
			w.settle()
			var late []Send
			w.filter = func(p Send) []Send {
				exchange, response := exchangeOf(p)
				if exchange == message.CREATE_CHILD_SA && response && p.Remote.Addr() == b.addr {
					late = append(late, p)
					return nil
				}
				return []Send{p}
			}
			a.expireSoft(t)
			b.expireSoft(t)
			w.settle()
			w.filter = nil
			if len(late) != 1 {
				t.Fatalf("%d answers held back", len(late))
			}
			if n%2 == 1 { // what the other end has made has a successor by then
				a.expireSoft(t)
				w.settle()
			}
			w.deliver(late[0])
			w.settle()
			w.wantUp(a, b, 1, 1)
			for _, end := range w.nodes {
				if got := len(end.kernel.sas); got != 2 {
					t.Errorf("%s has %d SAs in the kernel, want 2", end.name, got)
				}
			}
		})
	}
}

// Both ends rekey the IKE SA at once, and an answer is lost until the other end is
// through and has deleted the old one: what that answer made is known to one end
// only. It begins nothing, carries nothing, and goes without a word to the peer.
func TestRekeyIKECollisionUnnoticed(t *testing.T) {
	for n := range 8 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w, a, b := pair(t)
			for range n { // other nonces
				_, _ = a.e.nonce(a.e.settings.Remotes[0])
			}
			a.initiate()
			w.settle()
			w.filter = func(p Send) []Send {
				exchange, response := exchangeOf(p)
				if exchange == message.CREATE_CHILD_SA && response && p.Remote.Addr() == b.addr {
					return nil
				}
				return []Send{p}
			}
			a.handle(Rekey{IKE: a.e.Status()[0].Serial})
			b.handle(Rekey{IKE: b.e.Status()[0].Serial})
			w.settle()
			w.filter = nil
			established := 0
			for _, i := range a.e.Status() {
				if i.State == stateEstablished.String() {
					established++
				}
			}
			if established != 1 {
				t.Errorf("%d IKE SAs are established, want the one that carries the child:\n%s", established, a.log())
			}
			a.initiate() // finds the right one
			w.advance(replacedTime + time.Second)
			w.wantUp(a, b, 1, 1)
			if a.e.Status()[0].SPIi != b.e.Status()[0].SPIi {
				t.Error("the ends kept different IKE SAs")
			}
			if len(a.downs)+len(b.downs) != 0 {
				t.Errorf("%d and %d children reported down", len(a.downs), len(b.downs))
			}
		})
	}
}

// An operator has the IKE SA rekeyed, as often as he likes.
func TestRekeyByCommand(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	first := a.e.Status()[0]
	for range 3 {
		b.handle(Rekey{IKE: b.e.Status()[0].Serial})
	}
	b.handle(Rekey{IKE: 1 << 40})
	w.settle()
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 1)
	now := a.e.Status()[0]
	if now.SPIi == first.SPIi || now.Initiator {
		t.Errorf("the IKE SA %x by this host (%v) is not the peer's successor of %x", now.SPIi, now.Initiator, first.SPIi)
	}
	if got := len(a.e.all()); got != 1 {
		t.Errorf("%d IKE SAs", got)
	}
}
