package ikev2

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// manyChildren gives both hosts n pairs of selectors.
func manyChildren(n int, a, b *node) {
	for i, host := range []*node{a, b} {
		host.change(func(_ *Settings, r *Remote, c *Child) {
			for k := range n - 1 {
				more := *c
				more.Name = fmt.Sprint("more", k)
				left, right := netip.MustParsePrefix(fmt.Sprintf("10.9.%d.0/24", k)), netip.MustParsePrefix(fmt.Sprintf("10.8.%d.0/24", k))
				if i == 1 {
					left, right = right, left
				}
				s := c.Outbound[0]
				s.Src, s.Dst = left, right
				more.Outbound = []kernel.Selector{s}
				r.Children = append(r.Children, &more)
			}
		})
	}
}

func (n *node) initiateAll() {
	n.w.t.Helper()
	for _, c := range n.e.settings.Remotes[0].Children {
		n.handle(Initiate{Remote: n.e.settings.Remotes[0].Name, Child: c.Name})
	}
}

// requests counts the requests on the wire by one host.
func (w *world) requests(from *node) int {
	count := 0
	for _, p := range w.wire {
		if _, response := exchangeOf(p); !response && p.Local.Addr() == from.addr {
			count++
		}
	}
	return count
}

// As many requests are out at once as the peer has promised to keep state for,
// and one where it has promised nothing (RFC 7296 §2.3).
func TestWindowObeyed(t *testing.T) {
	for _, c := range []struct{ promised, want int }{{0, 1}, {1, 1}, {3, 3}, {20, 7}, {1000, 7}} {
		t.Run(fmt.Sprint(c.promised), func(t *testing.T) {
			w, a, b := pair(t)
			manyChildren(8, a, b)
			b.change(func(_ *Settings, r *Remote, _ *Child) { r.Window = c.promised })
			a.initiateAll()
			most := 0
			for len(w.wire) > 0 {
				most = max(most, w.requests(a))
				w.step()
			}
			if most != c.want {
				t.Errorf("%d requests were out at once, want %d", most, c.want)
			}
			w.wantUp(a, b, 1, 8)
			if b.e.all()[0].x.window() != 1 {
				t.Error("the peer takes another window without a promise")
			}
			if c.promised > 1 {
				// The successor begins with one, until it is promised again (RFC 7296 §1.3.2).
				for i, n := range w.nodes {
					n.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
					w.settle()
					w.wantUp(a, b, 1, 8)
					if got := a.e.all()[0].x.window(); got != min(c.promised, maxWindow) {
						t.Errorf("after rekey %d by %s the window is %d", i, n.name, got)
					}
				}
			}
		})
	}
}

// With windows larger than one at both ends requests and answers come in any order,
// doubled and lost; all is done once, and little is kept.
func TestWindowAnyOrder(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, a, b := pair(t)
			manyChildren(10, a, b)
			r := rand.New(rand.NewPCG(seed, 0))
			for _, n := range w.nodes {
				n.change(func(_ *Settings, r *Remote, c *Child) { r.Window = 4 })
				if seed%2 == 0 { // jobs at both ends
					for _, c := range n.e.settings.Remotes[0].Children {
						c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519}
					}
				}
			}
			a.initiate()
			w.settle()
			a.initiateAll()
			b.initiateAll()
			until := w.now.Add(10 * time.Second)
			w.filter = func(p Send) []Send {
				if w.now.After(until) || len(w.wire) == 0 {
					return []Send{p}
				}
				switch r.IntN(6) {
				case 0:
					return nil
				case 1:
					return []Send{p, p}
				case 2:
					w.wire = append(w.wire, p)
					return nil
				case 3:
					r.Shuffle(len(w.wire), func(i, j int) { w.wire[i], w.wire[j] = w.wire[j], w.wire[i] })
				}
				return []Send{p}
			}
			w.advance(time.Minute)
			w.filter = nil
			w.advance(3 * time.Minute)
			for _, n := range w.nodes {
				sa := n.e.all()[0]
				if len(sa.x.taken) > 4 || len(sa.x.flights)+len(sa.x.held)+len(sa.frag.partial) > 0 {
					t.Errorf("%s keeps %d answers, %d requests, %d held, %d partial", n.name, len(sa.x.taken), len(sa.x.flights), len(sa.x.held), len(sa.frag.partial))
				}
				n.wantPaired(w.nodes[1-slices.Index(w.nodes, n)])
				names := map[string]bool{}
				for _, c := range n.e.Status()[0].Children {
					names[c.Name] = true
				}
				if len(names) != 10 || len(n.e.Status()) != 1 {
					t.Errorf("%s has %d of 10 children in %d IKE SAs\n%s", n.name, len(names), len(n.e.Status()), n.log())
				}
			}
			a.handle(Terminate{})
			w.settle()
			a.wantNothing()
			b.wantNothing()
		})
	}
}

// A request above the window is told to the peer in a request, not in an answer
// and not for a forgery; and seldom.
func TestInvalidMessageID(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	sa := a.e.all()[0]
	forge := func(id uint32, spoil bool) {
		data, err := sa.seal(message.INFORMATIONAL, id, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if spoil {
			data[0][len(data[0])-1] ^= 1
		}
		b.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data[0]})
	}
	before := len(w.sent)
	forge(9, true)
	if len(w.sent) != before {
		t.Fatal("a forgery was answered")
	}
	w.advance(2 * time.Second)
	before = len(w.sent)
	for range 20 {
		forge(9, false)
	}
	if len(w.sent) != before+1 {
		t.Fatalf("%d datagrams, want one", len(w.sent)-before)
	}
	if _, response := exchangeOf(w.sent[before]); response {
		t.Error("it was told in an answer")
	}
	w.settle()
	b.wantReason(reasonFutureMessage)
	w.wantUp(a, b, 1, 1)
	// Above a promised window likewise; within it no word.
	x := exchanger{expected: 5, own: 3}
	for id, want := range map[uint32]arrival{4: arrivalForgotten, 5: arrivalFresh, 7: arrivalFresh, 8: arrivalTooEarly} {
		if got := x.place(id); got != want {
			t.Errorf("Message ID %d: %v, want %v", id, got, want)
		}
	}
}

// SET_WINDOW_SIZE of a wrong length is no promise, and a smaller one takes nothing back.
func TestWindowPromises(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	sa := b.e.all()[0]
	for _, c := range []struct {
		data []byte
		want int
	}{{[]byte{0, 0, 0}, 1}, {[]byte{0, 0, 0, 0}, 1}, {[]byte{0, 0, 0, 5}, 5}, {[]byte{0, 0, 0, 2}, 5}, {[]byte{255, 255, 255, 255}, maxWindow}} {
		a.forge(b, message.INFORMATIONAL, []message.Payload{notify(message.SET_WINDOW_SIZE, c.data)})
		if got := sa.x.window(); got != c.want {
			t.Errorf("after %v the window is %d, want %d", c.data, got, c.want)
		}
	}
}

// Fragments of several requests come mixed.
func TestWindowFragments(t *testing.T) {
	w, a, b := pair(t)
	manyChildren(6, a, b)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, _ *Child) {
			r.Window, r.FragmentSize = 4, 576
			for _, c := range r.Children {
				c.Proposals[0].KE = []transform.KE{transform.KE_MODP_4096}
			}
		})
	}
	a.initiateAll()
	r := rand.New(rand.NewPCG(1, 2))
	w.filter = func(p Send) []Send {
		r.Shuffle(len(w.wire), func(i, j int) { w.wire[i], w.wire[j] = w.wire[j], w.wire[i] })
		return []Send{p}
	}
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 6)
}
