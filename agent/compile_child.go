package agent

import (
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
		Name:    s.Name,
		Where:   where(s.Pos),
		Mode:    modeOf(pol.Mode),
		Level:   levelOf(pol.Level),
		ReqID:   c.reqIDs.of(p),
		MyEnd:   end(pol.MySAIPAddr),
		PeerEnd: end(pol.PeersSAIPAddr),

		Childless: pol.InitialChildKE == config.InitialChildKEChildless,
	}
	if p.Inbound != nil {
		child.Inbound = p.Inbound.Name
		if a, b := s.ReqID, p.Inbound.ReqID; a != 0 && b != 0 && a != b {
			c.find(config.Warning, p.Inbound.Pos, "reqid-pair", "give both the same reqid",
				"selector %q has reqid %d and its reverse %q has %d; both directions use %d", s.Name, a, p.Inbound.Name, b, a)
		}
	}
	child.Outbound = c.traffic(s)
	child.Dynamic = slices.ContainsFunc(s.Dst, func(a config.Address) bool {
		return a.Kind == config.AddressMacro && a.Macro == config.MacroRW
	})
	if len(child.Outbound) == 0 {
		c.find(config.Warning, s.Pos, "no-traffic", "", "selector %q stands for no pair of addresses on this host now", s.Name)
	}
	if bundle := firstUsable(pol.IPsecs); bundle != nil {
		child.Lifetime = kernel.Lifetime{Time: bundle.Lifetime, Bytes: bundle.LifetimeBytes}
		child.Replay = bundle.ReplayWindow
		if c.o.Kernel != nil && !c.o.Kernel.ByteLifetimes && bundle.LifetimeBytes != 0 {
			c.find(config.Warning, bundle.Pos, "byte-lifetime", "", "this kernel does not count octets: ipsec_sa_lifetime_byte has no effect")
			child.Lifetime.Bytes = 0
		}
		if c.o.Kernel != nil && bundle.ReplayWindow > c.o.Kernel.MaxReplay {
			c.find(config.Warning, bundle.Pos, "replay-window", "", "this kernel's largest anti-replay window is %d packets", c.o.Kernel.MaxReplay)
			child.Replay = c.o.Kernel.MaxReplay
		}
	}
	child.Proposals = c.childProposals(pol)
	if len(child.Proposals) == 0 {
		c.find(config.Error, s.Pos, "no-child-proposal", "", "selector %q: the kernel can do none of the algorithms of policy %q", s.Name, pol.Name)
	}
	remote.Children = append(remote.Children, child)
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

// childProposals are the alternatives of a policy, in order of preference.
func (c *compiler) childProposals(pol *config.Policy) []ikev2.ChildProposal {
	var out []ikev2.ChildProposal
	for _, bundle := range pol.IPsecs {
		if bundle.Disabled {
			continue
		}
		for _, sa := range bundle.SAs {
			if sa.Disabled || sa.Protocol != config.SAESP {
				continue
			}
			for _, p := range sa.Proposals {
				if p, ok := c.forKernel(sa, p); ok {
					out = append(out, ikev2.ChildProposal{
						Protocol: kernel.ESP, Encr: encryptions(p.Encr), Integ: p.Integ,
						KE: exchanges(pol.Remote), SN: c.sequenceNumbers(bundle),
					})
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
func (c *compiler) sequenceNumbers(b *config.IPsec) []transform.SN {
	if !b.ExtSequence {
		return []transform.SN{transform.SN_32BIT}
	}
	if c.o.Kernel != nil && !c.o.Kernel.ESN {
		c.find(config.Warning, b.Pos, "ext-sequence", "", "this kernel has no extended sequence numbers: ext_sequence has no effect")
		return []transform.SN{transform.SN_32BIT}
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
	return kept, len(kept.Encr) > 0 && (len(p.Integ) == 0 || len(kept.Integ) > 0)
}

func firstUsable(bundles []*config.IPsec) *config.IPsec {
	for _, b := range bundles {
		if !b.Disabled {
			return b
		}
	}
	return nil
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
