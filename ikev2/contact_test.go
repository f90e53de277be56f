package ikev2

import (
	"testing"
	"time"

	"racoon2/ikev2/message"
)

// Both ends start at the same time: both IKE SAs come up and stay, whatever
// INITIAL_CONTACT says.
func TestBothStartAtOnce(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	b.initiate()
	w.advance(time.Minute)
	w.wantUp(a, b, 2, 2)
}

// INITIAL_CONTACT that was true when it was sent and is late does not harm what
// came up meanwhile.
func TestLateInitialContact(t *testing.T) {
	w, a, b := pair(t)
	var late []Send
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && !resp && p.Local.Addr() == a.addr && len(late) == 0 {
			late = append(late, p)
			return nil
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	w.now = w.now.Add(100 * time.Millisecond)
	b.initiate()
	w.settle()
	w.wire = append(w.wire, late...)
	w.settle()
	b.wantNoReason(reasonInitialContact)
	w.wantUp(a, b, 2, 2)
}

// A peer that lost its state says INITIAL_CONTACT: the old IKE SA goes.
func TestInitialContact(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	a.e = New(Config{Rand: a.e.cfg.Rand, Settings: a.e.settings})
	a.kernel = newTestKernel()
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	b.wantReason(reasonInitialContact)
	if len(b.downs) != 1 || len(b.ups) != 2 {
		t.Errorf("%d down and %d up, want 1 and 2", len(b.downs), len(b.ups))
	}
}
