package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// toyBackend answers every request with a prepared result, and emits what a
// test hands it.
type toyBackend struct {
	kernel.Backend
	results chan kernel.Result
	events  chan kernel.Event
	answer  func(kernel.Request) kernel.Result
}

func newToyBackend() *toyBackend {
	return &toyBackend{results: make(chan kernel.Result, 64), events: make(chan kernel.Event, 64)}
}

func (b *toyBackend) Results() <-chan kernel.Result { return b.results }
func (b *toyBackend) Events() <-chan kernel.Event   { return b.events }
func (b *toyBackend) Submit(r kernel.Request) {
	res := kernel.Result{Request: r}
	if b.answer != nil {
		res = b.answer(r)
	}
	b.results <- res
}

// witness is a pump whose deliveries are written down, one after another.
type witness struct {
	*pump
	b   *toyBackend
	log chan string
}

func newWitness(t *testing.T) *witness {
	b := newToyBackend()
	w := &witness{pump: newPump(b), b: b, log: make(chan string, 64)}
	w.result = func(r kernel.Result) {
		w.log <- fmt.Sprintf("result to %d/%d", r.Request.Owner.Engine, r.Request.Owner.Shard)
	}
	w.policy = func(ev kernel.Event) { w.log <- fmt.Sprintf("policy %T", ev) }
	w.owned = func(o kernel.Owner, ev kernel.Event) { w.log <- fmt.Sprintf("shard %d %T", o.Shard, ev) }
	w.all = func(ev kernel.Event) { w.log <- fmt.Sprintf("all %T", ev) }
	w.stray = func(_ string, ev kernel.Event) { w.log <- fmt.Sprintf("stray %T", ev) }
	w.lost = func() { w.log <- "lost" }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run()
	}()
	t.Cleanup(func() {
		close(b.results)
		close(b.events)
		<-ended
		if _, err := w.ask(t.Context(), kernel.DumpSA{}); !errors.Is(err, errKernelClosed) {
			t.Errorf("asking after the end: %v", err)
		}
	})
	return w
}

func (w *witness) want(t *testing.T, want ...string) {
	t.Helper()
	for _, x := range want {
		select {
		case got := <-w.log:
			if got != x {
				t.Errorf("got %q, want %q", got, x)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("nothing came, want %q", x)
		}
	}
}

func said(last byte, spi kernel.SPI) kernel.SAID {
	return kernel.SAID{Dst: netip.AddrFrom4([4]byte{10, 0, 0, last}), Proto: kernel.ESP, SPI: spi}
}

func owner(shard uint8) kernel.Owner {
	return kernel.Owner{Engine: kernel.IKEv2, Shard: shard, Serial: 7}
}

func (w *witness) submit(shard uint8, op kernel.Op) {
	w.b.Submit(kernel.Request{Owner: owner(shard), Op: op})
}

func TestPumpRoutes(t *testing.T) {
	w := newWitness(t)
	a, b := said(1, 0x1001), said(2, 0x2002)
	w.submit(0, kernel.AddSA{SA: kernel.SA{SAID: a}})
	w.submit(1, kernel.AddSA{SA: kernel.SA{SAID: b}})
	w.want(t, "result to 2/0", "result to 2/1")

	w.b.events <- kernel.Expire{ID: a}
	w.b.events <- kernel.Mapping{ID: b}
	w.b.events <- kernel.Acquire{}
	w.b.events <- kernel.PolicyDeleted{}
	w.want(t, "shard 0 kernel.Expire", "shard 1 kernel.Mapping", "policy kernel.Acquire", "policy kernel.PolicyDeleted")

	w.b.events <- kernel.Resync{}
	w.want(t, "policy kernel.Resync", "lost")

	// After a hard expiry or a deletion nobody owns the SA any more.
	w.b.events <- kernel.Expire{ID: a, Hard: true}
	w.b.events <- kernel.Deleted{ID: a}
	w.want(t, "shard 0 kernel.Expire", "stray kernel.Deleted")
	w.submit(1, kernel.DeleteSA{ID: b})
	w.want(t, "result to 2/1")
	w.b.events <- kernel.Expire{ID: b}
	w.want(t, "stray kernel.Expire")
}

func TestPumpFailedAddOwnsNothing(t *testing.T) {
	w := newWitness(t)
	w.b.answer = func(r kernel.Request) kernel.Result { return kernel.Result{Request: r, Err: kernel.ErrExists} }
	w.submit(0, kernel.AddSA{SA: kernel.SA{SAID: said(1, 1)}})
	w.want(t, "result to 2/0")
	if n := len(w.sas()); n != 0 {
		t.Errorf("%d SAs owned", n)
	}
}

func TestPumpFlush(t *testing.T) {
	w := newWitness(t)
	w.submit(0, kernel.AddSA{SA: kernel.SA{SAID: said(1, 1)}})
	w.want(t, "result to 2/0")
	w.b.events <- kernel.Flushed{Proto: kernel.AH}
	w.want(t, "all kernel.Flushed")
	if n := len(w.sas()); n != 1 {
		t.Errorf("%d SAs after a flush of AH", n)
	}
	w.submit(0, kernel.FlushSA{})
	w.want(t, "result to 2/0")
	if n := len(w.sas()); n != 0 {
		t.Errorf("%d SAs after a flush of everything", n)
	}
}

func TestPumpFollowsAMovedPeer(t *testing.T) {
	w := newWitness(t)
	before, after := said(1, 9), said(2, 9)
	w.submit(0, kernel.AddSA{SA: kernel.SA{SAID: before}})
	for serial := range uint64(2) { // each operation has a serial of its own
		o := owner(0)
		o.Serial += 1 + serial
		op := kernel.UpdateSA{SA: kernel.SA{SAID: after}}
		if serial == 0 {
			op.OldDst = before.Dst
		}
		w.b.Submit(kernel.Request{Owner: o, Op: op})
	}
	w.want(t, "result to 2/0", "result to 2/0", "result to 2/0")
	if got := w.sas(); !slices.Equal(got, []kernel.SAID{after}) {
		t.Errorf("owned: %v", got)
	}
}

// TestPumpMovesOneSA: two peers of a shard chose one SPI, and one of them moves.
func TestPumpMovesOneSA(t *testing.T) {
	w := newWitness(t)
	mine, others, after := said(1, 9), said(2, 9), said(3, 9)
	w.submit(0, kernel.AddSA{SA: kernel.SA{SAID: mine}})
	w.submit(0, kernel.AddSA{SA: kernel.SA{SAID: others}})
	w.submit(0, kernel.UpdateSA{SA: kernel.SA{SAID: after}, OldDst: mine.Dst})
	w.want(t, "result to 2/0", "result to 2/0", "result to 2/0")
	w.b.events <- kernel.Expire{ID: others}
	w.want(t, "shard 0 kernel.Expire")
	w.b.events <- kernel.Expire{ID: mine}
	w.want(t, "stray kernel.Expire")
}

func TestPumpAsk(t *testing.T) {
	w := newWitness(t)
	w.b.answer = func(r kernel.Request) kernel.Result {
		if _, ok := r.Op.(kernel.GetSA); ok {
			return kernel.Result{Request: r, Err: kernel.ErrNotFound}
		}
		return kernel.Result{Request: r, SAs: make([]kernel.SAState, 2)}
	}
	r, err := w.ask(t.Context(), kernel.DumpSA{})
	if err != nil || len(r.SAs) != 2 {
		t.Errorf("dump: %v, %v", r, err)
	}
	if _, err := w.ask(t.Context(), kernel.GetSA{}); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.ask(ctx, kernel.DumpSA{}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMissing(t *testing.T) {
	a, b := said(1, 1), said(2, 2)
	left := missing(map[kernel.SAID]kernel.Owner{a: owner(0), b: owner(1)}, []kernel.SAState{{SA: kernel.SA{SAID: b}}})
	if len(left) != 1 || left[a] != owner(0) {
		t.Errorf("missing: %v", left)
	}
}

// sas lists the SAs that stand in the kernel because an engine put them there.
func (p *pump) sas() []kernel.SAID {
	return slices.Collect(maps.Keys(p.snapshot()))
}
