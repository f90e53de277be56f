// Package pump is the part of a kernel.Backend that all backends share: the
// queue in front of the operations, which never blocks who submits, and the
// queue behind the events, which never blocks who notices them.
//
// It owns two goroutines and knows nothing of kernels. Requests are not
// bounded here: each waits for its result with its owner, who bounds them.
package pump

import (
	"sync"

	"racoon2/kernel"
)

// eventLimit bounds the events that wait for a slow reader. When they are more,
// all of them give way to one Resync.
const eventLimit = 1024

// Pump carries requests to a function, one after another, and their results
// and the backend's events to channels.
type Pump struct {
	do      func(kernel.Request) kernel.Result
	results chan kernel.Result
	events  chan kernel.Event
	stop    chan struct{}
	running sync.WaitGroup
	once    sync.Once

	mu      sync.Mutex
	waiting []kernel.Request
	noticed []kernel.Event
	request chan struct{} // one signal: waiting is not empty
	event   chan struct{} // one signal: noticed is not empty
}

// New starts a Pump. It calls do from one goroutine.
func New(do func(kernel.Request) kernel.Result) *Pump {
	p := &Pump{
		do:      do,
		results: make(chan kernel.Result, 64),
		events:  make(chan kernel.Event, 64),
		stop:    make(chan struct{}),
		request: make(chan struct{}, 1),
		event:   make(chan struct{}, 1),
	}
	p.running.Go(p.carryRequests)
	p.running.Go(p.carryEvents)
	return p
}

// Submit queues a request.
func (p *Pump) Submit(r kernel.Request) {
	p.mu.Lock()
	p.waiting = append(p.waiting, r)
	p.mu.Unlock()
	signal(p.request)
}

// Emit queues an event. A reader that is too slow gets a Resync in place of
// everything that waited.
func (p *Pump) Emit(events ...kernel.Event) {
	if len(events) == 0 {
		return
	}
	p.mu.Lock()
	if p.noticed = append(p.noticed, events...); len(p.noticed) > eventLimit {
		clear(p.noticed)
		p.noticed = append(p.noticed[:0], kernel.Resync{})
	}
	p.mu.Unlock()
	signal(p.event)
}

// Results is what became of the requests, in their order.
func (p *Pump) Results() <-chan kernel.Result { return p.results }

// Events is what was emitted.
func (p *Pump) Events() <-chan kernel.Event { return p.events }

// Close ends the goroutines and closes both channels. Requests that still wait
// are forgotten. It may be called again.
func (p *Pump) Close() {
	p.once.Do(func() {
		close(p.stop)
		p.running.Wait()
		close(p.results)
		close(p.events)
	})
}

func (p *Pump) carryRequests() {
	for p.wait(p.request) {
		for {
			r, ok := take(p, &p.waiting)
			if !ok {
				break
			}
			if p.stopped() || !send(p, p.results, p.do(r)) {
				return
			}
		}
	}
}

func (p *Pump) carryEvents() {
	for p.wait(p.event) {
		for {
			e, ok := take(p, &p.noticed)
			if !ok {
				break
			}
			if !send(p, p.events, e) {
				return
			}
		}
	}
}

func (p *Pump) wait(c chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-p.stop:
		return false
	}
}

func (p *Pump) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func take[T any](p *Pump, queue *[]T) (T, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var none T
	if len(*queue) == 0 {
		return none, false
	}
	first := (*queue)[0]
	(*queue)[0] = none
	*queue = (*queue)[1:]
	return first, true
}

func send[T any](p *Pump, c chan<- T, v T) bool {
	select {
	case c <- v:
		return true
	case <-p.stop:
		return false
	}
}
