package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/fake"
)

// ICMP echo, whose type and code stand in place of ports (RFC 792, RFC 4443 §4).
const (
	protoICMP    = 1
	protoICMPv6  = 58
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
)

// packetOctets is the length of each packet.
const packetOctets = 100

// packet is the truth about one packet.
type packet struct {
	selector  kernel.Selector
	from      *Host // nil: injected from the wire
	delivered int
	sent      time.Duration
	flow      int // index of its flow; -1 for none
	reply     bool
}

// traffic knows every packet that was ever sent.
type traffic struct {
	w       *World
	packets map[uint64]*packet
	next    uint64
}

func newTraffic(w *World) *traffic { return &traffic{w: w, packets: make(map[uint64]*packet)} }

// send lets a host send one packet.
func (t *traffic) send(p packet) uint64 {
	p.from = t.w.hostAt(p.selector.Src.Addr())
	if p.from == nil {
		t.w.violate("", RightReceiver, "the scenario sends from %v, which no host has", p.selector.Src.Addr())
		return 0
	}
	t.next++
	p.sent = t.w.now
	t.packets[t.next] = &p
	t.w.report.Sent++
	if p.from.alive || p.from.kernelRuns {
		p.from.output(fake.Packet{Selector: p.selector, ID: t.next, Octets: packetOctets})
	}
	return t.next
}

// inject puts a packet in clear on the wire that no host sent.
func (t *traffic) inject(s kernel.Selector) {
	to := t.w.hostAt(s.Dst.Addr())
	if to == nil {
		return
	}
	t.next++
	t.packets[t.next] = &packet{selector: s, sent: t.w.now, flow: -1}
	d := &fake.Datagram{
		Src: s.Src.Addr(), Dst: s.Dst.Addr(),
		Inner: fake.Packet{Selector: s, ID: t.next, Octets: packetOctets},
	}
	t.w.note(line{host: "(wire)", to: to.Name, text: "injected in clear: " + packetText(s)})
	to.receive(d)
}

// left checks a datagram that a host puts on the wire.
func (t *traffic) left(h *Host, d *fake.Datagram) {
	s := d.Inner.Selector
	switch {
	case h.discards(s, kernel.Out):
		t.w.violate(h.Name, DiscardHolds, "%s was sent", packetText(s))
	case !d.Protected() && h.protects(s, kernel.Out):
		t.w.violate(h.Name, NoClearOut, "%s was sent in clear", packetText(s))
	}
}

// delivered checks a packet that a host took from a datagram.
func (t *traffic) delivered(h *Host, d *fake.Datagram, got fake.Packet) {
	p := t.packets[got.ID]
	if p == nil || p.selector != got.Selector || t.w.hostAt(got.Selector.Dst.Addr()) != h {
		t.w.violate(h.Name, RightReceiver, "%s is not what was sent to it", packetText(got.Selector))
		return
	}
	switch {
	case h.discards(got.Selector, kernel.In):
		t.w.violate(h.Name, DiscardHolds, "%s was accepted", packetText(got.Selector))
	case !d.Protected() && h.protects(got.Selector, kernel.In):
		t.w.violate(h.Name, NoClearIn, "%s was accepted in clear", packetText(got.Selector))
	}
	p.delivered++
	if p.delivered > 1 {
		if d.Protected() {
			t.w.violate(h.Name, NoReplay, "%s was delivered %d times", packetText(got.Selector), p.delivered)
		}
		return
	}
	t.w.report.Delivered++
	if t.w.scenario.ShowTraffic {
		t.w.note(line{host: h.Name, text: "received " + packetText(got.Selector)})
	}
	if reply, ok := echoReply(got.Selector); ok {
		t.w.after(0, func() { t.send(packet{selector: reply, flow: p.flow, reply: true}) })
	}
}

// echoReply is the answer to an ICMP echo request.
func echoReply(s kernel.Selector) (kernel.Selector, bool) {
	r := s.Reverse()
	switch {
	case s.Proto == protoICMP && s.SrcPort.First == echoRequest4:
		r.SrcPort = kernel.Port(echoReply4)
	case s.Proto == protoICMPv6 && s.SrcPort.First == echoRequest6:
		r.SrcPort = kernel.Port(echoReply6)
	default:
		return kernel.Selector{}, false
	}
	return r, true
}

// start runs the scenario's flow number i.
func (t *traffic) start(i int, f Flow) {
	var beat func()
	beat = func() {
		if t.w.flowsEnded || f.Stop > 0 && t.w.now >= f.Stop {
			return
		}
		t.send(packet{selector: f.selector(), flow: i})
		t.w.after(f.Interval, beat)
	}
	t.w.after(f.Start, beat)
}

// gaps holds that in the calm part no flow that must pass stood still for longer than
// Scenario.Gap.
func (t *traffic) gaps() {
	limit := t.w.scenario.Gap
	if limit == 0 {
		return
	}
	for i, f := range t.w.scenario.Flows {
		passed := []time.Duration{t.w.scenario.Duration}
		for _, p := range t.packets {
			if f.Must == Pass && p.flow == i && !p.reply && p.delivered > 0 && p.sent >= t.w.scenario.Duration {
				passed = append(passed, p.sent)
			}
		}
		slices.Sort(passed)
		for n := 1; n < len(passed); n++ {
			if gap := passed[n] - passed[n-1]; gap > limit {
				t.w.violate("", NoBlackHole, "%s: nothing passed for %v after %s", packetText(f.selector()), gap, stamp(passed[n-1]))
				break
			}
		}
	}
}

// arrived counts the packets of a flow sent between two moments and those
// delivered, the replies to them apart.
func (t *traffic) arrived(flow int, since, until time.Duration) (sent, delivered, replies int) {
	for _, p := range t.packets {
		switch {
		case p.flow != flow || p.sent < since || !p.reply && p.sent > until:
		case p.reply:
			replies += min(p.delivered, 1)
		default:
			sent++
			delivered += min(p.delivered, 1)
		}
	}
	return sent, delivered, replies
}

// packetText describes a packet in a few words.
func packetText(s kernel.Selector) string {
	addrs := s.Src.Addr().String() + " > " + s.Dst.Addr().String()
	switch {
	case s.Proto == protoICMP && s.SrcPort.First == echoRequest4, s.Proto == protoICMPv6 && s.SrcPort.First == echoRequest6:
		return "echo request " + addrs
	case s.Proto == protoICMP && s.SrcPort.First == echoReply4, s.Proto == protoICMPv6 && s.SrcPort.First == echoReply6:
		return "echo reply " + addrs
	}
	return fmt.Sprintf("%s %v > %v", kernel.ProtocolName(s.Proto),
		netip.AddrPortFrom(s.Src.Addr(), s.SrcPort.First), netip.AddrPortFrom(s.Dst.Addr(), s.DstPort.First))
}
