package kink

import (
	"fmt"
	"slices"

	"racoon2/kernel"
	"racoon2/kink/isakmp"
)

// layer is one IPsec transform of a pair: an inbound and an outbound SA. A packet goes
// through all of them, the innermost first (kernel.Policy.Templates).
type layer struct {
	proto         kernel.Protocol
	mode          kernel.Mode
	suite         isakmp.Suite
	spiIn, spiOut kernel.SPI // CPIs of IPComp
	in, out       keys
	taken         bool // the kernel has its outbound SA; another one by that name may be another peer's
}

// protocols are those of the child's transforms, the innermost first: IPComp, ESP, AH
// (RFC 4301 §4.5). The first proposal says them; the SPD has no others.
func (c *Child) protocols() []kernel.Protocol {
	if len(c.Proposals) == 0 {
		return []kernel.Protocol{kernel.ESP}
	}
	return c.Proposals[0].protocols()
}

// mode is that of the n-th transform. The first one makes the tunnel; those around it
// protect the tunnel's packets.
func (c *Child) mode(n int) kernel.Mode {
	if n > 0 {
		return kernel.Transport
	}
	return c.Mode
}

// parts are a proposal's transforms, the innermost first.
func (p Proposal) parts() []Proposal {
	list := append([]Proposal{p}, p.Outer...)
	slices.SortStableFunc(list, func(a, b Proposal) int { return rank(a.Protocol) - rank(b.Protocol) })
	return list
}

func (p Proposal) protocols() []kernel.Protocol {
	var list []kernel.Protocol
	for _, part := range p.parts() {
		list = append(list, part.Protocol)
	}
	return list
}

// rank is a protocol's place in a bundle.
func rank(p kernel.Protocol) int {
	return slices.Index([]kernel.Protocol{kernel.IPComp, kernel.ESP, kernel.AH}, p)
}

func wireProtocol(p kernel.Protocol) isakmp.Protocol {
	switch p {
	case kernel.AH:
		return isakmp.PROTO_IPSEC_AH
	case kernel.IPComp:
		return isakmp.PROTO_IPCOMP
	}
	return isakmp.PROTO_IPSEC_ESP
}

func kernelProtocol(p isakmp.Protocol) kernel.Protocol {
	switch p {
	case isakmp.PROTO_IPSEC_AH:
		return kernel.AH
	case isakmp.PROTO_IPCOMP:
		return kernel.IPComp
	case isakmp.PROTO_IPSEC_ESP:
		return kernel.ESP
	}
	return 0
}

// newLayers are a pair's transforms without SPIs.
func newLayers(c *Child) []*layer {
	var list []*layer
	for i, proto := range c.protocols() {
		list = append(list, &layer{proto: proto, mode: c.mode(i)})
	}
	return list
}

// main is the transform that stands for the pair in status and log: ESP, without it AH.
func (sa *pair) main() *layer {
	best := sa.layers[0]
	for _, l := range sa.layers {
		if l.proto == kernel.ESP || best.proto == kernel.IPComp {
			best = l
		}
	}
	return best
}

// said names one of the two SAs of a transform.
func (sa *pair) said(l *layer, out bool) kernel.SAID {
	if out {
		return kernel.SAID{Dst: sa.remote, Proto: l.proto, SPI: l.spiOut}
	}
	return kernel.SAID{Dst: sa.local, Proto: l.proto, SPI: l.spiIn}
}

// reserve asks the kernel for the inbound SPIs.
func (sa *pair) reserve(done func(error)) {
	left := len(sa.layers)
	var failed error
	for _, l := range sa.layers {
		op := kernel.GetSPI{Src: sa.remote, Dst: sa.local, Proto: l.proto, Mode: l.mode, ReqID: sa.child.ReqID}
		sa.e.kernelOp(op, func(r kernel.Result) {
			left--
			switch {
			case sa.state == pairGone:
				if r.Err == nil {
					sa.e.deleteSA(kernel.SAID{Dst: sa.local, Proto: l.proto, SPI: r.SPI})
				}
				return
			case r.Err != nil:
				failed = fmt.Errorf("the kernel gives no SPI for %v: %w", l.proto, r.Err)
			case spiOf(l.proto, spiOctets(l.proto, r.SPI)) != r.SPI || r.SPI == 0:
				failed = fmt.Errorf("the kernel gives SPI %v for %v, which cannot be", r.SPI, l.proto)
			default:
				l.spiIn = r.SPI
				sa.reuse(l)
				sa.e.bySAID[sa.said(l, false)] = sa
			}
			if left == 0 {
				done(failed)
			}
		})
	}
}

// reserved says that every transform has its inbound SPI.
func (sa *pair) reserved() bool {
	return !slices.ContainsFunc(sa.layers, func(l *layer) bool { return l.spiIn == 0 })
}

// claim notes the SPIs that the peer chose, in the order of the transforms.
func (sa *pair) claim(spis []kernel.SPI) {
	for i, l := range sa.layers {
		l.spiOut = spis[i]
		sa.e.bySAID[sa.said(l, true)] = sa
	}
}

// claimed says that the peer has its half.
func (sa *pair) claimed() bool { return sa.main().spiOut != 0 }

// taken is the first of the peer's SPIs that another SA has.
func (sa *pair) taken(spis []kernel.SPI) (kernel.SAID, bool) {
	for i, l := range sa.layers {
		id := kernel.SAID{Dst: sa.remote, Proto: l.proto, SPI: spis[i]}
		if sa.e.bySAID[id] != nil {
			return id, true
		}
	}
	return kernel.SAID{}, false
}

// choose notes what was negotiated. Where transforms have different lifetimes, the
// lowest one ends the pair.
func (sa *pair) choose(suites []isakmp.Suite) {
	sa.lifetime = suites[0].Lifetime
	for i, s := range suites {
		sa.layers[i].suite = s
		sa.lifetime = lowest(sa.lifetime, s.Lifetime)
		if sa.lifetime.Time == 0 {
			sa.lifetime.Time = s.Lifetime.Time
		}
		if sa.lifetime.Bytes == 0 {
			sa.lifetime.Bytes = s.Lifetime.Bytes
		}
	}
}

func (sa *pair) suites() []isakmp.Suite {
	list := make([]isakmp.Suite, len(sa.layers))
	for i, l := range sa.layers {
		list[i] = l.suite
	}
	return list
}

// derive makes the keys of one direction.
func (sa *pair) derive(s Session, out bool, shared, ni, nr []byte) error {
	for _, l := range sa.layers {
		spi, k := l.spiIn, &l.in
		if out {
			spi, k = l.spiOut, &l.out
		}
		var err error
		if *k, err = deriveKeys(s, l.suite, spi, shared, ni, nr); err != nil {
			return err
		}
	}
	return nil
}

// kernelSA describes one SA. The pair's lifetime is that of the main transform's SAs; what is
// around it or inside of it goes with them.
func (sa *pair) kernelSA(l *layer, out bool) kernel.SA {
	k := kernel.SA{
		SAID: sa.said(l, out), Mode: l.mode, ReqID: sa.child.ReqID,
		Encr: l.suite.Encr, Integ: l.suite.Integ, Comp: l.suite.Comp,
	}
	if out {
		k.Src, k.Direction, k.Selector, k.Binding = sa.local, kernel.Out, sa.selector, sa.child.Binding
	} else {
		k.Src, k.Direction, k.Selector, k.Binding = sa.remote, kernel.In, sa.selector.Reverse(), sa.child.Binding.Inbound()
		if l.proto != kernel.IPComp {
			k.Replay = sa.child.Replay
		}
	}
	if l == sa.main() {
		k.Soft, k.Hard = sa.soft, sa.hard
	}
	if l.mode != sa.child.Mode {
		k.Selector = kernel.Selector{} // it protects the tunnel's packets
	}
	return k
}

// install puts the SAs of one direction into the kernel.
func (sa *pair) install(out bool, done func(error)) {
	left := len(sa.layers)
	name := "inbound"
	if out {
		name, sa.hasOut = "outbound", true
	} else {
		sa.hasIn = true
	}
	var failed error
	for _, l := range sa.layers {
		k := sa.kernelSA(l, out)
		own := &l.in
		if out {
			own = &l.out
		}
		k.EncrKey, k.IntegKey = own.encr, own.integ
		*own = keys{} // the octets are the kernel's request's by now
		sa.e.kernelOp(kernel.AddSA{SA: k}, func(r kernel.Result) {
			if out && r.Err == nil {
				sa.took(l)
			}
			if left--; r.Err != nil && failed == nil {
				failed = fmt.Errorf("the kernel refuses the %s SA of %v: %w", name, l.proto, r.Err)
			}
			if left == 0 && sa.state != pairGone {
				done(failed)
			}
		})
	}
}

// took notes that the kernel has an outbound SA, which is one too many where the pair has
// ended meanwhile. The SPI is the peer's choice: what the kernel has by the name of one
// that it refuses is IKEv2's, or another's.
func (sa *pair) took(l *layer) {
	if l.taken = sa.hasOut; !sa.hasOut {
		sa.e.deleteSA(sa.said(l, true))
	}
}

// dropOutbound removes the outbound SAs.
func (sa *pair) dropOutbound() {
	for _, l := range sa.layers {
		if id := sa.said(l, true); sa.e.bySAID[id] == sa {
			delete(sa.e.bySAID, id)
		}
		if l.taken {
			sa.e.deleteSA(sa.said(l, true))
		}
		l.taken = false
	}
	sa.hasOut = false
}

// dropInbound removes the inbound SAs, or the reservations of their SPIs.
func (sa *pair) dropInbound() {
	for _, l := range sa.layers {
		if l.spiIn != 0 {
			delete(sa.e.bySAID, sa.said(l, false))
			sa.e.deleteSA(sa.said(l, false))
			l.spiIn = 0
		}
	}
	sa.hasIn = false
}
