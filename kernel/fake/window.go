package fake

// window is an anti-replay window (RFC 4303 §3.4.3) over whole sequence
// numbers; a Datagram carries all 64 bits.
type window struct {
	size uint64
	top  uint64
	seen map[uint64]bool // those within size of top
}

func newWindow(size uint32) window {
	return window{size: uint64(size), seen: map[uint64]bool{}}
}

// fresh says whether a sequence number may be taken. A window of 0 takes all.
func (w *window) fresh(seq uint64) bool {
	switch {
	case w.size == 0:
		return true
	case seq == 0:
		return false
	case seq > w.top:
		return true
	}
	return w.top-seq < w.size && !w.seen[seq]
}

// note remembers a sequence number that was taken.
func (w *window) note(seq uint64) {
	if w.size == 0 {
		return
	}
	w.seen[seq] = true
	if seq <= w.top {
		return
	}
	w.top = seq
	if uint64(len(w.seen)) > 2*w.size {
		for s := range w.seen {
			if w.top-s >= w.size {
				delete(w.seen, s)
			}
		}
	}
}
