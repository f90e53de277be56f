package userspace

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// seeds are packets of every kind that parse knows, and some that it refuses.
func seeds() [][]byte {
	list := [][]byte{
		nil, {0x45}, {0x60}, {0x55}, options4,
		fragmented4(ipPacket("192.0.2.1", "192.0.2.2", 17, udp(5, 6, "")), 0, true),
		fragmented4(ipPacket("192.0.2.1", "192.0.2.2", 17, []byte("12345678")), 8, true),
		fragmented4(ipPacket("192.0.2.1", "192.0.2.2", 17, []byte("data")), 16, false),
		fragmented4(ipPacket("192.0.2.1", "192.0.2.2", 17, []byte{0}), 0, true),
		ipPacket("fd01::1", "fd01::2", 0, slices.Concat(hopByHop, dstOpts, udp(5, 6, "x"))),
		ipPacket("fd01::1", "fd01::2", 0, slices.Concat(extension(0), extension(17), udp(5, 6, ""))),
		ipPacket("fd01::1", "fd01::2", 43, slices.Concat(extension(17), udp(5, 6, "x"))),
		ipPacket("fd01::1", "fd01::2", 51, slices.Concat([]byte{17, 1}, make([]byte, 10), udp(5, 6, "x"))),
		ipPacket("fd01::1", "fd01::2", 44, slices.Concat(fragment6(17, 0, true, 1), udp(5, 6, ""))),
		ipPacket("fd01::1", "fd01::2", 44, slices.Concat(fragment6(17, 8, false, 1), []byte("data"))),
		ipPacket("fd01::1", "fd01::2", 60, []byte{17, 9, 0, 0, 0, 0, 0, 0}),
		ipPacket("fd01::1", "fd01::2", 51, []byte{17}),
		ipPacket("fd01::1", "fd01::2", 60, []byte{17}),
	}
	for _, proto := range []uint8{protoICMP, protoTCP, protoUDP, protoICMPv6, protoMobility, protoNoNext, 47} {
		list = append(list,
			ipPacket("192.0.2.1", "192.0.2.2", proto, make([]byte, 40)),
			ipPacket("fd01::1", "fd01::2", proto, make([]byte, 40)),
			ipPacket("fd01::1", "fd01::2", proto, nil))
	}
	return list
}

// FuzzParsePacket: any octets parse or are refused; what parses has offsets
// inside, a valid selector, and parses again to the same.
func FuzzParsePacket(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	var whole reassembly
	now := time.Unix(0, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again packet
		if p.parse(b) != nil {
			return
		}
		if p.upper > len(p.octets) || p.insert > p.upper || p.nextAt >= p.insert || p.octets[p.nextAt] != p.next {
			t.Fatalf("offsets of %+v", p)
		}
		if err := p.sel.Valid(); err != nil {
			t.Fatal(err)
		}
		if err := again.parse(p.octets); err != nil || again.sel != p.sel || len(again.octets) != len(p.octets) {
			t.Fatalf("%+v, and again %+v, %v", p, again, err)
		}
		p.octets = bytes.Clone(p.octets)
		p.setECN(3)
		p.setUpperChecksum()
		if m := tooBigMessage(&p, 1280); m != nil {
			if err := again.parse(m); err != nil {
				t.Fatal(err)
			}
		}
		if p.fragment {
			now = now.Add(time.Millisecond)
			if w := whole.add(now, &p, 0); w != nil && (len(w) > maxPacket || again.parse(w) == nil && again.laterFragment) {
				t.Fatalf("put together: %x", w)
			}
			if len(whole.pending) > reassemblyPackets || whole.octets > reassemblyOctets {
				t.Fatalf("%d packets of %d octets wait", len(whole.pending), whole.octets)
			}
		}
	})
}

// FuzzDecapsulate gives the inbound path what arrives: octets as they are, or
// as the payload of an authentic packet.
func FuzzDecapsulate(f *testing.F) {
	for i, s := range seeds() {
		for way := range ways {
			f.Add(s, uint8(way), uint8(i), false, uint8(4))
			f.Add(s, uint8(way), uint8(i), true, uint8(4))
			f.Add(s, uint8(way), uint8(i), true, uint8(41))
			f.Add(s, uint8(way), uint8(i), true, uint8(17))
			f.Add(s, uint8(way), uint8(i), true, uint8(59))
		}
	}
	for way := range ways { // payloads that are delivered
		w := ways[way]
		whole := ipPacket(w.src, w.dst, protoUDP, udp(1, 2, "hello"))
		f.Add(whole, uint8(way), uint8(3), true, uint8(4))
		f.Add(whole, uint8(way), uint8(3), true, uint8(41))
		f.Add(udp(1, 2, "hello"), uint8(way), uint8(0), true, uint8(17))
	}
	for _, way := range []int{4, 7} { // fragments that are put together
		w := ways[way]
		for _, piece := range cut(ipPacket(w.src, w.dst, protoUDP, udp(1, 2, string(make([]byte, 100)))), 40) {
			f.Add(piece, uint8(way), uint8(0x80), true, map[int]uint8{4: 4, 7: 41}[way])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, way, tos uint8, authentic bool, next uint8) {
		if len(b) > maxPacket-headroom-tailroom {
			return
		}
		w := ways[int(way)%len(ways)].w
		p := newPure(t, w, func(sa *kernel.SA) { sa.Fragments = tos&0x80 != 0 })
		x := p.a.sad.byReq[1][0]
		from := arrival{proto: kernel.ESP, src: x.Src, dst: x.Dst, tos: tos, encap: x.Encap != nil, port: 4500}
		esp := bytes.Clone(b)
		if authentic {
			n := copy(p.buf[headroom:], b)
			var err error
			if esp, err = x.seal(p.buf[:], headroom, headroom+n, next); err != nil {
				t.Fatal(err)
			}
		} else if len(esp) >= 4 { // to the SA at least
			copy(esp, []byte{byte(x.SPI >> 24), byte(x.SPI >> 16), byte(x.SPI >> 8), byte(x.SPI)})
		}
		got := p.b.inbound(p.now, &from, esp, p.result[:])
		if got == nil {
			return
		}
		var inner packet
		if err := inner.parse(got); err != nil || !authentic {
			t.Fatalf("delivered %x: %v", got, err)
		}
		if s := w.selector(); !s.Src.Contains(inner.src()) || !s.Dst.Contains(inner.dst()) {
			t.Fatalf("delivered %v", inner.sel)
		}
	})
}

// FuzzBundle gives the inbound path AH and IPComp: octets as they are behind an
// IP header, or inside an authentic AH or the IPComp of a policy's tunnel.
func FuzzBundle(f *testing.F) {
	for way := range bundleWays() {
		for i, s := range seeds() {
			f.Add(s, uint8(way), uint8(i), uint8(4))
			f.Add(s, uint8(way), uint8(i), uint8(108))
		}
		for kind := range uint8(4) {
			w := bundleWays()[way]
			var p packet
			b := w.packet("hello, hello, hello, hello, hello")
			if err := p.parse(b); err != nil {
				f.Fatal(err)
			}
			f.Add(b, uint8(way), kind, uint8(4))
			f.Add(b[p.upper:], uint8(way), kind, uint8(protoUDP))
			f.Add(slices.Concat([]byte{4, 0, 0x10, 1}, b), uint8(way), kind, uint8(108))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, way, kind, next uint8) {
		if len(b) > 4096 {
			return
		}
		w := bundleWays()[int(way)%len(bundleWays())]
		protos := chains[1+int(kind)%(len(chains)-1)]
		p := newBundle(t, w, protos, nil, nil)
		outermost := p.a.sad.all()[len(protos)-1]
		from := arrival{proto: outermost.Proto, src: outermost.Src, dst: outermost.Dst}
		octets := bytes.Clone(b)
		switch {
		case kind&64 != 0: // as it is, with the SPI right
			if from.proto == kernel.AH && len(octets) >= 8 {
				copy(octets[4:], []byte{byte(outermost.SPI >> 24), byte(outermost.SPI >> 16), byte(outermost.SPI >> 8), byte(outermost.SPI)})
			}
			if kind&128 != 0 { // and IP options or extension headers before it
				from.extensions, from.firstExtension = b, next
				from.header = b
			}
		case from.proto == kernel.AH:
			header := ipPacket(from.src.String(), from.dst.String(), protoAH, nil)
			n := outermost.ahLen()
			octets = append(make([]byte, n), b...)
			setLength(header, from.dst.Is6(), len(header)+len(octets))
			if err := outermost.sealAH(header, octets, next); err != nil {
				t.Fatal(err)
			}
			if from.dst.Is4() {
				from.header = header
			}
		default:
			n := copy(p.buf[headroom:], b)
			esp, err := outermost.seal(p.buf[:], headroom, headroom+n, next)
			if err != nil {
				t.Fatal(err)
			}
			octets = bytes.Clone(esp)
		}
		got := p.b.inbound(p.now, &from, octets, p.result[:])
		if got == nil {
			return
		}
		var inner packet
		if err := inner.parse(got); err != nil {
			t.Fatalf("delivered %x: %v", got, err)
		}
		if s := w.selector(); !s.Src.Contains(inner.src()) || !s.Dst.Contains(inner.dst()) || kind&64 != 0 {
			t.Fatalf("delivered %v", inner.sel)
		}
	})
}

// FuzzDecompress: any octets decompress to at most the room, or are refused; what
// was compressed comes back.
func FuzzDecompress(f *testing.F) {
	var c codecs
	for _, s := range seeds() {
		if small, ok := c.compress(make([]byte, 1000), s); ok {
			f.Add(small)
		}
		f.Add(s)
	}
	room, back := make([]byte, 3000), make([]byte, 8000)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := c.decompress(room, b)
		if err != nil {
			return
		}
		small, ok := c.compress(back, got)
		if !ok {
			t.Fatalf("%d octets do not fit into %d", len(got), len(back))
		}
		want := bytes.Clone(got)
		if again, err := c.decompress(room, small); err != nil || !bytes.Equal(again, want) {
			t.Fatalf("%x, %v, want %x", again, err, want)
		}
	})
}
