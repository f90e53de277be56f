package userspace

import (
	"encoding/binary"
	"slices"
	"testing"

	"racoon2/kernel"
)

// syn is a TCP packet with options.
func syn(src, dst string, flags byte, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, optionEnd)
	}
	tcp := make([]byte, 20, 20+len(options))
	binary.BigEndian.PutUint16(tcp, 4000)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12], tcp[13] = byte(20+len(options))/4<<4, flags
	b := ipPacket(src, dst, protoTCP, append(tcp, options...))
	var p packet
	if err := p.parse(b); err == nil {
		p.setUpperChecksum()
	}
	return b
}

func TestClampMSS(t *testing.T) {
	const fin = 1
	for _, c := range []struct {
		name    string
		flags   byte
		options []byte
		at      int // of the value, behind the TCP header; 0: nothing changes
	}{
		{"first", tcpSYN, []byte{2, 4, 5, 180}, 2},
		{"answer", tcpSYN | 16, []byte{2, 4, 5, 180}, 2},
		{"odd place", tcpSYN, []byte{1, 2, 4, 5, 180, 1}, 3},
		{"behind another", tcpSYN, []byte{3, 3, 7, 4, 2, 2, 4, 5, 180}, 7},
		{"small enough", tcpSYN, []byte{2, 4, 4, 0}, 0},
		{"no SYN", fin, []byte{2, 4, 5, 180}, 0},
		{"none", tcpSYN, []byte{1, 1, 1}, 0},
		{"behind the end", tcpSYN, []byte{0, 2, 4, 5, 180}, 0},
		{"wrong length", tcpSYN, []byte{2, 3, 5, 180}, 0},
		{"too long", tcpSYN, []byte{3, 40, 2, 4}, 0},
		{"length 0", tcpSYN, []byte{3, 0, 2, 4, 5, 180}, 0},
		{"cut off", tcpSYN, []byte{1, 1, 1, 2}, 0},
	} {
		for _, ends := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"fd09::1", "fd09::2"}} {
			b := syn(ends[0], ends[1], c.flags, c.options...)
			before := slices.Clone(b)
			var p packet
			must(t, p.parse(b))
			p.clampMSS(1200)
			if c.at == 0 {
				if !slices.Equal(b, before) {
					t.Errorf("%s: changed to %x", c.name, b)
				}
				continue
			}
			if got := binary.BigEndian.Uint16(b[p.upper+20+c.at:]); got != 1200 {
				t.Errorf("%s: MSS %d", c.name, got)
			}
			if p.upperChecksum() != 0 {
				t.Errorf("%s: the checksum is wrong", c.name)
			}
		}
	}
	var p packet
	b := syn("192.0.2.1", "192.0.2.2", tcpSYN, 2, 4, 5, 180)
	must(t, p.parse(b))
	b[p.upper+12] = 0xf0 // a header that is longer than the packet
	p.clampMSS(1200)
	if binary.BigEndian.Uint16(b[p.upper+22:]) != 1460 {
		t.Error("a header that is too long was read")
	}
}

// Policies bound the MSS both ways: of what leaves and of what arrives.
func TestPolicyMSS(t *testing.T) {
	for _, w := range bundleWays() {
		for _, mss := range []uint16{900, kernel.MSSFromMTU} {
			for _, side := range []kernel.Direction{kernel.Out, kernel.In} {
				p := newBundle(t, w, []kernel.Protocol{kernel.ESP}, nil, func(q *kernel.Policy) {
					if q.Direction == side {
						q.MSS = mss
					}
				})
				inner := w.packet("")
				var parsed packet
				must(t, parsed.parse(inner))
				got := p.pass(syn(parsed.src().String(), parsed.dst().String(), tcpSYN, 2, 4, 255, 255))
				if got == nil {
					t.Fatalf("%s: %v", name(w, nil), p.b.counts.values())
				}
				must(t, parsed.parse(got))
				value := int(binary.BigEndian.Uint16(got[parsed.upper+22:]))
				if mss == 900 && value != 900 || parsed.upperChecksum() != 0 {
					t.Errorf("%s, %v: MSS %d", name(w, nil), side, value)
				}
				if mss == kernel.MSSFromMTU {
					// A segment of that size just fits: a larger one by 16 octets does not.
					p := newBundle(t, w, []kernel.Protocol{kernel.ESP}, nil, nil)
					payload := value + tcpHeaderLen - 8
					if v := p.seal(w.packet(string(make([]byte, payload)))); v != sendESP {
						t.Errorf("%s, %v: an MSS of %d does not fit", name(w, nil), side, value)
					}
					if v := p.seal(w.packet(string(make([]byte, payload+16)))); v != tooBig {
						t.Errorf("%s, %v: an MSS of %d is too small", name(w, nil), side, value)
					}
				}
			}
		}
	}
}
