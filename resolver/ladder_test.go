package resolver

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

const www = "www.example.com."

func TestPassThroughAndCache(t *testing.T) {
	l := newLadder(t, Settings{})
	l.query("one", www, TypeA)
	l.query("two", www, TypeA) // joins
	a := take[Ask](l)
	none[Ask](l)
	l.answer(a, 60, "192.0.2.1")
	l.replied("one", www+"192.0.2.1")
	l.replied("two", www+"192.0.2.1")
	none[NamesChanged](l)
	l.pass(59 * time.Second)
	l.query("three", www, TypeA)
	if r := l.replied("three", www+"192.0.2.1"); r.Age != 59 {
		t.Errorf("age %d", r.Age)
	}
	l.pass(time.Second)
	l.query("four", www, TypeA)
	take[Ask](l)
	if s := l.r.Stats(); s.Queries != 4 || s.DupQueries != 1 || s.QueriesProxy != 2 || s.Responses != 1 || s.ResponsesProxy != 3 {
		t.Errorf("stats %+v", s)
	}
	if l.r.Names(netip.MustParseAddr("192.0.2.1")) != nil {
		t.Error("a name that nobody watches is in the map")
	}
}

func TestTTLFloorAndCeiling(t *testing.T) {
	l := newLadder(t, Settings{TTLFloor: 10 * time.Second, TTLCeiling: time.Minute})
	for _, c := range []struct {
		ttl  uint32
		life time.Duration
	}{{0, 10 * time.Second}, {30, 30 * time.Second}, {1 << 30, time.Minute}} {
		l.query("c", www, TypeA)
		l.answer(take[Ask](l), c.ttl, "192.0.2.1")
		take[Reply](l)
		l.pass(c.life - time.Second)
		l.query("c", www, TypeA)
		none[Ask](l)
		take[Reply](l)
		l.pass(time.Second)
		l.query("c", www, TypeA)
		l.answer(take[Ask](l), 0)
		l.out = nil
		l.pass(10 * time.Second)
		l.do(Flush{})
	}
}

func TestWatchedNameIsFollowed(t *testing.T) {
	l := newLadder(t, Settings{Grace: 30 * time.Second})
	l.watch("WWW.Example.Com")
	l.both(www, 100, "192.0.2.1", "2001:db8::1")
	l.changed(www, "[192.0.2.1 2001:db8::1] | [] | []")
	l.quiet()
	l.pass(89 * time.Second)
	l.quiet()
	l.pass(time.Second) // a tenth before the end
	l.both(www, 100, "192.0.2.2", "2001:db8::1")
	// 192.0.2.1 may still be held by an application for the 10 s of its TTL.
	l.changed(www, "[192.0.2.2 2001:db8::1] | [192.0.2.1] | []")
	if got := l.r.Names(netip.MustParseAddr("192.0.2.1")); !slices.Equal(got, []string{www}) {
		t.Errorf("an address in its grace has names %v", got)
	}
	l.pass(39 * time.Second)
	none[NamesChanged](l)
	l.pass(time.Second)
	l.changed(www, "[192.0.2.2 2001:db8::1] | [] | [192.0.2.1]")
	if got := l.r.Names(netip.MustParseAddr("192.0.2.1")); got != nil {
		t.Errorf("an address that is gone has names %v", got)
	}
}

func TestAddressReturnsInItsGrace(t *testing.T) {
	l := newLadder(t, Settings{})
	l.watch(www)
	l.both(www, 10, "192.0.2.1")
	first := l.changed(www, "[192.0.2.1] | [] | []")
	l.stands(first)
	l.pass(9 * time.Second)
	l.both(www, 10, "192.0.2.2")
	l.changed(www, "[192.0.2.2] | [192.0.2.1] | []")
	l.pass(9 * time.Second)
	l.both(www, 10, "192.0.2.1")
	back := l.changed(www, "[192.0.2.1] | [192.0.2.2] | []")
	l.query("c", www, TypeA)
	none[Reply](l) // its policy may have been on its way out
	l.stands(back)
	l.replied("c", www+"192.0.2.1")
}

func TestNegativeAnswersAreAnswers(t *testing.T) {
	l := newLadder(t, Settings{Grace: -1})
	l.watch(www)
	l.both(www, 10, "192.0.2.1")
	l.changed(www, "[192.0.2.1] | [] | []")
	l.do(InUse{netip.MustParseAddr("192.0.2.1"), true})
	l.pass(9 * time.Second)
	a := l.asked(www, TypeA)
	l.do(Answer{Ask: a.ID, RCode: NXDomain, TTL: 60, Octets: []byte("no"), Chain: []string{www}})
	// Its TTL runs on for a second, and there is no grace.
	l.changed(www, "[] | [192.0.2.1] | []")
	l.pass(time.Second)
	l.changed(www, "[] | [] | [192.0.2.1]")
	l.query("c", www, TypeA)
	if r := l.replied("c", "no"); r.RCode != NXDomain {
		t.Errorf("%v", r.RCode)
	}
	// RFC 2308 §5: without SOA it is not kept.
	l.query("d", "none.example.com.", TypeA)
	l.do(Answer{Ask: l.asked("none.example.com.", TypeA).ID, RCode: NXDomain, Octets: []byte("no")})
	l.query("d", "none.example.com.", TypeA)
	l.asked("none.example.com.", TypeA)
}

func TestTransientFailureTearsNothingDown(t *testing.T) {
	l := newLadder(t, Settings{Grace: 10 * time.Second})
	used, idle := netip.MustParseAddr("192.0.2.1"), "192.0.2.2"
	l.watch(www)
	l.both(www, 60, used.String(), idle)
	l.stands(l.changed(www, "[192.0.2.1 192.0.2.2] | [] | []"))
	l.do(InUse{used, true})
	l.pass(60 * time.Second) // every server is silent
	none[NamesChanged](l)
	l.pass(5 * time.Minute)
	l.changed(www, "[192.0.2.1] | [] | [192.0.2.2]")
	// One says SERVFAIL, which is no answer either.
	l.out = nil
	l.pass(2 * time.Minute)
	for i := range l.out {
		if a, ok := l.out[i].(Ask); ok {
			l.do(Answer{Ask: a.ID, RCode: ServFail})
		}
	}
	l.pass(5 * time.Minute)
	none[NamesChanged](l)
	if got := l.r.Addresses(www); !slices.Equal(got, []netip.Addr{used}) {
		t.Errorf("addresses %v", got)
	}
	// It is no longer used: then it leaves.
	l.do(InUse{used, false})
	l.pass(5 * time.Minute)
	l.changed(www, "[] | [] | [192.0.2.1]")
}

func TestGate(t *testing.T) {
	for _, outcome := range []Outcome{ServeFailure, ServeAnswer} {
		l := newLadder(t, Settings{GateOutcome: outcome})
		l.watch(www)
		l.both(www, 60, "192.0.2.1", "2001:db8::1")
		c := l.changed(www, "[192.0.2.1 2001:db8::1] | [] | []")
		l.query("slow", www, TypeA)
		none[Reply](l)
		l.pass(999 * time.Millisecond)
		l.query("fast", www, TypeAAAA)
		none[Reply](l)
		l.pass(time.Millisecond)
		if outcome == ServeAnswer {
			l.replied("slow", www+"192.0.2.1")
		} else {
			l.replied("slow", "SERVFAIL")
		}
		l.do(PolicyStands{Name: www, Generation: c.Generation - 1}) // A alone
		none[Reply](l)
		l.stands(c)
		l.replied("fast", www+"2001:db8::1")
		l.query("later", www, TypeA)
		l.replied("later", www+"192.0.2.1")
		if !l.r.Idle() {
			t.Error("clients are counted that do not wait")
		}
	}
}

func TestUngatedSetsDoNotWait(t *testing.T) {
	l := newLadder(t, Settings{})
	l.do(Watch{Set: "spmif", Names: []string{www}})
	l.both(www, 60, "192.0.2.1")
	l.changed(www, "[192.0.2.1] | [] | []")
	l.query("c", www, TypeA)
	l.replied("c", www+"192.0.2.1")
	// A selector names it, too.
	l.watch(www)
	c := l.changed(www, "[192.0.2.1] | [] | []")
	l.query("c", www, TypeA)
	l.answer(l.asked(www, TypeA), 60, "192.0.2.1") // the cache was emptied
	none[Reply](l)
	_ = c
	// And no longer: who waits gets it.
	l.watch()
	l.replied("c", www+"192.0.2.1")
}

func TestOneAddressManyNames(t *testing.T) {
	l := newLadder(t, Settings{})
	l.watch("b.example.com", "a.example.com")
	l.both("a.example.com.", 60, "192.0.2.1")
	l.both("b.example.com.", 60, "192.0.2.1")
	if got := l.r.Names(netip.MustParseAddr("::ffff:192.0.2.1")); !slices.Equal(got, []string{"a.example.com.", "b.example.com."}) {
		t.Errorf("names %v", got)
	}
	l.watch("b.example.com")
	if got := l.r.Names(netip.MustParseAddr("192.0.2.1")); !slices.Equal(got, []string{"b.example.com."}) {
		t.Errorf("names %v", got)
	}
}

func TestChainCountsForEveryWatchedName(t *testing.T) {
	l := newLadder(t, Settings{})
	l.watch(www, "origin.example.net")
	l.both("origin.example.net.", 60)
	chain := []string{www, "cdn.example.org.", "origin.example.net."}
	l.answerChain(l.asked(www, TypeA), 60, chain, "192.0.2.1")
	l.stands(l.changed(www, "[192.0.2.1] | [] | []"))
	c := l.changed("origin.example.net.", "[192.0.2.1] | [] | []")
	// A question for another alias meets the gate of the name on its chain.
	l.query("c", "alias.example.org.", TypeA)
	l.answerChain(l.asked("alias.example.org.", TypeA), 60, []string{"alias.example.org.", "origin.example.net."}, "192.0.2.1")
	none[Reply](l)
	l.stands(c)
	l.replied("c", "alias.example.org.192.0.2.1")
}

func TestWildcard(t *testing.T) {
	const host = "a.b.corp.example.com."
	l := newLadder(t, Settings{Grace: 5 * time.Second})
	l.watch("*.corp.example.com")
	l.quiet()
	l.query("c", host, TypeA)
	a := l.asked(host, TypeA)
	l.answer(l.asked(host, TypeAAAA), 100) // asked together
	l.answer(a, 100, "192.0.2.1")
	c := l.changed(host, "[192.0.2.1] | [] | []")
	if !slices.Equal(c.Watches, []string{"*.corp.example.com."}) {
		t.Errorf("watches %v", c.Watches)
	}
	l.stands(c)
	l.replied("c", host+"192.0.2.1")
	// A client has used it: it is asked for again, once.
	l.pass(90 * time.Second)
	l.both(host, 100, "192.0.2.1")
	l.pass(90 * time.Second)
	none[Ask](l)
	l.pass(10 * time.Second)
	l.changed(host, "[] | [192.0.2.1] | []")
	l.pass(5 * time.Second)
	l.changed(host, "[] | [] | [192.0.2.1]")
	if got := l.r.List(); len(got) != 0 {
		t.Errorf("%+v is not forgotten", got)
	}
	if _, ok := l.r.Deadline(); ok {
		t.Error("a timer is left")
	}
	// The zone itself, and names that only look like it, are not below.
	for _, n := range []string{"corp.example.com.", "xcorp.example.com.", `a\.corp.example.com.`} {
		l.query("c", n, TypeA)
		l.answer(l.asked(n, TypeA), 100, "192.0.2.9")
		take[Reply](l)
	}
	none[NamesChanged](l)
}

func TestWildcardNameInUseStays(t *testing.T) {
	const host = "a.corp.example.com."
	l := newLadder(t, Settings{})
	l.watch("*.corp.example.com")
	l.query("c", host, TypeA)
	l.both(host, 100, "192.0.2.1")
	l.do(InUse{netip.MustParseAddr("192.0.2.1"), true})
	for range 5 {
		l.pass(90 * time.Second)
		l.both(host, 100, "192.0.2.1")
	}
}

func TestWildcardLimit(t *testing.T) {
	l := newLadder(t, Settings{MaxNames: 1})
	l.watch("*.example.com")
	l.query("c", "a.example.com.", TypeA)
	l.both("a.example.com.", 60, "192.0.2.1")
	l.stands(l.changed("a.example.com.", "[192.0.2.1] | [] | []"))
	l.replied("c", "a.example.com.192.0.2.1")
	l.query("c", "b.example.com.", TypeA)
	l.answer(l.asked("b.example.com.", TypeA), 60, "192.0.2.2")
	l.replied("c", "SERVFAIL")
}

func TestRequireDNSSEC(t *testing.T) {
	l := newLadder(t, Settings{RequireDNSSEC: true, Upstreams: []Upstream{serverB}})
	l.watch(www)
	a := l.asked(www, TypeA)
	l.query("c", www, TypeA)
	l.answer(a, 60, "192.0.2.1") // AD, though of a server that is not trusted
	l.replied("c", "SERVFAIL")
	none[NamesChanged](l)
	l.query("d", "other.example.com.", TypeA)
	l.answer(l.asked("other.example.com.", TypeA), 60, "192.0.2.2")
	if r := l.replied("d", "other.example.com.192.0.2.2"); r.Authentic {
		t.Error("AD of a server that is not trusted")
	}
	if err := l.r.AddServer(serverA); err != nil {
		t.Fatal(err)
	}
	if err := l.r.ChangeServer(serverA.Addr); err != nil {
		t.Fatal(err)
	}
	l.pass(time.Second)
	l.query("e", www, TypeA)
	l.answer(l.asked(www, TypeA), 60, "192.0.2.1")
	l.stands(l.changed(www, "[192.0.2.1] | [] | []"))
	if r := l.replied("e", www+"192.0.2.1"); !r.Authentic {
		t.Error("AD is lost")
	}
}

func TestHintsDoNotPassTheGate(t *testing.T) {
	const typeHTTPS = 65
	l := newLadder(t, Settings{})
	l.watch(www)
	l.both(www, 60, "192.0.2.1")
	l.query("c", www, typeHTTPS)
	l.do(Answer{Ask: l.asked(www, typeHTTPS).ID, TTL: 60, Octets: []byte("hints"), Chain: []string{www}, Hints: true})
	l.replied("c", "NOERROR")
	l.query("c", "other.example.com.", typeHTTPS)
	l.do(Answer{Ask: l.asked("other.example.com.", typeHTTPS).ID, TTL: 60, Octets: []byte("hints"), Chain: []string{"other.example.com."}, Hints: true})
	l.replied("c", "hints")
}

func TestHostileAnswers(t *testing.T) {
	l := newLadder(t, Settings{})
	l.watch(www)
	a := l.asked(www, TypeA)
	l.query("c", www, TypeA)
	many := make([]string, maxAddresses+1)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
	}
	l.answer(a, 60, many...)
	l.replied("c", "SERVFAIL")
	l.answer(l.asked(www, TypeAAAA), 60, "::ffff:192.0.2.1")
	none[NamesChanged](l)
	l.do(Answer{Ask: a.ID, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.66")}}) // twice
	l.do(Answer{Ask: 999, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.66")}})
	l.do(AskFailed{Ask: 998})
	l.do(PolicyStands{Name: www, Generation: 1 << 60})
	l.do(PolicyStands{Name: "nobody.", Generation: 1})
	none[NamesChanged](l)
}

func TestChurnIsBounded(t *testing.T) {
	l := newLadder(t, Settings{Grace: time.Hour})
	l.watch(www)
	for round := range 40 {
		addrs := make([]string, 100)
		for i := range addrs {
			addrs[i] = netip.AddrFrom4([4]byte{10, byte(round), 0, byte(i)}).String()
		}
		l.both(www, 5, addrs...)
		l.out = nil
		l.pass(4500 * time.Millisecond)
	}
	if n := len(l.r.names[www].addrs); n > maxKept {
		t.Errorf("%d addresses are kept", n)
	}
	if len(l.r.byAddr) != len(l.r.names[www].addrs) {
		t.Error("the map holds addresses that no name has")
	}
}
