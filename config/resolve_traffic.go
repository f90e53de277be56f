package config

import (
	"slices"
	"strings"

	"racoon2/ikev2/transform"
)

// builtinSA is the transform of policies that name none: default's sa section
// over the built-in algorithms.
func (r *resolver) builtinSA() *SA {
	sa := &SA{Pos: view{inherited: r.defaults[inSA]}.pos(), Protocol: SAESP}
	r.espProposals(sa, view{inherited: r.defaults[inSA]})
	return sa
}

// builtinIPsec is the bundle of policies that name none.
func (r *resolver) builtinIPsec() *IPsec {
	p := &IPsec{}
	r.buildIPsec(p, view{inherited: r.defaults[inIPsec]})
	return p
}

// buildSA fills an sa section.
func (r *resolver) buildSA(sa *SA, v view) {
	sa.SPI = get(v, "spi", uint32(0))
	e := v.get("sa_protocol")
	if e == nil && !v.lacks("sa_protocol") {
		return
	}
	if e == nil {
		r.errorf("no-protocol", at(sa.Pos, "sa"), "add: sa_protocol esp;", "sa %s has no sa_protocol", clip(sa.Name))
		return
	}
	sa.Protocol = SAProtocol(e.val.(uint8))
	switch sa.Protocol {
	case SAAH:
		r.ahProposal(sa, v)
	case SAIPComp:
		r.ipcompProposal(sa, v)
	default:
		r.espProposals(sa, v)
	}
	r.keepKeys(sa, v)
	if sa.Disabled {
		r.warnf("sa-disabled", at(sa.Pos, "sa"), "", "sa %s is disabled: %s", clip(sa.Name), sa.Reason)
	}
	r.checkSAAlgorithms(sa, v)
}

// checkSAAlgorithms warns of algorithms for a protocol that the section has not.
func (r *resolver) checkSAAlgorithms(sa *SA, v view) {
	for name, proto := range map[string]SAProtocol{
		"esp_enc_alg": SAESP, "esp_auth_alg": SAESP, "ah_auth_alg": SAAH, "ipcomp_alg": SAIPComp,
	} {
		if e := v.own.get(name); e != nil && proto != sa.Protocol {
			r.warnf("no-effect", e.nameItem(), "remove it", "%s has no effect: sa_protocol is %s", name, sa.Protocol)
		}
	}
}

// espProposals makes the proposals of an ESP transform.
func (r *resolver) espProposals(sa *SA, v view) {
	set, integ, reason := r.protection(v.get("esp_enc_alg"), v.get("esp_auth_alg"))
	if reason != "" {
		sa.Disabled, sa.Reason = true, reason
		return
	}
	eachProposal(set, integ, func(encr []Encryption, integ []transform.INTEG) {
		sa.Proposals = append(sa.Proposals, SAProposal{Encr: encr, Integ: integ})
	})
}

// ahProposal makes the proposal of an AH transform, which integrity is all of.
func (r *resolver) ahProposal(sa *SA, v view) {
	e := v.get("ah_auth_alg")
	list, reason := listOf(e, defaultInteg)
	if e != nil && slices.Contains(list, transform.AUTH_NONE) {
		r.warnf("no-integrity", e.nameItem(), "remove non_auth", "AH is nothing without an integrity algorithm: non_auth is left out")
		list = slices.DeleteFunc(slices.Clone(list), func(i transform.INTEG) bool { return i == transform.AUTH_NONE })
	}
	if reason == "" && len(list) == 0 {
		reason = "ah_auth_alg names no integrity algorithm"
	}
	sa.Disabled, sa.Reason = reason != "", reason
	if !sa.Disabled {
		sa.Proposals = []SAProposal{{Integ: list}}
	}
}

// ipcompProposal makes the proposal of an IPComp transform.
func (r *resolver) ipcompProposal(sa *SA, v view) {
	list, reason := listOf(v.get("ipcomp_alg"), []transform.COMP{transform.COMP_DEFLATE})
	sa.Disabled, sa.Reason = reason != "", reason
	if !sa.Disabled {
		sa.Proposals = []SAProposal{{Comp: list}}
	}
}

// buildIPsec fills an ipsec section.
func (r *resolver) buildIPsec(p *IPsec, v view) {
	p.Lifetime = get(v, "ipsec_sa_lifetime_time", defaultChildLifetime)
	p.LifetimeBytes = get(v, "ipsec_sa_lifetime_byte", uint64(0))
	p.ExtSequence = get(v, "ext_sequence", false)
	p.ReplayWindow = r.replayWindow(v)
	r.checkLifetime(v, "ipsec_sa_lifetime_time")
	r.checkLifetime(v, "ipsec_sa_lifetime_byte")
	e := v.get("sa_index")
	if e == nil {
		p.SAs = []*SA{r.builtinSA()}
	} else {
		p.SAs = r.bundle(p, e)
	}
	for _, sa := range p.SAs {
		if sa.Disabled {
			p.Disabled = true
			p.Reason = strings.TrimSpace("its sa "+sa.Name) + " is disabled: " + sa.Reason
			return
		}
	}
	if p.has(SAIPComp) && len(p.SAs) == 1 {
		p.Disabled, p.Reason = true, "IPComp is agreed on together with ESP or AH only (RFC 7296 §2.22)"
		r.warnf("bundle", e.nameItem(), "add an sa of esp", "ipsec %s is disabled: %s", clip(p.Name), p.Reason)
	}
}

// has says whether a bundle has an SA of a protocol.
func (p *IPsec) has(proto SAProtocol) bool {
	return slices.ContainsFunc(p.SAs, func(sa *SA) bool { return sa.Protocol == proto })
}

// RefusedByIKEv2 says why IKEv2 cannot negotiate a bundle that is usable otherwise
// ("" is well).
func (p *IPsec) RefusedByIKEv2() string {
	if p.has(SAESP) && p.has(SAAH) {
		return "IKEv2 has no bundles of ESP and AH: each would be a child SA of its own (RFC 7296 §1.7)"
	}
	return ""
}

// bundle resolves the sa sections of a bundle, one for each protocol.
func (r *resolver) bundle(p *IPsec, e *entry) []*SA {
	var sas []*SA
	seen := map[SAProtocol]*SA{}
	for _, n := range e.val.([]name) {
		sa := refer(r, r.config.index.sas, "sa", n)
		if sa == nil {
			continue
		}
		if old := seen[sa.Protocol]; old != nil && sa.Protocol != 0 {
			r.errorf("duplicate-protocol", n.item, "write two ipsec sections and name both in ipsec_index",
				"a bundle has one sa for each protocol; %s and %s are both %s", clip(old.Name), clip(sa.Name), sa.Protocol)
			continue
		}
		seen[sa.Protocol] = sa
		sas = append(sas, sa)
	}
	if len(e.val.([]name)) == 0 {
		r.errorf("empty-list", e.nameItem(), "name an sa section, or remove sa_index", "sa_index names nothing")
	}
	return sas
}

// buildPolicy fills a policy section.
func (r *resolver) buildPolicy(p *Policy, v view) {
	p.Install = get(v, "install", true)
	p.Mode = Mode(get(v, "ipsec_mode", uint8(ModeTunnel)))
	p.Level = Level(get(v, "ipsec_level", uint8(LevelRequire)))
	p.InitialChildKE = InitialChildKE(get(v, "initial_child_ke", uint8(InitialChildKEOff)))
	r.buildExtensions(p, v)
	p.MySAIPAddr = pointer(get(v, "my_sa_ipaddr", Address{}))
	p.PeersSAIPAddr = pointer(get(v, "peers_sa_ipaddr", Address{}))
	p.Action = Action(get(v, "action", uint8(ActionAutoIPsec)))
	switch p.Action {
	case ActionDiscard, ActionNone:
		r.checkClearPolicy(p, v)
		return
	}
	if e := v.get("remote_index"); e != nil {
		n := e.val.(name)
		p.RemoteIndex = n.text
		p.Remote = refer(r, r.config.index.remotes, "remote", n)
	} else if p.Action == ActionAutoIPsec && v.lacks("remote_index") {
		r.errorf("no-remote", at(p.Pos, "policy"), "add: remote_index NAME;", "policy %s has no remote_index", clip(p.Name))
	}
	r.alternatives(p, v)
	if p.Remote != nil && p.Remote.Disabled && p.Action == ActionAutoIPsec {
		r.disablePolicy(p, "its remote "+p.RemoteIndex+" is disabled: "+p.Remote.Reason)
	}
	r.checkEndPoints(p, v)
	if p.Action == ActionStaticIPsec {
		r.staticPolicy(p)
		return
	}
	r.checkOutliving(p)
	r.checkStart(p, v)
}

// alternatives resolves the ipsec sections of a policy.
func (r *resolver) alternatives(p *Policy, v view) {
	e := v.get("ipsec_index")
	if e == nil {
		p.IPsecs = []*IPsec{r.builtinIPsec()}
	} else {
		for _, n := range e.val.([]name) {
			if i := refer(r, r.config.index.ipsecs, "ipsec", n); i != nil {
				p.IPsecs = append(p.IPsecs, i)
			}
		}
		if len(e.val.([]name)) == 0 {
			r.errorf("empty-list", e.nameItem(), "name an ipsec section, or remove ipsec_index", "ipsec_index names nothing")
		}
		r.checkHidden(p, e)
	}
	var reasons []string
	for _, i := range p.IPsecs {
		reason := i.Reason
		if refused := i.RefusedByIKEv2(); !i.Disabled && refused != "" && p.Action == ActionAutoIPsec && p.Remote != nil && p.Remote.IKEv2 != nil {
			r.warnf("bundle", at(i.Pos, "ipsec"), "use ESP alone, which protects all but the outer header",
				"policy %s leaves ipsec %s out: %s", clip(p.Name), clip(i.Name), refused)
			reason = refused
		} else if !i.Disabled {
			reason = ""
		}
		reasons = append(reasons, reason)
	}
	if len(reasons) > 0 && !slices.Contains(reasons, "") {
		r.disablePolicy(p, "none of its ipsec sections can be used: "+strings.Join(reasons, "; "))
	}
}

// disablePolicy takes a policy out of use; the first reason counts.
func (r *resolver) disablePolicy(p *Policy, reason string) {
	if p.Disabled {
		return
	}
	p.Disabled, p.Reason = true, reason
	r.warnf("policy-disabled", at(p.Pos, "policy"), "", "policy %s is disabled: %s", clip(p.Name), reason)
}

func pointer(a Address) *Address {
	if a.Kind == 0 {
		return nil
	}
	return &a
}

// buildSelector fills a selector section.
func (r *resolver) buildSelector(s *Selector, v view) {
	s.Order = uint32(get(v, "order", 0))
	s.ReqID = uint32(get(v, "reqid", 0))
	s.Tagged = get(v, "tagged", "")
	s.NextHeader = get(v, "next_header_including", uint8(0))
	s.Direction = Direction(get(v, "direction", uint8(0)))
	s.Src = get[[]Address](v, "src", nil)
	s.Dst = get[[]Address](v, "dst", nil)
	r.selectorProtocol(s, v)
	for _, must := range []struct{ name, hint string }{
		{"direction", "add: direction outbound;, and a second selector with inbound"},
		{"src", "add: src ADDRESS;"}, {"dst", "add: dst ADDRESS;"},
		{"policy_index", "add: policy_index NAME;"},
	} {
		if v.lacks(must.name) {
			r.errorf("missing-directive", at(s.Pos, "selector"), must.hint, "selector %s has no %s", clip(s.Name), must.name)
		}
	}
	if e := v.get("policy_index"); e != nil {
		n := e.val.(name)
		s.PolicyIndex = n.text
		s.Policy = refer(r, r.config.index.policies, "policy", n)
	}
	if s.Policy != nil && s.Policy.Disabled {
		s.Disabled, s.Reason = true, "its policy "+s.PolicyIndex+" is disabled: "+s.Policy.Reason
	}
	r.checkSelector(s, v)
}

// selectorProtocol reads the upper-layer protocol and the ports, which stand
// with the addresses, or with the protocol for ICMP's type and code.
func (r *resolver) selectorProtocol(s *Selector, v view) {
	u := get(v, "upper_layer_protocol", upperProtocol{src: AnyPort, dst: AnyPort})
	s.Protocol, s.SrcPort, s.DstPort = u.proto, u.src, u.dst
	for _, side := range []struct {
		name  string
		list  []Address
		ports *PortRange
	}{{"src", s.Src, &s.SrcPort}, {"dst", s.Dst, &s.DstPort}} {
		for i, a := range side.list {
			if i > 0 && a.Port != side.list[0].Port {
				r.errorf("ports-differ", at(a.Pos, a.String()), "write a selector for each port",
					"the addresses of %s have different ports", side.name)
			}
		}
		if len(side.list) == 0 || side.list[0].Port == 0 {
			continue
		}
		a := side.list[0]
		switch s.Protocol {
		case protoICMP, protoICMPv6, protoMH:
			r.errorf("port-without-protocol", at(a.Pos, a.String()), "write the type and code behind upper_layer_protocol",
				"the protocol of selector %s has no ports", clip(s.Name))
		case 0:
			if v.get("upper_layer_protocol") == nil && !v.lacks("upper_layer_protocol") {
				continue
			}
			r.errorf("port-without-protocol", at(a.Pos, a.String()), `add: upper_layer_protocol "tcp";`,
				"a port needs a protocol that has ports (RFC 4301 §4.4.1.1)")
		default:
			*side.ports = PortRange{a.Port, a.Port}
		}
	}
}
