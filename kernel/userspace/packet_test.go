package userspace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// extension makes an IPv6 extension header of 8 octets.
func extension(next uint8, rest ...byte) []byte {
	return append([]byte{next, 0}, append(rest, make([]byte, 6-len(rest))...)...)
}

// fragment6 makes an IPv6 fragment header.
func fragment6(next uint8, offset int, more bool, id uint32) []byte {
	field := uint16(offset)
	if more {
		field |= 1
	}
	b := binary.BigEndian.AppendUint16([]byte{next, 0}, field)
	return binary.BigEndian.AppendUint32(b, id)
}

// fragmented4 makes an IPv4 packet a fragment.
func fragmented4(b []byte, offset int, more bool) []byte {
	field := uint16(offset / 8)
	if more {
		field |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], field)
	setChecksum4(b[:ipv4HeaderLen])
	return b
}

var (
	hopByHop = extension(protoDstOpts)
	dstOpts  = extension(protoUDP)
	options4 = slices.Concat([]byte{0x46, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 1, 1, 0}, udp(5, 6, "opts"))
)

func TestParse(t *testing.T) {
	any, port := kernel.AnyPort, kernel.Port
	for _, c := range []struct {
		name           string
		octets         []byte
		proto          uint8
		src, dst       kernel.PortRange
		upper, insert  int
		fragment, late bool
		err            error
	}{
		{name: "UDP over IPv4", octets: ipPacket("192.0.2.1", "192.0.2.2", 17, udp(5, 6, "x")), proto: 17, src: port(5), dst: port(6), upper: 20, insert: 20},
		{name: "UDP over IPv6", octets: ipPacket("fd01::1", "fd01::2", 17, udp(5, 6, "x")), proto: 17, src: port(5), dst: port(6), upper: 40, insert: 40},
		{name: "ICMP", octets: ipPacket("192.0.2.1", "192.0.2.2", 1, []byte{8, 1, 0, 0}), proto: 1, src: port(8), dst: port(1), upper: 20, insert: 20},
		{name: "ICMPv6", octets: ipPacket("fd01::1", "fd01::2", 58, []byte{128, 2, 0, 0}), proto: 58, src: port(128), dst: port(2), upper: 40, insert: 40},
		{name: "mobility", octets: ipPacket("fd01::1", "fd01::2", 135, []byte{59, 0, 5, 0, 0, 0, 0, 0}), proto: 135, src: port(5), dst: any, upper: 40, insert: 40},
		{name: "no ports", octets: ipPacket("192.0.2.1", "192.0.2.2", 47, []byte{1}), proto: 47, src: any, dst: any, upper: 20, insert: 20},
		{name: "empty", octets: ipPacket("192.0.2.1", "192.0.2.2", 47, nil), proto: 47, src: any, dst: any, upper: 20, insert: 20},
		{name: "padded by the link", octets: append(ipPacket("192.0.2.1", "192.0.2.2", 17, udp(5, 6, "x")), 0, 0, 0), proto: 17, src: port(5), dst: port(6), upper: 20, insert: 20},
		{name: "IPv4 options", octets: options4, proto: 17, src: port(5), dst: port(6), upper: 24, insert: 24},
		{name: "first fragment", octets: fragmented4(ipPacket("192.0.2.1", "192.0.2.2", 17, udp(5, 6, "")), 0, true), proto: 17, src: port(5), dst: port(6), upper: 20, insert: 20, fragment: true},
		{name: "later fragment", octets: fragmented4(ipPacket("192.0.2.1", "192.0.2.2", 17, []byte("data")), 8, false), proto: 17, src: any, dst: any, upper: 20, insert: 20, fragment: true, late: true},
		{name: "tiny first fragment", octets: fragmented4(ipPacket("192.0.2.1", "192.0.2.2", 17, []byte{0, 5}), 0, true), err: errTiny},
		{name: "hop-by-hop and destination options", octets: ipPacket("fd01::1", "fd01::2", 0, slices.Concat(hopByHop, dstOpts, udp(5, 6, "x"))), proto: 17, src: port(5), dst: port(6), upper: 56, insert: 48},
		{name: "destination options before routing", octets: ipPacket("fd01::1", "fd01::2", 60, slices.Concat(extension(43), extension(17), udp(5, 6, "x"))), proto: 17, src: port(5), dst: port(6), upper: 56, insert: 56},
		{name: "AH", octets: ipPacket("fd01::1", "fd01::2", 51, slices.Concat([]byte{17, 1}, make([]byte, 10), udp(5, 6, "x"))), proto: 17, src: port(5), dst: port(6), upper: 52, insert: 40},
		{name: "first IPv6 fragment", octets: ipPacket("fd01::1", "fd01::2", 44, slices.Concat(fragment6(17, 0, true, 1), udp(5, 6, ""))), proto: 17, src: port(5), dst: port(6), upper: 48, insert: 48, fragment: true},
		{name: "later IPv6 fragment", octets: ipPacket("fd01::1", "fd01::2", 44, slices.Concat(fragment6(17, 8, false, 1), []byte("data"))), proto: 17, src: any, dst: any, upper: 48, insert: 48, fragment: true, late: true},
		{name: "tiny first IPv6 fragment", octets: ipPacket("fd01::1", "fd01::2", 44, slices.Concat(fragment6(17, 0, true, 1), []byte{1})), err: errTiny},
		{name: "hop-by-hop twice", octets: ipPacket("fd01::1", "fd01::2", 0, slices.Concat(extension(0), extension(17), udp(5, 6, ""))), err: errExtensions},
		{name: "many headers", octets: ipPacket("fd01::1", "fd01::2", 60, bytes.Repeat(extension(60), 30)), err: errExtensions},
		{name: "header beyond the end", octets: ipPacket("fd01::1", "fd01::2", 60, []byte{17, 9, 0, 0, 0, 0, 0, 0}), err: errTruncated},
		{name: "header cut", octets: ipPacket("fd01::1", "fd01::2", 60, []byte{17, 0}), err: errTruncated},
		{name: "AH cut", octets: ipPacket("fd01::1", "fd01::2", 51, []byte{17, 0}), err: errTruncated},
		{name: "UDP cut", octets: ipPacket("fd01::1", "fd01::2", 17, []byte{17, 0}), err: errTruncated},
		{name: "ICMP cut", octets: ipPacket("192.0.2.1", "192.0.2.2", 1, []byte{8}), err: errTruncated},
		{name: "mobility cut", octets: ipPacket("fd01::1", "fd01::2", 135, []byte{8}), err: errTruncated},
		{name: "mapped", octets: ipPacket("fd01::1", "::ffff:192.0.2.1", 17, udp(5, 6, "x")), err: errMapped},
		{name: "nothing", err: errNotIP},
		{name: "version 5", octets: []byte{0x55, 0}, err: errNotIP},
		{name: "short IPv4", octets: make([]byte, 19), err: errNotIP},
		{name: "IPv4 cut", octets: ipPacket("192.0.2.1", "192.0.2.2", 17, udp(5, 6, "x"))[:25], err: errTruncated},
		{name: "IPv4 header cut", octets: ipPacket("192.0.2.1", "192.0.2.2", 17, nil)[:19], err: errTruncated},
		{name: "IPv6 cut", octets: ipPacket("fd01::1", "fd01::2", 17, udp(5, 6, "x"))[:45], err: errTruncated},
		{name: "IPv6 header cut", octets: ipPacket("fd01::1", "fd01::2", 17, nil)[:39], err: errTruncated},
		{name: "header length 4", octets: append([]byte{0x41}, make([]byte, 30)...), err: errTruncated},
	} {
		var p packet
		err := p.parse(c.octets)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		if p.sel.Proto != c.proto || p.sel.SrcPort != c.src || p.sel.DstPort != c.dst ||
			p.upper != c.upper || p.insert != c.insert || p.fragment != c.fragment || p.laterFragment != c.late {
			t.Errorf("%s: %+v", c.name, p)
		}
		if err := p.sel.Valid(); err != nil {
			t.Errorf("%s: selector %v: %v", c.name, p.sel, err)
		}
	}
}

// Packets with options and extension headers keep them in transport mode, in
// front of ESP.
func TestTransportHeaders(t *testing.T) {
	p := newPure(t, ways[0].w, nil)
	if v := p.seal(options4); v != sendESP || len(p.out.header) != 24 || p.out.header[9] != protoESP {
		t.Fatalf("verdict %d, header %x", v, p.out.header)
	}
	whole := p.out.header[:len(p.out.header)+len(p.out.esp)] // one piece of memory
	var outer packet
	if err := outer.parse(whole); err != nil || len(outer.octets) != len(whole) || fold(sumOctets(0, outer.octets[:24])) != 0 {
		t.Errorf("outer packet %x: %v", whole, err)
	}
	want := bytes.Clone(options4)
	setChecksum4(want[:24])
	if got := p.open(); !bytes.Equal(got, want) {
		t.Errorf("delivered %x, want %x", got, want)
	}

	p = newPure(t, ways[1].w, nil)
	sent := ipPacket("2001:db8::1", "2001:db8::2", 0, slices.Concat(hopByHop, dstOpts, udp(5, 6, "x")))
	if v := p.seal(sent); v != sendESP || len(p.out.header) != 48 || p.out.header[40] != protoESP {
		t.Fatalf("verdict %d, header %x", v, p.out.header)
	}
	whole = p.out.header[:len(p.out.header)+len(p.out.esp)]
	if err := outer.parse(whole); err != nil || outer.sel.Proto != protoESP || len(outer.octets) != len(whole) {
		t.Errorf("outer packet %x: %v", whole, err)
	}
	// The host strips hop-by-hop options; destination options were inside.
	want = ipPacket("2001:db8::1", "2001:db8::2", 60, slices.Concat(dstOpts, udp(5, 6, "x")))
	if got := p.open(); !bytes.Equal(got, want) {
		t.Errorf("delivered %x, want %x", got, want)
	}
}

// What arrives through an SA must be its traffic, of its mode, and wanted by a
// policy.
func TestPermitted(t *testing.T) {
	way := ways[4]
	good := ipPacket(way.src, way.dst, protoUDP, udp(1, 2, "hello"))
	for _, c := range []struct {
		name   string
		packet []byte
		prep   func(p *pure)
		want   count
	}{
		{"good", good, nil, inProtected},
		{"not its traffic", ipPacket(way.src, "10.3.0.1", protoUDP, udp(1, 2, "")), func(p *pure) {
			p.a.sad.byReq[1][0].Selector.Dst = netip.MustParsePrefix("10.0.0.0/8")
			p.a.spd.out[0].Selector.Dst = netip.MustParsePrefix("10.0.0.0/8")
		}, inSelector},
		{"no policy", good, func(p *pure) { p.b.spd.in = nil }, inPolicy},
		{"Discard", good, func(p *pure) { p.b.spd.in[0].Action = kernel.Discard }, inPolicy},
		{"another request ID", good, func(p *pure) { p.b.spd.in[0].Templates[0].ReqID = 2 }, inPolicy},
		{"another mode", good, func(p *pure) { p.b.spd.in[0].Templates[0].Mode = kernel.Transport }, inPolicy},
		{"no SA", good, func(p *pure) { clear(p.b.sad.in) }, inNoSA},
		{"transport packet for a tunnel", good, func(p *pure) { p.a.sad.byReq[1][0].Mode = kernel.Transport; p.a.spd.out = nil }, inMode},
	} {
		p := newPure(t, way.w, nil)
		if c.prep != nil {
			c.prep(p)
		}
		if c.want == inMode { // sealed without a look at policies
			x := p.a.sad.byReq[1][0]
			n := copy(p.buf[headroom:], c.packet)
			esp, err := x.seal(p.buf[:], headroom+ipv4HeaderLen, headroom+n, protoUDP)
			if err != nil {
				t.Fatal(err)
			}
			p.out.esp, p.out.proto, p.out.src, p.out.dst = esp, kernel.ESP, x.Src, x.Dst
		} else if v := p.seal(c.packet); v != sendESP {
			t.Fatalf("%s: verdict %d", c.name, v)
		}
		if got := p.open(); (got != nil) != (c.want == inProtected) || p.b.counts[c.want].Load() != 1 {
			t.Errorf("%s: delivered %x, counters %v", c.name, got, p.b.counts.values())
		}
	}
}

// RFC 6040 §4.2.
func TestECN(t *testing.T) {
	for _, c := range []struct {
		inner, outer uint8
		want         int
	}{
		{notECT, notECT, notECT}, {notECT, ect0, notECT}, {notECT, ect1, notECT}, {notECT, ce, -1},
		{ect0, notECT, ect0}, {ect0, ect0, ect0}, {ect0, ect1, ect1}, {ect0, ce, ce},
		{ect1, notECT, ect1}, {ect1, ect0, ect1}, {ect1, ect1, ect1}, {ect1, ce, ce},
		{ce, notECT, ce}, {ce, ect0, ce}, {ce, ect1, ce}, {ce, ce, ce},
	} {
		for _, way := range ways[4:] {
			sent := ipPacket(way.src, way.dst, protoUDP, udp(1, 2, "hello"))
			const dscp = 0x28
			var parsed packet
			if err := parsed.parse(sent); err != nil {
				t.Fatal(err)
			}
			if !parsed.v6 {
				sent[1] = dscp | c.inner
				setChecksum4(sent[:ipv4HeaderLen])
			} else {
				sent[0], sent[1] = 0x60|dscp>>4, (dscp|c.inner)<<4&0xf0
			}
			p := newPure(t, way.w, nil)
			p.alter = func(from *arrival, esp []byte) []byte {
				if from.tos != dscp|c.inner {
					t.Errorf("outer header has %#x", from.tos)
				}
				from.tos = dscp | c.outer
				return esp
			}
			got := p.pass(sent)
			if c.want < 0 {
				if got != nil {
					t.Errorf("%s: %d in %d was delivered", way.name, c.inner, c.outer)
				}
				continue
			}
			if got == nil || parsed.parse(got) != nil || parsed.tos != dscp|uint8(c.want) {
				t.Errorf("%s: %d in %d: %x", way.name, c.inner, c.outer, got)
			}
			if !parsed.v6 && fold(sumOctets(0, got[:ipv4HeaderLen])) != 0 {
				t.Errorf("%s: header checksum is wrong", way.name)
			}
		}
	}
}

// In transport mode behind a NAT checksums are made for the addresses that the
// receiver sees.
func TestChecksumBehindNAT(t *testing.T) {
	for _, way := range ways[2:4] {
		for _, proto := range []uint8{protoUDP, protoTCP} {
			p := newPure(t, way.w, func(sa *kernel.SA) { sa.Selector = kernel.Selector{} })
			seen := netip.MustParseAddr("192.0.2.77")
			if netip.MustParseAddr(way.src).Is6() {
				seen = netip.MustParseAddr("2001:db8::77")
			}
			p.b.spd.in[0].Selector.Src = netip.PrefixFrom(seen, seen.BitLen())
			p.alter = func(from *arrival, esp []byte) []byte { from.src, from.port = seen, 777; return esp }
			payload := udp(1, 2, "a payload that is long enough for a TCP header")
			got := p.pass(ipPacket(way.src, way.dst, proto, payload))
			var parsed packet
			if got == nil || parsed.parse(got) != nil || parsed.src() != seen {
				t.Fatalf("%s: delivered %x, %v", way.name, got, p.b.counts.values())
			}
			if sum := parsed.upperChecksum(); sum != 0 {
				t.Errorf("%s, protocol %d: checksum is off by %#x", way.name, proto, sum)
			}
			m, ok := p.events[0].(kernel.Mapping)
			if !ok || m.New != netip.AddrPortFrom(seen, 777) || m.Old != netip.AddrPortFrom(netip.MustParseAddr(way.src), 4500) {
				t.Errorf("event %+v", p.events)
			}
		}
	}
	// RFC 768: a checksum of zero means that there is none.
	p := newPure(t, ways[2].w, nil)
	payload := udp(1, 2, "x")
	payload[6], payload[7] = 0, 0
	got := p.pass(ipPacket("192.0.2.1", "192.0.2.2", protoUDP, payload))
	if got == nil || got[26] != 0 || got[27] != 0 {
		t.Errorf("delivered %x", got)
	}
}

// A peer whose packets come from ever other ports is followed, but not with an
// event for each.
func TestMappingsAreBounded(t *testing.T) {
	way := ways[2]
	p := newPure(t, way.w, nil)
	port := uint16(1000)
	p.alter = func(from *arrival, esp []byte) []byte { from.port = port; return esp }
	for range 1000 {
		port++
		p.now = p.now.Add(time.Millisecond)
		if p.pass(ipPacket(way.src, way.dst, protoUDP, udp(1, 2, "x"))) == nil {
			t.Fatalf("not delivered: %v", p.b.counts.values())
		}
	}
	if n := len(p.events); n < 9 || n > 11 {
		t.Errorf("%d events in a second", n)
	}
	// The last place is told in the end.
	p.now = p.now.Add(time.Second)
	p.pass(ipPacket(way.src, way.dst, protoUDP, udp(1, 2, "x")))
	if m, ok := p.events[len(p.events)-1].(kernel.Mapping); !ok || m.New.Port() != port {
		t.Errorf("the last event is %+v", m)
	}
}
