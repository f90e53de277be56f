package fake

import (
	"crypto/subtle"
	"maps"
	"net/netip"
	"time"

	"racoon2/kernel"
)

// Packet is a packet of the traffic inside.
type Packet struct {
	Selector kernel.Selector // host addresses, protocol and ports
	ID       uint64          // the caller's mark, to know the packet again
	Octets   uint64          // its length, for byte counters
}

// Datagram is what passes between two hosts: a packet in clear, or in ESP.
type Datagram struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16 // of the UDP encapsulation; 0: IP protocol 50
	ESP              bool
	SPI              kernel.SPI
	Seq              uint64
	Mode             kernel.Mode
	Inner            Packet // all there is, when in clear
	digest           digest
}

// Drop is a reason for which the packet path dropped a packet.
type Drop string

// The reasons.
const (
	DropOutNoSA     Drop = "out_no_sa"    // protected traffic, and no SA yet
	DropOutPolicy   Drop = "out_policy"   // a Discard policy
	DropOutSequence Drop = "out_sequence" // the sequence number would have wrapped (RFC 4303 §3.3.3)
	DropInNoSA      Drop = "in_no_sa"     // no SA has this SPI
	DropInEncap     Drop = "in_encap"     // encapsulated, and the SA is not, or the other way round
	DropInIntegrity Drop = "in_integrity" // other keys
	DropInReplay    Drop = "in_replay"    // seen before, or too old
	DropInSelector  Drop = "in_selector"  // not traffic of the SA (RFC 4301 §5.2)
	DropInNoPolicy  Drop = "in_no_policy" // no policy wants it from this SA
	DropInClear     Drop = "in_clear"     // in clear, and a policy protects it
	DropInPolicy    Drop = "in_policy"    // a Discard policy
	DropInSequence  Drop = "in_sequence"  // sequence number beyond 32 bits without ESN
)

// Drops counts what was dropped, by reason.
func (k *Kernel) Drops() map[Drop]uint64 { return maps.Clone(k.drops) }

// Output sends a packet of this host. It returns what goes on the wire, nil
// when nothing does.
func (k *Kernel) Output(now time.Time, p Packet) (*Datagram, []kernel.Event) {
	clearText := &Datagram{Src: p.Selector.Src.Addr(), Dst: p.Selector.Dst.Addr(), Inner: p}
	policy := k.match(p.Selector, kernel.Out)
	switch {
	case policy == nil || policy.Action == kernel.Bypass:
		return clearText, nil
	case policy.Action == kernel.Discard:
		k.drops[DropOutPolicy]++
		return nil, nil
	}
	template := policy.Templates[0]
	x := k.outbound(template, p.Selector)
	if x == nil {
		events := k.emit(kernel.Acquire{Policy: policy.ID, Template: template, Packet: p.Selector})
		if template.Level == kernel.Use {
			return clearText, events
		}
		k.drops[DropOutNoSA]++
		return nil, events
	}
	if !x.ESN && x.seq == 1<<32-1 {
		k.drops[DropOutSequence]++
		return nil, nil
	}
	x.seq++
	d := &Datagram{
		Src: x.Src, Dst: x.Dst, ESP: true, SPI: x.SPI, Seq: x.seq,
		Mode: x.Mode, Inner: p, digest: x.digest,
	}
	if x.Encap != nil {
		d.SrcPort, d.DstPort = x.Encap.Local, x.Encap.Remote
	}
	return d, k.emit(k.used(now, x, p)...)
}

// outbound picks the newest SA that serves a template; one whose soft limit was
// reached only when there is no other.
func (k *Kernel) outbound(t kernel.Template, packet kernel.Selector) *state {
	var best *state
	for _, x := range k.sas {
		if x.reserved || x.Direction != kernel.Out || !serves(x, t, packet) || !selects(x, packet) {
			continue
		}
		if best == nil || best.dying && !x.dying || best.dying == x.dying && best.serial < x.serial {
			best = x
		}
	}
	return best
}

// serves says whether an SA is what a template asks for.
func serves(x *state, t kernel.Template, packet kernel.Selector) bool {
	src, dst := t.Src, t.Dst
	if t.Mode == kernel.Transport {
		src, dst = packet.Src.Addr(), packet.Dst.Addr()
	}
	return x.Proto == t.Proto && x.Mode == t.Mode && (t.ReqID == 0 || x.ReqID == t.ReqID) &&
		(src.IsUnspecified() || x.Src == src) && (dst.IsUnspecified() || x.Dst == dst)
}

func selects(x *state, packet kernel.Selector) bool {
	return x.Selector == (kernel.Selector{}) || x.Selector.Matches(packet)
}

// used counts a packet and says which limits that reached.
func (k *Kernel) used(now time.Time, x *state, p Packet) []kernel.Event {
	x.LastUsed = now
	x.Packets++
	x.Bytes += p.Octets
	return k.age(now, x)
}

// Input takes a datagram from the wire. It returns the packet that is
// delivered, nil when none is.
func (k *Kernel) Input(now time.Time, d *Datagram) (*Packet, []kernel.Event) {
	if !d.ESP {
		return k.inputClear(d), nil
	}
	x, drop := k.inbound(d)
	if drop != "" {
		k.drops[drop]++
		return nil, nil
	}
	x.window.note(d.Seq)
	events := k.used(now, x, d.Inner)
	from := netip.AddrPortFrom(d.Src, d.SrcPort)
	if x.Encap != nil && k.Capabilities.Mapping {
		old := netip.AddrPortFrom(x.Src, x.Encap.Remote)
		if from != old && from != x.mapped {
			x.mapped = from
			events = append(events, kernel.Mapping{ID: x.SAID, Old: old, New: from})
		}
	}
	if drop := k.permitted(x, d.Inner.Selector); drop != "" {
		k.drops[drop]++
		return nil, k.emit(events...)
	}
	p := d.Inner
	return &p, k.emit(events...)
}

// inbound finds the SA of a datagram and checks the datagram against it.
func (k *Kernel) inbound(d *Datagram) (*state, Drop) {
	x := k.sas[kernel.SAID{Dst: d.Dst, Proto: kernel.ESP, SPI: d.SPI}]
	switch {
	case x == nil || x.reserved || x.Direction != kernel.In:
		return nil, DropInNoSA
	case (x.Encap != nil) != (d.DstPort != 0):
		return nil, DropInEncap
	case !x.ESN && d.Seq >= 1<<32:
		return nil, DropInSequence
	case !x.window.fresh(d.Seq):
		x.ReplayErr++
		return nil, DropInReplay
	case subtle.ConstantTimeCompare(x.digest[:], d.digest[:]) != 1:
		x.AuthErr++
		return nil, DropInIntegrity
	}
	return x, ""
}

// permitted checks a decapsulated packet against the SA's selector and the
// inbound policies (RFC 4301 §5.2 step 4).
func (k *Kernel) permitted(x *state, packet kernel.Selector) Drop {
	if !selects(x, packet) {
		return DropInSelector
	}
	policy := k.match(packet, kernel.In)
	if policy == nil || policy.Action != kernel.Protect || !serves(x, policy.Templates[0], packet) {
		return DropInNoPolicy
	}
	return ""
}

func (k *Kernel) inputClear(d *Datagram) *Packet {
	policy := k.match(d.Inner.Selector, kernel.In)
	switch {
	case policy == nil || policy.Action == kernel.Bypass:
	case policy.Action == kernel.Discard:
		k.drops[DropInPolicy]++
		return nil
	case policy.Templates[0].Level != kernel.Use:
		k.drops[DropInClear]++
		return nil
	}
	p := d.Inner
	return &p
}
