package sim

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"racoon2/kernel/fake"
	"racoon2/kink"
)

// network carries datagrams between hosts, badly.
type network struct {
	w      *World
	faults Faults
	rules  []*Rule
	nats   []*natState
	cut    map[netip.Addr]bool // addresses that nothing comes from or gets to
}

// fate is what becomes of one datagram: an arrival for each copy.
type fate struct {
	arrivals []arrival
	word     string
}

type arrival struct {
	after   time.Duration
	corrupt bool
}

// keepalive is the datagram that keeps a NAT's mapping (RFC 3948 §2.3).
var keepalive = []byte{0xff}

// sendUDP puts a datagram of an engine on the wire, under the eyes of x.
func (n *network) sendUDP(from *Host, local, remote netip.AddrPort, octets []byte, x watcher) {
	src, dst, ok := n.translate(local, remote)
	ok = ok && n.passes(from, local.Addr(), remote.Addr())
	to := n.w.hostAt(dst.Addr())
	l := line{host: from.Name, to: dst.String(), text: x.describe(octets)}
	if to != nil {
		l.to = to.Name
	}
	if !bytes.Equal(octets, keepalive) {
		n.w.countMessage(from)
	}
	x.sent(from, to, octets)
	if !ok || to == nil {
		l.fate = "no way there"
		n.w.note(l)
		return
	}
	f := n.decide(from, to, octets, x)
	l.fate = f.word
	n.w.note(l)
	for _, a := range f.arrivals {
		data := bytes.Clone(octets)
		if a.corrupt {
			data[n.w.rand.IntN(len(data))] ^= byte(1 + n.w.rand.IntN(255))
		}
		n.w.busyAfter(a.after, func() { n.arriveUDP(from, to, src, dst, data, x) })
	}
}

func (n *network) arriveUDP(from, to *Host, src, dst netip.AddrPort, data []byte, x watcher) {
	switch {
	case !to.alive || bytes.Equal(data, keepalive):
	case dst.Port() == to.kinkPort():
		x.received(to, from, data)
		to.kinkInput(kink.Datagram{Local: dst, Remote: src, Data: data})
	case to.listens(dst.Port()):
		x.received(to, from, data)
		to.datagram(dst, src, data)
	}
}

// sendKernel puts a datagram of a kernel on the wire.
func (n *network) sendKernel(from *Host, d *fake.Datagram) {
	moved := *d
	if d.Protected() {
		src, dst, ok := n.translate(netip.AddrPortFrom(d.Src, d.SrcPort), netip.AddrPortFrom(d.Dst, d.DstPort))
		if !ok || !n.passes(from, d.Src, d.Dst) {
			n.traffic(from, nil, d, "no way there")
			return
		}
		moved.Src, moved.SrcPort = src.Addr(), src.Port()
		moved.Dst, moved.DstPort = dst.Addr(), dst.Port()
	}
	to := n.w.hostAt(moved.Dst)
	if to == nil {
		n.traffic(from, nil, d, "no way there")
		return
	}
	f := n.chance(n.faults.Corrupt > 0)
	n.traffic(from, to, d, f.word)
	for _, a := range f.arrivals {
		if a.corrupt {
			continue // the integrity check of ESP would drop it
		}
		n.w.busyAfter(a.after, func() {
			d := moved
			to.receive(&d)
		})
	}
}

// passes says that a datagram finds its way: from an address that its host has, and
// between two that are not cut off.
func (n *network) passes(from *Host, src, dst netip.Addr) bool {
	return from.has(src) && !n.cut[src] && !n.cut[dst]
}

// traffic notes a packet in the transcript, where the scenario wants that.
func (n *network) traffic(from, to *Host, d *fake.Datagram, word string) {
	if !n.w.scenario.ShowTraffic {
		return
	}
	l := line{host: from.Name, to: d.Dst.String(), text: "in clear: ", fate: word}
	if to != nil {
		l.to = to.Name
	}
	if d.Protected() {
		l.text = d.Name() + ": "
	}
	l.text += packetText(d.Inner.Selector)
	n.w.note(l)
}

// decide applies the first rule that fits, or else chance.
func (n *network) decide(from, to *Host, data []byte, x watcher) fate {
	for _, r := range n.rules {
		if r.Count > 0 && x.fits(r, from.Name, to.Name, data) {
			r.Count--
			return r.fate(n.faults.Delay)
		}
	}
	return n.chance(true)
}

func (r *Rule) fate(delay time.Duration) fate {
	switch {
	case r.Drop:
		return fate{word: "lost"}
	case r.Double:
		return fate{arrivals: []arrival{{after: delay}, {after: delay}}, word: "doubled"}
	}
	return fate{arrivals: []arrival{{after: delay + r.Delay}}, word: "held back for " + r.Delay.String()}
}

// chance draws the fate of a datagram. The number of draws does not depend on
// their outcome alone but on the datagrams sent, which a seed decides.
func (n *network) chance(corruptible bool) fate {
	f, r := n.faults, n.w.rand
	if r.Float64() < f.Loss {
		return fate{word: "lost"}
	}
	copies := 1
	if r.Float64() < f.Duplicate {
		copies = 2
	}
	var out fate
	var words []string
	for range copies {
		a := arrival{after: f.Delay}
		if f.Jitter > 0 {
			a.after += time.Duration(r.Int64N(int64(f.Jitter)))
		}
		if f.Late > 0 && r.Float64() < f.Reorder {
			a.after += time.Duration(r.Int64N(int64(f.Late)))
		}
		word := "after " + a.after.Round(time.Microsecond).String()
		if corruptible && r.Float64() < f.Corrupt {
			a.corrupt = true
			word += " corrupted"
		}
		out.arrivals = append(out.arrivals, a)
		words = append(words, word)
	}
	out.word = strings.Join(words, ", doubled ")
	return out
}
