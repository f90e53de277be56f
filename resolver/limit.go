package resolver

import (
	"net/netip"
	"time"
)

// maxBuckets bounds the clients that a limiter remembers in each of its halves.
const maxBuckets = 4096

// bucket is what a client may still ask at once.
type bucket struct {
	tokens float64
	at     time.Time
}

// limiter counts questions by client. When one half is full it becomes the old
// half, and the old one is forgotten: memory is bounded without any search.
type limiter struct {
	now, old map[netip.Prefix]bucket
}

// allow says whether a client may ask once more.
func (l *limiter) allow(now time.Time, from netip.Addr, rate, burst int) bool {
	if rate <= 0 || !from.IsValid() {
		return true
	}
	bits := 32
	switch from = from.Unmap(); {
	case from.IsLinkLocalUnicast():
		bits = from.BitLen() // all hosts of a link share fe80::/64
	case from.Is6():
		bits = 64 // who has one address of a /64 has them all
	}
	key, err := from.WithZone("").Prefix(bits)
	if err != nil {
		return true
	}
	b, ok := l.now[key]
	if !ok {
		if b, ok = l.old[key]; !ok {
			b = bucket{tokens: float64(burst), at: now}
		}
		if l.now == nil || len(l.now) >= maxBuckets {
			l.now, l.old = make(map[netip.Prefix]bucket), l.now
		}
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(b.tokens+passed*float64(rate), float64(burst))
		b.at = now
	}
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	l.now[key] = b
	return allowed
}
