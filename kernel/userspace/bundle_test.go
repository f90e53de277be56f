package userspace

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// chains are the bundles that can be, the innermost first.
var chains = [][]kernel.Protocol{
	{kernel.ESP}, {kernel.AH}, {kernel.ESP, kernel.AH}, {kernel.IPComp, kernel.ESP},
	{kernel.IPComp, kernel.AH}, {kernel.IPComp, kernel.ESP, kernel.AH},
}

// bundleWays are the ways of the other tests that have no UDP.
func bundleWays() (list []tunnel) {
	return []tunnel{
		{mode: kernel.Transport, local: "192.0.2.1", peer: "192.0.2.2", inner: "192.0.2.1/32", outer: "192.0.2.2/32", reqID: 1},
		{mode: kernel.Transport, local: "fd09::1", peer: "fd09::2", inner: "fd09::1/128", outer: "fd09::2/128", reqID: 1},
		{mode: kernel.Tunnel, local: "192.0.2.1", peer: "192.0.2.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1},
		{mode: kernel.Tunnel, local: "fd09::1", peer: "fd09::2", inner: "fd01::/64", outer: "fd02::/64", reqID: 1},
		{mode: kernel.Tunnel, local: "192.0.2.1", peer: "192.0.2.2", inner: "fd01::/64", outer: "fd02::/64", reqID: 1},
		{mode: kernel.Tunnel, local: "fd09::1", peer: "fd09::2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1},
	}
}

// packet is a UDP packet of a tunnel's traffic.
func (w tunnel) packet(payload string) []byte {
	address := func(s string) string {
		p := netip.MustParsePrefix(s)
		if p.IsSingleIP() {
			return p.Addr().String()
		}
		return p.Addr().Next().String()
	}
	return ipPacket(address(w.inner), address(w.outer), protoUDP, udp(4000, 5000, payload))
}

// bundlePolicies are the policies of w with a bundle.
func (w tunnel) bundlePolicies(protos ...kernel.Protocol) []kernel.Policy {
	list := w.policies(w.selector())
	for i := range list {
		first := list[i].Templates[0]
		list[i].Templates = nil
		for j, proto := range protos {
			t := first
			t.Proto = proto
			if j > 0 {
				t.Mode, t.Src, t.Dst = kernel.Transport, netip.Addr{}, netip.Addr{}
			}
			list[i].Templates = append(list[i].Templates, t)
		}
	}
	return list
}

// layer is the SA of one of a bundle's protocols.
func (w tunnel) layer(d kernel.Direction, which byte, proto kernel.Protocol, outer bool) kernel.SA {
	sa := w.sa(d, which, 1)
	sa.Proto = proto
	if outer {
		sa.Mode = kernel.Transport
	}
	switch proto {
	case kernel.AH:
		sa.Encr, sa.EncrKey = 0, nil
		sa.Integ, sa.IntegKey = transform.AUTH_HMAC_SHA2_256_128, bytes.Repeat([]byte{which}, 32)
	case kernel.IPComp:
		sa.Encr, sa.EncrKey, sa.Replay, sa.Comp = 0, nil, 0, transform.COMP_DEFLATE
		sa.SPI = 0x1000 + kernel.SPI(which)
	}
	return sa
}

// newBundle is newPure with a bundle.
func newBundle(t testing.TB, w tunnel, protos []kernel.Protocol, change func(*kernel.SA), policy func(*kernel.Policy)) *pure {
	p := newPure(t, w, nil)
	for i, c := range []*core{p.a, p.b} {
		p.do(c, kernel.FlushSA{})
		side, d := w, kernel.Out
		if i == 1 {
			side, d = w.reversed(), kernel.In
		}
		for _, q := range side.bundlePolicies(protos...) {
			if policy != nil {
				policy(&q)
			}
			p.do(c, kernel.UpdatePolicy{Policy: q})
		}
		for j, proto := range protos {
			sa := side.layer(d, 1, proto, j > 0)
			if change != nil {
				change(&sa)
			}
			p.do(c, kernel.AddSA{SA: sa})
		}
	}
	return p
}

// wire is the packet as it goes out, with its IP header.
func (p *pure) wire() []byte {
	if len(p.out.header) > 0 {
		return slices.Clone(p.out.header[:len(p.out.header)+len(p.out.esp)])
	}
	b := ipPacket(p.out.src.String(), p.out.dst.String(), uint8(p.out.proto), p.out.esp)
	return b
}

// arrive takes a packet with its IP header through b, as a host hands it in.
func (p *pure) arrive(b []byte) []byte {
	var outer packet
	if err := outer.parse(b); err != nil {
		p.t.Fatalf("%x: %v", b, err)
	}
	proto := b[outer.nextAt]
	from := arrival{proto: kernel.Protocol(proto), src: outer.src(), dst: outer.dst(), tos: outer.tos, hops: outer.hops}
	at := outer.upper
	if outer.v6 {
		at = ipv6HeaderLen
		for next := b[6]; next != protoAH && next != protoESP && next != uint8(kernel.IPComp); {
			if len(from.extensions) == 0 {
				from.firstExtension = next
			}
			n := 8 + 8*int(b[at+1])
			from.extensions = append(from.extensions, b[at:at+n]...)
			next, at = b[at], at+n
			from.proto = kernel.Protocol(next)
		}
		if len(from.extensions) == 0 {
			from.proto = kernel.Protocol(b[6])
		}
	} else {
		from.header, from.proto = slices.Clone(b[:at]), kernel.Protocol(b[9])
	}
	return p.b.inbound(p.now, &from, slices.Clone(b[at:]), p.result[:])
}

func name(w tunnel, protos []kernel.Protocol) string {
	return fmt.Sprintf("%v %s in %s %v", w.mode, w.inner, w.local, protos)
}

// Every bundle carries packets of every size, small and large, that compress
// and that do not, in both families.
func TestBundleRoundTrip(t *testing.T) {
	noise := make([]byte, 1200)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, w := range bundleWays() {
		for _, protos := range chains {
			for _, esn := range []bool{false, true} {
				p := newBundle(t, w, protos, func(s *kernel.SA) { s.ESN = esn && s.Proto != kernel.IPComp }, nil)
				for _, text := range []string{"", "short", strings.Repeat("long ", 200), string(noise), strings.Repeat("x", 1300)} {
					sent := w.packet(text)
					if v := p.seal(slices.Clone(sent)); v != sendESP {
						t.Fatalf("%s: verdict %d, %v", name(w, protos), v, p.a.counts.values())
					}
					got := p.arrive(p.wire())
					if len(got) == 0 {
						t.Fatalf("%s, %d octets, ESN %v: not delivered: %v", name(w, protos), len(text), esn, p.b.counts.values())
					}
					var a, b packet
					must(t, a.parse(sent), b.parse(got))
					if a.sel != b.sel || !bytes.Equal(a.octets[a.upper:], b.octets[b.upper:]) {
						t.Errorf("%s: sent %x, got %x", name(w, protos), sent, got)
					}
				}
			}
		}
	}
}

// A policy with a bundle takes nothing that lacks one of its transforms.
func TestBundleWants(t *testing.T) {
	w := bundleWays()[0]
	for _, protos := range chains {
		p := newBundle(t, w, protos, nil, nil)
		for _, other := range chains {
			optional := slices.DeleteFunc(slices.Clone(protos), func(p kernel.Protocol) bool { return p == kernel.IPComp })
			want := slices.Equal(protos, other) || slices.Equal(optional, other)
			for _, q := range w.bundlePolicies(other...) {
				p.do(p.a, kernel.UpdatePolicy{Policy: q})
			}
			// The SAs of what is missing on a: those of both lists.
			for j, proto := range other {
				_ = p.a.apply(p.now, kernel.Request{Op: kernel.AddSA{SA: w.layer(kernel.Out, 1, proto, j > 0)}}, func(netip.Addr) int { return 1500 })
				_ = p.b.apply(p.now, kernel.Request{Op: kernel.AddSA{SA: w.reversed().layer(kernel.In, 1, proto, j > 0)}}, func(netip.Addr) int { return 1500 })
			}
			if v := p.seal(w.packet(strings.Repeat("y", 300))); v != sendESP {
				t.Fatalf("%v: verdict %d", other, v)
			}
			if got := p.arrive(p.wire()); (got != nil) != want {
				t.Errorf("policy %v, packet %v: delivered %v", protos, other, got != nil)
			}
		}
	}
}

// Without one SA of a bundle nothing leaves, and that one is asked for.
func TestBundleAcquires(t *testing.T) {
	w := bundleWays()[2]
	protos := []kernel.Protocol{kernel.IPComp, kernel.ESP, kernel.AH}
	p := newBundle(t, w, protos, nil, nil)
	p.do(p.a, kernel.FlushSA{})
	for j, proto := range protos {
		p.events = nil
		if v := p.seal(w.packet("too early")); v != drop {
			t.Errorf("verdict %d", v)
		}
		if len(p.events) != 1 || p.events[0].(kernel.Acquire).Template.Proto != proto {
			t.Errorf("events %+v, want an Acquire for %v", p.events, proto)
		}
		p.do(p.a, kernel.AddSA{SA: w.layer(kernel.Out, 1, proto, j > 0)})
	}
	if held := p.a.waiting(p.now, 1); len(held) != 3 {
		t.Errorf("%d packets waited", len(held))
	}
}

// What room tells is true for every bundle: the largest packet fits, and a larger
// one does not always.
func TestBundleRoom(t *testing.T) {
	for _, w := range bundleWays() {
		for _, protos := range chains {
			p := newBundle(t, w, protos, nil, nil)
			sealed := p.a.sad.all()
			for _, x := range sealed {
				x.pathMTU = 1400
			}
			noise := func(n int) string {
				b := make([]byte, n)
				for i, x := 0, uint32(n+1); i < n; i++ {
					x = x*1664525 + 1013904223
					b[i] = byte(x >> 24)
				}
				return string(b)
			}
			largest := 0
			for n := 1200; n < 1500; n++ {
				b := w.packet(noise(n))
				size := len(b)
				v := p.seal(b)
				if v == tooBig {
					if p.out.mtu < largest {
						t.Errorf("%s: told %d, but %d passed", name(w, protos), p.out.mtu, largest)
					}
					break
				}
				if total := len(p.wire()); total > 1400 {
					t.Fatalf("%s: %d octets became %d", name(w, protos), size, total)
				}
				largest = size
			}
			if largest < 1200 {
				t.Errorf("%s: at most %d octets", name(w, protos), largest)
			}
		}
	}
}

// A migration changes end points, and nothing else, on both ends.
func TestMigrate(t *testing.T) {
	w := bundleWays()[2]
	protos := []kernel.Protocol{kernel.IPComp, kernel.ESP}
	p := newBundle(t, w, protos, nil, nil)
	p.seal(w.packet("before"))
	if p.arrive(p.wire()) == nil {
		t.Fatal(p.b.counts.values())
	}
	moved := netip.MustParseAddr("198.51.100.9")
	for i, c := range []*core{p.a, p.b} {
		d := []kernel.Direction{kernel.Out, kernel.In}[i]
		for j, proto := range protos {
			m := kernel.Migrate{
				Selector: w.selector(), Direction: d, Proto: proto, Mode: kernel.Tunnel, ReqID: 1,
				OldSrc: netip.MustParseAddr(w.local), OldDst: netip.MustParseAddr(w.peer), NewSrc: moved, NewDst: netip.MustParseAddr(w.peer),
			}
			if j > 0 {
				m.Mode = kernel.Transport
			}
			p.do(c, m)
		}
	}
	p.seal(w.packet("after"))
	b := p.wire()
	if got := p.arrive(b); got == nil || p.out.src != moved {
		t.Errorf("from %v: %v", p.out.src, p.b.counts.values())
	}
	for _, c := range []*core{p.a, p.b} {
		for _, s := range p.do(c, kernel.DumpSA{}).SAs {
			if s.Src != moved || s.Proto == kernel.ESP && s.Packets != 2 {
				t.Errorf("%v: %d packets", s.SA, s.Packets)
			}
		}
	}
	m := kernel.Migrate{
		Selector: w.selector(), Direction: kernel.Out, Proto: kernel.IPComp, Mode: kernel.Tunnel,
		OldSrc: netip.MustParseAddr(w.local), OldDst: moved, NewSrc: moved, NewDst: moved,
	}
	for what, op := range map[string]kernel.Op{
		"old end points": m,
		"no policy":      kernel.Migrate{Selector: w.selector().Reverse(), Direction: kernel.Out, Mode: kernel.Tunnel, OldSrc: moved, OldDst: moved, NewSrc: moved, NewDst: moved},
		"no mode":        kernel.Migrate{Selector: w.selector(), Direction: kernel.Out},
	} {
		if r := p.a.apply(p.now, kernel.Request{Op: op}, func(netip.Addr) int { return 1500 }); r.Err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// An SA's octets end it: the soft limit asks, the hard one stops, for each of a
// bundle's SAs.
func TestBundleByteLifetime(t *testing.T) {
	w := bundleWays()[0]
	for _, limited := range []kernel.Protocol{kernel.IPComp, kernel.ESP, kernel.AH} {
		p := newBundle(t, w, []kernel.Protocol{kernel.IPComp, kernel.ESP, kernel.AH}, func(s *kernel.SA) {
			if s.Proto == limited && s.Direction == kernel.Out {
				s.Soft.Bytes, s.Hard.Bytes = 300, 600
			}
		}, nil)
		sent := 0
		for range 10 {
			if p.seal(w.packet(strings.Repeat("z", 100))) == sendESP {
				sent++
			}
		}
		var hard []bool
		for _, e := range p.events {
			if x, ok := e.(kernel.Expire); ok && x.ID.Proto == limited {
				hard = append(hard, x.Hard)
			}
		}
		if sent != 5 || !slices.Equal(hard, []bool{false, true}) {
			t.Errorf("%v: %d packets left, events %v", limited, sent, hard)
		}
	}
}
