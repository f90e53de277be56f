package xfrm

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"racoon2/kernel"
	"racoon2/kernel/netlink"
)

// maxTemplates bounds the templates of a policy (XFRM_MAX_DEPTH).
const maxTemplates = 6

// addPolicy installs a policy; typ is msgNewPolicy, or msgUpdPolicy to replace
// the one with the same selector, direction and binding; device is the index of
// p.Device, which has to know the policy where it does the whole of ESP.
func addPolicy(typ uint16, p kernel.Policy, device int) (netlink.Message, error) {
	info, err := toPolicyInfo(p)
	if err != nil {
		return netlink.Message{}, err
	}
	var b netlink.Builder
	b.Raw(encode(info))
	templates, err := toTemplates(p)
	if err != nil {
		return netlink.Message{}, fmt.Errorf("policy %v %v: %w", p.Direction, p.Selector, err)
	}
	if len(templates) > 0 {
		b.Octets(attrTemplates, templates)
	}
	addNames(&b, p.Binding)
	if p.Offload == kernel.OffloadPacket {
		b.Octets(attrOffload, encode(toOffload(kernel.SA{Direction: p.Direction, Binding: p.Binding}, device)))
	}
	return netlink.Message{Type: typ, Body: b.Body()}, b.Err()
}

func toPolicyInfo(p kernel.Policy) (policyInfo, error) {
	selector, err := toPolicySelector(p.Selector)
	if err != nil {
		return policyInfo{}, err
	}
	direction, err := toDirection(p.Direction)
	if err != nil {
		return policyInfo{}, fmt.Errorf("policy %v: %w", p.Selector, err)
	}
	info := policyInfo{
		Selector: selector, Limits: toLimits(kernel.Lifetime{}, p.Lifetime),
		Priority: p.Priority, Direction: direction,
	}
	switch p.Action {
	case kernel.Protect:
		if len(p.Templates) == 0 || len(p.Templates) > maxTemplates {
			return policyInfo{}, fmt.Errorf("policy %v %v: protect takes 1 to %d templates, not %d",
				p.Direction, p.Selector, maxTemplates, len(p.Templates))
		}
	case kernel.Discard, kernel.Bypass:
		if len(p.Templates) > 0 {
			return policyInfo{}, fmt.Errorf("policy %v %v: %v takes no templates", p.Direction, p.Selector, p.Action)
		}
		if p.Action == kernel.Discard {
			info.Action = actionBlock
		}
	default:
		return policyInfo{}, fmt.Errorf("policy %v %v: %v: %w", p.Direction, p.Selector, p.Action, kernel.ErrUnsupported)
	}
	return info, nil
}

// toTemplates translates a policy's templates, which the kernel has in the same
// order.
func toTemplates(p kernel.Policy) ([]byte, error) {
	var all []byte
	var family uint16
	for _, t := range p.Templates {
		x, err := toTemplate(t)
		if err != nil {
			return nil, err
		}
		if x.Family == 0 {
			x.Family = family // that of the packet which it goes around: the tunnel's
		}
		family = x.Family
		if t.Proto == kernel.IPComp && p.Direction != kernel.Out {
			x.Optional = 1 // RFC 3173 §2.2: small packets come without
		}
		all = append(all, encode(x)...)
	}
	return all, nil
}

// toTemplate translates a template. Its family is that of the tunnel's end
// points; one that is not known takes the family of the other.
func toTemplate(t kernel.Template) (templateInfo, error) {
	mode, err := toMode(t.Mode)
	if err != nil {
		return templateInfo{}, err
	}
	x := templateInfo{
		ID: id{Proto: uint8(t.Proto)}, ReqID: t.ReqID, Mode: mode,
		Auth: ^uint32(0), Encr: ^uint32(0), Comp: ^uint32(0),
	}
	switch t.Level {
	case kernel.Require:
	case kernel.Use:
		x.Optional = 1
	case kernel.Unique:
		x.Share = shareUnique
	default:
		return templateInfo{}, fmt.Errorf("level %v: %w", t.Level, kernel.ErrUnsupported)
	}
	src, dst := known(t.Src), known(t.Dst)
	switch {
	case t.Mode == kernel.Transport:
		return x, nil
	case src.IsValid() && dst.IsValid() && src.Is4() != dst.Is4():
		return templateInfo{}, fmt.Errorf("a tunnel from %v to %v: the end points are of different address families", t.Src, t.Dst)
	case !src.IsValid() && !dst.IsValid():
		return templateInfo{}, fmt.Errorf("a tunnel from %v to %v: an end point must be known", t.Src, t.Dst)
	}
	x.Src, x.ID.Dst = toAddress(src), toAddress(dst)
	x.Family = max(familyOf(src), familyOf(dst))
	return x, nil
}

// known is the address, or the zero Addr for one that says "any".
func known(a netip.Addr) netip.Addr {
	if !a.IsValid() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// namePolicy makes a message about the policy with a selector, direction and binding.
func namePolicy(typ uint16, s kernel.Selector, d kernel.Direction, of kernel.Binding) (netlink.Message, error) {
	selector, err := toPolicySelector(s)
	if err != nil {
		return netlink.Message{}, err
	}
	direction, err := toDirection(d)
	if err != nil {
		return netlink.Message{}, err
	}
	var b netlink.Builder
	b.Raw(encode(policyID{Selector: selector, Direction: direction}))
	addNames(&b, of)
	return netlink.Message{Type: typ, Body: b.Body()}, b.Err()
}

// parsePolicy reads a policy. ok is false for one that has no place in the
// vocabulary: those of sockets have further directions.
func parsePolicy(body []byte) (p kernel.Policy, ok bool, err error) {
	var info policyInfo
	rest, err := decode(body, &info)
	if err != nil {
		return p, false, err
	}
	a := netlink.ParseAttributes(rest)
	for a.Next() {
		if a.Type() == attrTemplates {
			p.Templates, err = parseTemplates(a.Octets())
		} else {
			err = parseName(a, &p.Binding)
		}
		if err != nil {
			return p, false, err
		}
	}
	if a.Err() != nil {
		return p, false, a.Err()
	}
	if p.Direction = fromDirection(info.Direction); p.Direction == 0 {
		return p, false, nil
	}
	if p.Selector, err = info.Selector.selector(); err != nil {
		return p, false, err
	}
	p.ID, p.Priority = kernel.PolicyID(info.Index), info.Priority
	_, p.Lifetime = info.Limits.lifetimes()
	switch {
	case info.Action == actionBlock:
		p.Action, p.Templates = kernel.Discard, nil
	case len(p.Templates) == 0:
		p.Action = kernel.Bypass
	default:
		p.Action = kernel.Protect
		levels(p.Templates, p.Direction)
	}
	return p, true, nil
}

// levels gives IPComp's templates of arriving packets, which are always optional,
// the level of the transform around them.
func levels(templates []kernel.Template, d kernel.Direction) {
	for i, t := range templates {
		if t.Proto != kernel.IPComp || d == kernel.Out {
			continue
		}
		templates[i].Level = kernel.Require
		if i+1 < len(templates) {
			templates[i].Level = templates[i+1].Level
		}
	}
}

// parseTemplates reads an attribute with templates.
func parseTemplates(b []byte) ([]kernel.Template, error) {
	size := binary.Size(templateInfo{})
	if len(b)%size != 0 || len(b) > maxTemplates*size {
		return nil, fmt.Errorf("%w: templates of %d octets", ErrMalformed, len(b))
	}
	var templates []kernel.Template
	for len(b) > 0 {
		var x templateInfo
		var err error
		if b, err = decode(b, &x); err != nil {
			return nil, err
		}
		t := kernel.Template{Proto: kernel.Protocol(x.ID.Proto), ReqID: x.ReqID, Level: kernel.Require}
		if t.Mode, err = fromMode(x.Mode); err != nil {
			return nil, err
		}
		switch {
		case x.Optional != 0:
			t.Level = kernel.Use
		case x.Share == shareUnique:
			t.Level = kernel.Unique
		}
		if t.Mode == kernel.Tunnel {
			t.Src, t.Dst = x.Src.addr(x.Family), x.ID.Dst.addr(x.Family)
		}
		templates = append(templates, t)
	}
	return templates, nil
}

func toDirection(d kernel.Direction) (uint8, error) {
	switch d {
	case kernel.In:
		return dirIn, nil
	case kernel.Out:
		return dirOut, nil
	case kernel.Forward:
		return dirForward, nil
	}
	return 0, fmt.Errorf("%v: %w", d, kernel.ErrUnsupported)
}

// fromDirection is toDirection the other way; 0 for others.
func fromDirection(d uint8) kernel.Direction {
	switch d {
	case dirIn:
		return kernel.In
	case dirOut:
		return kernel.Out
	case dirForward:
		return kernel.Forward
	}
	return 0
}

// socketBypass is the policy that exempts a socket in one direction
// (IP_XFRM_POLICY, IPV6_XFRM_POLICY).
func socketBypass(ipv6 bool, direction uint8) []byte {
	info := policyInfo{
		Selector: selectorInfo{Family: familyIPv4}, Limits: toLimits(kernel.Lifetime{}, kernel.Lifetime{}),
		Direction: direction, Action: actionAllow, Share: shareAny,
	}
	if ipv6 {
		info.Selector.Family = familyIPv6
	}
	return encode(info)
}
