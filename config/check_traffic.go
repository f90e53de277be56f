package config

import (
	"fmt"
	"slices"
	"strings"
)

// checkSelector looks at the addresses of a selector.
func (r *resolver) checkSelector(s *Selector, v view) {
	for _, name := range []string{"src", "dst"} {
		for _, a := range get[[]Address](v, name, nil) {
			r.checkTraffic(s, name, a)
		}
	}
	if len(s.Src) > 0 && len(s.Dst) > 0 && !familiesMeet(s.Src, s.Dst) {
		r.errorf("family-mismatch", at(v.posOf("dst"), "dst"), "write a selector for each family",
			"no address of src has the family of one of dst in selector %s", clip(s.Name))
	}
}

func (r *resolver) checkTraffic(s *Selector, name string, a Address) {
	switch {
	case a.Kind == AddressFQDN && r.config.Resolver.On:
		if a.HasPrefix || a.Name == "" {
			r.errorf("bad-address", at(a.Pos, a.String()), "write the name alone", "a host name stands for single addresses")
		}
	case a.Kind == AddressFQDN:
		hint := nearMacro(a.Name)
		switch {
		case hint != "" || strings.HasPrefix(a.Name, "*."):
			if hint == "" {
				hint = "write: resolver { resolver on; nameserver ADDRESS; dns_query ADDRESS; };"
			}
			r.errorf("host-name", at(a.Pos, a.Name), hint,
				"%s of selector %s is a host name, and the resolver is off", name, clip(s.Name))
		case r.oneName(name+" of a selector", a):
			r.warnf("host-name", at(a.Pos, a.Name), "write: resolver { resolver on; nameserver ADDRESS; dns_query ADDRESS; };",
				"%s of selector %s is a host name, and the resolver is off: applications look the name up past it, and packets to a new address may leave in clear before its policy stands",
				name, clip(s.Name))
		}
	case a.Kind == AddressInet && a.HasPrefix && a.Prefix.Addr() != a.Addr.WithZone(""):
		r.advise("host-bits", at(a.Pos, a.Addr.String()), "write "+a.Prefix.String(),
			"%s has bits behind its prefix length; the network is %s", a.Addr, a.Prefix)
	}
	if p := s.Policy; p != nil && p.Action == ActionAutoIPsec && p.Mode == ModeTransport && !a.IsHost() {
		r.warnf("transport-network", at(a.Pos, a.String()), "use ipsec_mode tunnel",
			"transport mode protects the traffic of hosts, and %s is a network", a)
	}
}

// familiesMeet reports whether some pair of the lists has a family in common.
func familiesMeet(src, dst []Address) bool {
	for _, a := range src {
		for _, b := range dst {
			if a.Is4() && b.Is4() || a.Is6() && b.Is6() {
				return true
			}
		}
	}
	return false
}

// checkClearPolicy warns of IPsec in a policy that uses none.
func (r *resolver) checkClearPolicy(p *Policy, v view) {
	for _, word := range []string{"remote_index", "ipsec_index", "ipsec_mode", "my_sa_ipaddr", "peers_sa_ipaddr", "start", "sa_per_pair", "xfrm_interface", "hw_offload", "mss_clamp"} {
		e := v.own.get(word)
		if e == nil {
			continue
		}
		r.warnf("no-effect", e.nameItem(), "remove it, or write: action auto_ipsec;",
			"%s has no effect: the action of policy %s is %s", word, clip(p.Name), p.Action)
		if n, ok := e.val.(name); ok {
			refer(r, r.config.index.remotes, "remote", n)
		}
	}
}

// checkStart warns of an initiation without traffic that cannot be: whatever the
// remote speaks waits for the peer.
func (r *resolver) checkStart(p *Policy, v view) {
	if !p.Start || p.Remote == nil || p.Remote.Disabled {
		return
	}
	var blocks []*Common
	if k := p.Remote.IKEv2; k != nil {
		blocks = append(blocks, &k.Common)
	}
	if k := p.Remote.KINK; k != nil {
		blocks = append(blocks, &k.Common)
	}
	if len(blocks) == 0 || slices.ContainsFunc(blocks, func(c *Common) bool { return !c.Passive }) {
		return
	}
	r.warnf("start-passive", v.get("start").nameItem(), "remove it, or passive on in the remote",
		"policy %s is to initiate by itself, and remote %s (%v) is passive: nothing happens before the peer comes",
		clip(p.Name), clip(p.RemoteIndex), p.Remote.Pos)
}

// checkEndPoints completes and checks the ends of a tunnel.
func (r *resolver) checkEndPoints(p *Policy, v view) {
	if p.Mode != ModeTunnel {
		return
	}
	for _, name := range []string{"my_sa_ipaddr", "peers_sa_ipaddr"} {
		a := pointer(get(v, name, Address{}))
		switch {
		case a == nil:
		case a.Kind == AddressFQDN:
			r.oneName("the end of a tunnel", *a)
		case !a.IsHost():
			r.errorf("bad-address", at(a.Pos, a.String()), "write one address", "the end of a tunnel is an address, not a network")
		}
	}
	if p.Remote != nil {
		r.remoteEndPoint(p)
	}
	if p.PeersSAIPAddr == nil && !p.Disabled && p.Remote != nil && p.Action == ActionAutoIPsec && !r.peerless[p.Remote] && v.lacks("peers_sa_ipaddr") {
		r.errorf("no-end-point", at(p.Pos, "policy"), "add: peers_sa_ipaddr ADDRESS;, or peers_ipaddr in the remote",
			"the tunnel of policy %s has no end: there is no peers_sa_ipaddr, and remote %s has no peers_ipaddr that could be it",
			clip(p.Name), clip(p.RemoteIndex))
	}
	if p.PeersSAIPAddr == nil && p.Action == ActionStaticIPsec && v.lacks("peers_sa_ipaddr") {
		r.errorf("no-end-point", at(p.Pos, "policy"), "add: peers_sa_ipaddr ADDRESS;",
			"the tunnel of static policy %s has no end: there is no peers_sa_ipaddr", clip(p.Name))
	}
	r.checkExchangedNames(v)
	mine, peers := p.MySAIPAddr, p.PeersSAIPAddr
	if mine != nil && peers != nil && !familiesMeet([]Address{*mine}, []Address{*peers}) {
		r.errorf("family-mismatch", at(mine.Pos, mine.String()), "the ends of a tunnel have one family",
			"%s and %s are of different families", mine, peers)
	}
}

// remoteEndPoint takes the peer's end from the remote where the policy has
// none, and compares the two where it has.
func (r *resolver) remoteEndPoint(p *Policy) {
	var blocks []*Common
	if k := p.Remote.IKEv2; k != nil {
		blocks = append(blocks, &k.Common)
	}
	if k := p.Remote.KINK; k != nil {
		blocks = append(blocks, &k.Common)
	}
	var peers []Address
	for _, c := range blocks {
		if p.PeersSAIPAddr == nil {
			p.PeersSAIPAddr = c.endPoint()
			return
		}
		peers = append(peers, c.PeersIPAddr...)
	}
	if p.MySAIPAddr == nil || p.MySAIPAddr.Kind != AddressInet {
		return
	}
	for _, a := range peers {
		if a.Kind == AddressInet && a.Addr == p.MySAIPAddr.Addr && a.Addr != p.PeersSAIPAddr.Addr {
			r.warnf("swapped-end-points", at(p.MySAIPAddr.Pos, p.MySAIPAddr.String()), "exchange my_sa_ipaddr and peers_sa_ipaddr",
				"my_sa_ipaddr is the address of the peer")
		}
	}
}

// trafficKey is what a selector matches, as text.
func trafficKey(s *Selector, reversed bool) string {
	src, dst, sport, dport := s.Src, s.Dst, s.SrcPort, s.DstPort
	if reversed {
		src, dst = dst, src
		switch s.Protocol {
		case protoICMP, protoICMPv6, protoMH: // type and code are no ports: they stay where they are
		default:
			sport, dport = dport, sport
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%d|%v|%v|", s.PolicyIndex, s.Protocol, sport, dport)
	for _, list := range [][]Address{src, dst} {
		for _, a := range list {
			if a.Kind == AddressInet {
				b.WriteString(a.Prefix.String())
			} else {
				b.WriteString(a.String())
			}
			b.WriteByte(',')
		}
		b.WriteByte('|')
	}
	return b.String()
}

// bindingKey is what tells policies for the same traffic apart in a kernel.
func bindingKey(p *Policy) string {
	switch {
	case p == nil || p.IfID == 0 && p.Mark == nil:
		return ""
	case p.Mark == nil:
		return fmt.Sprint(p.IfID)
	}
	return fmt.Sprint(p.IfID, " ", *p.Mark)
}

// linkReverses finds the reverse of each selector and warns of selectors that
// match the same traffic.
func (r *resolver) linkReverses() {
	byKey := map[Direction]map[string]*Selector{Inbound: {}, Outbound: {}}
	byTraffic := map[Direction]map[string]*Selector{Inbound: {}, Outbound: {}}
	for _, s := range r.config.Selectors {
		if s.Direction == 0 || len(s.Src) == 0 || len(s.Dst) == 0 {
			continue
		}
		key := trafficKey(s, false)
		traffic := key[len(s.PolicyIndex):] + bindingKey(s.Policy)
		if old := byTraffic[s.Direction][traffic]; old != nil {
			r.warnf("same-traffic", at(s.Pos, "selector"), "remove one of them",
				"selectors %s and %s match the same traffic", clip(old.Name), clip(s.Name))
		} else {
			byTraffic[s.Direction][traffic] = s
		}
		if byKey[s.Direction][key] == nil {
			byKey[s.Direction][key] = s
		}
	}
	for _, s := range r.config.Selectors {
		switch s.Direction {
		case Outbound:
			s.Reverse = byKey[Inbound][trafficKey(s, true)]
		case Inbound:
			s.Reverse = byKey[Outbound][trafficKey(s, true)]
		}
	}
}

// checkReverses warns of selectors whose traffic is protected one way only.
func (r *resolver) checkReverses() {
	for _, s := range r.config.Selectors {
		if s.Direction == 0 || s.Reverse != nil || s.Policy == nil || s.Policy.Action != ActionAutoIPsec || len(s.Src) == 0 || len(s.Dst) == 0 {
			continue
		}
		other := Inbound
		if s.Direction == Inbound {
			other = Outbound
		}
		r.warnf("no-reverse", at(s.Pos, "selector"),
			fmt.Sprintf("add a selector with direction %s and src and dst exchanged", other),
			"selector %s has no reverse: its traffic is protected one way only", clip(s.Name))
	}
}

// checkSelectorIndexes warns of a selector_index that no remote has a use for,
// once for each place that it is written at.
func (r *resolver) checkSelectorIndexes() {
	why := map[*entry]string{} // "" where it has its effect
	var order []*entry
	for _, s := range r.remotes {
		remote := r.config.index.remotes[s.name]
		e := view{s, r.defaults[inRemote]}.get("selector_index")
		if e == nil || remote.Selector == nil || remote.Disabled {
			continue
		}
		if old, seen := why[e]; seen && old == "" {
			continue
		} else if !seen {
			order = append(order, e)
		}
		why[e] = remote.selectorIdle()
	}
	for _, e := range order {
		if why[e] != "" {
			r.warnf("no-effect", e.nameItem(), "", "selector_index has no effect: %s", why[e])
		}
	}
}

// selectorIdle says why the remote's selector_index has no effect; "" where it has one.
func (remote *Remote) selectorIdle() string {
	s := remote.Selector
	if s.Direction == Inbound && s.Reverse != nil {
		s = s.Reverse // the pair is known by its outbound selector
	}
	p := s.Policy
	switch {
	case !slices.Contains(remote.AcceptableKMP, KMPKINK):
		return "a responder of IKEv2 finds the policy by the traffic that the peer asks for"
	case p == nil || p.Disabled:
		return "selector " + clip(s.Name) + " has no policy that is used"
	case p.Remote != remote:
		return fmt.Sprintf("policy %s of selector %s has another remote", clip(p.Name), clip(s.Name))
	case p.Install:
		return fmt.Sprintf("policy %s is installed from the start, which install off in it would leave to the KINK responder", clip(p.Name))
	}
	return ""
}

// checkUnused points out sections that nothing refers to.
func (r *resolver) checkUnused() {
	c := r.config
	for _, x := range c.Remotes {
		r.unused(x, x.Pos, "remote", x.Name)
	}
	for _, x := range c.Policies {
		r.unused(x, x.Pos, "policy", x.Name)
	}
	for _, x := range c.IPsecs {
		r.unused(x, x.Pos, "ipsec", x.Name)
	}
	for _, x := range c.SAs {
		r.unused(x, x.Pos, "sa", x.Name)
	}
	for _, x := range c.AddressPools {
		r.unused(x, x.Pos, "addresspool", x.Name)
	}
}

func (r *resolver) unused(x any, pos Pos, kind, name string) {
	if !r.used[x] {
		r.advise("unused-section", at(pos, kind), "", "nothing refers to %s %s", kind, clip(name))
	}
}
