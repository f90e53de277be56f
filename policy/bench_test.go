package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// manySelectors are n tunnels' selectors: a quarter of them with a macro.
func manySelectors(n int) *Settings {
	s := &Settings{Selectors: make([]*Selector, n)}
	for i := range s.Selectors {
		dst := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28)
		src := Address{Prefix: netip.MustParsePrefix("192.168.0.0/16")}
		if i%4 == 0 {
			src = Address{Macro: "MY_IPV4%eth0"}
		}
		s.Selectors[i] = &Selector{
			Name: fmt.Sprint("s", i), Where: "bench.conf", Direction: kernel.Out, Install: true,
			Src: []Address{src}, Dst: []Address{{Prefix: dst}}, SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
			Action: kernel.Protect, Mode: kernel.Tunnel, Level: kernel.Require, ReqID: uint32(i + 1),
			Remote: "peer", Engines: []kernel.EngineID{kernel.IKEv2}, Child: fmt.Sprint("s", i),
			MyEnd: End{Addr: netip.MustParseAddr("192.0.2.1")}, PeerEnd: []End{{Addr: netip.MustParseAddr("198.51.100.1")}},
		}
	}
	return s
}

// yes is a kernel that can do everything at once.
type yes struct {
	id  kernel.PolicyID
	ops int
}

func (k *yes) run(m *Manager, in Input) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var out Outbox
	m.Handle(now, in, &out)
	for i := 0; i < len(out.Effects); i++ { // answers append further effects
		if e, ok := out.Effects[i].(KernelRequest); ok {
			k.id++
			k.ops++
			m.Handle(now, KernelResult{kernel.Result{Request: e.Request, Policy: k.id}}, &out)
		}
	}
}

func newBench(s *Settings) (*Manager, *yes) {
	m, k := New(Config{Capabilities: kernel.Capabilities{PortRanges: true, Forward: true}}), new(yes)
	k.run(m, host("192.0.2.1/24"))
	k.run(m, Start{s})
	return m, k
}

// The work of a change is that of the change: two requests for one selector.
func TestWorkOfAChange(t *testing.T) {
	s := manySelectors(1000)
	m, k := newBench(s)
	if k.ops != 1000 {
		t.Fatalf("%d requests at the start", k.ops)
	}
	changed := &Settings{Selectors: slices.Clone(s.Selectors)}
	other := *s.Selectors[501]
	other.Dst = []Address{{Prefix: netip.MustParsePrefix("172.16.0.0/12")}}
	changed.Selectors[501] = &other
	k.ops = 0
	k.run(m, Reconfigure{changed})
	if k.ops != 2 {
		t.Errorf("%d requests for one change", k.ops)
	}
	k.ops = 0
	k.run(m, host("192.0.2.1/24", "192.0.2.2/24"))
	if k.ops != 250 {
		t.Errorf("%d requests for a new address, want one for each macro", k.ops)
	}
}

func BenchmarkStart10000(b *testing.B) {
	s := manySelectors(10000)
	b.ReportAllocs()
	for b.Loop() {
		if m, _ := newBench(s); len(m.entries) != 10000 {
			b.Fatal(len(m.entries))
		}
	}
}

func BenchmarkReconfigureOneOf10000(b *testing.B) {
	s := manySelectors(10000)
	m, k := newBench(s)
	other := &Settings{Selectors: slices.Clone(s.Selectors)}
	changed := *s.Selectors[5001]
	changed.ReqID = 77777
	other.Selectors[5001] = &changed
	k.ops = 0
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		k.run(m, Reconfigure{[]*Settings{other, s}[n%2]})
		n++
	}
	if k.ops != n {
		b.Fatalf("%d requests for %d changes", k.ops, n)
	}
}

func BenchmarkAcquireAmong10000(b *testing.B) {
	m, _ := newBench(manySelectors(10000))
	var out Outbox
	now := time.Now()
	ev := KernelEvent{kernel.Acquire{Policy: 5000, Packet: packet("192.168.0.1", "10.1.0.1")}}
	b.ReportAllocs()
	for b.Loop() {
		m.Handle(now, ev, &out)
		m.Handle(now, ChildUp{Child: m.byID[5000].sel.Child}, &out)
		out.Effects = out.Effects[:0]
	}
}
