package ikev2

import (
	"fmt"
	"testing"
	"time"

	"racoon2/kernel"
)

// With a kernel that never says a word children are rekeyed all the same, after
// IKE rekeyings, too, and the limits hold where nobody rekeys.
func TestLifetimesWithoutTheKernel(t *testing.T) {
	for _, rekeyIKE := range []bool{false, true} {
		t.Run(fmt.Sprintf("IKE rekeyings %v", rekeyIKE), func(t *testing.T) {
			w, a, b := pair(t)
			for _, n := range w.nodes {
				n.change(func(_ *Settings, r *Remote, c *Child) {
					c.Lifetime = kernel.Lifetime{Time: time.Hour}
					if rekeyIKE {
						r.Lifetime = 50 * time.Minute
					}
				})
			}
			a.initiate()
			w.settle()
			spi := a.e.Status()[0].Children[0].SPIIn
			for range 30 {
				w.advance(10 * time.Minute)
				w.wantUp(a, b, 1, 1)
			}
			if a.e.Status()[0].Children[0].SPIIn == spi {
				t.Error("the child was never rekeyed")
			}
			// Five hours of one-hour children: not more often than their soft limits ask for.
			n := a.e.Counters()[reasonChildRekeyed]
			if n < 4 || n > 8 {
				t.Errorf("%d rekeyings in five hours", n)
			}
			b.handle(Terminate{})
			w.settle()
			a.wantNothing()
			b.wantNothing()
		})
	}
}

// The kernel's word and the engine's own timer make one rekeying, not two.
func TestLifetimesWithTheKernel(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) { c.Lifetime = kernel.Lifetime{Time: time.Hour} })
	}
	a.initiate()
	w.settle()
	soft := a.kernel.one(t, kernel.Out).Soft.Time
	w.advance(soft)
	a.handle(KernelEvent{Event: kernel.Expire{ID: a.kernel.one(t, kernel.Out).SAID}})
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 1)
	if n := a.e.Counters()[reasonChildRekeyed]; n != 1 {
		t.Errorf("%d rekeyings, want 1", n)
	}
}

// A child whose rekeying nobody answers ends with its hard limit, at both ends.
func TestHardLifetimeWithoutTheKernel(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) { c.Lifetime = kernel.Lifetime{Time: time.Hour} })
	}
	a.initiate()
	w.settle()
	for _, n := range w.nodes {
		n.act(func(e *Engine) { e.all()[0].children[0].rekeying = true }) // so that none is begun
	}
	w.advance(time.Hour - time.Minute)
	w.wantUp(a, b, 1, 1)
	w.advance(time.Minute + 2*lifetimeMargin)
	w.wantUp(a, b, 1, 0)
	if len(a.downs) != 1 || len(b.downs) != 1 {
		t.Errorf("%d and %d children are reported down", len(a.downs), len(b.downs))
	}
}
