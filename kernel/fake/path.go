package fake

import (
	"crypto/subtle"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"racoon2/kernel"
)

// Packet is a packet of the traffic inside.
type Packet struct {
	Selector kernel.Selector // host addresses, protocol and ports
	ID       uint64          // the caller's mark, to know the packet again
	Octets   uint64          // its length, for byte counters
}

// Datagram is what passes between two hosts: a packet in clear, or inside
// IPComp, ESP and AH.
type Datagram struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16  // of the UDP encapsulation; 0: no UDP
	Layers           []Layer // the innermost first; none: in clear
	Inner            Packet
}

// Layer is one IPsec transform around a packet.
type Layer struct {
	Proto    kernel.Protocol
	SPI      kernel.SPI
	Seq      uint64 // 0 for IPComp
	Mode     kernel.Mode
	src, dst netip.Addr // as the sender had them
	digest   digest
}

// Protected says that the packet is not in clear.
func (d *Datagram) Protected() bool { return len(d.Layers) > 0 }

// Name describes the datagram as "ESP tunnel", "AH ESP transport" or "ESP tunnel
// in UDP", the outermost transform first; "in clear" without any.
func (d *Datagram) Name() string {
	if !d.Protected() {
		return "in clear"
	}
	var words []string
	for _, l := range slices.Backward(d.Layers) {
		words = append(words, map[kernel.Protocol]string{kernel.AH: "AH", kernel.ESP: "ESP", kernel.IPComp: "IPComp"}[l.Proto])
	}
	words = append(words, d.Layers[0].Mode.String())
	if d.DstPort != 0 {
		words = append(words, "in UDP")
	}
	return strings.Join(words, " ")
}

// threshold is the length below which nothing is compressed, as an algorithm
// would find that it does not pay (RFC 2394 §2.3).
const threshold = 90

// Drop is a reason for which the packet path dropped a packet.
type Drop string

// The reasons.
const (
	DropOutNoSA     Drop = "out_no_sa"    // protected traffic, and no SA yet
	DropOutPolicy   Drop = "out_policy"   // a Discard policy
	DropOutSequence Drop = "out_sequence" // the sequence number would have wrapped (RFC 4303 §3.3.3)
	DropInNoSA      Drop = "in_no_sa"     // no SA has this SPI
	DropInEncap     Drop = "in_encap"     // encapsulated, and the SA is not, or the other way round
	DropInIntegrity Drop = "in_integrity" // other keys, or AH with other addresses
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
	chain, events := k.chain(policy, p.Selector)
	switch {
	case chain == nil:
		k.drops[DropOutNoSA]++
		return nil, k.emit(events...)
	case len(chain) == 0:
		return clearText, k.emit(events...)
	}
	for _, x := range chain {
		if x.Proto != kernel.IPComp && !x.ESN && x.seq == 1<<32-1 {
			k.drops[DropOutSequence]++
			return nil, k.emit(events...)
		}
	}
	d := clearText
	for _, x := range chain {
		d.add(x)
		events = append(events, k.used(now, x, p)...)
	}
	return d, k.emit(events...)
}

// chain finds the SAs for a policy's templates, the innermost first: nil when one
// is missing that must not be, empty when all are missing that may. Every missing
// one is asked for.
func (k *Kernel) chain(policy *entry, packet kernel.Selector) (found []*state, events []kernel.Event) {
	found = []*state{}
	missing := false
	src, dst := packet.Src.Addr(), packet.Dst.Addr()
	for _, t := range policy.Templates {
		x := k.outbound(t, src, dst, packet)
		if x == nil {
			events = append(events, kernel.Acquire{Policy: policy.ID, Template: t, Packet: packet})
			if t.Level == kernel.Use {
				continue
			}
			missing = true
			break // as Linux does: one at a time
		}
		found = append(found, x)
		src, dst = x.Src, x.Dst
	}
	if missing {
		return nil, events
	}
	return found, events
}

// add puts a transform around a datagram.
func (d *Datagram) add(x *state) {
	if x.Mode == kernel.Tunnel {
		d.Src, d.Dst = x.Src, x.Dst
	}
	if x.Proto == kernel.IPComp && d.Inner.Octets < threshold {
		return // RFC 3173 §2.2: sent without a header
	}
	l := Layer{Proto: x.Proto, SPI: x.SPI, Mode: x.Mode, src: x.Src, dst: x.Dst, digest: x.digest}
	if x.Proto != kernel.IPComp {
		x.seq++
		l.Seq = x.seq
	}
	d.Layers = append(d.Layers, l)
	if x.Encap != nil {
		d.SrcPort, d.DstPort = x.Encap.Local, x.Encap.Remote
	}
}

// outbound picks the newest SA that serves a template; one whose soft limit was
// reached only when there is no other.
func (k *Kernel) outbound(t kernel.Template, src, dst netip.Addr, packet kernel.Selector) *state {
	var best *state
	for _, x := range k.sas {
		if x.reserved || x.Direction != kernel.Out || !serves(x, t, src, dst) || !selects(x, packet) {
			continue
		}
		if best == nil || best.dying && !x.dying || best.dying == x.dying && best.serial < x.serial {
			best = x
		}
	}
	return best
}

// serves says whether an SA is what a template asks for; src and dst are the
// addresses of the packet that it goes around.
func serves(x *state, t kernel.Template, src, dst netip.Addr) bool {
	if t.Mode == kernel.Tunnel {
		src, dst = t.Src, t.Dst
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
	if !d.Protected() {
		return k.inputClear(d), nil
	}
	var opened []*state // the outermost first
	var events []kernel.Event
	src, dst := d.Src, d.Dst
	for i := len(d.Layers) - 1; i >= 0; i-- {
		l := d.Layers[i]
		outermost := i == len(d.Layers)-1
		x, drop := k.inbound(d, l, src, dst, outermost)
		if drop != "" {
			k.drops[drop]++
			return nil, k.emit(events...)
		}
		x.window.note(l.Seq)
		events = append(events, k.used(now, x, d.Inner)...)
		if outermost {
			events = append(events, k.moved(x, d)...)
		}
		opened = append(opened, x)
		if l.Mode == kernel.Tunnel && i > 0 {
			src, dst = d.Layers[i-1].src, d.Layers[i-1].dst
		}
	}
	if drop := k.permitted(opened, d); drop != "" {
		k.drops[drop]++
		return nil, k.emit(events...)
	}
	p := d.Inner
	return &p, k.emit(events...)
}

// moved tells once that an SA's packets come from elsewhere.
func (k *Kernel) moved(x *state, d *Datagram) []kernel.Event {
	if x.Encap == nil || !k.Capabilities.Mapping {
		return nil
	}
	from, old := netip.AddrPortFrom(d.Src, d.SrcPort), netip.AddrPortFrom(x.Src, x.Encap.Remote)
	if from == old || from == x.mapped {
		return nil
	}
	x.mapped = from
	return []kernel.Event{kernel.Mapping{ID: x.SAID, Old: old, New: from}}
}

// inbound finds the SA of a layer and checks the layer against it. src and dst
// are the addresses of the packet around it.
func (k *Kernel) inbound(d *Datagram, l Layer, src, dst netip.Addr, outermost bool) (*state, Drop) {
	x := k.sas[kernel.SAID{Dst: dst, Proto: l.Proto, SPI: l.SPI}]
	switch {
	case x == nil || x.reserved || x.Direction != kernel.In:
		return nil, DropInNoSA
	case outermost && (x.Encap != nil) != (d.DstPort != 0):
		return nil, DropInEncap
	case !x.ESN && l.Seq >= 1<<32:
		return nil, DropInSequence
	case !x.window.fresh(l.Seq):
		x.ReplayErr++
		return nil, DropInReplay
	case subtle.ConstantTimeCompare(x.digest[:], l.digest[:]) != 1,
		l.Proto == kernel.AH && (l.src != src || l.dst != dst): // RFC 4302 §3.3.3.1.1: AH covers the addresses
		x.AuthErr++
		return nil, DropInIntegrity
	}
	return x, ""
}

// permitted checks a decapsulated packet against the selectors of its SAs and the
// inbound policies (RFC 4301 §5.2 step 4). opened has the outermost SA first.
func (k *Kernel) permitted(opened []*state, d *Datagram) Drop {
	packet := d.Inner.Selector
	for _, x := range opened {
		if !selects(x, packet) {
			return DropInSelector
		}
	}
	policy := k.match(packet, kernel.In)
	if policy == nil || policy.Action != kernel.Protect {
		return DropInNoPolicy
	}
	// A packet in transport mode has the outer addresses, which are those of the
	// selector unless a NAT changed them.
	src, dst := packet.Src.Addr(), packet.Dst.Addr()
	left := opened
	for _, t := range policy.Templates {
		n := len(left) - 1
		switch {
		case n >= 0 && serves(left[n], t, src, dst):
			src, dst = left[n].Src, left[n].Dst
			left = left[:n]
		case t.Proto == kernel.IPComp: // RFC 3173 §2.2: it may be left out
			if t.Mode == kernel.Tunnel {
				src, dst = t.Src, t.Dst
			}
		case t.Level == kernel.Use:
		default:
			return DropInNoPolicy
		}
	}
	if len(left) > 0 {
		return DropInNoPolicy
	}
	return ""
}

// optional says that a policy's packets may arrive in clear.
func (p *entry) optional() bool {
	for _, t := range p.Templates {
		if t.Level != kernel.Use && t.Proto != kernel.IPComp {
			return false
		}
	}
	return true
}

func (k *Kernel) inputClear(d *Datagram) *Packet {
	policy := k.match(d.Inner.Selector, kernel.In)
	switch {
	case policy == nil || policy.Action == kernel.Bypass:
	case policy.Action == kernel.Discard:
		k.drops[DropInPolicy]++
		return nil
	case !policy.optional():
		k.drops[DropInClear]++
		return nil
	}
	p := d.Inner
	return &p
}
