package logging

import (
	"sync"
	"time"

	"racoon2/kernel/trace"
)

// A reason may fill burst lines at once and one more each interval.
const (
	burst    = 20
	interval = 500 * time.Millisecond
	// maxReasons bounds the table. Reasons come from closed sets, so it is
	// never reached; if it were, further reasons would share one bucket.
	maxReasons = 1024
)

// limiter is a token bucket for each reason. Events without a reason are the
// ordinary course of things and pass; debug lines were asked for and pass too.
type limiter struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	tokens int
	filled time.Time
	left   uint64 // lines left out since the last one written
}

func newLimiter() *limiter { return &limiter{buckets: make(map[string]*bucket)} }

// allow says whether a line may be written, and how many before it were not.
func (l *limiter) allow(now time.Time, area, reason string, tag trace.Tag) (left uint64, ok bool) {
	if reason == "" || tag == trace.Debug || tag == trace.Critical {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := area + "/" + reason
	b := l.buckets[key]
	if b == nil && len(l.buckets) >= maxReasons {
		key = "*"
		b = l.buckets[key]
	}
	if b == nil {
		b = &bucket{tokens: burst, filled: now}
		l.buckets[key] = b
	}
	if n := now.Sub(b.filled) / interval; n > 0 {
		b.tokens = min(b.tokens+int(min(n, burst)), burst)
		b.filled = b.filled.Add(n * interval)
	}
	if b.tokens == 0 {
		b.left++
		return 0, false
	}
	b.tokens--
	left, b.left = b.left, 0
	return left, true
}
