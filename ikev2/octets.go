package ikev2

import (
	"fmt"
	"time"

	"racoon2/kernel"
)

// octetsInterval is how often the kernel is asked what children with a limit in
// octets have carried. Kernels that keep the limit themselves raise Expire; this is
// for those that only count, and for events that were lost.
const octetsInterval = 10 * time.Second

// limitsOctets says that somebody has to watch what a child carries.
func (c *childSA) limitsOctets() bool {
	return c.hard.Bytes > 0 && (c.state == childUp || c.state == childReplaced)
}

// armOctets starts the asking where a child has a limit.
func (sa *ikeSA) armOctets() {
	for _, c := range sa.children {
		if c.limitsOctets() {
			if sa.timers[timerOctets].IsZero() {
				sa.setTimer(timerOctets, octetsInterval)
			}
			return
		}
	}
	sa.stopTimer(timerOctets)
}

// askOctets asks about both SAs of each such child.
func (sa *ikeSA) askOctets() {
	sa.stopTimer(timerOctets)
	for _, c := range sa.children {
		if !c.limitsOctets() {
			continue
		}
		for _, out := range []bool{false, true} {
			if out && c.outWaits {
				continue
			}
			sa.e.kernelOp(kernel.GetSA{ID: c.said(out)}, func(r kernel.Result) {
				if r.Err == nil && len(r.SAs) == 1 {
					c.carried(r.SAs[0].Bytes)
				}
			})
		}
	}
	sa.armOctets()
}

// carried does what a child's limit in octets asks for. What the kernel's Expire has
// set off already is not done twice.
func (c *childSA) carried(octets uint64) {
	switch {
	case !c.limitsOctets():
	case octets >= c.hard.Bytes:
		c.lost(fmt.Sprintf("it has carried %d octets, of %d allowed", octets, c.hard.Bytes))
	case octets >= c.soft.Bytes && c.state == childUp && !c.softOver:
		c.softOver = true
		c.rekey()
	}
	c.sa.pump()
}
