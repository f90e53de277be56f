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

// carry notes that an SA of a host has carried so many octets.
func (k *testKernel) carry(id kernel.SAID, octets uint64) {
	if k.carried == nil {
		k.carried = map[kernel.SAID]uint64{}
	}
	k.carried[id] = octets
}

// A limit in octets holds where the kernel raises Expire, and where it only counts:
// rekeyed at the soft limit, which differs between the ends, and ended at the hard one.
func TestLifetimesInOctets(t *testing.T) {
	const limit = 1_000_000
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprintf("silent kernel %v", silent), func(t *testing.T) {
			w, a, b := pair(t)
			for _, n := range w.nodes {
				n.change(func(_ *Settings, _ *Remote, c *Child) {
					c.Lifetime, c.CountBytes = kernel.Lifetime{Bytes: limit}, silent
				})
			}
			a.initiate()
			w.settle()
			w.advance(time.Minute)
			w.wantUp(a, b, 1, 1)
			out := a.kernel.one(t, kernel.Out)
			soft := a.e.all()[0].children[0].soft.Bytes
			theirs := b.e.all()[0].children[0].soft.Bytes
			if soft < limit*80/100 || soft > limit*85/100 || theirs < limit*86/100 || theirs > limit*90/100 {
				t.Errorf("soft limits %d and %d", soft, theirs)
			}
			if silent != (out.Hard.Bytes == 0) || silent != (out.Soft.Bytes == 0) {
				t.Errorf("the kernel gets %+v and %+v", out.Soft, out.Hard)
			}
			a.kernel.carry(out.SAID, soft-1)
			w.advance(time.Minute)
			if got := a.kernel.one(t, kernel.Out).SPI; got != out.SPI {
				t.Error("rekeyed before its soft limit")
			}
			a.kernel.carry(out.SAID, soft)
			if !silent {
				a.handle(KernelEvent{Event: kernel.Expire{ID: out.SAID}})
			}
			w.advance(time.Minute)
			w.wantUp(a, b, 1, 1)
			next := a.kernel.one(t, kernel.Out)
			if next.SPI == out.SPI || a.e.Counters()[reasonChildRekeyed] != 1 {
				t.Errorf("not rekeyed once: %d times", a.e.Counters()[reasonChildRekeyed])
			}
			// The hard limit, with a peer that is never there for the rekeying.
			w.filter = func(p Send) []Send { return nil }
			a.kernel.carry(next.SAID, limit)
			if !silent {
				a.handle(KernelEvent{Event: kernel.Expire{ID: next.SAID, Hard: true}})
			}
			w.advance(11 * time.Second)
			if len(a.kernel.sas) != 0 {
				t.Errorf("%d SAs outlive their octets", len(a.kernel.sas))
			}
			if len(a.downs) != 1 {
				t.Errorf("downs %+v", a.downs)
			}
		})
	}
}

// The limit is watched after the IKE SA is rekeyed, too, and nothing is asked of the
// kernel where there is no limit.
func TestOctetsAreWatchedOn(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.Lifetime, c.CountBytes = kernel.Lifetime{Bytes: 1000}, true })
	a.initiate()
	w.settle()
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	w.advance(time.Minute)
	old := a.kernel.one(t, kernel.In)
	a.kernel.carry(old.SAID, 900)
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 1)
	if a.kernel.one(t, kernel.In).SPI == old.SPI {
		t.Error("not rekeyed")
	}
	for _, op := range b.kernel.ops {
		if _, ok := op.(kernel.GetSA); ok {
			t.Fatal("the end without a limit asks the kernel")
		}
	}
}
