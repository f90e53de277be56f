package ikev2

import (
	"testing"

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
