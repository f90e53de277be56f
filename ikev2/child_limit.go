package ikev2

import (
	"slices"
	"time"

	"racoon2/kernel/trace"
)

// A child that this host asks for may have a limit on its setting up
// (ipsec_sa_nego_time_limit): from its first exchange on, with all that is tried
// again. Who asked is told then. An exchange that waits for its answer goes on,
// because the window belongs to it (RFC 7296 §2.3); a child that it still brings is
// deleted, unless it replaces one.

// limitTask notes when the setting up of a child has taken too long.
func (sa *ikeSA) limitTask(t *childTask) {
	if d := sa.remote.ChildTimeout; d > 0 && t.limit.IsZero() {
		t.limit = sa.e.now.Add(d)
		sa.armChildLimit()
	}
}

// armChildLimit sets the timer to the earliest limit.
func (sa *ikeSA) armChildLimit() {
	var next time.Time
	for _, t := range sa.allTasks() {
		if c, ok := t.(*childTask); ok && !c.late && !c.limit.IsZero() && (next.IsZero() || c.limit.Before(next)) {
			next = c.limit
		}
	}
	if next.IsZero() {
		sa.stopTimer(timerChildLimit)
		return
	}
	sa.setTimer(timerChildLimit, next.Sub(sa.e.now))
}

// checkChildLimit gives up what has taken too long.
func (sa *ikeSA) checkChildLimit() {
	for _, t := range sa.allTasks() {
		if c, ok := t.(*childTask); ok && !c.late && !c.limit.IsZero() && !c.limit.After(sa.e.now) {
			c.tooLate(sa)
		}
	}
	sa.armChildLimit()
}

// tooLate tells that a child was not set up in time.
func (t *childTask) tooLate(sa *ikeSA) {
	t.late = true
	text := "child " + t.want.child.Name + " was not set up in time"
	sa.e.trace(trace.ProtoErr, reasonSetupTimeout, text, sa.attrs(attr("child", t.want.child.Name))...)
	t.negotiation.failed(sa, reasonSetupTimeout, text)
	t.reported = true
	waits := func(other task) bool { return other == task(t) }
	if slices.ContainsFunc(sa.postponed, waits) {
		sa.postponed = slices.DeleteFunc(sa.postponed, waits)
		t.drop(text)
		if t.replace != nil {
			t.replace.rekeying = false
		}
	}
}
