package agent

import (
	"context"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// core is the contract of the sans-IO state machines.
type core[In, Out any] interface {
	Handle(now time.Time, in In, out *Out)
	Deadline() (time.Time, bool)
	Idle() bool
}

// The bounds of a driver.
const (
	urgentSize   = 256  // commands, kernel results and events, jobs' results
	datagramSize = 1024 // datagrams that wait; more are dropped
	outboxSize   = 4096 // letters that wait before no more datagrams are taken
	// minSleep keeps a core whose deadline does not move from spinning.
	minSleep = time.Millisecond
)

// errStopped says that a driver does not take anything any more.
var errStopped = errors.New("the engine has stopped")

// letter is something that a driver hands over: to another driver or to the
// pool of workers.
type letter struct {
	to chan<- func()
	do func()
}

// driver runs one core on one goroutine.
type driver[In, Out any] struct {
	name    string
	core    core[In, Out]
	timeout In             // the input that says that the deadline has passed
	perform func(out *Out) // does the effects in order and empties out; runs on the driver's goroutine
	now     func() time.Time
	// panicked is told once, when the core panics; the driver goes on without it.
	panicked func(name string, value any, stack []byte)

	urgent    chan func() // each runs on the driver's goroutine
	datagrams chan In
	dropped   atomic.Uint64 // datagrams that found their channel full
	stopped   chan struct{} // closed when run returns

	out      Out
	answers  []In     // inputs that effects led to at once, before anything from outside
	outbox   []letter // waiting to be handed over, in order
	dead     bool     // the core has panicked
	awaiting []chan<- struct{}
}

func newDriver[In, Out any](name string, c core[In, Out], timeout In) *driver[In, Out] {
	return &driver[In, Out]{
		name: name, core: c, timeout: timeout, now: time.Now,
		urgent:    make(chan func(), urgentSize),
		datagrams: make(chan In, datagramSize),
		stopped:   make(chan struct{}),
	}
}

// run drives the core until the context ends. It is called once.
func (d *driver[In, Out]) run(ctx context.Context) {
	defer close(d.stopped)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d.arm(timer)
		// A nil channel is never ready: without a letter there is nothing to
		// hand over, and with too many of them datagrams have to wait.
		var head letter
		if len(d.outbox) > 0 {
			head = d.outbox[0]
		}
		datagrams := d.datagrams
		if len(d.outbox) >= outboxSize {
			datagrams = nil
		}
		select {
		case <-ctx.Done():
			return
		case do := <-d.urgent:
			do()
		case in := <-datagrams:
			d.feed(in)
		case head.to <- head.do:
			d.outbox[0] = letter{}
			d.outbox = d.outbox[1:]
		case <-timer.C:
			if at, ok := d.deadline(); ok && !at.After(d.now()) {
				d.feed(d.timeout)
			}
		}
		d.tellIdle()
	}
}

// arm sets the timer for the core's deadline.
func (d *driver[In, Out]) arm(timer *time.Timer) {
	at, ok := d.deadline()
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(max(at.Sub(d.now()), minSleep))
}

// deadline is the core's; none when it is dead.
func (d *driver[In, Out]) deadline() (at time.Time, ok bool) {
	d.guard(func() { at, ok = d.core.Deadline() })
	return at, ok
}

// feed hands an input to the core, then the answers that its effects found at
// once. It runs on the driver's goroutine.
func (d *driver[In, Out]) feed(in In) {
	d.answers = append(d.answers, in)
	for len(d.answers) > 0 {
		next := d.answers[0]
		d.answers = d.answers[1:]
		d.guard(func() {
			d.core.Handle(d.now(), next, &d.out)
			d.perform(&d.out)
		})
	}
	d.answers = nil
}

// guard runs f unless the core has panicked, and catches its panic.
func (d *driver[In, Out]) guard(f func()) {
	if d.dead {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			d.dead = true
			if d.panicked != nil {
				d.panicked(d.name, value, debug.Stack())
			}
		}
	}()
	f()
}

// answer queues an input that an effect led to; perform calls it.
func (d *driver[In, Out]) answer(in In) { d.answers = append(d.answers, in) }

// hand queues a letter; perform calls it.
func (d *driver[In, Out]) hand(to chan<- func(), do func()) {
	d.outbox = append(d.outbox, letter{to, do})
}

// input is a letter's content for this driver.
func (d *driver[In, Out]) input(in In) func() { return func() { d.feed(in) } }

// offer hands over a datagram without waiting. It reports whether there was room.
func (d *driver[In, Out]) offer(in In) bool {
	select {
	case d.datagrams <- in:
		return true
	default:
		d.dropped.Add(1)
		return false
	}
}

// post hands over an input that must not be lost, and waits for room. A driver
// must not post to another: it has its outbox for that.
func (d *driver[In, Out]) post(ctx context.Context, in In) error { return d.do(ctx, d.input(in)) }

// do has f run on the driver's goroutine, some time.
func (d *driver[In, Out]) do(ctx context.Context, f func()) error {
	select {
	case d.urgent <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		return errStopped
	}
}

// ask runs a question about the core on the driver's goroutine and waits for it.
func ask[T, In, Out any](ctx context.Context, d *driver[In, Out], question func() T) (T, error) {
	var zero T
	answer := make(chan T, 1)
	err := d.do(ctx, func() {
		defer close(answer)
		d.guard(func() { answer <- question() })
	})
	if err != nil {
		return zero, err
	}
	select {
	case v, ok := <-answer:
		if !ok {
			return zero, errStopped
		}
		return v, nil
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-d.stopped:
		return zero, errStopped
	}
}

// whenIdle has the channel closed as soon as the core is idle, or dead.
func (d *driver[In, Out]) whenIdle(ctx context.Context) (<-chan struct{}, error) {
	idle := make(chan struct{})
	return idle, d.do(ctx, func() { d.awaiting = append(d.awaiting, idle) })
}

func (d *driver[In, Out]) tellIdle() {
	if len(d.awaiting) == 0 || len(d.outbox) > 0 && !d.dead {
		return
	}
	idle := d.dead
	d.guard(func() { idle = d.core.Idle() })
	if !idle && !d.dead {
		return
	}
	for _, c := range d.awaiting {
		close(c)
	}
	d.awaiting = nil
}
