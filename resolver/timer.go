package resolver

import (
	"time"

	timers "racoon2/kernel/timer"
)

// alarm is woken by its timer.
type alarm interface {
	ring(r *Resolver, now time.Time, out *Outbox)
}

// timer wakes one alarm.
type timer = timers.Timer[alarm]
