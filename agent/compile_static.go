package agent

import (
	"slices"

	"racoon2/config"
	"racoon2/kernel"
	"racoon2/policy"
)

// static fills in what a policy has whose SAs have their keys in the
// configuration. config has checked them; the kernel may lack something.
func (c *compiler) static(s *config.Selector, pol *config.Policy, out *policy.Selector) {
	out.Action = kernel.Protect
	out.Mode = modeOf(pol.Mode)
	out.Level = levelOf(pol.Level)
	out.MyEnd, out.PeerEnd = c.myEnd(pol), c.peerEnds(pol)
	out.ReqID = c.reqIDs.of(pairOf(s))
	bound := c.binding(pol)
	out.Binding, out.MSS = policyBinding(bound), c.segment(pol)
	if len(pol.IPsecs) == 0 {
		return
	}
	bundle := pol.IPsecs[0]
	out.Bundle = protocols(bundle)
	if lacking := c.kernelLacks(out.Bundle); lacking != "" {
		c.find(config.Error, bundle.Pos, "kernel-protocol", "", "static policy %q: this kernel has no %s", pol.Name, lacking)
	}
	for _, proto := range out.Bundle {
		for _, sa := range bundle.SAs {
			if protocolOf(sa.Protocol) == proto {
				m := c.manualSA(pol, sa)
				m.Binding = bound
				out.Manual = append(out.Manual, m)
			}
		}
	}
}

// manualSA is one of its transforms.
func (c *compiler) manualSA(pol *config.Policy, sa *config.SA) kernel.SA {
	out := kernel.SA{
		SAID:    kernel.SAID{Proto: protocolOf(sa.Protocol), SPI: kernel.SPI(sa.SPI)},
		EncrKey: slices.Clone(sa.EncrKey), IntegKey: slices.Clone(sa.IntegKey),
	}
	if len(sa.Proposals) == 0 {
		return out
	}
	p := sa.Proposals[0]
	lacks := func(what string) {
		c.find(config.Error, sa.Pos, "kernel-algorithm", "", "static policy %q: this kernel has no %s", pol.Name, what)
	}
	k := c.o.Kernel
	if len(p.Encr) > 0 {
		if out.Encr = p.Encr[0].ID; k != nil && !slices.Contains(k.Encr, out.Encr) {
			lacks(out.Encr.String())
		}
	}
	if len(p.Integ) > 0 {
		if out.Integ = p.Integ[0]; k != nil && !slices.Contains(k.Integ, out.Integ) {
			lacks(out.Integ.String())
		}
	}
	if len(p.Comp) > 0 {
		if out.Comp = p.Comp[0]; k != nil && !slices.Contains(k.Comp, out.Comp) {
			lacks(out.Comp.String())
		}
	}
	return out
}

// protocolOf is a protocol of the configuration as kernels number it.
func protocolOf(p config.SAProtocol) kernel.Protocol {
	switch p {
	case config.SAAH:
		return kernel.AH
	case config.SAIPComp:
		return kernel.IPComp
	}
	return kernel.ESP
}
