package kink

import (
	"container/heap"
	"time"
)

// timer runs f at a time; a zero timer does not run.
type timer struct {
	at    time.Time
	seq   uint64 // order among equals, so that runs repeat
	f     func()
	index int // in the heap, plus 1
}

// timers orders the running timers.
type timers struct {
	list []*timer
	seq  uint64
}

func (h *timers) Len() int { return len(h.list) }
func (h *timers) Less(i, j int) bool {
	a, b := h.list[i], h.list[j]
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}
func (h *timers) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i+1, j+1
}

// Push and Pop are container/heap's.
func (h *timers) Push(x any) {
	t := x.(*timer)
	h.list = append(h.list, t)
	t.index = len(h.list)
}

func (h *timers) Pop() any {
	last := len(h.list) - 1
	t := h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	t.index = 0
	return t
}

// start runs f after d; a timer that runs already is moved.
func (e *Engine) start(t *timer, d time.Duration, f func()) {
	e.stop(t)
	e.timers.seq++
	t.at, t.seq, t.f = e.now.Add(d), e.timers.seq, f
	heap.Push(&e.timers, t)
}

// stop stops a timer, whether it runs or not.
func (e *Engine) stop(t *timer) {
	if t.index > 0 {
		heap.Remove(&e.timers, t.index-1)
		t.f = nil
	}
}

// expireTimers runs everything that is due.
func (e *Engine) expireTimers() {
	for len(e.timers.list) > 0 && !e.timers.list[0].at.After(e.now) {
		t := heap.Pop(&e.timers).(*timer)
		f := t.f
		t.f = nil
		f()
	}
}
