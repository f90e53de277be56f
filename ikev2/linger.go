package ikev2

import (
	"crypto/sha256"
	"time"
)

// lingering keeps the last answer of ended IKE SAs for a while, so that a peer
// whose DELETE or failed IKE_AUTH went unanswered gets its answer again.
type lingering struct {
	bySPI map[uint64]*lastWord
	order []*lastWord // by end of time
}

type lastWord struct {
	spi    uint64
	hash   [sha256.Size]byte
	answer [][]byte
	until  time.Time
}

const (
	lingerTime = 30 * time.Second
	maxLinger  = 1024
)

func (l *lingering) has(spi uint64) bool { return l.bySPI[spi] != nil }

func (l *lingering) expire(now time.Time) {
	for len(l.order) > 0 && !l.order[0].until.After(now) {
		delete(l.bySPI, l.order[0].spi)
		l.order = l.order[1:]
	}
}

// linger leaves the last answer behind.
func (sa *ikeSA) linger() {
	spi := sa.ownSPI()
	last := sa.x.last()
	if last == nil || last.answer == nil || !last.protected || spi == 0 {
		return
	}
	l := &sa.e.lingering
	l.expire(sa.e.now)
	if len(l.order) >= maxLinger {
		delete(l.bySPI, l.order[0].spi)
		l.order = l.order[1:]
	}
	w := &lastWord{spi, last.hash, last.answer, sa.e.now.Add(lingerTime)}
	l.bySPI[spi] = w
	l.order = append(l.order, w)
}

// matches says that a request is the one that the last answer was for.
func (w *lastWord) matches(data []byte) bool { return sha256.Sum256(data) == w.hash }
