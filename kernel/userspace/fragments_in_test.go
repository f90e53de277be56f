package userspace

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// Arriving in a tunnel whose SA is for some ports, fragments are delivered together
// where both ends have agreed on them, and only what is the SA's traffic as a whole;
// otherwise those in which no port is seen are dropped (RFC 4301 §7.3).
func TestFragmentsIn(t *testing.T) {
	for _, at := range []int{4, 7} {
		for _, agreed := range []bool{true, false} {
			for _, port := range []uint16{6, 7} { // the SA's, and another
				way := ways[at]
				ports := way.w
				ports.proto, ports.dstPort = protoUDP, kernel.Port(6)
				p := newPure(t, way.w, func(sa *kernel.SA) { sa.Selector = way.w.selector() })
				p.b = newCore(func(...kernel.Event) {}) // the other end is for ports
				for _, policy := range ports.reversed().policies(ports.selector().Reverse()) {
					p.do(p.b, kernel.AddPolicy{Policy: policy})
				}
				sa := ports.reversed().sa(kernel.In, 1, 1)
				sa.Selector, sa.Fragments = ports.selector(), agreed
				p.do(p.b, kernel.AddSA{SA: sa})
				whole := ipPacket(way.src, way.dst, protoUDP, udp(5, port, string(make([]byte, 2500))))
				var delivered [][]byte
				pieces := cut(whole, 1200)
				slices.Reverse(pieces) // the ports come last
				for _, f := range pieces {
					if got := p.pass(f); got != nil {
						delivered = append(delivered, bytes.Clone(got))
					}
				}
				counts := p.b.counts.values()
				switch {
				case port == 7 && (len(delivered) != 0 || counts["in_selector"] == 0):
					t.Errorf("%s, agreed %v: other ports: %d packets, counters %v", way.name, agreed, len(delivered), counts)
				case port == 6 && agreed && (len(delivered) != 1 || len(delivered[0]) != len(whole) || !bytes.HasSuffix(delivered[0], whole[len(whole)-2508:])):
					t.Errorf("%s, agreed: %d packets, counters %v", way.name, len(delivered), counts)
				case port == 6 && !agreed && (len(delivered) > 1 || counts["in_selector"] != uint64(len(pieces)-1)):
					t.Errorf("%s, not agreed: %d packets, counters %v", way.name, len(delivered), counts)
				}
			}
		}
	}
}

// Fragments that came from one SA do not complete a packet of another one.
func TestFragmentsOfTwoSAs(t *testing.T) {
	var r reassembly
	whole := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(5, 6, string(make([]byte, 2500))))
	now := time.Unix(0, 0)
	for i, f := range cut(whole, 1200) {
		if r.add(now, fragmentOf(t, f), kernel.SPI(1+i%2)) != nil {
			t.Error("a packet of two SAs")
		}
	}
	for _, f := range cut(whole, 1200)[:1] {
		r.add(now, fragmentOf(t, f), 2)
	}
	if len(r.pending) != 2 {
		t.Errorf("%d packets wait", len(r.pending))
	}
}

// A peer whose packets never end takes no room from the others.
func TestFragmentsOfAGreedyPeer(t *testing.T) {
	var r reassembly
	now := time.Unix(0, 0)
	payload := udp(5, 6, string(make([]byte, 2500)))
	endless := func(n int) {
		for i := range n {
			whole := ipPacket("10.3.0.1", "10.2.0.1", protoUDP, udp(5, 6, string(make([]byte, 60000))))
			for _, f := range cut(whole, 1200)[:50] {
				binary.BigEndian.PutUint16(f[4:], uint16(i))
				r.add(now, fragmentOf(t, f), 2)
			}
		}
	}
	endless(100)
	pieces := cut(ipPacket("10.1.0.1", "10.2.0.1", protoUDP, payload), 1200)
	last := len(pieces) - 1
	for _, f := range pieces[:last] {
		r.add(now.Add(time.Millisecond), fragmentOf(t, f), 1)
	}
	endless(100)
	if r.add(now, fragmentOf(t, pieces[last]), 1) == nil {
		t.Error("a packet of a well-behaved peer was pushed out")
	}
	if len(r.pending) > reassemblyPackets || r.octets > reassemblyOctets {
		t.Errorf("%d packets of %d octets wait", len(r.pending), r.octets)
	}
}
