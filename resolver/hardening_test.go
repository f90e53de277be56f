package resolver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestCheckingDisabledIsNotForWatchedNames: an answer that no upstream has checked makes no
// policy, and takes none away, whoever asks for it.
func TestCheckingDisabledIsNotForWatchedNames(t *testing.T) {
	l := newLadder(t, Settings{})
	l.watch(www)
	l.both(www, 60, "192.0.2.1")
	l.stands(l.changed(www, "[192.0.2.1] | [] | []"))
	cd := func(client, name string) {
		l.do(Query{Client: client, From: netip.MustParseAddr("127.0.0.1"),
			Question: Question{Name: name, Type: TypeA, CheckingDisabled: true, DNSSECOK: true}})
	}
	// The name itself: CD does not go upstream.
	cd("a", www)
	ask := l.asked(www, TypeA)
	if ask.Question.CheckingDisabled || !ask.Question.DNSSECOK {
		t.Errorf("asked with %+v", ask.Question)
	}
	l.answer(ask, 60, "192.0.2.1")
	l.replied("a", www+"192.0.2.1")
	// An alias of it: found out by the answer, which is not believed but asked for once more.
	alias := "alias.example.net."
	cd("b", alias)
	cd("c", alias)
	ask = l.asked(alias, TypeA)
	if !ask.Question.CheckingDisabled {
		t.Error("names that nobody watches are asked for as clients want")
	}
	l.answerChain(ask, 60, []string{alias, www}, "203.0.113.66")
	none[NamesChanged](l)
	none[Reply](l)
	ask = l.asked(alias, TypeA)
	if ask.Question.CheckingDisabled {
		t.Fatal("the second question has CD")
	}
	l.answerChain(ask, 60, []string{alias, www}, "192.0.2.1")
	l.replied("b", alias+"192.0.2.1")
	l.replied("c", alias+"192.0.2.1")
	if !l.r.Idle() {
		t.Error("clients are forgotten")
	}
	if got := l.r.Addresses(www); fmt.Sprint(got) != "[192.0.2.1]" {
		t.Errorf("addresses %v", got)
	}
}

// TestTTLZeroWithoutFloor: where no floor is set, answers that live for no time are asked
// for once a second, and not as fast as the upstream answers.
func TestTTLZeroWithoutFloor(t *testing.T) {
	l := newLadder(t, Settings{TTLFloor: -1})
	l.watch(www)
	asks := 0
	for end := l.now.Add(10 * time.Second); l.now.Before(end) && asks < 1000; {
		for i := 0; i < len(l.out) && asks < 1000; i++ {
			if a, ok := l.out[i].(Ask); ok {
				asks++
				l.out = append(l.out[:i], l.out[i+1:]...)
				l.now = l.now.Add(time.Millisecond) // the way to the upstream
				if a.Question.Type == TypeA {
					l.answer(a, 0, "192.0.2.1")
				} else {
					l.answer(a, 0)
				}
				i = -1
			}
		}
		l.pass(10 * time.Millisecond)
	}
	if asks < 10 || asks > 25 {
		t.Errorf("%d questions in 10 seconds", asks)
	}
}

// TestHostsFileAgainstAdvertisements: such files give 100,000 names one address.
func TestHostsFileAgainstAdvertisements(t *testing.T) {
	sink := netip.MustParseAddr("0.0.0.0")
	var entries []HostEntry
	for i := range maxHostLines {
		entries = append(entries, HostEntry{Addr: sink, Names: []string{fmt.Sprintf("ads-%d.example.com.", i)}})
	}
	l := newLadder(t, Settings{})
	began := time.Now()
	l.do(Hosts{Entries: entries})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("reading it takes %v", took)
	}
	if n := len(l.r.Names(sink)); n > maxNamesOfHost {
		t.Errorf("%d names of one address", n)
	}
	l.query("c", fmt.Sprintf("ads-%d.example.com.", maxHostLines-1), TypeA)
	l.replied("c", "[0.0.0.0]")
}

// TestAddressesOfNobody: no policy is made for 127.0.0.1 because a name server says so, and
// what was known stays.
func TestAddressesOfNobody(t *testing.T) {
	for _, bad := range []string{"127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "ff02::1"} {
		l := newLadder(t, Settings{})
		l.watch(www)
		l.both(www, 60, "192.0.2.1", "2001:db8::1")
		l.stands(l.changed(www, "[192.0.2.1 2001:db8::1] | [] | []"))
		kind := TypeA
		if strings.Contains(bad, ":") {
			kind = TypeAAAA
		}
		l.do(Flush{Name: www})
		l.answer(l.asked(www, kind), 60, bad)
		none[NamesChanged](l)
		l.query("c", www, kind)
		l.replied("c", "SERVFAIL")
		if got := len(l.r.Addresses(www)); got != 2 {
			t.Errorf("%s: %d addresses", bad, got)
		}
		// For names that nobody watches it is a client's own affair.
		l.query("d", "other.example.com.", kind)
		l.answer(l.asked("other.example.com.", kind), 60, bad)
		l.replied("d", "other.example.com."+bad)
	}
}

// TestLinkLocalClientsAreSeveral: hosts of one link share fe80::/64 and no limit.
func TestLinkLocalClientsAreSeveral(t *testing.T) {
	var l limiter
	now := time.Now()
	ask := func(from string) bool { return l.allow(now, netip.MustParseAddr(from), 1, 2) }
	for _, c := range []struct {
		from string
		want bool
	}{
		{"fe80::1%eth0", true}, {"fe80::1%eth0", true}, {"fe80::1%eth0", false}, {"fe80::2%eth0", true},
		{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8::3", false}, {"169.254.0.1", true}, {"::ffff:169.254.0.1", true}, {"169.254.0.1", false},
	} {
		if got := ask(c.from); got != c.want {
			t.Errorf("%s: %v", c.from, got)
		}
	}
}
