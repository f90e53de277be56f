package userspace

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"racoon2/kernel"
)

// cut makes fragments of a packet, with payloads of size octets.
func cut(b []byte, size int) (list [][]byte) {
	if b[0]>>4 == 4 {
		for at := 0; at < len(b)-ipv4HeaderLen; at += size {
			end := min(at+size, len(b)-ipv4HeaderLen)
			f := slices.Concat(b[:ipv4HeaderLen], b[ipv4HeaderLen+at:ipv4HeaderLen+end])
			binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
			list = append(list, fragmented4(f, at, end < len(b)-ipv4HeaderLen))
		}
		return list
	}
	for at := 0; at < len(b)-ipv6HeaderLen; at += size {
		end := min(at+size, len(b)-ipv6HeaderLen)
		f := slices.Concat(b[:ipv6HeaderLen], fragment6(b[6], at, end < len(b)-ipv6HeaderLen, 7), b[ipv6HeaderLen+at:ipv6HeaderLen+end])
		f[6] = protoFragment
		setLength(f, true, len(f))
		list = append(list, f)
	}
	return list
}

func fragmentOf(t *testing.T, b []byte) *packet {
	t.Helper()
	p := new(packet)
	if err := p.parse(b); err != nil || !p.fragment {
		t.Fatalf("%x: %v", b, err)
	}
	return p
}

// Fragments in any order make the packet that they were cut from.
func TestReassembly(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	now := time.Unix(0, 0)
	for _, way := range ways[:2] {
		for _, length := range []int{9, 24, 100, 3000, 65000} {
			payload := make([]byte, length)
			for i := range payload {
				payload[i] = byte(random.Uint32())
			}
			whole := ipPacket(way.src, way.dst, protoUDP, payload)
			want := bytes.Clone(whole)
			if want[0]>>4 == 4 {
				want[6], want[7] = 0, 0
				setChecksum4(want[:ipv4HeaderLen])
			}
			pieces := cut(whole, max(8, length/5&^7))
			random.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
			var r reassembly
			for i, f := range pieces {
				got := r.add(now, fragmentOf(t, f), 0)
				if i < len(pieces)-1 {
					if got != nil {
						t.Fatalf("%d octets were whole after %d of %d pieces", length, i+1, len(pieces))
					}
				} else if !bytes.Equal(got, want) {
					t.Fatalf("%s, %d octets: %x, want %x", way.name, length, got, want)
				}
			}
			if len(r.pending) != 0 || r.octets != 0 {
				t.Errorf("%d packets of %d octets are left", len(r.pending), r.octets)
			}
		}
	}
}

// Overlaps, gaps, two ends and odd sizes make no packet and leave nothing.
func TestReassemblyHostile(t *testing.T) {
	base := func(n int) []byte { return ipPacket("192.0.2.1", "192.0.2.2", protoUDP, make([]byte, n)) }
	at := func(offset, n int, more bool) []byte { return fragmented4(base(n), offset, more) }
	for name, pieces := range map[string][][]byte{
		"overlap":        {at(0, 16, true), at(8, 16, false)},
		"the same twice": {at(8, 16, true), at(8, 16, true)},
		"two ends":       {at(8, 8, false), at(24, 8, false)},
		"beyond the end": {at(8, 8, false), at(16, 8, true)},
		"odd size":       {at(8, 9, true)},
		"too long":       {at(65528, 20, false)},
		"empty":          {at(8, 0, true)},
	} {
		var r reassembly
		for _, b := range pieces {
			if r.add(time.Unix(0, 0), fragmentOf(t, b), 0) != nil {
				t.Errorf("%s: made a packet", name)
			}
		}
		if len(r.pending) != 0 || r.octets != 0 {
			t.Errorf("%s: %d packets of %d octets are left", name, len(r.pending), r.octets)
		}
	}
}

// What waits is bounded in packets, octets and time.
func TestReassemblyBounds(t *testing.T) {
	now := time.Unix(0, 0)
	add := func(r *reassembly, id uint16, n int) {
		b := fragmented4(ipPacket("192.0.2.1", "192.0.2.2", protoUDP, make([]byte, n)), 8, true)
		binary.BigEndian.PutUint16(b[4:], id)
		r.add(now, fragmentOf(t, b), 0)
	}
	var r reassembly
	for id := range uint16(1000) {
		now = now.Add(time.Millisecond)
		add(&r, id, 8)
	}
	if len(r.pending) != reassemblyPackets || r.octets != 8*reassemblyPackets {
		t.Errorf("%d packets of %d octets wait", len(r.pending), r.octets)
	}
	now = now.Add(2 * reassemblyTime)
	add(&r, 5000, 8)
	if len(r.pending) != 1 {
		t.Errorf("%d packets wait after their time", len(r.pending))
	}
	r = reassembly{}
	for id := range uint16(50) {
		add(&r, id, 60000)
	}
	if r.octets > reassemblyOctets {
		t.Errorf("%d octets wait", r.octets)
	}
}

// A packet of ever so small fragments ends before they take long.
func TestReassemblyOfCrumbs(t *testing.T) {
	for size, want := range map[int]bool{48: true, 8: false} {
		var r reassembly
		whole := ipPacket("192.0.2.1", "192.0.2.2", protoUDP, make([]byte, 65515))
		most, made := 0, false
		for _, f := range cut(whole, size) {
			made = r.add(time.Unix(0, 0), fragmentOf(t, f), 0) != nil || made
			for _, x := range r.pending {
				most = max(most, len(x.list))
			}
		}
		if made != want || most > reassemblyPieces {
			t.Errorf("fragments of %d octets: put together %v, of %d pieces at most", size, made, most)
		}
	}
}

// In transport mode, and where a policy looks at ports, fragments leave
// together; in a tunnel for any port they leave as they are.
func TestFragmentsOut(t *testing.T) {
	for i, way := range []int{0, 1, 4, 7, 4, 7} {
		way := ways[way]
		if i >= 4 {
			way.w.proto, way.w.dstPort = protoUDP, kernel.Port(6)
		}
		p := newPure(t, way.w, func(sa *kernel.SA) { sa.Selector = way.w.selector() })
		whole := ipPacket(way.src, way.dst, protoUDP, udp(5, 6, string(make([]byte, 2500))))
		sent, delivered := 0, 0
		for _, f := range cut(whole, 1200) {
			if p.seal(f) == sendESP {
				sent++
				if got := p.open(); got != nil {
					delivered += len(got)
				}
			}
		}
		want := 1
		if i == 2 || i == 3 {
			want = 3
		}
		if sent != want || delivered < len(whole) {
			t.Errorf("%s, policy for ports %v: %d ESP packets, %d octets delivered, counters %v", way.name, way.w.dstPort, sent, delivered, p.b.counts.values())
		}
	}
}

// Fragments for other ports leave in clear, whole.
func TestFragmentsOfOtherPorts(t *testing.T) {
	way := ways[4]
	way.w.proto, way.w.dstPort = protoUDP, kernel.Port(6)
	p := newPure(t, way.w, nil)
	whole := ipPacket(way.src, way.dst, protoUDP, udp(5, 7, string(make([]byte, 2500))))
	var verdicts []verdict
	for _, f := range cut(whole, 1200) {
		verdicts = append(verdicts, p.seal(f))
	}
	if !slices.Equal(verdicts, []verdict{drop, drop, sendClear}) || len(p.out.packet.octets) != len(whole) {
		t.Errorf("verdicts %v, %d octets", verdicts, len(p.out.packet.octets))
	}
}

// A policy for a protocol covers the fragments that hide it: those behind whose
// fragment header comes another extension header.
func TestFragmentsOfHiddenProtocol(t *testing.T) {
	way := ways[7]
	way.w.proto = protoUDP
	options := []byte{protoUDP, 0, 1, 4, 0, 0, 0, 0}
	datagram := append(options, udp(5, 6, string(make([]byte, 2500)))...)
	for name, c := range map[string]struct {
		whole []byte
		last  verdict
	}{
		"options":           {ipPacket(way.src, way.dst, protoDstOpts, datagram), sendESP},
		"of another":        {ipPacket(way.src, way.dst, protoDstOpts, append([]byte{protoTCP, 0, 1, 4, 0, 0, 0, 0}, make([]byte, 2500)...)), sendClear},
		"fragment in piece": {ipPacket(way.src, way.dst, protoFragment, append(fragment6(protoDstOpts, 8, false, 8), datagram...)), drop},
	} {
		p := newPure(t, way.w, nil)
		var verdicts []verdict
		for _, f := range cut(c.whole, 1200) {
			verdicts = append(verdicts, p.seal(f))
		}
		if !slices.Equal(verdicts, []verdict{drop, drop, c.last}) {
			t.Errorf("%s: verdicts %v", name, verdicts)
		}
	}
}
