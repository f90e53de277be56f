package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// toyIn and toyOut are the input and the outbox of a toy core.
type toyIn struct {
	text string
	done chan<- struct{}
}

type toyOut struct{ effects []string }

// toyCore echoes its inputs as effects. It panics on "panic", sets a timer on
// "timer", and is idle after "shutdown".
type toyCore struct {
	handled  []string
	deadline time.Time
	over     bool
}

func (c *toyCore) Handle(now time.Time, in toyIn, out *toyOut) {
	c.handled = append(c.handled, in.text)
	switch in.text {
	case "panic":
		panic("toy broke")
	case "timer":
		c.deadline = now.Add(5 * time.Millisecond)
	case "timeout":
		c.deadline = time.Time{}
	case "shutdown":
		c.over = true
	}
	out.effects = append(out.effects, in.text)
	if in.done != nil {
		close(in.done)
	}
}

func (c *toyCore) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }
func (c *toyCore) Idle() bool                  { return c.over }

type toyDriver = driver[toyIn, toyOut]

// newToy makes a driver of a toy core; perform gets each effect.
func newToy(name string, perform func(d *toyDriver, effect string)) (*toyDriver, *toyCore) {
	c := &toyCore{}
	d := newDriver[toyIn, toyOut](name, c, toyIn{text: "timeout"})
	d.perform = func(out *toyOut) {
		for _, e := range out.effects {
			if perform != nil {
				perform(d, e)
			}
		}
		out.effects = out.effects[:0]
	}
	return d, c
}

// start runs drivers until the test ends.
func start(t *testing.T, drivers ...*toyDriver) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, d := range drivers {
		wg.Go(func() { d.run(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	limit, stop := context.WithTimeout(ctx, 10*time.Second)
	t.Cleanup(stop)
	return limit
}

func handled(t *testing.T, ctx context.Context, d *toyDriver, c *toyCore) []string {
	t.Helper()
	got, err := ask(ctx, d, func() []string { return slices.Clone(c.handled) })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDriverOrder(t *testing.T) {
	d, c := newToy("toy", func(d *toyDriver, e string) {
		if e == "a" {
			d.answer(toyIn{text: "answer to a"})
		}
	})
	ctx := start(t, d)
	for _, in := range []string{"a", "b"} {
		if err := d.post(ctx, toyIn{text: in}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a", "answer to a", "b"}
	if got := handled(t, ctx, d, c); !slices.Equal(got, want) {
		t.Errorf("handled %q, want %q", got, want)
	}
}

func TestDriverTimer(t *testing.T) {
	fired := make(chan struct{}, 1)
	d, _ := newToy("toy", func(_ *toyDriver, e string) {
		if e == "timeout" {
			fired <- struct{}{}
		}
	})
	ctx := start(t, d)
	if err := d.post(ctx, toyIn{text: "timer"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-fired:
	case <-ctx.Done():
		t.Fatal("the timer did not fire")
	}
}

// TestDriversDoNotDeadlock has two drivers flood each other with far more
// letters than their inboxes hold, while datagrams come in. Each input of "n"
// leads to fanOut letters to the other.
func TestDriversDoNotDeadlock(t *testing.T) {
	const rounds, fanOut = 40, urgentSize
	var arrived atomic.Int64
	var left, right *toyDriver
	perform := func(to func() *toyDriver) func(*toyDriver, string) {
		return func(d *toyDriver, e string) {
			switch e {
			case "burst":
				for i := range fanOut {
					other := to()
					d.hand(other.urgent, other.input(toyIn{text: fmt.Sprint("letter ", i)}))
				}
			default:
				arrived.Add(1)
			}
		}
	}
	left, _ = newToy("left", perform(func() *toyDriver { return right }))
	right, _ = newToy("right", perform(func() *toyDriver { return left }))
	ctx := start(t, left, right)
	var wg sync.WaitGroup
	for _, d := range []*toyDriver{left, right} {
		wg.Go(func() {
			for range rounds {
				if err := d.post(ctx, toyIn{text: "burst"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for arrived.Load() < 2*rounds*fanOut {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d letters arrived: deadlock", arrived.Load(), 2*rounds*fanOut)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDriverDropsDatagramsOnly(t *testing.T) {
	d, c := newToy("toy", nil)
	accepted := 0
	for range datagramSize + 10 {
		if d.offer(toyIn{text: "datagram"}) {
			accepted++
		}
	}
	if accepted != datagramSize || d.dropped.Load() != 10 {
		t.Errorf("accepted %d, dropped %d; want %d and 10", accepted, d.dropped.Load(), datagramSize)
	}
	ctx := start(t, d)
	const commands = 3 * urgentSize
	for range commands {
		if err := d.post(ctx, toyIn{text: "command"}); err != nil {
			t.Fatal(err)
		}
	}
	got := handled(t, ctx, d, c)
	n := 0
	for _, h := range got {
		if h == "command" {
			n++
		}
	}
	if n != commands {
		t.Errorf("%d of %d commands were handled", n, commands)
	}
}

func TestDriverTakesNoDatagramsWhileItsOutboxIsFull(t *testing.T) {
	blocked := make(chan func()) // nobody takes letters until the test does
	d, c := newToy("toy", func(d *toyDriver, e string) {
		if e == "fill" {
			for range outboxSize {
				d.hand(blocked, func() {})
			}
		}
	})
	ctx := start(t, d)
	if err := d.post(ctx, toyIn{text: "fill"}); err != nil {
		t.Fatal(err)
	}
	handled(t, ctx, d, c) // the outbox is full now
	done := make(chan struct{})
	d.offer(toyIn{text: "datagram", done: done})
	if err := d.post(ctx, toyIn{text: "command"}); err != nil {
		t.Fatal(err)
	}
	if got := handled(t, ctx, d, c); slices.Contains(got, "datagram") || !slices.Contains(got, "command") {
		t.Errorf("with a full outbox: %q", got)
	}
	<-blocked
	select {
	case <-done:
	case <-ctx.Done():
		t.Error("the datagram was not taken when there was room")
	}
}

func TestDriverPanic(t *testing.T) {
	d, _ := newToy("toy", nil)
	told := make(chan string, 2)
	d.panicked = func(name string, value any, stack []byte) {
		told <- fmt.Sprint(name, ": ", value, ", stack ", len(stack) > 0)
	}
	ctx := start(t, d)
	for range 2 {
		if err := d.post(ctx, toyIn{text: "panic"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-told; got != "toy: toy broke, stack true" {
		t.Errorf("told %q", got)
	}
	if _, err := ask(ctx, d, func() int { return 1 }); !errors.Is(err, errStopped) {
		t.Errorf("a dead core answers: %v", err)
	}
	idle, err := d.whenIdle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-idle // a dead core counts as idle
	if len(told) != 0 {
		t.Error("a dead core was called again")
	}
}

func TestDriverAskPanics(t *testing.T) {
	d, _ := newToy("toy", nil)
	told := make(chan struct{}, 1)
	d.panicked = func(string, any, []byte) { told <- struct{}{} }
	ctx := start(t, d)
	if _, err := ask(ctx, d, func() int { panic("in a question") }); !errors.Is(err, errStopped) {
		t.Errorf("err %v", err)
	}
	<-told
}

func TestDriverIdle(t *testing.T) {
	d, _ := newToy("toy", nil)
	ctx := start(t, d)
	idle, err := d.whenIdle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-idle:
		t.Fatal("idle before shutdown")
	case <-time.After(5 * time.Millisecond):
	}
	if err := d.post(ctx, toyIn{text: "shutdown"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-idle:
	case <-ctx.Done():
		t.Fatal("not idle after shutdown")
	}
}

func TestDriverStopped(t *testing.T) {
	d, _ := newToy("toy", nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d.run(ctx)
	for range urgentSize {
		d.urgent <- func() {}
	}
	if err := d.post(context.Background(), toyIn{}); !errors.Is(err, errStopped) {
		t.Errorf("post to a driver that has ended: %v", err)
	}
}

func TestPool(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := newPool(ctx, 3)
	var most, now atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Add(1)
		p.queue <- func() {
			defer wg.Done()
			n := now.Add(1)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			now.Add(-1)
		}
	}
	wg.Wait()
	cancel()
	p.wait()
	if most.Load() > 3 {
		t.Errorf("%d jobs at once", most.Load())
	}
}

func TestJobPanic(t *testing.T) {
	var told string
	_, err := runJob("key exchange", func() (any, error) { panic("secret") }, func(name string, _ any, _ []byte) { told = name })
	if err == nil || err.Error() != "job key exchange failed inside" || told != "key exchange" {
		t.Errorf("err %v, told %q", err, told)
	}
	v, err := runJob("sum", func() (any, error) { return 3, nil }, nil)
	if v != 3 || err != nil {
		t.Errorf("value %v, err %v", v, err)
	}
}
