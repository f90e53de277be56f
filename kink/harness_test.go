package kink

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kernel/trace"
	"racoon2/kink/message"
)

// world is a network of engines on one virtual clock, with one KDC. Jobs and kernel
// requests are carried out at once, datagrams in the order in which they were sent.
type world struct {
	t     *testing.T
	now   time.Time
	realm *realm
	nodes []*node
	wire  []Send
	// filter sees every datagram before delivery and says what arrives instead;
	// nil delivers it.
	filter func(Send) []Send
	sent   []Send // everything that was ever sent
	// late, when set, lets results of the kernel, of jobs and of the KDC come later,
	// among the datagrams.
	late *rand.Rand
}

// node is one host.
type node struct {
	w        *world
	name     string
	e        *Engine
	krb      *testKerberos
	addr     netip.Addr
	settings *Settings
	offset   time.Duration // of its clock
	kernel   *fake.Kernel
	keys     map[kernel.SAID]kernel.SA // as they were installed
	traces   []trace.Event
	ups      []ChildUp
	downs    []ChildDown
	failures []InitiateFailed
	refuse   func(kernel.Op) error // what the kernel refuses; nil: nothing
	hold     bool                  // tickets
	held     []FetchTicket
	inbox    []Input // late results
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), realm: newRealm()}
}

// add puts a host into the network.
func (w *world) add(name, addr string, s *Settings) *node {
	w.t.Helper()
	n := &node{w: w, name: name, krb: w.realm.host(principal(name)), addr: netip.MustParseAddr(addr), settings: s}
	w.nodes = append(w.nodes, n)
	n.boot()
	return n
}

// boot starts the host afresh.
func (n *node) boot() {
	seed := [32]byte{}
	copy(seed[:], fmt.Sprint(n.name, n.addr, n.w.now.Unix()))
	n.inbox = nil
	n.kernel = fake.New(n.name + n.w.now.String())
	n.keys = make(map[kernel.SAID]kernel.SA)
	n.krb.seen = make(map[string]bool)
	n.krb.cache = make(map[string]*testTicket)
	n.e = New(Config{Rand: rand.NewChaCha8(seed), Settings: n.settings, Kerberos: n.krb, Start: n.clock().Add(-time.Hour)})
}

func (n *node) clock() time.Time { return n.w.now.Add(n.offset) }

func principal(name string) string { return "kink/" + name + ".example.com@EXAMPLE.COM" }

// handle gives an input to an engine and carries out its effects.
func (n *node) handle(in Input) {
	n.w.t.Helper()
	var out Outbox
	n.e.Handle(n.clock(), in, &out)
	for _, f := range out.Effects {
		n.carryOut(f)
	}
}

func (n *node) carryOut(f Effect) {
	n.w.t.Helper()
	switch f := f.(type) {
	case Send:
		if f.Data == nil || !f.Local.IsValid() || !f.Remote.IsValid() {
			n.w.t.Fatalf("%s sends %d octets from %v to %v", n.name, len(f.Data), f.Local, f.Remote)
		}
		n.w.sent = append(n.w.sent, f)
		n.w.wire = append(n.w.wire, f)
	case KernelRequest:
		if n.refuse != nil {
			if err := n.refuse(f.Request.Op); err != nil {
				n.result(KernelResult{Result: kernel.Result{Request: f.Request, Err: err}})
				return
			}
		}
		switch op := f.Request.Op.(type) {
		case kernel.AddSA:
			sa := op.SA
			sa.EncrKey, sa.IntegKey = bytes.Clone(sa.EncrKey), bytes.Clone(sa.IntegKey)
			n.keys[sa.SAID] = sa
		case kernel.DeleteSA:
			delete(n.keys, op.ID)
		}
		n.result(KernelResult{Result: n.kernel.Apply(n.w.now, f.Request)})
	case Job:
		v, err := f.Run()
		n.result(JobDone{Serial: f.Serial, Value: v, Err: err})
	case FetchTicket:
		if n.hold {
			n.held = append(n.held, f)
			return
		}
		t, err := n.krb.fetch(n.clock(), f)
		n.result(TicketReady{Serial: f.Serial, Ticket: t, Err: err})
	case Route:
		n.result(Routed{Serial: f.Serial, Local: n.addr})
	case ChildUp:
		n.ups = append(n.ups, f)
	case ChildDown:
		if f.Info.SPIIn == 0 {
			n.w.t.Errorf("a pair goes down (%s) without its SPIs", f.Reason)
		}
		n.downs = append(n.downs, f)
	case InitiateFailed:
		n.failures = append(n.failures, f)
	case Trace:
		n.traces = append(n.traces, f.Event)
	}
}

// result hands a result to the engine, now or later.
func (n *node) result(in Input) {
	n.w.t.Helper()
	if n.w.late != nil {
		n.inbox = append(n.inbox, in)
		return
	}
	n.handle(in)
}

// release answers held ticket requests.
func (n *node) release() {
	n.hold = false
	held := n.held
	n.held = nil
	for _, f := range held {
		n.carryOut(f)
	}
}

// settle delivers datagrams until the wire is silent.
func (w *world) settle() {
	w.t.Helper()
	for range 10000 {
		waiting := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return len(n.inbox) == 0 })
		switch {
		case len(w.wire) > 0 && (len(waiting) == 0 || w.late.IntN(2) == 0):
			w.step()
		case len(waiting) > 0:
			n := waiting[w.late.IntN(len(waiting))]
			in := n.inbox[0]
			n.inbox = n.inbox[1:]
			n.handle(in)
		default:
			return
		}
	}
	w.t.Fatal("the network does not fall silent")
}

// step delivers the oldest datagram.
func (w *world) step() {
	w.t.Helper()
	p := w.wire[0]
	w.wire = w.wire[1:]
	arriving := []Send{p}
	if w.filter != nil {
		arriving = w.filter(p)
	}
	for _, a := range arriving {
		w.deliver(a)
	}
}

func (w *world) deliver(p Send) {
	w.t.Helper()
	for _, n := range w.nodes {
		if n.addr == p.Remote.Addr() {
			n.handle(Datagram{Local: p.Remote, Remote: p.Local, Data: slices.Clone(p.Data)})
		}
	}
}

// pass lets time go by, running every timer at its time.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for range 10000 {
		next := end
		var who *node
		for _, n := range w.nodes {
			if at, ok := n.e.Deadline(); ok && !at.Add(-n.offset).After(next) {
				next, who = at.Add(-n.offset), n
			}
		}
		if next.After(w.now) {
			w.now = next
		}
		if who == nil {
			return
		}
		who.handle(Timeout{})
		w.settle()
	}
	w.t.Fatal("timers do not come to rest")
}

// ladder is what was sent, one message a line: "a > b CREATE", with the outer
// payloads behind.
func (w *world) ladder() string {
	var lines []string
	for _, p := range w.sent {
		m, err := message.Decode(p.Data)
		if err != nil {
			lines = append(lines, err.Error())
			continue
		}
		text := fmt.Sprintf("%s > %s %v", w.nameOf(p.Local.Addr()), w.nameOf(p.Remote.Addr()), m.Type)
		if m.AckRequest {
			text += " ACKREQ"
		}
		for _, payload := range m.Payloads {
			text += " " + strings.TrimPrefix(payload.Type().String(), "KINK_")
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}

func (w *world) nameOf(a netip.Addr) string {
	for _, n := range w.nodes {
		if n.addr == a {
			return n.name
		}
	}
	return a.String()
}

// wantLadder compares everything sent since the last call.
func (w *world) wantLadder(lines ...string) {
	w.t.Helper()
	if got, want := w.ladder(), strings.Join(lines, "\n"); got != want {
		w.t.Errorf("ladder:\n%s\nwant:\n%s", got, want)
	}
	w.sent = nil
}

// wantPairs checks that each host has n pairs up, and that the keys of every SA are
// the same at both ends.
func (w *world) wantPairs(n int) {
	w.t.Helper()
	for _, x := range w.nodes {
		if got := int(x.e.Counters()["child_sas"]); got != n {
			w.t.Errorf("%s has %d SA pairs, want %d", x.name, got, n)
		}
		in, out := 0, 0
		for id, sa := range x.keys {
			if sa.Direction == kernel.In {
				in++
				continue
			}
			out++
			for _, y := range w.nodes {
				if y.addr != sa.Dst {
					continue
				}
				other, ok := y.keys[id]
				if !ok {
					w.t.Errorf("%s has outbound %v, which %s has not", x.name, id, y.name)
				} else if !bytes.Equal(sa.EncrKey, other.EncrKey) || !bytes.Equal(sa.IntegKey, other.IntegKey) || len(sa.EncrKey)+len(sa.IntegKey) == 0 && sa.Proto != kernel.IPComp {
					w.t.Errorf("%v has different keys at %s and %s", id, x.name, y.name)
				} else if sa.Selector != other.Selector {
					w.t.Errorf("%v has selector %v and %v", id, sa.Selector, other.Selector)
				}
			}
		}
		each := n * len(x.settings.Remotes[0].Children[0].protocols())
		if in != each || out != each {
			w.t.Errorf("%s has %d inbound and %d outbound SAs, want %d", x.name, in, out, each)
		}
	}
}

// wantReason checks that a host counted a reason.
func (n *node) wantReason(reason string) {
	n.w.t.Helper()
	if n.e.Counters()[reason] == 0 {
		n.w.t.Errorf("%s did not count %s; traces:\n%s", n.name, reason, n.said())
	}
}

func (n *node) said() string {
	var b strings.Builder
	for _, ev := range n.traces {
		fmt.Fprintf(&b, "  [%v] %s: %s\n", ev.Tag, ev.Reason, ev.Text)
	}
	return b.String()
}

// gcm and cbc are proposals for tests.
var (
	gcm = Proposal{Protocol: kernel.ESP, Encr: []Encryption{{ID: transform.ENCR_AES_GCM_16, KeyBits: 256}}}
	cbc = Proposal{Protocol: kernel.ESP, Encr: []Encryption{{ID: transform.ENCR_AES_CBC, KeyBits: 128}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}}
)

// settingsFor is a host's settings towards one peer.
func settingsFor(me, myAddr, peer, peerAddr string, change ...func(*Remote, *Child)) *Settings {
	mine, theirs := netip.MustParseAddr(myAddr), netip.MustParseAddr(peerAddr)
	c := &Child{
		Name: "out", Inbound: "in", Mode: kernel.Transport, Level: kernel.Require, ReqID: 7, Proposals: []Proposal{gcm, cbc},
		Lifetime: kernel.Lifetime{Time: time.Hour}, Replay: 64,
		Outbound: []kernel.Selector{{Src: hostPrefix(mine), Dst: hostPrefix(theirs), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}},
	}
	r := &Remote{
		Name: peer, Where: "test", Peers: []netip.AddrPort{netip.AddrPortFrom(theirs, 0)},
		MyPrincipal: principal(me), PeerPrincipals: []string{principal(peer)}, NonceSize: 16,
		Retry: Retransmission{First: time.Second, Tries: 4}, Grace: 10 * time.Second, Children: []*Child{c},
	}
	for _, f := range change {
		f(r, c)
	}
	return &Settings{Port: 910, Remotes: []*Remote{r}}
}

// pairOfHosts is a world with hosts a and b; change works on both hosts' settings.
func pairOfHosts(t *testing.T, change ...func(*Remote, *Child)) (*world, *node, *node) {
	t.Helper()
	w := newWorld(t)
	a := w.add("a", "192.0.2.1", settingsFor("a", "192.0.2.1", "b", "192.0.2.2", change...))
	b := w.add("b", "192.0.2.2", settingsFor("b", "192.0.2.2", "a", "192.0.2.1", change...))
	return w, a, b
}

// create makes a pair from a to b and checks it.
func (w *world) create(a *node) {
	w.t.Helper()
	a.handle(Initiate{Remote: a.settings.Remotes[0].Name, Child: "out"})
	w.settle()
}
