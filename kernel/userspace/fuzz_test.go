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
			if w := whole.add(now, &p); w != nil && (len(w) > maxPacket || again.parse(w) == nil && again.laterFragment) {
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
	f.Fuzz(func(t *testing.T, b []byte, way, tos uint8, authentic bool, next uint8) {
		if len(b) > maxPacket-headroom-tailroom {
			return
		}
		w := ways[int(way)%len(ways)].w
		p := newPure(t, w, nil)
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
