package kink

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestReloadInTheMiddle: a reload takes away or changes the remote of a peer whose CREATE
// is being answered, after each step of the answer. What was made for the old one goes.
func TestReloadInTheMiddle(t *testing.T) {
	for _, threeWay := range []bool{false, true} {
		for step := range 12 {
			w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = threeWay })
			w.late = rand.New(rand.NewPCG(1, 2))
			a.handle(Initiate{Remote: "b", Child: "out"})
			for len(b.e.incoming) == 0 { // up to the CREATE
				if len(a.inbox) > 0 {
					in := a.inbox[0]
					a.inbox = a.inbox[1:]
					a.handle(in)
				} else {
					w.step()
				}
			}
			for range min(step, len(b.inbox)) {
				in := b.inbox[0]
				b.inbox = b.inbox[1:]
				b.handle(in)
			}
			for range max(0, step-4) {
				if len(w.wire) > 0 {
					w.step()
				}
			}
			b.handle(Reconfigure{Settings: &Settings{Port: 910}})
			w.settle()
			w.pass(5 * time.Minute)
			if n := b.e.Counters()["child_sas"]; n != 0 || len(b.keys) != 0 {
				t.Errorf("three messages %v, step %d: %d pairs and %d SAs of a remote that is gone\n%s", threeWay, step, n, len(b.keys), b.said())
			}
			if len(b.e.incoming) != 0 {
				t.Errorf("three messages %v, step %d: %d answers kept for ever", threeWay, step, len(b.e.incoming))
			}
		}
	}
}
