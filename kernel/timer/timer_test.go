package timer

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Whatever is set, moved and stopped, what is due comes in the order of time,
// and equal times in the order of setting.
func TestOrder(t *testing.T) {
	type due struct {
		when time.Time
		seq  int
		id   int
	}
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Unix(1e9, 0)
	for range 200 {
		var h Heap[int]
		timers := make([]Timer[int], 40)
		want := map[int]due{}
		for n := range 200 {
			id := r.IntN(len(timers))
			timers[id].Of = id
			if r.IntN(4) == 0 {
				h.Stop(&timers[id])
				delete(want, id)
			} else {
				d := due{start.Add(time.Duration(r.IntN(20)) * time.Second), n, id}
				h.Set(&timers[id], d.when)
				want[id] = d
			}
			if timers[id].Armed() != (want[id] != due{}) {
				t.Fatal("Armed is wrong")
			}
		}
		var order []due
		for _, d := range want {
			order = append(order, d)
		}
		slices.SortFunc(order, func(a, b due) int { return cmp.Or(a.when.Compare(b.when), cmp.Compare(a.seq, b.seq)) })
		if h.Len() != len(order) {
			t.Fatalf("%d timers are set, want %d", h.Len(), len(order))
		}
		for _, d := range order {
			if at, ok := h.Next(); !ok || !at.Equal(d.when) {
				t.Fatalf("next is at %v, want %v", at, d.when)
			}
			if _, ok := h.Due(d.when.Add(-1)); ok {
				t.Fatal("a timer is early")
			}
			if id, ok := h.Due(d.when); !ok || id != d.id {
				t.Fatalf("%d is due, want %d", id, d.id)
			}
		}
		if _, ok := h.Next(); ok || h.Len() != 0 {
			t.Fatal("something is left")
		}
	}
}

func BenchmarkSet(b *testing.B) {
	var h Heap[int]
	timers := make([]Timer[int], 10000)
	now := time.Unix(1e9, 0)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		h.Set(&timers[n%len(timers)], now.Add(time.Duration(n*7919%100000)))
		n++
	}
}
