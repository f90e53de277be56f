package policy

import (
	"time"

	timers "racoon2/kernel/timer"
)

// alarm is woken by its timer.
type alarm interface {
	ring(m *Manager, now time.Time, out *Outbox)
}

// timer wakes one alarm.
type timer = timers.Timer[alarm]

// backoff is the pause after the given number of failures in a row, 1 at
// least: first, doubling up to limit, and jittered by a quarter either way so
// that several do not keep step.
func (m *Manager) backoff(failures int, first, limit time.Duration) time.Duration {
	pause := first << min(failures-1, 20)
	if pause > limit || pause <= 0 {
		pause = limit
	}
	if m.rand == nil {
		return pause
	}
	var octets [2]byte
	if _, err := m.rand.Read(octets[:]); err != nil {
		return pause // no jitter is no harm
	}
	share := int64(octets[0])<<8 | int64(octets[1]) // of 65536
	return pause*3/4 + time.Duration(int64(pause/2)*share>>16)
}
