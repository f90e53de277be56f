package ikev2

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A walk goes through all ways in which two exchanges that begin at the same moment
// can cross on the network: what is delivered next of all that is on the way, and
// which datagram is lost. It is a search in depth: each run replays the choices of
// the one before up to the last that had another option.
type walk struct {
	path    []int // option taken at each choice
	options []int // how many there were
	at      int
}

// choose is the next choice out of n.
func (c *walk) choose(n int) int {
	if c.at == len(c.path) {
		c.path, c.options = append(c.path, 0), append(c.options, n)
	}
	c.options[c.at] = n
	taken := c.path[c.at]
	c.at++
	return taken
}

// next prepares the run after this one; false when all were walked.
func (c *walk) next() bool {
	c.path, c.options = c.path[:c.at], c.options[:c.at]
	for i := len(c.path) - 1; i >= 0; i-- {
		if c.path[i]+1 < c.options[i] {
			c.path[i]++
			c.path, c.options, c.at = c.path[:i+1], c.options[:i+1], 0
			return true
		}
	}
	return false
}

// The bounds of a walk: after how many choices the network is calm, and how many of
// the datagrams on the way may overtake others.
const (
	walkChoices = 12
	walkWidth   = 3
)

// walkLosses is how many datagrams are lost in a run; with 2 all is walked in minutes.
var walkLosses = flag.Int("losses", 1, "datagrams that TestWalkCrossings loses in a run")

// cross plays one run on the network: choices first, then calm.
func (c *walk) cross(w *world) {
	lost := 0
	for c.at < walkChoices && len(w.wire) > 0 {
		width := min(len(w.wire), walkWidth)
		n := width
		if lost < *walkLosses {
			n *= 2
		}
		k := c.choose(n)
		p := w.wire[k%width]
		w.wire = slices.Delete(w.wire, k%width, k%width+1)
		if k >= width {
			lost++
		} else {
			w.deliver(p)
		}
		if len(w.wire) == 0 && c.at < walkChoices {
			w.advanceToSend(30 * time.Second) // what was lost is sent again
		}
	}
	w.advance(4 * time.Minute)
}

// advanceToSend lets time pass until something is on the way.
func (w *world) advanceToSend(limit time.Duration) {
	end := w.now.Add(limit)
	for len(w.wire) == 0 {
		at, ok := w.deadline()
		if !ok || at.After(end) {
			return
		}
		if at.After(w.now) {
			w.now = at
		}
		for _, n := range w.nodes {
			if d, ok := n.e.Deadline(); ok && !d.After(w.now) {
				n.handle(Timeout{})
			}
		}
	}
}

// deed is what one end begins.
type deed struct {
	name string
	do   func(n *node)
}

func (n *node) firstChild() *childSA { return n.e.all()[0].children[0] }

var (
	deedRekeyChild = deed{"child rekey", func(n *node) { n.act(func(*Engine) { n.firstChild().rekey() }) }}
	deedDeleteKid  = deed{"child delete", func(n *node) { n.handle(Terminate{Child: n.firstChild().spiIn}) }}
	deedRekeyIKE   = deed{"IKE rekey", func(n *node) { n.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) }) }}
	deedDeleteIKE  = deed{"IKE delete", func(n *node) { n.handle(Terminate{IKE: n.e.all()[0].serial}) }}
	deedNewChild   = deed{"child create", func(n *node) {
		n.handle(Initiate{Remote: n.e.settings.Remotes[0].Name, Child: "more_out"})
	}}
)

// The pairs that RFC 7296 §2.25 and §2.8 speak of, and what must stand in the end.
var crossings = []struct {
	x, y           deed
	ikes, children int
}{
	{deedRekeyChild, deedRekeyChild, 1, 1},
	{deedRekeyChild, deedDeleteKid, 1, 0},
	{deedDeleteKid, deedDeleteKid, 1, 0},
	{deedRekeyChild, deedNewChild, 1, 2},
	{deedNewChild, deedNewChild, 1, 3},
	{deedRekeyChild, deedDeleteIKE, 0, 0},
	{deedNewChild, deedDeleteIKE, 0, 0},
	{deedDeleteKid, deedDeleteIKE, 0, 0},
	{deedRekeyIKE, deedRekeyIKE, 1, 1},
	{deedRekeyIKE, deedNewChild, 1, 2},
	{deedRekeyIKE, deedRekeyChild, 1, 1},
	{deedRekeyIKE, deedDeleteKid, 1, 0},
	{deedRekeyIKE, deedDeleteIKE, 0, 0},
	{deedDeleteIKE, deedDeleteIKE, 0, 0},
}

// Every permutation of delivery and loss for every pair of exchanges that cross, by
// either end, with either end's nonces the lowest: both ends agree in the end.
func TestWalkCrossings(t *testing.T) {
	for _, c := range crossings {
		for _, swapped := range []bool{false, true} {
			if swapped && c.x.name == c.y.name {
				continue
			}
			name := fmt.Sprintf("%s against %s", c.x.name, c.y.name)
			if swapped {
				name += ", swapped"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				limit := 100000
				if testing.Short() {
					limit = 60
				}
				r := crossing{x: c.x, y: c.y, ikes: c.ikes, children: c.children}
				if swapped {
					r.x, r.y = c.y, c.x
				}
				winners := map[bool]int{}
				for r.luck = range 2 {
					for r.later = range 3 {
						var path walk
						runs := 0
						for more := true; more && runs < limit && !t.Failed(); more = path.next() {
							runs++
							path.run(t, r, winners)
						}
						t.Logf("%d runs with luck %d, the second %d datagrams later", runs, r.luck, r.later)
					}
				}
				if c.x.name == c.y.name && (c.x.name == deedRekeyChild.name || c.x.name == deedRekeyIKE.name) && len(winners) != 2 && !testing.Short() {
					t.Errorf("winners %v: one end never won", winners)
				}
			})
		}
	}
}

// crossing is what is walked.
type crossing struct {
	x, y           deed
	ikes, children int // that must stand in the end, where both begin at once
	luck           int // other nonces
	later          int // datagrams that are delivered before the second begins
}

// run plays one permutation and asserts the end.
func (c *walk) run(t *testing.T, r crossing, winners map[bool]int) {
	c.at = 0
	x, y := r.x, r.y
	w, a, b := pair(t)
	children2(a, b)
	for range 3 * r.luck { // other nonces
		_, _ = a.e.nonce(a.e.settings.Remotes[0])
	}
	a.initiate()
	w.settle()
	x.do(a)
	for range r.later {
		if len(w.wire) > 0 {
			w.step()
		}
	}
	if len(b.e.all()) > 0 && len(b.e.all()[0].children) > 0 {
		y.do(b)
	}
	c.cross(w)
	ikes, children := len(a.e.all()), 0
	for _, sa := range a.e.all() {
		children += len(sa.children)
	}
	if r.later == 0 {
		ikes, children = r.ikes, r.children
	}
	w.wantUp(a, b, ikes, children)
	if ikes == 1 && r.later == 0 {
		winners[a.e.all()[0].initiator]++
		if children > 0 && x.name == y.name && x.name == deedRekeyChild.name {
			winners[a.firstChild().initiator]++
		}
	}
	wanted := 0
	if x.name == deedDeleteKid.name || y.name == deedDeleteKid.name || ikes == 0 {
		wanted = 1
	}
	for _, n := range w.nodes {
		if ikes == 1 && r.later == 0 && len(n.downs) != wanted {
			t.Errorf("%s: %d children were down, want %d", n.name, len(n.downs), wanted)
		}
	}
	a.handle(Terminate{})
	b.handle(Terminate{})
	w.advance(2 * time.Minute)
	a.wantNothing()
	b.wantNothing()
	if t.Failed() {
		t.Fatalf("choices %v, luck %d, later %d\nkyoto:\n%stokyo:\n%s", c.path[:min(c.at, len(c.path))], r.luck, r.later, a.log(), b.log())
	}
}

// A walk sees every order: three datagrams on the way have six, and each can be lost.
func TestWalkIsComplete(t *testing.T) {
	var c walk
	seen := map[string]bool{}
	for more := true; more; more = c.next() {
		c.at = 0
		list, lost, order := []string{"1", "2", "3"}, 0, ""
		for len(list) > 0 {
			n := len(list)
			if lost == 0 {
				n *= 2
			}
			k := c.choose(n)
			if k >= len(list) {
				lost++
				order += "-"
			}
			order += list[k%len(list)]
			list = slices.Delete(list, k%len(list), k%len(list)+1)
		}
		seen[order] = true
	}
	if len(seen) != 6+3*6 { // without loss, and with one of three lost
		t.Errorf("%d orders: %v", len(seen), seen)
	}
}
