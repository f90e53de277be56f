package policy

import (
	"container/heap"
	"time"
)

// timer wakes one entry or one attempt, the dump that failed, or the dynamic
// policies, or names that have changed.
type timer struct {
	when    time.Time
	index   int // in the heap; -1: not set
	entry   *entry
	attempt *attempt
	dump    bool
	dynamic bool
	names   bool
}

// timers is a heap, the earliest first.
type timers []*timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].when.Before(h[j].when) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is heap.Interface's.
func (h *timers) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop is heap.Interface's.
func (h *timers) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}

// set arms a timer, or moves it.
func (h *timers) set(t *timer, when time.Time) {
	t.when = when
	if t.index < 0 {
		heap.Push(h, t)
		return
	}
	heap.Fix(h, t.index)
}

// stop disarms a timer.
func (h *timers) stop(t *timer) {
	if t.index >= 0 {
		heap.Remove(h, t.index)
	}
}

// due takes the next timer that has run out.
func (h *timers) due(now time.Time) (*timer, bool) {
	if len(*h) == 0 || now.Before((*h)[0].when) {
		return nil, false
	}
	return heap.Pop(h).(*timer), true
}

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
