package resolver

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestFailOver(t *testing.T) {
	l := newLadder(t, Settings{})
	l.query("c", www, TypeA)
	first := take[Ask](l)
	if first.Upstream != serverA || first.Attempt != 1 {
		t.Fatalf("%+v", first)
	}
	l.pass(time.Second) // silence: the other is asked as well
	second := take[Ask](l)
	if second.Upstream != serverB || second.Attempt != 2 {
		t.Fatalf("%+v", second)
	}
	l.answer(first, 60, "192.0.2.1") // late, and still the first
	l.replied("c", www+"192.0.2.1")
	if c := take[Cancel](l); c.ID != second.ID {
		t.Errorf("%+v", c)
	}
	// Two silences in a row, and it is passed over.
	for i, name := range []string{"a.", "b."} {
		l.query("c", name, TypeA)
		if a := take[Ask](l); a.Upstream != serverA {
			t.Fatalf("%d: %+v", i, a)
		}
		l.pass(time.Second)
		l.answer(take[Ask](l), 60, "192.0.2.1")
		take[Reply](l)
		take[Cancel](l)
	}
	status := l.r.Servers(l.now)
	if !status[0].Down || status[0].Current || !status[1].Current || status[0].Failures != 2 {
		t.Errorf("%+v", status)
	}
	l.query("c", "c.", TypeA)
	c := take[Ask](l)
	if c.Upstream != serverB {
		t.Errorf("%+v", c)
	}
	l.answer(c, 60, "192.0.2.1")
	// Its pause ends, and an answer makes it well.
	l.pass(2 * time.Second)
	l.out = nil
	l.query("c", "d.", TypeA)
	a := take[Ask](l)
	if a.Upstream != serverA {
		t.Fatalf("%+v", a)
	}
	l.answer(a, 60, "192.0.2.1")
	if status := l.r.Servers(l.now); status[0].Down || status[0].Failures != 0 {
		t.Errorf("%+v", status)
	}
}

func TestFailuresGoOnAtOnce(t *testing.T) {
	l := newLadder(t, Settings{})
	l.query("c", www, TypeA)
	l.do(AskFailed{Ask: take[Ask](l).ID, Reason: "connection refused"})
	b := take[Ask](l)
	if b.Upstream != serverB {
		t.Fatalf("%+v", b)
	}
	l.do(AskFailed{Ask: b.ID, Reason: "connection refused"})
	l.do(AskFailed{Ask: take[Ask](l).ID, Reason: "connection refused"})
	l.replied("c", "SERVFAIL")
	l.query("d", www, TypeA) // for a second the failure is remembered
	l.replied("d", "SERVFAIL")
	l.pass(time.Second)
	l.query("e", www, TypeA)
	take[Ask](l)
}

func TestRefusalsAskTheOthers(t *testing.T) {
	l := newLadder(t, Settings{})
	l.query("c", www, TypeA)
	l.do(Answer{Ask: take[Ask](l).ID, RCode: Refused})
	b := take[Ask](l)
	l.do(Answer{Ask: b.ID, RCode: ServFail})
	l.replied("c", "SERVFAIL")
	none[Ask](l)
	for _, s := range l.r.Servers(l.now) {
		if s.Down {
			t.Errorf("%v answers, and is passed over", s.Addr)
		}
	}
}

func TestAllSilent(t *testing.T) {
	l := newLadder(t, Settings{})
	l.query("c", www, TypeA)
	l.pass(2*time.Second + minAttempts*time.Second)
	for range minAttempts {
		take[Ask](l)
	}
	none[Ask](l)
	l.replied("c", "SERVFAIL")
	if s := l.r.Stats(); s.ExpiredQueries != 1 {
		t.Errorf("%+v", s)
	}
}

func TestNoServer(t *testing.T) {
	l := newLadder(t, Settings{Upstreams: []Upstream{}})
	names := make([]string, 2000)
	for i := range names {
		names[i] = "n" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + ".example.com"
	}
	l.watch(names...)
	l.query("c", www, TypeA)
	l.replied("c", "SERVFAIL")
}

func TestServers(t *testing.T) {
	l := newLadder(t, Settings{Upstreams: []Upstream{serverA}})
	if err := l.r.AddServer(serverA); !errors.Is(err, ErrServerExists) {
		t.Error(err)
	}
	if err := l.r.DeleteServer(serverA.Addr); !errors.Is(err, ErrLastServer) {
		t.Error(err)
	}
	if err := l.r.ChangeServer(serverB.Addr); !errors.Is(err, ErrServerNotFound) {
		t.Error(err)
	}
	if err := l.r.AddServer(serverB); err != nil {
		t.Error(err)
	}
	if err := l.r.ChangeServer(serverB.Addr); err != nil {
		t.Error(err)
	}
	if s := l.r.Servers(l.now); s[0].Upstream != serverB || !s[0].Current {
		t.Errorf("%+v", s)
	}
	// The same settings again leave what an operator did; others do not.
	l.do(Reconfigure{&Settings{Upstreams: []Upstream{serverA}}})
	if s := l.r.Servers(l.now); len(s) != 2 {
		t.Errorf("%+v", s)
	}
	if err := l.r.DeleteServer(serverA.Addr); err != nil {
		t.Error(err)
	}
	l.do(Reconfigure{&Settings{Upstreams: []Upstream{serverB, serverA, serverA}}})
	if s := l.r.Servers(l.now); len(s) != 2 || s[0].Upstream != serverB {
		t.Errorf("%+v", s)
	}
	for i := range maxUpstreams {
		err := l.r.AddServer(Upstream{Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1000+i))})
		if (err != nil) != (i >= maxUpstreams-2) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestServeStale(t *testing.T) {
	for _, stale := range []time.Duration{0, time.Hour} {
		l := newLadder(t, Settings{ServeStale: stale, Upstreams: []Upstream{serverA}})
		l.query("c", www, TypeA)
		l.answer(take[Ask](l), 60, "192.0.2.1")
		l.out = nil
		l.pass(time.Minute)
		l.query("c", www, TypeA)
		l.pass(2 * time.Second) // the client response timer of RFC 8767 §5
		if stale == 0 {
			none[Reply](l)
			l.pass(2 * time.Second)
			l.replied("c", "SERVFAIL")
			continue
		}
		if r := l.replied("c", www+"192.0.2.1"); !r.Stale {
			t.Error("it is not marked")
		}
		l.pass(2 * time.Second) // the question itself fails
		l.out = nil
		l.query("d", www, TypeA) // at once, for a while
		l.replied("d", www+"192.0.2.1")
		none[Ask](l)
		l.pass(time.Hour)
		l.query("e", www, TypeA)
		l.pass(4 * time.Second)
		l.replied("e", "SERVFAIL")
	}
}

func TestPrefetch(t *testing.T) {
	for _, on := range []bool{false, true} {
		l := newLadder(t, Settings{Prefetch: on})
		l.query("c", www, TypeA)
		l.answer(take[Ask](l), 100, "192.0.2.1")
		l.out = nil
		l.pass(89 * time.Second)
		l.query("c", www, TypeA)
		none[Ask](l)
		l.pass(2 * time.Second)
		l.query("c", www, TypeA)
		l.out = l.out[1:]
		l.replied("c", www+"192.0.2.1")
	}
}

func TestPrefetchAsks(t *testing.T) {
	l := newLadder(t, Settings{Prefetch: true})
	l.query("c", www, TypeA)
	l.answer(take[Ask](l), 100, "192.0.2.1")
	l.pass(95 * time.Second)
	l.query("c", www, TypeA)
	l.query("c", www, TypeA)
	a := take[Ask](l)
	none[Ask](l)
	l.answer(a, 100, "192.0.2.1")
	l.out = nil
	l.pass(50 * time.Second)
	l.query("c", www, TypeA)
	none[Ask](l)
	take[Reply](l)
}

func TestRateLimit(t *testing.T) {
	l := newLadder(t, Settings{RateLimit: 10, RateBurst: 5})
	l.query("c", "localhost.", TypeA)
	from := func(addr string) int {
		dropped := 0
		for range 20 {
			l.do(Query{Client: "x", From: netip.MustParseAddr(addr), Question: Question{Name: "localhost.", Type: TypeA}})
		}
		for _, e := range l.out {
			if _, ok := e.(Drop); ok {
				dropped++
			}
		}
		l.out = nil
		return dropped
	}
	if n := from("192.0.2.1"); n != 15 {
		t.Errorf("%d dropped", n)
	}
	if n := from("192.0.2.2"); n != 15 {
		t.Errorf("another client: %d dropped", n)
	}
	from("2001:db8::1")
	if n := from("2001:db8::2"); n != 20 {
		t.Errorf("the same /64: %d dropped", n)
	}
	l.pass(200 * time.Millisecond)
	if n := from("192.0.2.1"); n != 18 {
		t.Errorf("after 200 ms: %d dropped", n)
	}
	for i := range 3 * maxBuckets {
		l.r.limiter.allow(l.now, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1, 1)
	}
	if n := len(l.r.limiter.now) + len(l.r.limiter.old); n > 2*maxBuckets {
		t.Errorf("%d clients are remembered", n)
	}
}

func TestPendingIsBounded(t *testing.T) {
	l := newLadder(t, Settings{MaxPending: 2})
	l.query("c", "a.", TypeA)
	l.query("c", "b.", TypeA)
	l.query("d", "c.", TypeA)
	l.replied("d", "SERVFAIL")
	for range 6 {
		l.query("c", "a.", TypeA)
	}
	l.query("d", "a.", TypeA)
	l.replied("d", "SERVFAIL")
}

func TestCacheIsBounded(t *testing.T) {
	l := newLadder(t, Settings{CacheSize: 100})
	for i := range 1000 {
		l.r.cache.put(&entry{question: Question{Name: string(rune('a' + i))}, octets: make([]byte, 10<<10)})
	}
	c := &l.r.cache
	if len(c.entries) > 100 || c.octets > 100*octetsEach {
		t.Errorf("%d answers, %d octets", len(c.entries), c.octets)
	}
	c.put(&entry{question: Question{Name: "large"}, octets: make([]byte, maxCached+1)})
	if c.get(Question{Name: "large"}) != nil {
		t.Error("a huge answer is kept")
	}
	for e := c.ring.next; e != &c.ring; e = e.next {
		if c.entries[e.question] != e {
			t.Error("the ring and the table differ")
		}
	}
}

func TestManyNamesAreAskedForInTurn(t *testing.T) {
	l := newLadder(t, Settings{})
	names := make([]string, 500)
	for i := range names {
		names[i] = "n" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".example.com"
	}
	l.watch(names...)
	count := 0
	for len(l.out) > 0 {
		if len(l.out) > maxBackground {
			t.Fatalf("%d questions at once", len(l.out))
		}
		l.answer(take[Ask](l), 3600)
		count++
	}
	if count != 2*len(names) {
		t.Errorf("%d questions", count)
	}
}
