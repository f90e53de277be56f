package agent

import (
	"slices"

	"racoon2/config"
	"racoon2/kernel"
	"racoon2/kink"
)

// kinkProposals are the alternatives of a policy, in order of preference. The
// transforms of a bundle are negotiated together (RFC 2408 §4.2), so that each of
// its alternatives goes with each of the others'.
func (c *compiler) kinkProposals(bundles []*config.IPsec) []kink.Proposal {
	var out []kink.Proposal
	for _, bundle := range bundles {
		combinations := [][]kink.Proposal{nil}
		for _, sa := range bundle.SAs {
			var next [][]kink.Proposal
			for _, one := range combinations {
				for _, t := range c.kinkTransforms(sa) {
					next = append(next, append(slices.Clone(one), t))
				}
			}
			combinations = next
		}
		for _, one := range combinations {
			if len(one) > 0 {
				p := one[0]
				p.Outer = one[1:]
				out = append(out, p)
			}
		}
	}
	return out
}

// kinkTransforms are the alternatives of one sa section.
func (c *compiler) kinkTransforms(sa *config.SA) []kink.Proposal {
	var out []kink.Proposal
	if sa.Disabled {
		return nil
	}
	for _, p := range sa.Proposals {
		one := kink.Proposal{Protocol: kernel.ESP}
		switch sa.Protocol {
		case config.SAIPComp:
			one.Protocol = kernel.IPComp
			for _, comp := range p.Comp {
				if c.o.Kernel != nil && !slices.Contains(c.o.Kernel.Comp, comp) {
					c.find(config.Warning, sa.Pos, "kernel-algorithm", "", "this kernel has no %v: left out", comp)
					continue
				}
				one.Comp = append(one.Comp, comp)
			}
			if len(one.Comp) > 0 {
				out = append(out, one)
			}
			continue
		case config.SAAH:
			one.Protocol = kernel.AH
		}
		p, ok := c.forKernel(sa, p)
		if !ok {
			continue
		}
		one.Integ = p.Integ
		for _, e := range p.Encr {
			one.Encr = append(one.Encr, kink.Encryption{ID: e.ID, KeyBits: e.KeyBits})
		}
		out = append(out, one)
	}
	return out
}
