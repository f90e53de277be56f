package ikev2

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// A ladder of rekeying is a line of steps between two ends, a and b, who both have the
// same child. Each ladder is played with a as the initiator of the IKE SA and as its
// responder, and with each of the first four nonces as the lowest. The steps:
//
//	a rekeys        its child's soft limit is over; "a rekeys IKE" the IKE SA's
//	a soft          the old child's soft limit is over (again)
//	a hard          the old child's hard limit is over
//	a deletes old   somebody deletes the old child, or the new one; or "IKE"
//	a names old     it sends a DELETE for the old child that it has no reason for
//	a>              the oldest datagram of a arrives
//	hold a X        the oldest datagram of a is held back as X
//	X>              what was held arrives
//	lose a          the oldest datagram of a is lost
//	quiet           nothing is on the way
//	deaf            nothing arrives any more
type rekeyLadder struct {
	name           string
	steps          string
	groups         bool // the ends agree on a group that is neither's first
	ikes, children int  // that stand in the end
	broken         bool // traffic may stop meanwhile
	// stays says whose exchange made what stands in the end, by the nonce that is the
	// lowest; nil or "": not asserted.
	stays func(lowest int) string
}

// byNonces is the rule of RFC 7296 §2.8.1 and §2.8.2: the exchange with the lowest of
// the four nonces loses. The first and the third one made are of a's exchange.
func byNonces(lowest int) string { return map[bool]string{true: "b", false: "a"}[lowest%2 == 0] }

// byFirstNonces is the same where the answers' nonces are others than the third and
// the fourth.
func byFirstNonces(lowest int) string { return map[int]string{0: "b", 1: "a"}[lowest] }

func always(who string) func(int) string { return func(int) string { return who } }

// scriptedNonces gives the nonces of a ladder their first octets: 0 the lowest one, 255
// all others. It tells nonces by their size, which nothing else has.
type scriptedNonces struct {
	io.Reader
	made   *int
	lowest int
}

const scriptedSize = 43 // octets of nonces in ladders

func (r scriptedNonces) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if len(b) == scriptedSize {
		b[0] = 255
		if *r.made == r.lowest {
			b[0] = 0
		}
		*r.made++
	}
	return n, err
}

// ladderRun is one playing of a ladder.
type ladderRun struct {
	t    *testing.T
	w    *world
	ends map[string]*node
	old  map[*node]kernel.SPI
	held map[string]Send
}

// play plays all variants of a ladder.
func (l rekeyLadder) play(t *testing.T) {
	for _, aBegan := range []bool{true, false} {
		for lowest := range 4 {
			w, a, b := pair(t)
			for _, n := range w.nodes {
				n.change(func(_ *Settings, r *Remote, _ *Child) { r.NonceSize, r.DPDDelay = scriptedSize, 30*time.Second })
			}
			a.initiate()
			w.settle()
			r := &ladderRun{t: t, w: w, ends: map[string]*node{"a": a, "b": b}, old: map[*node]kernel.SPI{}, held: map[string]Send{}}
			if !aBegan {
				r.ends["a"], r.ends["b"] = b, a
			}
			made := 0
			for _, n := range w.nodes {
				n.e.cfg.Rand = scriptedNonces{n.e.cfg.Rand, &made, lowest}
				r.old[n] = n.firstChild().spiIn
				if l.groups {
					n.otherGroups(n == r.ends["a"])
				}
			}
			for step := range strings.SplitSeq(l.steps, ";") {
				if step = strings.TrimSpace(step); step == "" {
					continue
				}
				r.step(step)
				if !l.broken {
					r.wantTraffic(step)
				}
			}
			r.end(l, lowest)
			if t.Failed() {
				t.Fatalf("a began %v, lowest nonce %d\na:\n%sb:\n%s", aBegan, lowest, r.ends["a"].log(), r.ends["b"].log())
			}
		}
	}
}

// step plays one step.
func (r *ladderRun) step(step string) {
	words := strings.Fields(step)
	if from, ok := strings.CutSuffix(step, ">"); ok {
		if p, ok := r.held[from]; ok {
			delete(r.held, from)
			r.w.deliver(p)
			return
		}
		r.w.deliver(r.take(from, step))
		return
	}
	switch words[0] {
	case "hold":
		r.held[words[2]] = r.take(words[1], step)
		return
	case "lose":
		r.take(words[1], step)
		return
	case "quiet":
		if n := len(r.w.wire); n != 0 {
			r.t.Errorf("%d datagrams are on the way", n)
		}
		return
	case "deaf":
		r.w.filter = func(Send) []Send { return nil }
		return
	}
	n := r.ends[words[0]]
	switch strings.Join(words[1:], " ") {
	case "rekeys":
		n.act(func(*Engine) { n.firstChild().rekey() })
	case "rekeys IKE":
		n.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	case "soft":
		n.handle(KernelEvent{Event: kernel.Expire{ID: r.oldID(n)}})
	case "hard":
		n.handle(KernelEvent{Event: kernel.Expire{ID: r.oldID(n), Hard: true}})
	case "names old":
		n.act(func(e *Engine) {
			e.all()[0].enqueue(&deleteChildTask{proto: n.e.settings.Remotes[0].Children[0].wireProtocol(), spi: r.old[n]})
		})
	case "deletes old":
		n.handle(Terminate{Child: r.old[n]})
	case "deletes new":
		n.handle(Terminate{Child: r.newest(n)})
	case "deletes IKE":
		n.handle(Terminate{IKE: n.e.all()[0].serial})
	default:
		r.t.Fatalf("no step %q", step)
	}
}

// oldID names the inbound SA of the child that stood before the ladder.
func (r *ladderRun) oldID(n *node) kernel.SAID {
	return kernel.SAID{Dst: n.addr, Proto: kernel.ESP, SPI: r.old[n]}
}

// newest is the child that took over from the old one.
func (r *ladderRun) newest(n *node) kernel.SPI {
	for _, sa := range n.e.all() {
		for _, c := range sa.children {
			if c.state == childUp && c.spiIn != r.old[n] {
				return c.spiIn
			}
		}
	}
	r.t.Fatalf("%s has no new child:\n%s", n.name, n.log())
	return 0
}

// take takes the oldest datagram of an end off the wire.
func (r *ladderRun) take(from, step string) Send {
	r.t.Helper()
	for i, p := range r.w.wire {
		if n := r.ends[from]; n != nil && p.Local.Addr() == n.addr {
			r.w.wire = append(r.w.wire[:i:i], r.w.wire[i+1:]...)
			return p
		}
	}
	r.t.Fatalf("%s: %s has nothing on the way", step, from)
	return Send{}
}

// wantTraffic says that what either end would send on is what the other one takes.
func (r *ladderRun) wantTraffic(step string) {
	r.t.Helper()
	for name, n := range r.ends {
		peer := r.ends["b"]
		if name == "b" {
			peer = r.ends["a"]
		}
		out, ok := n.kernel.newestOut()
		if !ok {
			r.t.Errorf("after %q: %s has no outbound SA", step, name)
			continue
		}
		if _, ok := peer.kernel.byPeerSPI(out.Proto, out.SPI); !ok {
			r.t.Errorf("after %q: %s sends on %v, which the other end does not take", step, name, out.SPI)
		}
	}
}

// newestOut is the outbound SA that was added last of those that are there.
func (k *testKernel) newestOut() (sa kernel.SA, ok bool) {
	for _, op := range k.ops {
		if add, is := op.(kernel.AddSA); is && add.SA.Direction == kernel.Out {
			if have, there := k.sas[add.SA.SAID]; there {
				sa, ok = have, true
			}
		}
	}
	return sa, ok
}

// end lets everything come to rest and looks at what stands.
func (r *ladderRun) end(l rekeyLadder, lowest int) {
	a, b := r.ends["a"], r.ends["b"]
	if l.ikes == 0 {
		r.w.advance(10 * time.Minute)
	} else {
		r.w.advance(4 * time.Minute)
	}
	r.w.wantUp(a, b, l.ikes, l.children)
	if l.stays != nil && !r.t.Failed() {
		made := map[bool]string{true: "a", false: "b"}
		got, peers := made[a.firstChild().initiator], made[!b.firstChild().initiator]
		if strings.Contains(l.steps, "IKE") {
			got, peers = made[a.e.all()[0].initiator], made[!b.e.all()[0].initiator]
		}
		if want := l.stays(lowest); want != "" && (got != want || peers != want) {
			r.t.Errorf("a keeps what %s made and b what %s made, want %s's", got, peers, want)
		}
	}
	if downs := len(a.downs) + len(b.downs); !l.broken && downs != 0 {
		r.t.Errorf("%d children reported down", downs)
	}
	a.handle(Terminate{})
	b.handle(Terminate{})
	r.w.advance(3 * time.Minute)
	a.wantNothing()
	b.wantNothing()
}

// The collisions and losses of rekeying a child (RFC 7296 §2.8.1, §2.25.1), as other
// implementations test them; testdata/rekey-cases.txt says which is which.
var childLadders = []rekeyLadder{
	{name: "regular", steps: "a rekeys; a>; b>; a>; b>", ikes: 1, children: 1, stays: always("a")},
	{name: "another group", groups: true, steps: "a rekeys; a>; b>; a>; b>; a>; b>; quiet; a rekeys; a>; b>; a>; b>; quiet", ikes: 1, children: 1, stays: always("a")},
	{name: "soft limit of the replaced one", steps: "a rekeys; a>; b>; b soft; a>; b>", ikes: 1, children: 1, stays: always("a")},
	{name: "hard limit of the replaced one", steps: "a rekeys; a>; b>; b hard; a>; b>; b>; a>", ikes: 1, children: 1, broken: true, stays: always("a")},
	{name: "the successor is deleted before its predecessor", steps: "a rekeys; a>; b>; b deletes new; b>; a>; b>; a>", ikes: 1, broken: true},
	{name: "the old one is deleted too early", steps: "a rekeys; a>; hold b X; b names old; b>; a>; X>", ikes: 1, children: 1, broken: true, stays: always("a")},
	{name: "the old one is deleted twice", steps: "a rekeys; a>; b names old; b>; a>; b>; a>; b>", ikes: 1, children: 1, stays: always("a")},
	{name: "the deletion is not answered", steps: "a rekeys; a>; b>; deaf", broken: true},

	{name: "collision", steps: "a rekeys; b rekeys; a>; b>; b>; a>; a>; b>; b>; a>", ikes: 1, children: 1, stays: byNonces},
	{name: "collision, late answer", steps: "a rekeys; b rekeys; a>; b>; hold b X; a>; b>; a>; X>", ikes: 1, children: 1, stays: byNonces},
	{name: "collision, late answer after the successor is deleted", steps: "a rekeys; b rekeys; a>; b>; hold b X; a>; b>; a>; b deletes new; b>; a>; X>", ikes: 1, broken: true},
	{name: "collision, late request", steps: "a rekeys; hold a X; b rekeys; b>; a>; X>; b>; a>; b>", ikes: 1, children: 1, stays: always("b")},
	{name: "collision, request later than the deletion", steps: "a rekeys; hold a X; b rekeys; b>; a>; b>; a>; X>; b>", ikes: 1, children: 1, stays: always("b")},
	{name: "collision, request later than all deletions", steps: "a rekeys; hold a X; b rekeys; b>; a>; b>; a>; b deletes new; b>; a>; X>; b>", ikes: 1, broken: true},
	{name: "collision, both want another group", groups: true, steps: "a rekeys; b rekeys; a>; b>; b>; a>; a>; b>; b>; a>", ikes: 1, children: 1, stays: byFirstNonces},
	{name: "collision, another group and a late second request", groups: true, steps: "a rekeys; b rekeys; a>; b>; b>; a>; hold a X; b>; a>; X>", ikes: 1, children: 1, stays: always("b")},
	{name: "collision, and the old one is deleted by both", steps: "a rekeys; b rekeys; a>; b>; b names old; b>; a>", ikes: 1, children: 1, broken: true},

	{name: "deletion crosses", steps: "a rekeys; b deletes old; a>; b>", ikes: 1, broken: true},
	{name: "deletion comes late", steps: "a rekeys; b deletes old; hold b X; a>; b>; X>", ikes: 1, broken: true},
	{name: "rekeying comes later than the deletion", steps: "a rekeys; hold a X; b deletes old; b>; a>; X>; b>", ikes: 1, broken: true},
	{name: "deletion of the successor overtakes the answer", steps: "a rekeys; a>; hold b X; b deletes new; b>; a>; X>", ikes: 1, broken: true},

	{name: "IKE SA is rekeyed", steps: "a rekeys; b rekeys IKE; a>; b>; b>; a>", ikes: 1, children: 1},
	{name: "IKE SA is deleted", steps: "a rekeys; b deletes IKE; a>; b>; a>", broken: true},
}

// The same for the IKE SA (RFC 7296 §2.8.2, §2.25.2).
var ikeLadders = []rekeyLadder{
	{name: "regular", steps: "a rekeys IKE; a>; b>; a>; b>", ikes: 1, children: 1, stays: always("a")},
	{name: "another group", groups: true, steps: "a rekeys IKE; a>; b>; a>; b>; a>; b>", ikes: 1, children: 1, stays: always("a")},

	{name: "collision", steps: "a rekeys IKE; b rekeys IKE; a>; b>; b>; a>; a>; b>; b>; a>", ikes: 1, children: 1, stays: byNonces},
	{name: "collision, both want another group", groups: true, steps: "a rekeys IKE; b rekeys IKE; a>; b>; b>; a>; a>; b>; b>; a>", ikes: 1, children: 1, stays: byNonces},
	{name: "collision, another group and a late second request", groups: true, steps: "a rekeys IKE; b rekeys IKE; a>; b>; b>; a>; hold a X; b>; a>; X>", ikes: 1, children: 1, stays: always("b")},
	{name: "collision, late answer", steps: "a rekeys IKE; b rekeys IKE; a>; b>; hold b X; a>; b>; X>", ikes: 1, children: 1, stays: byNonces},
	{name: "collision, lost request", steps: "a rekeys IKE; lose a; b rekeys IKE; b>; a>; b>", ikes: 1, children: 1, stays: always("b")},
	{name: "collision, late request", steps: "a rekeys IKE; hold a X; b rekeys IKE; b>; a>; b>; a>; X>", ikes: 1, children: 1, stays: always("b")},
	{name: "collision, late request, and a later deletion", steps: "a rekeys IKE; hold a X; b rekeys IKE; b>; a>; hold b Y; X>; b>; Y>", ikes: 1, children: 1, stays: always("b")},

	{name: "deletion crosses", steps: "a rekeys IKE; b deletes IKE; a>; b>; a>", broken: true},
	{name: "deletion comes late", steps: "a rekeys IKE; b deletes IKE; hold b X; a>; b>; X>; a>", broken: true},
}

func TestChildRekeyLadders(t *testing.T) {
	for _, l := range childLadders {
		t.Run(l.name, l.play)
	}
}

func TestIKERekeyLadders(t *testing.T) {
	for _, l := range ikeLadders {
		t.Run(l.name, l.play)
	}
}

// Every ladder belongs to a case of its suite's in testdata/rekey-cases.txt, and every
// ladder that is named there exists.
func TestRekeyCases(t *testing.T) {
	data, err := os.ReadFile("testdata/rekey-cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile(`"([^"]+)"`)
	for suite, list := range map[string][]rekeyLadder{"child": childLadders, "ike": ikeLadders} {
		named := map[string]bool{}
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, suite+" |") {
				for _, m := range quoted.FindAllStringSubmatch(line, -1) {
					named[m[1]] = true
				}
			}
		}
		for _, l := range list {
			if !named[l.name] {
				t.Errorf("%s: no case has the ladder %q", suite, l.name)
			}
			delete(named, l.name)
		}
		for name := range named {
			t.Errorf("%s: there is no ladder %q", suite, name)
		}
	}
}

// otherGroups gives an end groups of which the peer has the second alone.
func (n *node) otherGroups(first bool) {
	n.change(func(_ *Settings, r *Remote, c *Child) {
		groups := []transform.KE{transform.KE_CURVE25519, transform.KE_ECP_256}
		if !first {
			groups[0] = transform.KE_ECP_384
		}
		r.Proposals[0].KE, c.Proposals[0].KE = groups, groups
	})
}
