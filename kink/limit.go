package kink

import (
	"net/netip"
	"time"
)

// bucket is a token bucket that starts full; burst is twice the rate.
type bucket struct {
	rate  float64 // tokens a second
	spent float64
	last  time.Time
}

// level refills the bucket and returns how many tokens it holds.
func (b *bucket) level(now time.Time) float64 {
	if gone := now.Sub(b.last).Seconds(); gone > 0 {
		b.spent = max(0, b.spent-gone*b.rate)
		b.last = now
	}
	return 2*b.rate - b.spent
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time) bool {
	if b.level(now) < 1 {
		return false
	}
	b.spent++
	return true
}

// The limits for sources whose datagrams prove nothing: an AP-REQ costs tens of
// microseconds before it can be refused.
const (
	strangerRate = 10   // refused datagrams a second from one source
	maxStrangers = 4096 // sources remembered; what comes from others shares one bucket
	othersRate   = 200
	// familiarRate is for the address of a peer that has shown its key before: a
	// stranger that borrows the address must not lock the peer out.
	familiarRate = 500
	maxFamiliar  = 65536
)

// strangers limits what senders may cost who have not shown a key. The sources
// are IPv4 addresses and IPv6 /64 networks.
type strangers struct {
	sources  map[netip.Prefix]*bucket
	others   bucket
	swept    time.Time // when full buckets were last forgotten
	familiar map[netip.Addr]*bucket
}

// known notes an address whose message proved a key.
func (s *strangers) known(now time.Time, a netip.Addr) {
	if s.familiar == nil {
		s.familiar = make(map[netip.Addr]*bucket)
	}
	if s.familiar[a] == nil && len(s.familiar) < maxFamiliar {
		s.familiar[a] = &bucket{rate: familiarRate, last: now}
	}
}

// of finds the bucket of a source.
func (s *strangers) of(now time.Time, a netip.Addr) *bucket {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return &s.others
	}
	if s.sources == nil {
		s.sources = make(map[netip.Prefix]*bucket)
		s.others.rate = othersRate
	}
	if b, ok := s.sources[p]; ok {
		return b
	}
	if len(s.sources) >= maxStrangers && now.Sub(s.swept) >= time.Second {
		s.swept = now // not for each datagram: a sweep costs more than what it limits
		for p, b := range s.sources {
			if b.level(now) >= 2*strangerRate {
				delete(s.sources, p)
			}
		}
	}
	if len(s.sources) >= maxStrangers {
		return &s.others
	}
	b := &bucket{rate: strangerRate, last: now}
	s.sources[p] = b
	return b
}

// admit says whether a datagram from a may be looked at.
func (s *strangers) admit(now time.Time, a netip.Addr) bool {
	if b := s.familiar[a]; b != nil && b.level(now) >= 1 {
		return true
	}
	return s.of(now, a).level(now) >= 1
}

// charge notes a datagram that proved nothing.
func (s *strangers) charge(now time.Time, a netip.Addr) {
	s.of(now, a).take(now)
	if b := s.familiar[a]; b != nil {
		b.take(now)
	}
}
