package userspace

import (
	"math/rand/v2"
	"testing"
)

// offer is check and accept in one, as the packet path does them.
func (w *replayWindow) offer(seq uint64) bool {
	if !w.fresh(seq) {
		return false
	}
	w.accept(seq)
	return true
}

func TestReplayWindow(t *testing.T) {
	type step struct {
		seq  uint64
		want bool
	}
	for _, c := range []struct {
		name  string
		size  uint32
		steps []step
	}{
		{"in order", 64, []step{{1, true}, {2, true}, {3, true}, {3, false}, {1, false}}},
		{"zero is never sent", 64, []step{{0, false}, {1, true}}},
		{"out of order", 64, []step{{10, true}, {5, true}, {9, true}, {5, false}, {10, false}, {11, true}}},
		{"left edge", 64, []step{{100, true}, {37, true}, {36, false}, {37, false}}},
		{"left edge of 4096", 4096, []step{{5000, true}, {905, true}, {904, false}, {905, false}}},
		{"a size that is no multiple of 64", 100, []step{{1000, true}, {901, true}, {900, false}}},
		{"a window of one", 1, []step{{5, true}, {5, false}, {4, false}, {6, true}}},
		{"a jump clears all", 128, []step{{1, true}, {2, true}, {100000, true}, {99999, true}, {99873, true}, {99872, false}, {99999, false}}},
		{"a jump by words", 128, []step{{64, true}, {128, true}, {192, true}, {65, true}, {64, false}, {128, false}}},
		{"no window", 0, []step{{5, true}, {5, true}, {0, true}, {1, true}}},
	} {
		w := newReplayWindow(c.size)
		for i, s := range c.steps {
			if got := w.offer(s.seq); got != s.want {
				t.Errorf("%s: step %d: %d accepted: %v", c.name, i, s.seq, got)
			}
		}
	}
}

// A simple model, which remembers everything, says the same.
func TestReplayModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []uint32{1, 32, 64, 65, 127, 128, 1000, 4096} {
		w := newReplayWindow(size)
		seen, top := map[uint64]bool{}, uint64(0)
		for range 20000 {
			seq := top + uint64(random.IntN(int(size)/2+8))
			if random.IntN(3) > 0 && seq > uint64(size)+8 {
				seq -= uint64(random.IntN(int(size) + 8))
			}
			if random.IntN(500) == 0 {
				seq += uint64(random.IntN(5 * int(size)))
			}
			want := seq != 0 && !seen[seq] && (seq > top || top-seq < uint64(size))
			if got := w.offer(seq); got != want {
				t.Fatalf("size %d, top %d: %d accepted: %v", size, top, seq, got)
			}
			if want {
				seen[seq], top = true, max(top, seq)
			}
		}
	}
}

// The upper half of an extended sequence number is inferred (RFC 4303
// Appendix A2.2).
func TestInfer(t *testing.T) {
	const edge = 1 << 32
	for _, c := range []struct {
		size uint32
		top  uint64
		low  uint32
		want uint64
		ok   bool
	}{
		{64, 0, 1, 1, true},
		{64, 1000, 1001, 1001, true},
		{64, 1000, 937, 937, true},
		{64, 1000, 936, edge + 936, true}, // left of the window: the next subspace
		{64, edge - 1, 0, edge, true},
		{64, edge - 1, edge - 1, edge - 1, true},
		{64, edge - 64, 5, edge + 5, true},
		{64, edge + 10, edge - 5, edge - 5, true}, // the window spans both
		{64, edge + 10, edge - 60, 2*edge - 60, true},
		{64, edge + 10, 11, edge + 11, true},
		{64, edge + 62, 0, edge, true},
		{64, edge + 63, 0, edge, true},
		{64, 10, edge - 5, 0, false}, // would be before the first of all
		{64, 7*edge + 5, 6, 7*edge + 6, true},
		{64, 7*edge + 5, edge - 1, 7*edge - 1, true},
		{4096, 7*edge + 5, edge - 4000, 7*edge - 4000, true},
		{0, edge + 5, edge - 1, edge - 1, true},
		{0, edge - 5, 5, edge + 5, true},
	} {
		w := newReplayWindow(c.size)
		w.top = c.top
		got, ok := w.infer(c.low)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("window %d below %#x: %#x is %#x, %v; want %#x, %v", c.size, c.top, c.low, got, ok, c.want, c.ok)
		}
	}
}
