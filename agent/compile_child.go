package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// maxPairs bounds the address pairs of one selector.
const maxPairs = 256

// child compiles an outbound selector with its reverse into a child of its remote.
func (c *compiler) child(p config.Pair) {
	s, pol := p.Outbound, p.Outbound.Policy
	if s.Disabled || pol == nil || pol.Disabled || pol.Action != config.ActionAutoIPsec {
		return
	}
	remote := c.byRemote[pol.Remote]
	if remote == nil {
		return
	}
	child := &ikev2.Child{
		Name:  s.Name,
		Where: where(s.Pos),
		Mode:  modeOf(pol.Mode),
		Level: levelOf(pol.Level),
		ReqID: c.reqIDs.of(p),

		Binding: c.binding(pol),
		PerPair: pol.PerPair,

		Fragments: c.o.Kernel != nil && c.o.Kernel.Fragments,

		Childless:   pol.InitialChildKE == config.InitialChildKEChildless,
		RekeyAtOnce: pol.InitialChildKE == config.InitialChildKEImmediate,
	}
	child.MyEnd, child.PeerEnd = childEnds(pol)
	if p.Inbound != nil {
		child.Inbound = p.Inbound.Name
	}
	child.Outbound, child.Dynamic = c.childTraffic(p)
	if pol.PerPair && pol.Start && !slices.ContainsFunc(child.Outbound, func(s kernel.Selector) bool { return s.Src.IsSingleIP() && s.Dst.IsSingleIP() }) {
		c.find(config.Warning, s.Pos, "start-per-pair", "leave start out, or give the selector a host at each end",
			"start of policy %q has no effect on selector %q: with sa_per_pair only packets tell for which addresses SAs are wanted", pol.Name, s.Name)
	}
	bundles := c.bundles(pol)
	if len(bundles) > 0 {
		bundle := bundles[0]
		child.Lifetime = kernel.Lifetime{Time: bundle.Lifetime, Bytes: bundle.LifetimeBytes}
		child.Replay = c.replayWindow(bundle)
		if c.o.Kernel != nil && !c.o.Kernel.ByteLifetimes && bundle.LifetimeBytes != 0 {
			c.find(config.Advice, bundle.Pos, "byte-lifetime", "", "this kernel does not keep ipsec_sa_lifetime_byte itself: it is asked every 10 seconds what has passed")
			child.CountBytes = true
		}
	}
	child.Proposals, child.Comp = c.childProposals(pol, bundles), c.compressions(bundles)
	if (child.Childless || child.RekeyAtOnce) && !slices.ContainsFunc(child.Proposals, func(p ikev2.ChildProposal) bool { return len(p.KE) > 0 }) {
		c.find(config.Warning, pol.Pos, "child-ke", fmt.Sprintf("set need_pfs on in remote %q", pol.Remote.Name),
			"initial_child_ke of policy %q gives the first child no key exchange of its own: remote %q has no need_pfs", pol.Name, pol.Remote.Name)
	}
	if len(child.Proposals) == 0 {
		c.find(config.Error, s.Pos, "no-child-proposal", "", "selector %q: the kernel can do none of the algorithms of policy %q", s.Name, pol.Name)
	}
	remote.Children = append(remote.Children, child)
}

// childTraffic is what a pair of selectors stands for in the outbound direction;
// dynamic says that the peer's own address is all that it goes to.
func (c *compiler) childTraffic(p config.Pair) (out []kernel.Selector, dynamic bool) {
	s := p.Outbound
	if p.Inbound != nil {
		if a, b := s.ReqID, p.Inbound.ReqID; a != 0 && b != 0 && a != b {
			c.find(config.Warning, p.Inbound.Pos, "reqid-pair", "give both the same reqid",
				"selector %q has reqid %d and its reverse %q has %d; both directions use %d", s.Name, a, p.Inbound.Name, b, a)
		}
	}
	if out = c.traffic(s); len(out) == 0 {
		c.find(config.Warning, s.Pos, "no-traffic", "", "selector %q stands for no pair of addresses on this host now", s.Name)
	}
	return out, slices.ContainsFunc(s.Dst, func(a config.Address) bool {
		return a.Kind == config.AddressMacro && a.Macro == config.MacroRW
	})
}

// replayWindow is a bundle's, as far as the kernel can.
func (c *compiler) replayWindow(b *config.IPsec) uint32 {
	if c.o.Kernel == nil || b.ReplayWindow <= c.o.Kernel.MaxReplay {
		return b.ReplayWindow
	}
	c.find(config.Warning, b.Pos, "replay-window", "", "this kernel's largest anti-replay window is %d packets", c.o.Kernel.MaxReplay)
	return c.o.Kernel.MaxReplay
}

// traffic is what an outbound selector stands for: each fitting pair of its
// addresses.
func (c *compiler) traffic(s *config.Selector) []kernel.Selector {
	var out []kernel.Selector
	for _, src := range c.expandAll(s.Src) {
		for _, dst := range c.expandAll(s.Dst) {
			if src.Addr().Is4() != dst.Addr().Is4() {
				continue
			}
			if len(out) == maxPairs {
				c.find(config.Error, s.Pos, "too-many-pairs", "split it into several selectors",
					"selector %q stands for more than %d pairs of addresses", s.Name, maxPairs)
				return out
			}
			out = append(out, kernel.Selector{
				Src: src, Dst: dst, Proto: s.Protocol,
				SrcPort: kernel.PortRange(s.SrcPort), DstPort: kernel.PortRange(s.DstPort),
			})
		}
	}
	return out
}

// bundles are the alternatives of a policy that its remote's engines can negotiate and
// that its SPD entries can stand for: the entries name the protocols of the first, so that
// alternatives with others are left out.
func (c *compiler) bundles(pol *config.Policy) []*config.IPsec {
	out, known := c.usable[pol]
	if known {
		return out
	}
	defer func() { c.usable[pol] = out }()
	for _, b := range pol.IPsecs {
		if b.Disabled || b.RefusedByIKEv2() != "" && (pol.Remote == nil || pol.Remote.IKEv2 != nil) {
			continue // config has said so
		}
		if lacking := c.kernelLacks(protocols(b)); lacking != "" {
			c.find(config.Warning, b.Pos, "kernel-protocol", "", "policy %q leaves ipsec %q out: this kernel has no %s", pol.Name, b.Name, lacking)
			continue
		}
		if len(out) > 0 && !slices.Equal(protocols(b), protocols(out[0])) {
			c.find(config.Warning, b.Pos, "mixed-protocols", "give it a policy and selectors of its own",
				"policy %q leaves ipsec %q out: its protocols are not those of %q, which comes first and which the SPD has", pol.Name, b.Name, out[0].Name)
			continue
		}
		out = append(out, b)
	}
	return out
}

// kernelLacks names what of a bundle the kernel does not have ("" is nothing).
func (c *compiler) kernelLacks(list []kernel.Protocol) string {
	k := c.o.Kernel
	switch {
	case k == nil:
	case slices.Contains(list, kernel.AH) && !k.AH:
		return "AH"
	case slices.Contains(list, kernel.IPComp) && len(k.Comp) == 0:
		return "IPComp"
	case len(list) > 1 && !k.Bundles:
		return "policies with several transforms"
	}
	return ""
}

// protocols are those of a bundle, innermost first: IPComp, then ESP or AH
// (RFC 4301 §4.5).
func protocols(b *config.IPsec) []kernel.Protocol {
	var out []kernel.Protocol
	for _, proto := range []struct {
		word config.SAProtocol
		is   kernel.Protocol
	}{{config.SAIPComp, kernel.IPComp}, {config.SAESP, kernel.ESP}, {config.SAAH, kernel.AH}} {
		if slices.ContainsFunc(b.SAs, func(sa *config.SA) bool { return sa.Protocol == proto.word }) {
			out = append(out, proto.is)
		}
	}
	return out
}

// childProposals are the alternatives of a policy, in order of preference.
func (c *compiler) childProposals(pol *config.Policy, bundles []*config.IPsec) []ikev2.ChildProposal {
	var out []ikev2.ChildProposal
	for _, bundle := range bundles {
		for _, sa := range bundle.SAs {
			proto := kernel.ESP
			switch {
			case sa.Disabled || sa.Protocol == config.SAIPComp:
				continue
			case sa.Protocol == config.SAAH:
				proto = kernel.AH
			}
			for _, p := range sa.Proposals {
				if p, ok := c.forKernel(sa, p); ok {
					out = append(out, ikev2.ChildProposal{
						Protocol: proto, Encr: encryptions(p.Encr), Integ: p.Integ,
						KE: exchanges(pol.Remote), SN: c.sequenceNumbers(pol.Remote, bundle),
					})
				}
			}
		}
	}
	return out
}

// compressions are the algorithms of IPComp. They are agreed on beside the
// proposals (RFC 7296 §2.22), so that all bundles share them.
func (c *compiler) compressions(bundles []*config.IPsec) []transform.COMP {
	var out []transform.COMP
	for _, bundle := range bundles {
		for _, sa := range bundle.SAs {
			if sa.Disabled || sa.Protocol != config.SAIPComp {
				continue
			}
			for _, comp := range sa.Proposals[0].Comp {
				switch {
				case c.o.Kernel != nil && !slices.Contains(c.o.Kernel.Comp, comp):
					c.find(config.Warning, sa.Pos, "kernel-algorithm", "", "this kernel has no %v: left out", comp)
				case !slices.Contains(out, comp):
					out = append(out, comp)
				}
			}
		}
	}
	return out
}

// exchanges are the key exchanges for further children, those of the remote's
// IKE proposals; none without need_pfs.
func exchanges(r *config.Remote) []transform.KE {
	if r == nil || r.IKEv2 == nil || !r.IKEv2.NeedPFS {
		return nil
	}
	var out []transform.KE
	for _, p := range r.IKEv2.Proposals {
		for _, ke := range p.KE {
			if !slices.Contains(out, ke) {
				out = append(out, ke)
			}
		}
	}
	return out
}

// sequenceNumbers are what ext_sequence asks for, as far as the kernel can.
func (c *compiler) sequenceNumbers(r *config.Remote, b *config.IPsec) []transform.SN {
	if !b.ExtSequence {
		return []transform.SN{transform.SN_32BIT}
	}
	if c.o.Kernel != nil && !c.o.Kernel.ESN {
		c.find(config.Warning, b.Pos, "ext-sequence", "", "this kernel has no extended sequence numbers: ext_sequence has no effect")
		return []transform.SN{transform.SN_32BIT}
	}
	if r != nil && r.IKEv2 != nil && r.IKEv2.ProposalCheck == config.CheckExact {
		return []transform.SN{transform.SN_EXTENDED}
	}
	return []transform.SN{transform.SN_EXTENDED, transform.SN_32BIT}
}

// forKernel leaves out the algorithms that the kernel does not have.
func (c *compiler) forKernel(sa *config.SA, p config.SAProposal) (config.SAProposal, bool) {
	if c.o.Kernel == nil {
		return p, true
	}
	var kept config.SAProposal
	for _, e := range p.Encr {
		if slices.Contains(c.o.Kernel.Encr, e.ID) {
			kept.Encr = append(kept.Encr, e)
		} else {
			c.find(config.Warning, sa.Pos, "kernel-algorithm", "", "this kernel has no %v: left out", e.ID)
		}
	}
	for _, i := range p.Integ {
		if slices.Contains(c.o.Kernel.Integ, i) {
			kept.Integ = append(kept.Integ, i)
		} else {
			c.find(config.Warning, sa.Pos, "kernel-algorithm", "", "this kernel has no %v: left out", i)
		}
	}
	return kept, (len(p.Encr) == 0 || len(kept.Encr) > 0) && (len(p.Integ) == 0 || len(kept.Integ) > 0)
}

// end is a tunnel end point; a macro or nothing leaves it to the IKE SA.
func end(a *config.Address) netip.Addr {
	if a == nil || a.Kind != config.AddressInet {
		return netip.Addr{}
	}
	return a.Addr
}

func modeOf(m config.Mode) kernel.Mode {
	if m == config.ModeTransport {
		return kernel.Transport
	}
	return kernel.Tunnel
}

func levelOf(l config.Level) kernel.Level {
	switch l {
	case config.LevelUse:
		return kernel.Use
	case config.LevelUnique:
		return kernel.Unique
	default:
		return kernel.Require
	}
}
