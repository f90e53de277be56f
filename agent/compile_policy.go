package agent

import (
	"cmp"
	"strconv"

	"racoon2/config"
	"racoon2/kernel"
	"racoon2/policy"
	"racoon2/resolver"
)

// policies compiles the selectors with their policies, in the file's order.
func (c *compiler) policies() *policy.Settings {
	out := &policy.Settings{LeftInClear: c.cfg.Resolver.AddressAction == config.ActionNone}
	for _, s := range c.cfg.Selectors {
		if compiled := c.selector(s); compiled != nil {
			out.Selectors = append(out.Selectors, compiled)
		}
	}
	return out
}

func (c *compiler) selector(s *config.Selector) *policy.Selector {
	pol := s.Policy
	if pol == nil {
		return nil
	}
	unusable := s.Disabled || pol.Disabled
	if unusable && !mustProtect(pol) {
		return nil
	}
	out := &policy.Selector{
		Name:      s.Name,
		Where:     where(s.Pos),
		Direction: kernel.Out,
		Install:   pol.Install,
		Src:       c.addresses(s.Src),
		Dst:       c.addresses(s.Dst),
		Proto:     s.Protocol,
		SrcPort:   kernel.PortRange(s.SrcPort),
		DstPort:   kernel.PortRange(s.DstPort),
		Order:     s.Order,
		Binding:   c.clearBinding(pol),
	}
	if s.Direction == config.Inbound {
		out.Direction = kernel.In
	}
	if unusable {
		c.find(config.Warning, s.Pos, "blocked", "take the selector out to let its traffic pass in clear",
			"traffic of selector %s is blocked: its policy protects it, and cannot: %s", s.Name, cmp.Or(s.Reason, pol.Reason))
		out.Action = kernel.Discard
		return out
	}
	switch pol.Action {
	case config.ActionDiscard:
		out.Action = kernel.Discard
	case config.ActionNone:
		out.Action = kernel.Bypass
	case config.ActionAutoIPsec:
		c.protect(s, pol, out)
	case config.ActionStaticIPsec:
		c.static(s, pol, out)
	}
	return out
}

// mustProtect says that a policy's traffic never passes in clear, even when
// nothing that could protect it is usable.
func mustProtect(pol *config.Policy) bool {
	return pol.Action != config.ActionNone && pol.Install && pol.Level != config.LevelUse
}

// protect fills in what a policy with IPsec has beyond the others.
func (c *compiler) protect(s *config.Selector, pol *config.Policy, out *policy.Selector) {
	out.Action = kernel.Protect
	out.Mode = modeOf(pol.Mode)
	out.Level = levelOf(pol.Level)
	out.MyEnd, out.PeerEnd = c.myEnd(pol), c.peerEnds(pol)
	out.ReqID = c.reqIDs.of(pairOf(s))
	out.Bundle = []kernel.Protocol{kernel.ESP}
	if list := c.bundles(pol); len(list) > 0 {
		out.Bundle = protocols(list[0])
	}
	out.Binding, out.MSS = policyBinding(c.binding(pol)), c.segment(pol)
	out.Start = pol.Start && s.Direction == config.Outbound
	if s.Direction == config.Outbound {
		out.Child = s.Name
	} else if s.Reverse != nil {
		out.Child = s.Reverse.Name
	}
	if pol.Remote == nil {
		return
	}
	out.Remote = pol.Remote.Name
	for _, kmp := range pol.Remote.AcceptableKMP {
		switch {
		case kmp == config.KMPIKEv2 && c.byRemote[pol.Remote] != nil:
			out.Engines = append(out.Engines, kernel.IKEv2)
		case kmp == config.KMPKINK && c.kinkRemotes[pol.Remote] != nil:
			out.Engines = append(out.Engines, kernel.KINK)
		}
	}
}

// addresses compiles one side of a selector; macros stay, because the policy
// manager expands them whenever this host's addresses change, and so do host
// names.
func (c *compiler) addresses(in []config.Address) []policy.Address {
	var out []policy.Address
	for _, a := range in {
		switch a.Kind {
		case config.AddressInet:
			out = append(out, policy.Address{Prefix: a.Prefix})
		case config.AddressMacro:
			out = append(out, policy.Address{Macro: macro(a)})
		case config.AddressFQDN:
			name, err := resolver.Canonical(a.Name)
			if err != nil {
				c.find(config.Error, a.Pos, "host-name", "", "%v", err)
				continue
			}
			out = append(out, policy.Address{Name: name})
		}
	}
	return out
}

// macro is a macro with its interface and prefix length, as policy spells it.
func macro(a config.Address) string {
	m := string(a.Macro)
	if a.Interface != "" {
		m += "%" + a.Interface
	}
	if a.Bits > 0 {
		m += "/" + strconv.Itoa(a.Bits)
	}
	return m
}
