package userspace

import "math/bits"

// maxReplay is the largest anti-replay window in packets.
const maxReplay = 4096

// replayWindow is the receiver's anti-replay window (RFC 4303 §3.4.3): a ring
// of 64-bit words in which a word is cleared when the window moves onto it, so
// that moving never shifts bits (RFC 6479). Sequence numbers are 64 bits
// throughout; without ESN the upper half stays zero.
type replayWindow struct {
	size uint64   // packets; 0 switches the check off
	top  uint64   // the highest number that was authentic
	ring []uint64 // one word more than the window needs; a power of two
}

// newReplayWindow makes a window of size packets.
func newReplayWindow(size uint32) replayWindow {
	w := replayWindow{size: uint64(size)}
	if size > 0 {
		words := uint(size+63)/64 + 1
		w.ring = make([]uint64, 1<<bits.Len(words-1))
	}
	return w
}

// infer completes a received 32-bit sequence number to 64 bits (RFC 4303
// Appendix A2.2): it belongs to the 2^32 numbers around the window. The second
// result is false for a number before the first of all.
func (w *replayWindow) infer(low uint32) (uint64, bool) {
	// Without a check the upper half must be guessed all the same; then the
	// window stands in the middle.
	size := w.size
	if size == 0 {
		size = 1 << 31
	}
	high := w.top >> 32
	bottom := w.top - size + 1 // may wrap below zero, as Appendix A's Bl does
	switch topLow := uint32(w.top); {
	case uint64(topLow) >= size-1: // case A: the window lies in one subspace
		if low < uint32(bottom) {
			high++
		}
	case low >= uint32(bottom): // case B: it spans two, and this is the lower one
		if high == 0 {
			return 0, false
		}
		high--
	}
	return high<<32 | uint64(low), true
}

// fresh says whether a number was not yet seen and is not left of the window.
// It must be asked again after the integrity check when others may have run
// in between.
func (w *replayWindow) fresh(seq uint64) bool {
	switch {
	case w.size == 0:
		return true
	case seq == 0: // RFC 4303 §3.3.3: the first number is 1
		return false
	case seq > w.top:
		return true
	case w.top-seq >= w.size:
		return false
	}
	return w.ring[w.word(seq)]&(1<<(seq%64)) == 0
}

// accept marks the number of an authentic packet (RFC 4303 §3.4.3: only after
// the ICV was verified).
func (w *replayWindow) accept(seq uint64) {
	if w.size == 0 {
		w.top = max(w.top, seq)
		return
	}
	if seq > w.top {
		words := min(seq/64-w.top/64, uint64(len(w.ring)))
		for i := range words {
			w.ring[w.word(seq-64*i)] = 0
		}
		w.top = seq
	}
	w.ring[w.word(seq)] |= 1 << (seq % 64)
}

func (w *replayWindow) word(seq uint64) uint64 {
	return seq / 64 & uint64(len(w.ring)-1)
}
