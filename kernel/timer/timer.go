// Package timer orders what a core has to do later. It reads no clock and
// starts nothing: the core says when it is, and is told what is due.
package timer

import "time"

// Timer wakes its owner once. The zero Timer, with an owner, is ready for use
// and not set.
type Timer[T any] struct {
	Of    T // its owner
	when  time.Time
	seq   uint64 // order among equals, so that runs repeat
	index int    // in the heap, plus 1; 0: not set
}

// Armed says that the timer is set.
func (t *Timer[T]) Armed() bool { return t.index > 0 }

// When is the time that the timer is set to, the zero time when it is not.
func (t *Timer[T]) When() time.Time {
	if !t.Armed() {
		return time.Time{}
	}
	return t.when
}

// Heap holds the timers that are set. The zero Heap is empty. Each operation
// costs the logarithm of their number.
type Heap[T any] struct {
	list []*Timer[T] // a heap, the earliest first
	seq  uint64
}

// Len is the number of timers that are set.
func (h *Heap[T]) Len() int { return len(h.list) }

// Next is when the first timer is due; false when none is set.
func (h *Heap[T]) Next() (time.Time, bool) {
	if len(h.list) == 0 {
		return time.Time{}, false
	}
	return h.list[0].when, true
}

// Set arms a timer, or moves it.
func (h *Heap[T]) Set(t *Timer[T], when time.Time) {
	h.seq++
	t.when, t.seq = when, h.seq
	if t.index == 0 {
		h.list = append(h.list, t)
		t.index = len(h.list)
	}
	h.fix(t.index - 1)
}

// Stop disarms a timer, whether it is set or not.
func (h *Heap[T]) Stop(t *Timer[T]) {
	if t.index == 0 {
		return
	}
	at, last := t.index-1, len(h.list)-1
	h.swap(at, last)
	h.list[last] = nil
	h.list = h.list[:last]
	t.index = 0
	if at < last {
		h.fix(at)
	}
}

// Due takes the next timer that has run out, and returns its owner.
func (h *Heap[T]) Due(now time.Time) (owner T, ok bool) {
	if len(h.list) == 0 || now.Before(h.list[0].when) {
		return owner, false
	}
	t := h.list[0]
	h.Stop(t)
	return t.Of, true
}

func (h *Heap[T]) less(i, j int) bool {
	if c := h.list[i].when.Compare(h.list[j].when); c != 0 {
		return c < 0
	}
	return h.list[i].seq < h.list[j].seq
}

func (h *Heap[T]) swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i+1, j+1
}

// fix moves one timer to where it belongs.
func (h *Heap[T]) fix(i int) {
	for up := (i - 1) / 2; i > 0 && h.less(i, up); up = (i - 1) / 2 {
		h.swap(i, up)
		i = up
	}
	for {
		first := 2*i + 1
		if right := first + 1; right < len(h.list) && h.less(right, first) {
			first = right
		}
		if first >= len(h.list) || !h.less(first, i) {
			return
		}
		h.swap(i, first)
		i = first
	}
}
