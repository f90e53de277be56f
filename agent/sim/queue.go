package sim

import (
	"container/heap"
	"time"
)

// event is something that happens at a moment of virtual time.
type event struct {
	at  time.Duration // since the start
	seq uint64        // events of one moment happen in the order in which they were planned
	run func()
}

// queue is a heap of events, the earliest first.
type queue struct {
	events []event
	seq    uint64
}

func (q *queue) Len() int { return len(q.events) }

func (q *queue) Less(i, j int) bool {
	a, b := q.events[i], q.events[j]
	if a.at != b.at {
		return a.at < b.at
	}
	return a.seq < b.seq
}

func (q *queue) Swap(i, j int) { q.events[i], q.events[j] = q.events[j], q.events[i] }

// Push is heap.Interface's; use plan.
func (q *queue) Push(x any) { q.events = append(q.events, x.(event)) }

// Pop is heap.Interface's; use next.
func (q *queue) Pop() any {
	last := len(q.events) - 1
	e := q.events[last]
	q.events[last] = event{}
	q.events = q.events[:last]
	return e
}

// plan adds an event.
func (q *queue) plan(at time.Duration, run func()) {
	q.seq++
	heap.Push(q, event{at: at, seq: q.seq, run: run})
}

// next takes the earliest event that is not later than until.
func (q *queue) next(until time.Duration) (event, bool) {
	if len(q.events) == 0 || q.events[0].at > until {
		return event{}, false
	}
	return heap.Pop(q).(event), true
}
