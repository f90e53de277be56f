package userspace

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

type algorithm struct {
	name     string
	encr     transform.ENCR
	key      int
	integ    transform.INTEG
	integKey int
}

var algorithms = []algorithm{
	{name: "AES-GCM-16 128", encr: transform.ENCR_AES_GCM_16, key: 20},
	{name: "AES-GCM-16 256", encr: transform.ENCR_AES_GCM_16, key: 36},
	{name: "AES-GCM-12 192", encr: transform.ENCR_AES_GCM_12, key: 28},
	{name: "ChaCha20-Poly1305", encr: transform.ENCR_CHACHA20_POLY1305, key: 36},
	{name: "AES-CBC SHA-1", encr: transform.ENCR_AES_CBC, key: 16, integ: transform.AUTH_HMAC_SHA1_96, integKey: 20},
	{name: "AES-CBC SHA-256", encr: transform.ENCR_AES_CBC, key: 32, integ: transform.AUTH_HMAC_SHA2_256_128, integKey: 32},
	{name: "AES-CBC SHA-384", encr: transform.ENCR_AES_CBC, key: 24, integ: transform.AUTH_HMAC_SHA2_384_192, integKey: 48},
	{name: "AES-CBC SHA-512", encr: transform.ENCR_AES_CBC, key: 16, integ: transform.AUTH_HMAC_SHA2_512_256, integKey: 64},
	{name: "AES-GCM-8 128", encr: transform.ENCR_AES_GCM_8, key: 20},
	{name: "AES-GMAC 256", encr: transform.ENCR_NULL_AUTH_AES_GMAC, key: 36},
	{name: "AES-GCM-16 128, implicit IV", encr: transform.ENCR_AES_GCM_16_IIV, key: 20},
	{name: "AES-CCM-8 192, implicit IV", encr: transform.ENCR_AES_CCM_8_IIV, key: 27},
	{name: "ChaCha20-Poly1305, implicit IV", encr: transform.ENCR_CHACHA20_POLY1305_IIV, key: 36},
	{name: "NULL SHA-256", encr: transform.ENCR_NULL, integ: transform.AUTH_HMAC_SHA2_256_128, integKey: 32},
}

func (a algorithm) set(sa *kernel.SA) {
	sa.Encr, sa.EncrKey = a.encr, bytes.Repeat([]byte{3}, a.key)
	sa.Integ, sa.IntegKey = a.integ, bytes.Repeat([]byte{5}, a.integKey)
}

// ways that packets go in the tests without a host.
var ways = []struct {
	name     string
	w        tunnel
	src, dst string
}{

	{"transport v4", tunnel{mode: kernel.Transport, local: "192.0.2.1", peer: "192.0.2.2", inner: "192.0.2.1/32", outer: "192.0.2.2/32", reqID: 1}, "192.0.2.1", "192.0.2.2"},

	{"transport v6", tunnel{mode: kernel.Transport, local: "2001:db8::1", peer: "2001:db8::2", inner: "2001:db8::1/128", outer: "2001:db8::2/128", reqID: 1}, "2001:db8::1", "2001:db8::2"},

	{"transport v4 UDP", tunnel{mode: kernel.Transport, local: "192.0.2.1", peer: "192.0.2.2", inner: "192.0.2.1/32", outer: "192.0.2.2/32", reqID: 1, port1: 4500, port2: 4501}, "192.0.2.1", "192.0.2.2"},

	{"transport v6 UDP", tunnel{mode: kernel.Transport, local: "2001:db8::1", peer: "2001:db8::2", inner: "2001:db8::1/128", outer: "2001:db8::2/128", reqID: 1, port1: 4500, port2: 4501}, "2001:db8::1", "2001:db8::2"},

	{"tunnel v4 in v4", tunnel{mode: kernel.Tunnel, local: "192.0.2.1", peer: "192.0.2.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1}, "10.1.0.1", "10.2.0.1"},

	{"tunnel v6 in v4", tunnel{mode: kernel.Tunnel, local: "192.0.2.1", peer: "192.0.2.2", inner: "fd01::/64", outer: "fd02::/64", reqID: 1}, "fd01::1", "fd02::1"},

	{"tunnel v4 in v6", tunnel{mode: kernel.Tunnel, local: "2001:db8::1", peer: "2001:db8::2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1}, "10.1.0.1", "10.2.0.1"},

	{"tunnel v6 in v6", tunnel{mode: kernel.Tunnel, local: "2001:db8::1", peer: "2001:db8::2", inner: "fd01::/64", outer: "fd02::/64", reqID: 1}, "fd01::1", "fd02::1"},
}

// Every length and algorithm comes out as it went in, both ways of each mode.
func TestRoundTrip(t *testing.T) {
	for _, way := range ways {
		for _, algorithm := range algorithms {
			p := newPure(t, way.w, algorithm.set)
			for size := range 70 {
				sent := ipPacket(way.src, way.dst, protoUDP, udp(1000, 2000, string(make([]byte, size))))
				var parsed packet
				if err := parsed.parse(sent); err != nil {
					t.Fatal(err)
				}
				parsed.setUpperChecksum() // transport mode in UDP computes it anew
				if way.w.mode == kernel.Transport && !parsed.v6 {
					sent[5], sent[6] = 0, 0 // the host on the way makes its own header: ID and DF
					setChecksum4(sent[:ipv4HeaderLen])
				}
				got := p.pass(bytes.Clone(sent))
				if !bytes.Equal(got, sent) {
					t.Fatalf("%s, %s, %d octets: %x, want %x", way.name, algorithm.name, size, got, sent)
				}
			}
			for _, c := range []*core{p.a, p.b} {
				if s := p.do(c, kernel.DumpSA{}).SAs[0]; s.Packets != 70 || s.EncrKey != nil || s.IntegKey != nil {
					t.Errorf("state %+v", s)
				}
			}
		}
	}
}

// Whatever is changed in a packet on the wire, nothing is delivered.
func TestAltered(t *testing.T) {
	for _, algorithm := range algorithms {
		p := newPure(t, ways[4].w, algorithm.set)
		packet := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, "hello"))
		p.pass(bytes.Clone(packet))
		for i := range p.out.esp {
			p.alter = func(_ *arrival, esp []byte) []byte { esp[i] ^= 0x40; return esp }
			if p.pass(bytes.Clone(packet)) != nil {
				t.Fatalf("%s: octet %d changed, and delivered", algorithm.name, i)
			}
		}
		for n := range p.out.esp {
			p.alter = func(_ *arrival, esp []byte) []byte { return esp[:n] }
			if p.pass(bytes.Clone(packet)) != nil {
				t.Fatalf("%s: cut to %d octets, and delivered", algorithm.name, n)
			}
		}
		if got := p.b.counts[inIntegrity].Load(); got == 0 {
			t.Errorf("%s: no integrity errors are counted", algorithm.name)
		}
	}
}

func TestReplayed(t *testing.T) {
	p := newPure(t, ways[4].w, nil)
	packet := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, "hello"))
	var first []byte
	var from arrival
	p.alter = func(f *arrival, esp []byte) []byte { first, from = bytes.Clone(esp), *f; return esp }
	p.pass(bytes.Clone(packet))
	if p.b.inbound(p.now, &from, first, p.result[:]) != nil {
		t.Error("a replayed packet was delivered")
	}
	if s := p.do(p.b, kernel.DumpSA{}).SAs[0]; s.ReplayErr != 1 || s.Packets != 1 {
		t.Errorf("state %+v", s)
	}
}

// RFC 4303 §3.3.3: the sequence number must not cycle; before it ends the SA
// asks to be replaced.
func TestSequenceEnds(t *testing.T) {
	packet := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, "hello"))
	p := newPure(t, ways[4].w, nil)
	x := p.a.sad.byReq[1][0]
	x.sequence.last.Store(softSequence - 1)
	p.pass(bytes.Clone(packet))
	if e, ok := p.events[0].(kernel.Expire); !ok || e.Hard {
		t.Errorf("events %+v", p.events)
	}
	x.sequence.last.Store(math.MaxUint32 - 1)
	p.pass(bytes.Clone(packet))
	if binary.BigEndian.Uint32(p.out.esp[4:]) != math.MaxUint32 {
		t.Errorf("last number %x", p.out.esp[4:8])
	}
	for range 3 {
		if v := p.seal(packet); v != drop {
			t.Errorf("verdict %d after the last number", v)
		}
	}
	if e, ok := p.events[len(p.events)-1].(kernel.Expire); !ok || !e.Hard || len(p.events) != 2 {
		t.Errorf("events %+v", p.events)
	}

	p = newPure(t, ways[4].w, func(sa *kernel.SA) { sa.ESN = true })
	p.a.sad.byReq[1][0].sequence.last.Store(math.MaxUint32 - 3)
	p.b.sad.in[p.do(p.b, kernel.DumpSA{}).SAs[0].SAID].replay.accept(math.MaxUint32 - 3)
	for i := range 10 {
		if p.pass(bytes.Clone(packet)) == nil {
			t.Errorf("ESN: packet %d over the edge of 32 bits is lost", i)
		}
	}
}

// A key that protected packets goes on where its numbers stand, in another SA
// at the same time and in a later one.
func TestKeyNeverRepeats(t *testing.T) {
	p := newPure(t, ways[4].w, nil)
	packet := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, "hello"))
	seen := map[uint32]bool{}
	send := func() {
		t.Helper()
		if p.seal(bytes.Clone(packet)) != sendESP {
			t.Fatal("not sent")
		}
		seq := binary.BigEndian.Uint32(p.out.esp[4:])
		if seen[seq] {
			t.Errorf("number %d was used before", seq)
		}
		seen[seq] = true
	}
	send()
	sa := ways[4].w.sa(kernel.Out, 1, 1)
	again := sa
	again.SPI++
	p.do(p.a, kernel.AddSA{SA: again})
	send()
	p.do(p.a, kernel.DeleteSA{ID: sa.SAID})
	p.do(p.a, kernel.DeleteSA{ID: again.SAID})
	p.do(p.a, kernel.AddSA{SA: sa})
	send()
	p.do(p.a, kernel.FlushSA{})
	p.do(p.a, kernel.AddSA{SA: again})
	send()
}

func TestKeysAreBounded(t *testing.T) {
	k := newKeys()
	for i := range retiredKeys + 100 {
		var f fingerprint
		binary.BigEndian.PutUint32(f[:], uint32(i))
		k.use(f).last.Store(1)
		k.retire(f)
	}
	if len(k.known) != retiredKeys || len(k.retired) != retiredKeys {
		t.Errorf("%d keys known, %d retired", len(k.known), len(k.retired))
	}
	unused := fingerprint{0xff}
	k.use(unused)
	k.retire(unused)
	if k.known[unused] != nil {
		t.Error("a key that protected nothing is remembered")
	}
}

func TestLifetimes(t *testing.T) {
	p := newPure(t, ways[4].w, func(sa *kernel.SA) {
		if sa.Direction == kernel.Out {
			sa.Soft, sa.Hard = kernel.Lifetime{Bytes: 100}, kernel.Lifetime{Bytes: 200, Time: time.Hour}
		}
	})
	packet := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, string(make([]byte, 30)))) // 58 octets
	want := func(n int, hard bool) {
		t.Helper()
		if len(p.events) != n || p.events[n-1].(kernel.Expire).Hard != hard {
			t.Fatalf("events %+v", p.events)
		}
	}
	p.pass(bytes.Clone(packet))
	if len(p.events) != 0 {
		t.Fatalf("events %+v", p.events)
	}
	p.pass(bytes.Clone(packet))
	want(1, false)
	p.pass(bytes.Clone(packet))
	p.pass(bytes.Clone(packet))
	want(2, true)
	if v := p.seal(bytes.Clone(packet)); v != drop {
		t.Errorf("verdict %d after the hard limit", v)
	}
	p.a.tick(p.now)
	if left := p.do(p.a, kernel.DumpSA{}).SAs; len(left) != 0 || len(p.events) != 2 {
		t.Errorf("left %v, events %+v", left, p.events)
	}

	p = newPure(t, ways[4].w, func(sa *kernel.SA) {
		if sa.Direction == kernel.Out {
			sa.Soft.Time, sa.Hard.Time = time.Minute, time.Hour
		}
	})
	if next := p.a.tick(p.now); !next.Equal(p.now.Add(time.Minute)) {
		t.Errorf("first deadline %v", next)
	}
	if next := p.a.tick(p.now.Add(time.Minute)); !next.Equal(p.now.Add(time.Hour)) {
		t.Errorf("second deadline %v", next)
	}
	want(1, false)
	if next := p.a.tick(p.now.Add(time.Hour)); !next.IsZero() {
		t.Errorf("third deadline %v", next)
	}
	want(2, true)
}

// In a steady state no packet makes garbage, in either direction.
func TestNoGarbage(t *testing.T) {
	for _, way := range ways {
		for _, algorithm := range algorithms {
			p := newPure(t, way.w, algorithm.set)
			packet := ipPacket(way.src, way.dst, protoUDP, udp(1, 2, string(make([]byte, 1200))))
			from := arrival{proto: kernel.ESP}
			allocs := testing.AllocsPerRun(200, func() {
				if p.seal(packet) != sendESP {
					t.Fatal("not sent")
				}
				from = arrival{proto: kernel.ESP, src: p.out.src, dst: p.out.dst, tos: p.out.tos, encap: p.out.encap.Remote != 0, port: p.out.encap.Local}
				if p.b.inbound(p.now, &from, p.out.esp, p.result[:]) == nil {
					t.Fatal("not delivered")
				}
			})
			if allocs != 0 {
				t.Errorf("%s, %s: %v allocations for a packet", way.name, algorithm.name, allocs)
			}
		}
	}
}

func BenchmarkSealOpen(b *testing.B) {
	for _, algorithm := range algorithms {
		b.Run(algorithm.name, func(b *testing.B) {
			p := newPure(b, ways[4].w, algorithm.set)
			packet := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, string(make([]byte, 1372))))
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				p.seal(packet)
				from := arrival{proto: kernel.ESP, src: p.out.src, dst: p.out.dst}
				if p.b.inbound(p.now, &from, p.out.esp, p.result[:]) == nil {
					b.Fatal("not delivered")
				}
			}
		})
	}
}

// Operations that are refused say why.
func TestRefusals(t *testing.T) {
	p := newPure(t, ways[4].w, nil)
	bad := func(change func(*kernel.SA)) kernel.Op {
		sa := ways[4].w.sa(kernel.Out, 1, 2)
		change(&sa)
		return kernel.AddSA{SA: sa}
	}
	policy := func(change func(*kernel.Policy)) kernel.Op {
		q := ways[4].w.policies(ways[4].w.selector())[0]
		q.Selector.Proto = protoTCP
		change(&q)
		return kernel.AddPolicy{Policy: q}
	}
	for name, op := range map[string]kernel.Op{
		"AH that encrypts": bad(func(s *kernel.SA) { s.Proto = kernel.AH }),
		"protocol":         bad(func(s *kernel.SA) { s.Proto = 99 }),
		"if_id":            bad(func(s *kernel.SA) { s.IfID = 1 }),
		"mark":             bad(func(s *kernel.SA) { s.Mark = kernel.Mark{Value: 1, Mask: 1} }),
		"mark to set":      bad(func(s *kernel.SA) { s.Set = kernel.Mark{Value: 1, Mask: 1} }),
		"offload":          bad(func(s *kernel.SA) { s.Offload, s.Device = kernel.OffloadCrypto, "eth0" }),
		"reserved SPI":     bad(func(s *kernel.SA) { s.SPI = 255 }),
		"families":         bad(func(s *kernel.SA) { s.Src = netip.MustParseAddr("::1") }),
		"no direction":     bad(func(s *kernel.SA) { s.Direction = 0 }),
		"no mode":          bad(func(s *kernel.SA) { s.Mode = 0 }),
		"3DES":             bad(func(s *kernel.SA) { s.Encr = transform.ENCR_3DES }),
		"XCBC":             bad(func(s *kernel.SA) { s.Integ = transform.AUTH_AES_XCBC_96 }),
		"window":           bad(func(s *kernel.SA) { s.Replay = maxReplay + 1 }),
		"key length":       bad(func(s *kernel.SA) { s.EncrKey = s.EncrKey[:3] }),
		"selector":         bad(func(s *kernel.SA) { s.Selector.Src = netip.Prefix{} }),
		"exists":           bad(func(s *kernel.SA) { s.SPI = ways[4].w.sa(kernel.Out, 1, 1).SPI }),
		"update missing":   kernel.UpdateSA{SA: ways[4].w.sa(kernel.Out, 1, 7)},
		"delete missing":   kernel.DeleteSA{},
		"get missing":      kernel.GetSA{},
		"SPI of protocol":  kernel.GetSPI{Proto: 99, Dst: netip.MustParseAddr("::1")},
		"SPI nowhere":      kernel.GetSPI{Proto: kernel.ESP},
		"forward policy":   policy(func(q *kernel.Policy) { q.Direction = kernel.Forward }),
		"policy direction": policy(func(q *kernel.Policy) { q.Direction = 0 }),
		"policy action":    policy(func(q *kernel.Policy) { q.Action = 0 }),
		"no template":      policy(func(q *kernel.Policy) { q.Templates = nil }),
		"bundle":           policy(func(q *kernel.Policy) { q.Templates = append(q.Templates, q.Templates[0]) }),
		"template":         policy(func(q *kernel.Policy) { q.Templates[0].Proto = 99 }),
		"IPComp tunnel":    policy(func(q *kernel.Policy) { q.Templates[0].Proto = kernel.IPComp }),
		"policy if_id":     policy(func(q *kernel.Policy) { q.IfID = 1 }),
		"template mode":    policy(func(q *kernel.Policy) { q.Templates[0].Mode = 0 }),
		"end points":       policy(func(q *kernel.Policy) { q.Templates[0].Src = netip.Addr{} }),
		"bypass template":  policy(func(q *kernel.Policy) { q.Action = kernel.Bypass }),
		"policy exists":    policy(func(q *kernel.Policy) { q.Selector.Proto = 0 }),
		"policy selector":  policy(func(q *kernel.Policy) { q.Selector.Src = netip.Prefix{} }),
		"policy missing":   kernel.DeletePolicy{Selector: ways[0].w.selector(), Direction: kernel.In},
		"nil":              nil,
	} {
		r := p.a.apply(p.now, kernel.Request{Op: op}, func(netip.Addr) int { return 1500 })
		if r.Err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		t.Logf("%s: %v", name, r.Err)
	}
}
