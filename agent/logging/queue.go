package logging

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of what waits for a destination.
const (
	maxWaiting = 16384   // lines
	maxOctets  = 8 << 20 // in them
)

// line is one formatted line.
type line struct {
	level slog.Level
	text  []byte
	file  string // of the remote that it is about; "" in the log itself
}

// queue takes lines without waiting; its goroutine writes them.
type queue struct {
	lost    func(lines uint64) line // says that lines are missing; nil says nothing
	dropped atomic.Uint64           // lines that were not written
	stamped atomic.Bool             // the destination puts the time in front

	mu      sync.Mutex
	waiting []line
	octets  int
	missing uint64 // lines dropped and not yet said
	written uint64 // lines taken out of waiting and dealt with
	added   uint64
	out     destination
	closed  bool
	changed *sync.Cond // mu; something to write, or written, or the end
	done    chan struct{}
}

func newQueue(out destination, lost func(uint64) line) *queue {
	q := &queue{lost: lost, out: out, done: make(chan struct{})}
	q.stamped.Store(out.stamped())
	q.changed = sync.NewCond(&q.mu)
	go q.run()
	return q
}

// add queues a line, or drops it where there is no room.
func (q *queue) add(l line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) >= maxWaiting || q.octets+len(l.text) > maxOctets {
		q.missing++
		q.dropped.Add(1)
		return
	}
	q.waiting = append(q.waiting, l)
	q.octets += len(l.text)
	q.added++
	q.changed.Broadcast()
}

// run writes until the queue is closed and empty.
func (q *queue) run() {
	defer close(q.done)
	for {
		q.mu.Lock()
		for len(q.waiting) == 0 && !q.closed {
			q.changed.Wait()
		}
		if len(q.waiting) == 0 {
			q.mu.Unlock()
			return
		}
		batch, missing := q.waiting, q.missing
		q.waiting, q.octets, q.missing = nil, 0, 0
		q.mu.Unlock()
		for _, l := range batch {
			q.write(l)
			q.mu.Lock()
			q.written++
			q.changed.Broadcast()
			q.mu.Unlock()
		}
		if missing > 0 && q.lost != nil {
			q.write(q.lost(missing))
		}
	}
}

// write writes a line, once more where the destination was changed meanwhile.
func (q *queue) write(l line) {
	for range 2 {
		q.mu.Lock()
		out := q.out
		q.mu.Unlock()
		if out.write(l) == nil {
			return
		}
		q.mu.Lock()
		same := out == q.out
		q.mu.Unlock()
		if same {
			break
		}
	}
	q.dropped.Add(1)
}

// turn goes on with another destination and closes the one before, after a
// moment in which what waits may still go there.
func (q *queue) turn(out destination) {
	q.flush(turnTime)
	q.mu.Lock()
	old := q.out
	q.out = out
	q.stamped.Store(out.stamped())
	q.mu.Unlock()
	old.Close() // its lines are out or lost; nothing can be done about an error
}

// turnTime bounds how long a change of destination waits for the old one.
const turnTime = 500 * time.Millisecond

// flush waits until what was added before is written. It reports whether that
// was so within the time.
func (q *queue) flush(within time.Duration) bool {
	expired := false
	timer := time.AfterFunc(within, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		expired = true
		q.changed.Broadcast()
	})
	defer timer.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	until := q.added
	for q.written < until && !expired {
		q.changed.Wait()
	}
	return q.written >= until
}

// close writes what waits within the time and closes the destination.
func (q *queue) close(within time.Duration) error {
	q.mu.Lock()
	was := q.closed
	q.closed = true
	q.changed.Broadcast()
	q.mu.Unlock()
	if was {
		return nil
	}
	select {
	case <-q.done:
	case <-time.After(within):
	}
	return q.out.Close()
}
