package userspace

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"racoon2/kernel"
)

// A packet that may not be fragmented and does not fit is refused by the
// largest size that does; one octet less passes.
func TestRoom(t *testing.T) {
	for _, way := range ways {
		for _, algorithm := range algorithms {
			for _, mtu := range []int{1500, 1400, 1281, 576} {
				p := newPure(t, way.w, algorithm.set)
				x := p.a.sad.byReq[1][0]
				x.pathMTU = mtu
				outer := ipv4HeaderLen
				if x.Dst.Is6() {
					outer = ipv6HeaderLen
				}
				if x.Encap != nil {
					outer += udpHeaderLen
				}
				largest := 0
				for size := 200; size < 1500; size++ {
					v := p.seal(ipPacket(way.src, way.dst, protoUDP, udp(1, 2, string(make([]byte, size)))))
					if v == tooBig {
						break
					}
					fits := outer+len(p.out.esp) <= mtu
					if n := len(p.out.packet.octets); fits {
						largest = n
					} else if n > minMTU6 || !p.out.packet.v6 {
						t.Fatalf("%s, %s, MTU %d: %d octets became %d", way.name, algorithm.name, mtu, n, outer+len(p.out.esp))
					}
				}
				want := largest
				if p.out.packet.v6 {
					want = max(want, minMTU6)
				}
				p.seal(ipPacket(way.src, way.dst, protoUDP, udp(1, 2, string(make([]byte, 1600)))))
				if p.out.mtu != want {
					t.Errorf("%s, %s, MTU %d: told %d, want %d", way.name, algorithm.name, mtu, p.out.mtu, want)
				}
			}
		}
	}
	// Without DF the packet is sealed; the outer one is cut up.
	p := newPure(t, ways[4].w, nil)
	big := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, string(make([]byte, 1600))))
	big[6] = 0
	if v := p.seal(big); v != sendESP {
		t.Errorf("verdict %d", v)
	}
}

func TestTooBigMessage(t *testing.T) {
	for _, way := range []int{4, 7} {
		way := ways[way]
		p := newPure(t, way.w, nil)
		sent := ipPacket(way.src, way.dst, protoUDP, udp(1, 2, string(make([]byte, 1600))))
		if v := p.seal(bytes.Clone(sent)); v != tooBig {
			t.Fatalf("verdict %d", v)
		}
		message := tooBigMessage(&p.out.packet, 1234)
		var m packet
		if err := m.parse(message); err != nil || len(m.octets) != len(message) {
			t.Fatalf("%x: %v", message, err)
		}
		if m.src() != p.out.packet.dst() || m.dst() != p.out.packet.src() {
			t.Errorf("from %v to %v", m.src(), m.dst())
		}
		body := message[m.upper:]
		if m.v6 {
			if body[0] != icmp6TooBig || binary.BigEndian.Uint32(body[4:]) != 1234 || len(message) != minMTU6 || m.upperChecksum() != 0 {
				t.Errorf("message %x", message)
			}
		} else if body[0] != icmpUnreachable || body[1] != icmpFragNeeded || binary.BigEndian.Uint16(body[6:]) != 1234 ||
			len(message) != icmp4Limit || fold(sumOctets(0, body)) != 0 || fold(sumOctets(0, message[:20])) != 0 {
			t.Errorf("message %x", message)
		}
		if !bytes.HasPrefix(sent, body[icmpHeaderLen:]) {
			t.Errorf("quotes %x", body[icmpHeaderLen:])
		}
	}
}

// No error is sent about an error, a later fragment, or a multicast (RFC 1122
// §3.2.2, RFC 4443 §2.4).
func TestNoMessageAbout(t *testing.T) {
	for name, b := range map[string][]byte{
		"ICMP error":     ipPacket("10.1.0.1", "10.2.0.1", protoICMP, []byte{11, 0, 0, 0, 0, 0, 0, 0}),
		"ICMPv6 error":   ipPacket("fd01::1", "fd02::1", protoICMPv6, []byte{1, 0, 0, 0, 0, 0, 0, 0}),
		"later fragment": fragmented4(ipPacket("10.1.0.1", "10.2.0.1", protoUDP, make([]byte, 8)), 8, false),
		"multicast":      ipPacket("10.1.0.1", "224.0.0.5", protoUDP, udp(1, 2, "")),
		"nobody":         ipPacket("::", "fd02::1", protoUDP, udp(1, 2, "")),
	} {
		var p packet
		if err := p.parse(b); err != nil {
			t.Fatal(err)
		}
		if tooBigMessage(&p, 1280) != nil {
			t.Errorf("%s: a message", name)
		}
	}
	var l limiter
	now, allowed := time.Unix(10, 0), 0
	for range 1000 {
		if l.allow(now) {
			allowed++
		}
	}
	if allowed != icmpErrorsSecond || !l.allow(now.Add(time.Second)) {
		t.Errorf("%d errors in a second", allowed)
	}
}

// Acquire repeats while the traffic goes on, but not with every packet; what
// waits for the SA is bounded and not old.
func TestAcquireRate(t *testing.T) {
	p := newPure(t, ways[4].w, nil)
	p.do(p.a, kernel.FlushSA{})
	sent := ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, "hello"))
	for i := range 35 {
		if v := p.seal(sent); v != drop {
			t.Fatalf("verdict %d", v)
		}
		if want := 1 + i/10; len(p.events) != want {
			t.Fatalf("after %d packets: %d events, want %d", i+1, len(p.events), want)
		}
		p.now = p.now.Add(acquireInterval / 10)
	}
	if ready := p.a.waiting(p.now, 1); len(ready) != 0 {
		t.Errorf("%d packets would leave without an SA", len(ready))
	}
	p.do(p.a, kernel.AddSA{SA: ways[4].w.sa(kernel.Out, 1, 1)})
	if ready := p.a.waiting(p.now, 1); len(ready) != queuePackets || !bytes.Equal(ready[0], sent) {
		t.Errorf("%d packets waited", len(ready))
	}
	p.do(p.a, kernel.FlushSA{})
	p.seal(sent)
	p.do(p.a, kernel.AddSA{SA: ways[4].w.sa(kernel.Out, 1, 2)})
	p.now = p.now.Add(2 * queueTime)
	if ready := p.a.waiting(p.now, 1); len(ready) != 0 {
		t.Errorf("%d packets waited too long", len(ready))
	}

	// In transport mode each destination has its own SA.
	w := ways[0].w
	w.outer = "192.0.2.0/24"
	p = newPure(t, w, nil)
	p.do(p.a, kernel.FlushSA{})
	for _, dst := range []string{"192.0.2.2", "192.0.2.3", "192.0.2.2", "192.0.2.3"} {
		p.seal(ipPacket("192.0.2.1", dst, protoUDP, udp(1, 2, "hello")))
	}
	if len(p.events) != 2 {
		t.Errorf("events %+v", p.events)
	}
	for i := range 1000 {
		p.now = p.now.Add(time.Millisecond)
		p.seal(ipPacket("192.0.2.1", "192.0.2."+string(rune('0'+i%10)), protoUDP, udp(1, 2, "hello")))
	}
	if n := len(p.a.spd.out[0].acquired); n > acquireKeys {
		t.Errorf("%d destinations are remembered", n)
	}
}

// The strongest policy decides; among equals the older one.
func TestPolicyOrder(t *testing.T) {
	p := newPure(t, ways[4].w, nil)
	sent := func() []byte { return ipPacket("10.1.0.1", "10.2.0.1", protoUDP, udp(1, 2, "hello")) }
	s := ways[4].w.selector()
	add := func(bits int, action kernel.Action, priority uint32) {
		t.Helper()
		q := s
		q.Dst, _ = s.Dst.Addr().Prefix(bits)
		p.do(p.a, kernel.AddPolicy{Policy: kernel.Policy{Selector: q, Direction: kernel.Out, Action: action, Priority: priority}})
	}
	add(16, kernel.Discard, 100)
	add(8, kernel.Discard, 200)
	if v := p.seal(sent()); v != sendESP {
		t.Errorf("verdict %d, want the older policy's", v)
	}
	add(17, kernel.Bypass, 50)
	if v := p.seal(sent()); v != sendClear {
		t.Errorf("verdict %d, want Bypass", v)
	}
	add(18, kernel.Discard, 10)
	if v := p.seal(sent()); v != drop {
		t.Errorf("verdict %d, want Discard", v)
	}
	policies := p.do(p.a, kernel.DumpPolicy{}).Policies
	if len(policies) != 6 || policies[0].Direction != kernel.In || policies[1].Priority != 10 || policies[5].Priority != 200 {
		t.Errorf("policies %+v", policies)
	}
	p.now = p.now.Add(time.Second)
	limited := policies[1]
	limited.Lifetime.Time = time.Minute
	if id := p.do(p.a, kernel.UpdatePolicy{Policy: limited}).Policy; id != limited.ID {
		t.Errorf("the updated policy has number %d, want %d", id, limited.ID)
	}
	p.a.tick(p.now.Add(time.Minute))
	if e, ok := p.events[len(p.events)-1].(kernel.PolicyDeleted); !ok || e.ID != limited.ID {
		t.Errorf("events %+v", p.events)
	}
	if v := p.seal(sent()); v != sendClear {
		t.Errorf("verdict %d, want Bypass again", v)
	}
}
