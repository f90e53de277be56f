package ikev2

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
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

// ---- expectations ----

// wantReason says that the host has counted and traced a reason.
func (n *node) wantReason(reason string) trace.Event {
	n.w.t.Helper()
	if n.e.Counters()[reason] == 0 {
		n.w.t.Errorf("%s: counter %s is 0, want more", n.name, reason)
	}
	for _, ev := range n.traces {
		if ev.Reason == reason {
			return ev
		}
	}
	n.w.t.Fatalf("%s: no trace with reason %s; traces:\n%s", n.name, reason, n.log())
	return trace.Event{}
}

func (n *node) wantNoReason(reason string) {
	n.w.t.Helper()
	if c := n.e.Counters()[reason]; c != 0 {
		n.w.t.Errorf("%s: counter %s is %d, want 0; traces:\n%s", n.name, reason, c, n.log())
	}
}

func (n *node) log() string {
	var b strings.Builder
	for _, ev := range n.traces {
		fmt.Fprintf(&b, "  [%s] %s: %s", ev.Tag, ev.Reason, ev.Text)
		for _, a := range ev.Attrs {
			fmt.Fprintf(&b, " %s=%q", a.Key, a.Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wantUp says that both hosts have this many established IKE SAs and child
// pairs, and that their kernels agree on SPIs and keys.
func (w *world) wantUp(a, b *node, ikeSAs, children int) {
	w.t.Helper()
	for _, n := range []*node{a, b} {
		var up, kids int
		for _, i := range n.e.Status() {
			if i.State == "ESTABLISHED" {
				up++
			}
			kids += len(i.Children)
		}
		if up != ikeSAs || kids != children {
			w.t.Errorf("%s: %d IKE SAs and %d children, want %d and %d\n%s", n.name, up, kids, ikeSAs, children, n.log())
		}
		compressing := 0
		for id := range n.kernel.sas {
			if id.Proto == kernel.IPComp {
				compressing++
			}
		}
		if got := len(n.kernel.sas) - compressing; got != 2*children || compressing != 0 && compressing != got {
			w.t.Errorf("%s: %d SAs in the kernel and %d of IPComp, want %d", n.name, got, compressing, 2*children)
		}
	}
	a.wantPaired(b)
	b.wantPaired(a)
}

// wantPaired says that every outbound SA of n has its twin at the peer.
func (n *node) wantPaired(peer *node) {
	n.w.t.Helper()
	for _, sa := range n.kernel.sas {
		if sa.Direction != kernel.Out {
			continue
		}
		twin, ok := peer.kernel.byPeerSPI(sa.Proto, sa.SPI)
		switch {
		case !ok:
			n.w.t.Errorf("%s: outbound SA %08x has no inbound twin at %s", n.name, sa.SPI, peer.name)
		case string(twin.EncrKey) != string(sa.EncrKey) || string(twin.IntegKey) != string(sa.IntegKey):
			n.w.t.Errorf("%s: the keys of SA %08x differ", n.name, sa.SPI)
		case twin.Encr != sa.Encr || twin.Integ != sa.Integ || twin.Mode != sa.Mode || twin.ESN != sa.ESN || twin.Comp != sa.Comp:
			n.w.t.Errorf("%s: the transforms of SA %08x differ", n.name, sa.SPI)
		}
	}
}

// wantNothing says that no SA is left on a host, nor anything of one.
func (n *node) wantNothing() {
	n.w.t.Helper()
	e := n.e
	if !e.Idle() || len(e.Status()) != 0 {
		n.w.t.Errorf("%s is not idle: %+v\n%s", n.name, e.Status(), n.log())
	}
	if len(e.crowd)+len(e.bySPI)+len(e.byRemote)+len(e.initial)+len(e.bySAID)+len(e.jobs)+len(e.kernelOps)+len(e.timers) != 0 {
		n.w.t.Errorf("%s leaks: %d SPIs, %d remotes, %d initial, %d SAIDs, %d jobs, %d requests, %d timers", n.name,
			len(e.bySPI), len(e.byRemote), len(e.initial), len(e.bySAID), len(e.jobs), len(e.kernelOps), len(e.timers))
	}
	if e.reassembling != 0 {
		n.w.t.Errorf("%s: %d octets of fragments are left", n.name, e.reassembling)
	}
	if h := e.cfg.Shared.HalfOpen.Load(); h != 0 {
		n.w.t.Errorf("%s: %d half-open IKE SAs, want 0", n.name, h)
	}
	if len(n.kernel.sas)+len(n.kernel.reserved) != 0 {
		n.w.t.Errorf("%s: the kernel still has %d SAs and %d reservations", n.name, len(n.kernel.sas), len(n.kernel.reserved))
	}
}

func attrOf(ev trace.Event, key string) string {
	for _, a := range ev.Attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// exchangeOf is the exchange and direction of a datagram.
func exchangeOf(p Send) (message.ExchangeType, bool) {
	h, err := message.DecodeHeader(p.Data)
	if err != nil {
		return 0, false
	}
	return h.Exchange, h.Flags&message.FlagResponse != 0
}

// ---- a kernel ----

type testKernel struct {
	next     kernel.SPI
	sas      map[kernel.SAID]kernel.SA
	reserved map[kernel.SAID]bool
	state    func(kernel.SA) kernel.SAState // what GetSA says; nil: that it was not used
	// fail refuses requests.
	fail func(kernel.Op) error
	ops  []kernel.Op
	// carried is what GetSA says of an SA.
	carried map[kernel.SAID]uint64
}

func newTestKernel() *testKernel {
	return &testKernel{next: 0x1000, sas: map[kernel.SAID]kernel.SA{}, reserved: map[kernel.SAID]bool{}}
}

func (k *testKernel) apply(r kernel.Request) kernel.Result {
	res := kernel.Result{Request: r}
	k.ops = append(k.ops, r.Op)
	if k.fail != nil {
		if res.Err = k.fail(r.Op); res.Err != nil {
			return res
		}
	}
	switch op := r.Op.(type) {
	case kernel.GetSPI:
		k.next++
		res.SPI = k.next
		if op.Proto == kernel.IPComp {
			res.SPI = firstOwnCPI + res.SPI>>16<<12 + res.SPI%4096 // 16 bits
		}
		k.reserved[kernel.SAID{Dst: op.Dst, Proto: op.Proto, SPI: res.SPI}] = true
	case kernel.AddSA:
		if _, dup := k.sas[op.SA.SAID]; dup {
			res.Err = kernel.ErrExists
			return res
		}
		op.SA.EncrKey, op.SA.IntegKey = slices.Clone(op.SA.EncrKey), slices.Clone(op.SA.IntegKey)
		delete(k.reserved, op.SA.SAID)
		k.sas[op.SA.SAID] = op.SA
	case kernel.GetSA:
		sa, ok := k.sas[op.ID]
		if !ok {
			res.Err = kernel.ErrNotFound
			return res
		}
		if res.SAs = []kernel.SAState{{SA: sa, Bytes: k.carried[op.ID]}}; k.state != nil {
			res.SAs[0] = k.state(sa)
		}
	case kernel.UpdateSA:
		res.Err = k.update(op.SA)
	case kernel.DeleteSA:
		_, ok := k.sas[op.ID]
		if !ok && !k.reserved[op.ID] {
			res.Err = kernel.ErrNotFound
		}
		delete(k.sas, op.ID)
		delete(k.reserved, op.ID)
	}
	return res
}

func (k *testKernel) byPeerSPI(proto kernel.Protocol, spi kernel.SPI) (kernel.SA, bool) {
	for id, sa := range k.sas {
		if id.Proto == proto && id.SPI == spi && sa.Direction == kernel.In {
			return sa, true
		}
	}
	return kernel.SA{}, false
}

// one is the only SA of a direction.
func (k *testKernel) one(t *testing.T, d kernel.Direction) kernel.SA {
	t.Helper()
	var found []kernel.SA
	for _, sa := range k.sas {
		if sa.Direction == d {
			found = append(found, sa)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d SAs of direction %v, want 1", len(found), d)
	}
	return found[0]
}

// ---- settings ----

const testPSK = "correct horse battery staple"

func fqdn(name string) Identity { return Identity{message.ID_FQDN, []byte(name)} }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func selector(src, dst string) kernel.Selector {
	return kernel.Selector{Src: prefix(src), Dst: prefix(dst), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}
}

func testIKEProposal() IKEProposal {
	return IKEProposal{
		Encr: []Encryption{{transform.ENCR_AES_GCM_16, 128}},
		PRF:  []transform.PRF{transform.PRF_HMAC_SHA2_256},
		KE:   []transform.KE{transform.KE_CURVE25519},
	}
}

func testChildProposal() ChildProposal {
	return ChildProposal{
		Protocol: kernel.ESP, Encr: []Encryption{{transform.ENCR_AES_GCM_16, 128}}, SN: []transform.SN{transform.SN_32BIT},
	}
}

// testSettings is one remote with one tunnel between two networks.
func testSettings(me, peer, peerAddr, mine, theirs string) *Settings {
	return &Settings{
		IKEPort: 500, NATPort: 4500, CookieThreshold: 100, MaxHalfOpen: 1000,
		Remotes: []*Remote{{
			Name: peer, Where: "racoon2.conf:12",
			Peers: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(peerAddr), 500)},
			MyID:  fqdn(me + ".example.test"), PeerIDs: []Identity{fqdn(peer + ".example.test")}, VerifyID: true,
			SharedKey: []byte(testPSK), Proposals: []IKEProposal{testIKEProposal()},
			NATTraversal: true, Fragmentation: true, NonceSize: 32,
			Retry:        Retransmission{First: time.Second, Tries: 5, Copies: 1},
			SetupTimeout: 10 * time.Minute,
			Children: []*Child{{
				Name: me + "_out", Inbound: me + "_in", Where: "racoon2.conf:40",
				Outbound: []kernel.Selector{selector(mine, theirs)}, Mode: kernel.Tunnel, Level: kernel.Require, ReqID: 7,
				Proposals: []ChildProposal{testChildProposal()}, Replay: 64,
			}},
		}},
	}
}

// pair is two hosts that are configured for each other.
func pair(t *testing.T) (*world, *node, *node) {
	t.Helper()
	w := newWorld(t)
	a := w.add("kyoto", "192.0.2.1", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
	b := w.add("tokyo", "192.0.2.2", testSettings("tokyo", "kyoto", "192.0.2.1", "10.0.2.0/24", "10.0.1.0/24"))
	return w, a, b
}

// change edits the settings of a node before anything has happened.
func (n *node) change(f func(*Settings, *Remote, *Child)) {
	s := n.e.settings
	f(s, s.Remotes[0], s.Remotes[0].Children[0])
}
