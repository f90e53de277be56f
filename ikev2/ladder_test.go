package ikev2

import "testing"

// One side initiates, both agree, and a deletion by either side is seen by the other.
func TestTunnelUpAndDown(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if len(w.sent) != 4 {
		t.Errorf("%d datagrams for a tunnel, want 4", len(w.sent))
	}
	a.handle(Terminate{})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}
