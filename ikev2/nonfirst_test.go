package ikev2

import (
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// NON_FIRST_FRAGMENTS_ALSO: said by an end whose kernel takes them, for tunnels for some
// ports, and in force where both have said it (RFC 7296 §1.3.1, RFC 4301 §7.3). A
// responder that does not want it leaves it out, and the child stands; its successor is
// asked anew.
func TestNonFirstFragments(t *testing.T) {
	for _, c := range []struct {
		name      string
		asks, has bool // each end's kernel takes them
		change    func(*Child)
		said      [2]bool // in the request, in the answer
	}{
		{"both", true, true, nil, [2]bool{true, true}},
		{"initiator alone", true, false, nil, [2]bool{true, false}},
		{"responder alone", false, true, nil, [2]bool{false, false}},
		{"any port", true, true, func(c *Child) { c.Outbound[0].DstPort, c.Outbound[0].SrcPort = kernel.AnyPort, kernel.AnyPort }, [2]bool{false, false}},
		{"any protocol", true, true, func(c *Child) {
			c.Outbound[0].Proto, c.Outbound[0].DstPort, c.Outbound[0].SrcPort = 0, kernel.AnyPort, kernel.AnyPort
		}, [2]bool{false, false}},
		{"ICMP of one type", true, true, func(c *Child) {
			c.Outbound[0].Proto, c.Outbound[0].SrcPort, c.Outbound[0].DstPort = 1, kernel.Port(8), kernel.AnyPort
		}, [2]bool{true, true}},
		{"transport", true, true, func(c *Child) { c.Mode = kernel.Transport }, [2]bool{false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := pair(t)
			for i, n := range []*node{a, b} {
				n.change(func(_ *Settings, _ *Remote, child *Child) {
					s := &child.Outbound[0]
					if c.name == "transport" {
						s.Src, s.Dst = prefix(n.addr.String()+"/32"), prefix(w.nodes[1-i].addr.String()+"/32")
					}
					s.Proto, s.DstPort = 6, kernel.Port(80)
					if n == b {
						s.SrcPort, s.DstPort = s.DstPort, kernel.AnyPort
					}
					child.Fragments = []bool{c.asks, c.has}[i]
					if c.change != nil {
						c.change(child)
					}
				})
			}
			check := func(from int) {
				t.Helper()
				w.wantUp(a, b, 1, 1)
				agreed := c.said[0] && c.said[1]
				for i, n := range w.nodes {
					said := slices.Contains(notifies(opened(t, n.e.all()[0], w.sent[from+i])), message.NON_FIRST_FRAGMENTS_ALSO)
					if said != c.said[i] {
						t.Errorf("%s says so: %v", n.name, said)
					}
					if in, out := n.kernel.one(t, kernel.In), n.kernel.one(t, kernel.Out); in.Fragments != agreed || out.Fragments {
						t.Errorf("%s: SAs in %v, out %v", n.name, in.Fragments, out.Fragments)
					}
				}
			}
			a.initiate()
			w.settle()
			check(2)
			w.advance(time.Minute)
			from := len(w.sent)
			a.expireSoft(t)
			w.settle()
			check(from)
		})
	}
	// Nobody is taken at a word that was not asked for.
	w, a, b := pair(t)
	for i, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) {
			c.Outbound[0].Proto, c.Outbound[0].DstPort = 6, kernel.Port(80)
			if i == 1 {
				c.Outbound[0].SrcPort, c.Outbound[0].DstPort, c.Fragments = kernel.Port(80), kernel.AnyPort, true
			}
		})
	}
	b.lie(message.IKE_AUTH, func(l []message.Payload) []message.Payload {
		return append(l, notify(message.NON_FIRST_FRAGMENTS_ALSO, nil))
	})
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if a.kernel.one(t, kernel.In).Fragments {
		t.Error("agreed on what was not asked for")
	}
}
