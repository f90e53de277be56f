package ikev2

import (
	"slices"
	"time"
)

// lifetimeMargin is what the kernel has to raise its own Expire before this
// engine acts without it. Some kernels only notice when a packet passes, and an
// event may be lost.
const lifetimeMargin = 3 * time.Second

// limits are the times at which this engine rekeys a child and ends it without
// the kernel's word. Zero times never come.
func (c *childSA) limits() (soft, hard time.Time) {
	if c.soft.Time > 0 && c.state == childUp && !c.softOver {
		soft = c.established.Add(c.soft.Time + lifetimeMargin)
	}
	if c.hard.Time > 0 && (c.state == childUp || c.state == childReplaced) {
		hard = c.established.Add(c.hard.Time + lifetimeMargin)
	}
	return soft, hard
}

// armChildren sets the timer of the IKE SA's children to the earliest of their limits.
func (sa *ikeSA) armChildren() {
	sa.armOctets()
	var next time.Time
	for _, c := range sa.children {
		soft, hard := c.limits()
		for _, at := range []time.Time{soft, hard} {
			if !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	if next.IsZero() || sa.state == stateDead {
		sa.stopTimer(timerChildren)
		return
	}
	sa.setTimer(timerChildren, next.Sub(sa.e.now))
}

// checkChildren does for each child what its lifetime asks for. What the kernel's
// Expire has set off already is not done twice.
func (sa *ikeSA) checkChildren() {
	now := sa.e.now
	for _, c := range slices.Clone(sa.children) {
		soft, hard := c.limits()
		switch {
		case !hard.IsZero() && !hard.After(now):
			c.lost("its lifetime is over")
		case !soft.IsZero() && !soft.After(now):
			c.softOver = true
			c.rekey()
		}
	}
	sa.armChildren()
}
