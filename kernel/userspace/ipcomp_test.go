package userspace

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"racoon2/kernel"
)

// Compression is seen on the wire, and left out where it does not pay.
func TestCompresses(t *testing.T) {
	for _, w := range bundleWays() {
		p := newBundle(t, w, []kernel.Protocol{kernel.IPComp, kernel.ESP}, nil, nil)
		p.seal(w.packet(strings.Repeat("x", 1200)))
		if n := len(p.wire()); n > 250 {
			t.Errorf("%s: 1200 times x are %d octets", name(w, nil), n)
		}
		counted := func() uint64 {
			for _, s := range p.do(p.b, kernel.DumpSA{}).SAs {
				if s.Proto == kernel.IPComp {
					return s.Packets
				}
			}
			return 0
		}
		p.arrive(p.wire())
		if counted() != 1 {
			t.Error("the IPComp SA was not used")
		}
		p.seal(w.packet("x"))
		if got := p.arrive(p.wire()); got == nil || counted() != 1 {
			t.Errorf("a short packet: %x, %d compressed", got, counted())
		}
	}
}

// After packets that do not get smaller, an SA stops trying for a while.
func TestCompressionAdapts(t *testing.T) {
	var c codecs
	x := &sa{SA: kernel.SA{SAID: kernel.SAID{SPI: 300}}}
	noise, room := make([]byte, 400), make([]byte, 400)
	for i, v := 0, uint32(7); i < len(noise); i++ {
		v = v*1664525 + 1013904223
		noise[i] = byte(v >> 24)
	}
	tried := 0
	for range 200 {
		if x.compressSkip == 0 {
			tried++
		}
		if end, next, err := x.deflatePayload(&c, noise, 0, len(noise), 17, room); end != len(noise) || next != 17 || err != nil {
			t.Fatalf("%d octets, %d, %v", end, next, err)
		}
	}
	if tried > 12 {
		t.Errorf("%d tries of 200", tried)
	}
	good := bytes.Repeat([]byte{1}, 400)
	for range compressPause {
		b := slices.Clone(good)
		if end, next, _ := x.deflatePayload(&c, b, 0, len(b), 17, room); next == uint8(kernel.IPComp) {
			if end > 40 || b[0] != 17 || binary.BigEndian.Uint16(b[2:]) != 300 {
				t.Errorf("%d octets, %x", end, b[:4])
			}
			return
		}
	}
	t.Error("it never tries again")
}

// What a small packet becomes is bounded, and no octets make the decompressor fail
// in another way.
func TestDecompressionBounds(t *testing.T) {
	var c codecs
	bomb, ok := c.compress(make([]byte, 1<<20), make([]byte, 1<<22))
	if !ok {
		t.Fatal("no bomb")
	}
	room := make([]byte, maxPacket)
	if _, err := c.decompress(room, bomb); err != errCompressed {
		t.Errorf("a bomb of %d octets: %v", len(bomb), err)
	}
	exact, _ := c.compress(make([]byte, 4096), make([]byte, maxPacket))
	if got, err := c.decompress(room, exact); err != nil || len(got) != maxPacket {
		t.Errorf("%d octets, %v", len(got), err)
	}
	for _, data := range [][]byte{nil, {0}, {0xff}, {1, 0, 0, 0, 0}, bomb[:10], exact[:len(exact)-1]} {
		if _, err := c.decompress(room, data); err != errCompressed {
			t.Errorf("%x: %v", data, err)
		}
	}
	if got, err := c.decompress(room, exact); err != nil || len(got) != maxPacket {
		t.Errorf("after the bad ones: %d octets, %v", len(got), err)
	}
}
