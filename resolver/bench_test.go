package resolver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// crowd is a resolver that follows so many names, each with one address.
func crowd(b *testing.B, names int) *ladder {
	b.Helper()
	l := newLadder(b, Settings{})
	list := make([]string, names)
	for i := range list {
		list[i] = fmt.Sprintf("host%d.example.com.", i)
	}
	l.watch(list...)
	for len(l.out) > 0 {
		a := take[Ask](l)
		if a.Question.Type == TypeA {
			l.answer(a, 86400, "192.0.2.1")
		} else {
			l.answer(a, 86400)
		}
		for len(l.out) > 0 {
			if _, ok := l.out[0].(NamesChanged); !ok {
				break
			}
			l.out = l.out[1:]
		}
	}
	return l
}

// BenchmarkChange is the change of one name among many: an answer with another
// address, the policy's word, and the end of the old address.
func BenchmarkChange(b *testing.B) {
	for _, names := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			l := crowd(b, names)
			var out Outbox
			q := Question{Name: "host7.example.com.", Type: TypeA}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				l.r.Handle(l.now, Flush{Name: q.Name}, &out)
				for _, e := range out.Effects {
					if a, ok := e.(Ask); ok {
						in := Answer{Ask: a.ID, TTL: 86400, Chain: []string{q.Name}}
						if a.Question == q {
							in.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(i & 1)})}
						}
						l.r.Handle(l.now, in, &out)
					}
				}
				l.r.Handle(l.now, PolicyStands{Name: q.Name, Generation: l.r.generation}, &out)
				clear(out.Effects)
				out.Effects = out.Effects[:0]
			}
		})
	}
}

// BenchmarkCached is a question that the cache answers.
func BenchmarkCached(b *testing.B) {
	l := crowd(b, 100)
	q := Query{Client: 1, From: netip.MustParseAddr("127.0.0.1"), Question: Question{Name: "www.example.net.", Type: TypeA}}
	l.do(q)
	l.answer(take[Ask](l), 86400, "192.0.2.1")
	var out Outbox
	now := l.now.Add(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		l.r.Handle(now, q, &out)
		clear(out.Effects)
		out.Effects = out.Effects[:0]
	}
}
