package ikev2

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// world is a network of engines on one virtual clock. Jobs and kernel requests
// are carried out at once, datagrams in the order in which they were sent.
type world struct {
	t     *testing.T
	now   time.Time
	nodes []*node
	wire  []Send
	// filter sees every datagram before delivery and says what arrives instead;
	// nil delivers it.
	filter func(Send) []Send
	sent   []Send // everything that was ever sent
}

// node is one host: an engine with a small kernel.
type node struct {
	w        *world
	name     string
	e        *Engine
	addr     netip.Addr   // what Route answers; invalid: no route
	more     []netip.Addr // its other addresses
	site     *site        // behind a NAT; nil: none
	kernel   *testKernel
	traces   []trace.Event
	ups      []ChildUp
	downs    []ChildDown
	said     []string // what was announced
	failures []InitiateFailed
	moved    []ChildMoved
	holdJobs bool
	jobs     []Job
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

// add puts a host into the network.
func (w *world) add(name, addr string, s *Settings) *node {
	w.t.Helper()
	seed := [32]byte{}
	copy(seed[:], name+addr)
	n := &node{w: w, name: name, addr: netip.MustParseAddr(addr), kernel: newTestKernel()}
	n.e = New(Config{Rand: rand.NewChaCha8(seed), Settings: s})
	n.kernel.next += kernel.SPI(len(w.nodes)) << 16 // no SPI is both hosts'
	w.nodes = append(w.nodes, n)
	return n
}

// handle gives an input to an engine and carries out its effects.
func (n *node) handle(in Input) {
	n.w.t.Helper()
	var out Outbox
	n.e.Handle(n.w.now, in, &out)
	for _, f := range out.Effects {
		n.carryOut(f)
	}
}

func (n *node) carryOut(f Effect) {
	switch f := f.(type) {
	case Send:
		if f.Data == nil || !f.Local.IsValid() || !f.Remote.IsValid() {
			n.w.t.Fatalf("%s sends %d octets from %v to %v", n.name, len(f.Data), f.Local, f.Remote)
		}
		f.Data = slices.Clone(f.Data)
		if f = n.outward(f); !f.Local.IsValid() {
			return
		}
		n.w.sent = append(n.w.sent, f)
		n.w.wire = append(n.w.wire, f)
	case KernelRequest:
		n.handle(KernelResult{Result: n.kernel.apply(f.Request)})
	case Job:
		if n.holdJobs {
			n.jobs = append(n.jobs, f)
			return
		}
		n.finish(f)
	case Route:
		n.handle(Routed{Serial: f.Serial, Local: n.route(f.Remote)})
	case IKEUp:
		n.say("IKE SA", f.Remote, f.Again)
	case IKEMoved:
		n.said = append(n.said, "IKE SA "+f.Remote+" moved from "+f.OldLocal.String()+" - "+f.OldPeer.String()+" to "+f.Local.String()+" - "+f.PeerAddress.String())
	case IKEDown:
		n.said = append(n.said, "IKE SA "+f.Remote+" down")
	case ChildUp:
		n.ups = append(n.ups, f)
		n.say("child", f.Child, f.Again)
	case ChildDown:
		n.downs = append(n.downs, f)
		n.said = append(n.said, "child "+f.Child+" down")
	case ChildMoved:
		n.moved = append(n.moved, f)
	case InitiateFailed:
		n.failures = append(n.failures, f)
	case Trace:
		n.traces = append(n.traces, f.Event)
	}
}

// say notes an announcement.
func (n *node) say(what, name string, again bool) {
	word := "up"
	if again {
		word = "again"
	}
	n.said = append(n.said, what+" "+name+" "+word)
}

func (n *node) finish(j Job) {
	v, err := j.Run()
	n.handle(JobDone{Serial: j.Serial, Value: v, Err: err})
}

// releaseJobs lets held jobs finish.
func (n *node) releaseJobs() {
	n.holdJobs = false
	for len(n.jobs) > 0 {
		j := n.jobs[0]
		n.jobs = n.jobs[1:]
		n.finish(j)
	}
}

// settle delivers datagrams until the wire is silent.
func (w *world) settle() {
	w.t.Helper()
	for steps := 0; len(w.wire) > 0; steps++ {
		if steps > 100000 {
			w.t.Fatal("the network does not fall silent")
		}
		w.step()
	}
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
		if to, ok := n.inward(p); ok {
			p = to
			n.handle(Datagram{Local: p.Remote, Remote: p.Local, Data: slices.Clone(p.Data)})
			return
		}
	}
}

// deadline is the earliest timer of all engines.
func (w *world) deadline() (time.Time, bool) {
	var at time.Time
	found := false
	for _, n := range w.nodes {
		if d, ok := n.e.Deadline(); ok && (!found || d.Before(at)) {
			at, found = d, true
		}
	}
	return at, found
}

// advance lets time pass, with every timer on its way and all that follows.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 100000 {
			w.t.Fatal("timers fire without end")
		}
		w.settle()
		at, ok := w.deadline()
		if !ok || at.After(end) {
			break
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
	w.now = end
}

// initiate asks a host for its first child.
func (n *node) initiate() {
	n.w.t.Helper()
	r := n.e.settings.Remotes[0]
	n.handle(Initiate{Remote: r.Name, Child: r.Children[0].Name})
}
