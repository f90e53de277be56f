package kerberos

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kink"
)

// endpoint is an engine over a real Host and a kernel in memory. Tickets come from a test's
// KDC, at once.
type endpoint struct {
	t      testing.TB
	host   *Host
	engine *kink.Engine
	addr   netip.Addr
	kernel *fake.Kernel
	ticket *ticket // for the peer; nil: none
	clock  *time.Time
	wire   []kink.Send
	keys   map[kernel.SAID][]byte
	ups    []kink.ChildUp
	downs  int
	said   []string
	meter  bool
	spent  time.Duration // in Handle, with meter
}

// cpu is the processor time of this process: other programs do not count.
func (n *endpoint) cpu() time.Duration {
	var r syscall.Rusage
	if !n.meter || syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// endpoints are kink/a and kink/b, where a can make SAs with b.
func endpoints(t testing.TB, e EType) (a, b *endpoint) {
	t.Helper()
	now := testNow
	a = newEndpoint(t, peerA, "192.0.2.1", hostB, "192.0.2.2", &now)
	b = newEndpoint(t, hostB, "192.0.2.2", peerA, "192.0.2.1", &now)
	g := grant{
		client: peerA, service: hostB, session: testKey(t, e, 33), under: testKey(t, AES256_CTS_HMAC_SHA1_96, 1), kvno: 2,
		start: testNow.Add(-time.Hour), end: testNow.Add(24 * time.Hour),
	}
	a.ticket = g.ticket(t, a.host)
	a.ticket.local, a.ticket.peer = peerA.String(), hostB.String()
	g.client, g.service = hostB, peerA
	b.ticket = g.ticket(t, b.host)
	b.ticket.local, b.ticket.peer = hostB.String(), peerA.String()
	return a, b
}

func newEndpoint(t testing.TB, me Principal, addr string, peer Principal, peerAddr string, clock *time.Time) *endpoint {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keytab")
	writeKeytab(t, path, keytabEntry{principal: me, kvno: 2, key: testKey(t, AES256_CTS_HMAC_SHA1_96, 1)})
	h, err := New(Config{
		Principals: []string{me.String()}, Keytab: path, ETypes: allETypes, Start: clock.Add(-time.Hour), Rand: rand.Reader,
		Replays: 1 << 22,
	})
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := netip.MustParseAddr(addr), netip.MustParseAddr(peerAddr)
	settings := &kink.Settings{Port: 910, Remotes: []*kink.Remote{{
		Name: "peer", Peers: []netip.AddrPort{netip.AddrPortFrom(theirs, 910)}, MyPrincipal: me.String(),
		PeerPrincipals: []string{peer.String()}, NonceSize: 16, Retry: kink.Retransmission{First: time.Second, Tries: 4},
		Children: []*kink.Child{{
			Name: "out", Inbound: "in", Mode: kernel.Transport, Level: kernel.Require, ReqID: 7, Replay: 64,
			Lifetime:  kernel.Lifetime{Time: time.Hour},
			Proposals: []kink.Proposal{{Protocol: kernel.ESP, Encr: []kink.Encryption{{ID: transform.ENCR_AES_GCM_16, KeyBits: 256}}}},
			Outbound: []kernel.Selector{{
				Src: netip.PrefixFrom(mine, 32), Dst: netip.PrefixFrom(theirs, 32), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
			}},
		}},
	}}}
	n := &endpoint{t: t, host: h, addr: mine, kernel: fake.New(addr), clock: clock, keys: make(map[kernel.SAID][]byte)}
	n.engine = kink.New(kink.Config{Rand: rand.Reader, Kerberos: h, Settings: settings, Start: clock.Add(-time.Hour)})
	return n
}

// handle gives an input to the engine and carries out all but what goes on the wire.
func (n *endpoint) handle(in kink.Input) {
	var out kink.Outbox
	start := n.cpu()
	n.engine.Handle(*n.clock, in, &out)
	n.spent += n.cpu() - start
	for _, f := range out.Effects {
		switch f := f.(type) {
		case kink.Send:
			n.wire = append(n.wire, f)
		case kink.KernelRequest:
			if op, ok := f.Request.Op.(kernel.AddSA); ok {
				n.keys[op.SA.SAID] = bytes.Clone(op.SA.EncrKey)
			}
			n.handle(kink.KernelResult{Result: n.kernel.Apply(*n.clock, f.Request)})
		case kink.Job:
			v, err := f.Run()
			n.handle(kink.JobDone{Serial: f.Serial, Value: v, Err: err})
		case kink.FetchTicket:
			n.handle(kink.TicketReady{Serial: f.Serial, Ticket: n.ticket})
		case kink.Route:
			n.handle(kink.Routed{Serial: f.Serial, Local: n.addr})
		case kink.ChildUp:
			n.ups = append(n.ups, f)
		case kink.ChildDown:
			n.downs++
		case kink.Trace:
			n.said = append(n.said, f.Event.Text)
		}
	}
}

// exchange carries datagrams until there are none.
func exchange(a, b *endpoint) {
	for len(a.wire)+len(b.wire) > 0 {
		for _, way := range [][2]*endpoint{{a, b}, {b, a}} {
			from, to := way[0], way[1]
			list := from.wire
			from.wire = nil
			for _, p := range list {
				to.handle(kink.Datagram{Local: p.Remote, Remote: p.Local, Data: p.Data})
			}
		}
	}
}

// reset forgets what a run has left for the eyes of tests.
func (n *endpoint) reset() {
	n.ups, n.downs, n.said = nil, 0, nil
	clear(n.keys)
}

// Two engines over real Kerberos make the same keys, with a session key of every type.
func TestEnginesOverKerberos(t *testing.T) {
	for _, e := range allETypes {
		a, b := endpoints(t, e)
		a.handle(kink.Initiate{Remote: "peer", Child: "out"})
		exchange(a, b)
		if len(a.ups) != 1 || len(b.ups) != 1 || len(a.keys) != 2 {
			t.Fatalf("%v: %d and %d pairs\na: %q\nb: %q", e, len(a.ups), len(b.ups), a.said, b.said)
		}
		for id, key := range a.keys {
			if len(key) != 36 || !bytes.Equal(key, b.keys[id]) {
				t.Errorf("%v: %v has keys %x and %x", e, id, key, b.keys[id])
			}
		}
		b.handle(kink.Terminate{})
		exchange(a, b)
		if a.downs != 1 || b.downs != 1 {
			t.Errorf("%v: %d and %d pairs went\n%q", e, a.downs, b.downs, a.said)
		}
	}
}

// BenchmarkPair is the counterpart of ikev2's BenchmarkTunnel: an SA pair set up and
// taken down again, both ends counted, Kerberos included, with a ticket in the cache.
func BenchmarkPair(b *testing.B) {
	for _, e := range DefaultETypes() {
		b.Run(e.String(), func(b *testing.B) {
			x, y := endpoints(b, e)
			b.ReportAllocs()
			for b.Loop() {
				x.handle(kink.Initiate{Remote: "peer", Child: "out"})
				exchange(x, y)
				x.handle(kink.Terminate{})
				exchange(x, y)
				if len(x.ups) != 1 || y.downs != 1 {
					b.Fatalf("%q %q", x.said, y.said)
				}
				*x.clock = x.clock.Add(time.Millisecond)
				x.reset()
				y.reset()
			}
		})
	}
}

// BenchmarkCreate is CREATE alone: the processor time that either end spends on it, and how
// many a second one core of a responder takes. An SA pair is two SAs.
func BenchmarkCreate(b *testing.B) {
	for _, e := range DefaultETypes() {
		b.Run(e.String(), func(b *testing.B) {
			x, y := endpoints(b, e)
			x.meter, y.meter = true, true
			var spent [2]time.Duration
			n := 0
			for b.Loop() {
				x.spent, y.spent = 0, 0
				x.handle(kink.Initiate{Remote: "peer", Child: "out"})
				exchange(x, y)
				spent[0], spent[1] = spent[0]+x.spent, spent[1]+y.spent
				n++
				x.handle(kink.Terminate{})
				exchange(x, y)
				*x.clock = x.clock.Add(time.Millisecond)
				x.reset()
				y.reset()
			}
			b.ReportMetric(float64(spent[0].Microseconds())/float64(n), "initiator-µs/CREATE")
			b.ReportMetric(float64(spent[1].Microseconds())/float64(n), "responder-µs/CREATE")
			b.ReportMetric(float64(n)/spent[1].Seconds(), "CREATEs/s")
			b.ReportMetric(float64(spent[1].Microseconds())/float64(2*n), "responder-µs/SA")
		})
	}
}
