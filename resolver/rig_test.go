package resolver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// ladder runs a resolver on virtual time, input by input.
type ladder struct {
	t   testing.TB
	r   *Resolver
	now time.Time
	out []Effect // that no want has looked at
}

// servers of the ladders.
var (
	serverA = Upstream{Addr: netip.MustParseAddrPort("192.0.2.53:53"), Trusted: true}
	serverB = Upstream{Addr: netip.MustParseAddrPort("[2001:db8::53]:53")}
)

// newLadder makes a resolver with two servers, without jitter.
func newLadder(t testing.TB, s Settings) *ladder {
	t.Helper()
	l := &ladder{t: t, r: New(Config{}), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	if s.Upstreams == nil {
		s.Upstreams = []Upstream{serverA, serverB}
	}
	l.do(Reconfigure{&s})
	return l
}

func (l *ladder) do(in Input) {
	l.t.Helper()
	var out Outbox
	l.r.Handle(l.now, in, &out)
	for _, e := range out.Effects {
		if _, ok := e.(Trace); !ok {
			l.out = append(l.out, e)
		}
	}
}

// pass lets time pass, with all timeouts on the way.
func (l *ladder) pass(d time.Duration) {
	l.t.Helper()
	end := l.now.Add(d)
	for range 100000 {
		at, ok := l.r.Deadline()
		if !ok || at.After(end) {
			l.now = end
			return
		}
		if at.After(l.now) {
			l.now = at
		}
		l.do(Timeout{})
	}
	l.t.Fatal("the deadline does not move")
}

// take removes the first effect of a type.
func take[E Effect](l *ladder) E {
	l.t.Helper()
	for i, e := range l.out {
		if e, ok := e.(E); ok {
			l.out = slices.Delete(l.out, i, i+1)
			return e
		}
	}
	l.t.Fatalf("no %v among %+v", reflect.TypeFor[E](), l.out)
	panic("unreachable")
}

// none wants no effect of a type.
func none[E Effect](l *ladder) {
	l.t.Helper()
	for _, e := range l.out {
		if e, ok := e.(E); ok {
			l.t.Fatalf("unexpected %T%+v", e, e)
		}
	}
}

// quiet wants nothing at all.
func (l *ladder) quiet() {
	l.t.Helper()
	if len(l.out) > 0 {
		l.t.Fatalf("unexpected %+v", l.out)
	}
}

// asked takes the Ask for a name and type.
func (l *ladder) asked(name string, kind uint16) Ask {
	l.t.Helper()
	for i, e := range l.out {
		if a, ok := e.(Ask); ok && a.Question.Name == name && a.Question.Type == kind {
			l.out = slices.Delete(l.out, i, i+1)
			return a
		}
	}
	l.t.Fatalf("%s %d is not asked for in %+v", name, kind, l.out)
	panic("unreachable")
}

// answer answers an Ask with addresses.
func (l *ladder) answer(a Ask, ttl uint32, addrs ...string) {
	l.t.Helper()
	l.answerChain(a, ttl, []string{a.Question.Name}, addrs...)
}

func (l *ladder) answerChain(a Ask, ttl uint32, chain []string, addrs ...string) {
	l.t.Helper()
	in := Answer{Ask: a.ID, TTL: ttl, Chain: chain, Octets: []byte(a.Question.Name + strings.Join(addrs, ",")), Authentic: true}
	for _, s := range addrs {
		in.Addresses = append(in.Addresses, netip.MustParseAddr(s))
	}
	l.do(in)
}

// both answers the A and the AAAA question for a watched name.
func (l *ladder) both(name string, ttl uint32, addrs ...string) {
	l.t.Helper()
	var v4, v6 []string
	for _, a := range addrs {
		if strings.Contains(a, ":") {
			v6 = append(v6, a)
		} else {
			v4 = append(v4, a)
		}
	}
	l.answer(l.asked(name, TypeA), ttl, v4...)
	l.answer(l.asked(name, TypeAAAA), ttl, v6...)
}

// query puts a client's question.
func (l *ladder) query(client, name string, kind uint16) {
	l.t.Helper()
	l.do(Query{Client: client, From: netip.MustParseAddr("127.0.0.1"), Question: Question{Name: name, Type: kind}})
}

// changed takes the last NamesChanged and compares it: "addresses | left | gone".
func (l *ladder) changed(name, want string) NamesChanged {
	l.t.Helper()
	var last *NamesChanged
	l.out = slices.DeleteFunc(l.out, func(e Effect) bool {
		c, ok := e.(NamesChanged)
		if ok && c.Name == name {
			last = &c
		}
		return ok && c.Name == name
	})
	if last == nil {
		l.t.Fatalf("no change of %s", name)
	}
	if got := fmt.Sprintf("%v | %v | %v", last.Addresses, last.Left, last.Gone); got != want {
		l.t.Fatalf("%s: %s, want %s", name, got, want)
	}
	return *last
}

func (l *ladder) stands(c NamesChanged) {
	l.t.Helper()
	l.do(PolicyStands{Name: c.Name, Generation: c.Generation})
}

// replied takes the next Reply and wants it to be for a client, with this text
// or code.
func (l *ladder) replied(client, want string) Reply {
	l.t.Helper()
	r := take[Reply](l)
	got := string(r.Octets)
	switch {
	case r.Octets != nil:
	case len(r.Addresses) > 0:
		got = fmt.Sprint(r.Addresses)
	case len(r.Names) > 0:
		got = fmt.Sprint(r.Names)
	default:
		got = r.RCode.String()
	}
	if r.Client != client || got != want {
		l.t.Fatalf("client %v gets %s; want client %s to get %s", r.Client, got, client, want)
	}
	return r
}

func (l *ladder) watch(names ...string) {
	l.t.Helper()
	l.do(Watch{Set: "policy", Names: names, Gated: true})
}

// seeded is a random source that is the same in every run.
func seeded(seed uint64) *rand.ChaCha8 {
	var s [32]byte
	s[0] = byte(seed)
	return rand.NewChaCha8(s)
}
