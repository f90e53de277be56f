package ikev2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
)

// large gives both hosts identities of this many octets, so that IKE_AUTH does
// not fit into one packet. 0 leaves a host its short one.
func large(a, b *node, ofA, ofB int) {
	id := func(n int) Identity { return fqdn(strings.Repeat("x", n) + ".example.test") }
	for _, n := range []*node{a, b} {
		n.change(func(_ *Settings, r *Remote, _ *Child) {
			for host, size := range map[*node]int{a: ofA, b: ofB} {
				switch {
				case size == 0:
				case host == n:
					r.MyID = id(size)
				default:
					r.PeerIDs = []Identity{id(size)}
				}
			}
		})
	}
}

// fragmentsOf are the datagrams with SKF that a host has sent.
func (w *world) fragmentsOf(n *node) []Send {
	var list []Send
	for _, p := range w.sent {
		if p.Local.Addr() == n.addr && isFragment(p.Data) {
			list = append(list, p)
		}
	}
	return list
}

// narrow is a filter for a path that loses packets of more than size octets.
func narrowPath(size int) func(Send) []Send {
	return func(p Send) []Send {
		overhead := 20 + 8
		if p.Remote.Addr().Is6() {
			overhead = 40 + 8
		}
		if len(p.Data)+overhead > size {
			return nil
		}
		return []Send{p}
	}
}

// Large messages of both ends come in fragments that fit, in either family.
func TestFragmentsBothWays(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, size := range []int{0, 576, 700, 9000} {
			t.Run(fmt.Sprintf("v6 %v size %d", v6, size), func(t *testing.T) {
				w, a, b := pair(t)
				limit := 1500
				if v6 {
					w, a, b = pair6(t)
					limit = 1280
				}
				if size > 0 {
					limit = size
				}
				large(a, b, 5000, 4000)
				for _, n := range w.nodes {
					n.change(func(_ *Settings, r *Remote, _ *Child) { r.FragmentSize = size })
				}
				w.filter = narrowPath(limit)
				a.initiate()
				w.settle()
				w.wantUp(a, b, 1, 1)
				// One message in as few parts as fit, and no retransmission.
				for _, n := range w.nodes {
					parts := w.fragmentsOf(n)
					if limit < 9000 && (len(parts) < 4000/limit || len(parts) > 5800/(limit-150)+1) || limit == 9000 && len(parts) > 0 {
						t.Errorf("%s sends %d fragments for packets of %d", n.name, len(parts), limit)
					}
					if ext := n.e.Status()[0].Extensions; len(ext) == 0 || !strings.HasPrefix(ext[0], "fragments of ") {
						t.Errorf("%s: status says %q", n.name, ext)
					}
				}
				a.handle(Terminate{})
				w.settle()
				a.wantNothing()
				b.wantNothing()
			})
		}
	}
}

// Any one fragment may be lost, come twice or come late.
func TestFragmentsMeddledWith(t *testing.T) {
	for _, what := range []string{"lost", "twice", "late", "changed"} {
		for victim := range 9 {
			t.Run(fmt.Sprintf("%s %d", what, victim), func(t *testing.T) {
				w, a, b := pair(t)
				large(a, b, 5000, 5000)
				seen := 0
				var kept []Send
				w.filter = func(p Send) []Send {
					if !isFragment(p.Data) {
						return []Send{p}
					}
					seen++
					out := append([]Send{p}, kept...)
					kept = nil
					if seen-1 != victim {
						return out
					}
					switch what {
					case "lost":
						return nil
					case "late":
						kept = []Send{p}
						return nil
					case "changed":
						bad := p
						bad.Data = bytes.Clone(p.Data)
						bad.Data[len(bad.Data)-1] ^= 1
						return []Send{bad, p}
					}
					return []Send{p, p}
				}
				a.initiate()
				w.settle()
				w.advance(20 * time.Second)
				w.wantUp(a, b, 1, 1)
				if what == "changed" && a.e.Counters()[reasonIntegrity]+b.e.Counters()[reasonIntegrity] != 1 && victim < seen {
					t.Errorf("%d of %d fragments counted as changed", a.e.Counters()[reasonIntegrity]+b.e.Counters()[reasonIntegrity], seen)
				}
				w.advance(time.Minute)
				if a.e.reassembling+b.e.reassembling != 0 {
					t.Error("fragments are left")
				}
			})
		}
	}
}

// On a path that loses what the first size makes, smaller sizes are tried, by the
// end whose message it is, and kept for what follows.
func TestFragmentsFindTheSize(t *testing.T) {
	for _, c := range []struct{ ofA, ofB, path int }{
		{3000, 0, 1400}, {3000, 0, 600}, {0, 3000, 1400}, {0, 3000, 600}, {3000, 3000, 600}, {700, 700, 600},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			w, a, b := pair(t)
			large(a, b, c.ofA, c.ofB)
			w.filter = narrowPath(c.path)
			a.initiate()
			w.advance(3 * time.Minute)
			w.wantUp(a, b, 1, 1)
			for n, size := range map[*node]int{a: c.ofA, b: c.ofB} {
				if size == 0 {
					continue
				}
				if c.ofA == 0 || n == a {
					n.wantReason(reasonPathSize)
				}
				if got := n.e.all()[0].packetSize(); got > c.path {
					t.Errorf("%s stays at %d on a path of %d", n.name, got, c.path)
				}
			}
			// The successor keeps what was learned.
			a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
			w.settle()
			if c.ofA > 0 && a.e.all()[0].packetSize() > c.path {
				t.Error("the successor begins anew")
			}
		})
	}
}

// Without the agreement of both nothing is fragmented, and fragments are dropped.
func TestFragmentsNotAgreed(t *testing.T) {
	for _, who := range []int{0, 1} {
		w, a, b := pair(t)
		large(a, b, 5000, 5000)
		w.nodes[who].change(func(_ *Settings, r *Remote, _ *Child) { r.Fragmentation = false })
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		if n := len(w.fragmentsOf(a)) + len(w.fragmentsOf(b)); n > 0 {
			t.Errorf("%d fragments were sent", n)
		}
		for _, n := range w.nodes {
			n.sendFragments(map[*node]*node{a: b, b: a}[n], [][2]uint16{{1, 2}, {2, 2}})
			if len(n.e.Status()[0].Extensions) > 0 {
				t.Error("status claims fragmentation")
			}
		}
		a.wantReason(reasonFragment)
		b.wantReason(reasonFragment)
		w.wantUp(a, b, 1, 1)
	}
}

// Incomplete messages go with their IKE SA.
func TestFragmentsGoWithTheirIKESA(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.sendFragments(b, [][2]uint16{{1, 2}})
	if b.e.reassembling == 0 {
		t.Fatal("the fragment was not kept")
	}
	b.handle(Shutdown{})
	w.advance(time.Minute)
	b.wantNothing()
}

// Only fragment 1 of a request that was answered brings the answer again.
func TestFragmentRetransmission(t *testing.T) {
	w, a, b := pair(t)
	large(a, b, 5000, 0)
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	parts := w.fragmentsOf(a)
	for i, p := range parts {
		before := len(w.sent)
		b.handle(Datagram{Local: p.Remote, Remote: p.Local, Data: bytes.Clone(p.Data)})
		if sent := len(w.sent) - before; sent > 0 != (i == 0) {
			t.Errorf("fragment %d brings %d datagrams", i+1, sent)
		}
		w.settle()
	}
	bad := bytes.Clone(parts[0].Data)
	bad[40] ^= 1
	before := len(w.sent)
	b.handle(Datagram{Local: parts[0].Remote, Remote: parts[0].Local, Data: bad})
	if len(w.sent) != before {
		t.Error("a forged fragment brings an answer")
	}
	w.wantUp(a, b, 1, 1)
}

// A refused IKE_AUTH in fragments is answered again after the IKE SA is gone.
func TestFragmentedLastRequest(t *testing.T) {
	w, a, b := pair(t)
	large(a, b, 5000, 0)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = []byte("another") })
	dropped := false
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && resp && !dropped {
			dropped = true
			return nil
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	w.advance(5 * time.Second)
	a.wantReason(reasonAuthFailed)
	a.wantNothing()
}

// Fragments that arrive while the IKE SA works are collected, and the message
// waits for its turn.
func TestFragmentsWhileBusy(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals[0].KE = testIKEProposal().KE })
	}
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	b.holdJobs = true
	b.askAgain() // makes a key first
	a.forgeFragments(b, 3000)
	if b.e.reassembling != 0 || len(b.e.all()[0].x.held) != 1 {
		t.Fatalf("%d octets and %d messages are held", b.e.reassembling, len(b.e.all()[0].x.held))
	}
	a.forgeFragments(b, 3000) // another copy
	if len(b.e.all()[0].x.held) > maxHeld {
		t.Error("copies are held without bound")
	}
	a.e.all()[0].x.next++
	b.releaseJobs()
	w.settle()
	w.wantUp(a, b, 1, 2)
	a.handle(Terminate{})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}
