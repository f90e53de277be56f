package convert

import (
	"slices"

	"racoon2/config"
)

// traffic makes selectors and policies: from setkey's rules, or, without
// them, from the addresses of sainfo.
func (r *racoon) traffic() {
	for _, rule := range r.rules {
		if !rule.isReverse {
			r.ruleOrStatic(rule)
		}
	}
	r.unusedManuals()
	for _, f := range r.sainfos {
		switch {
		case len(r.rules) > 0 || !f.understood:
		case f.src != nil && f.dst != nil:
			r.sainfoTraffic(f)
		default:
			r.leaveOut(f.node, "it does not say which traffic it is for: that stands in the policies of the kernel",
				"give the file for setkey with --setkey, or write selectors and a policy with ipsec_index "+f.ipsec)
		}
		r.needPFS(f, r.peersOf(f))
	}
}

// ruleOrStatic converts a rule with its reverse: with the keys of the file, where
// it has some, or else with negotiated ones.
func (r *racoon) ruleOrStatic(q *rule) {
	both := []*rule{q}
	if q.reversed != nil {
		both = append(both, q.reversed)
	}
	if !slices.ContainsFunc(both, func(one *rule) bool { return r.manualsOf(one) != nil }) {
		r.rule(q)
		return
	}
	for _, one := range both {
		if !r.static(one) {
			r.leaveOut(one.node, "its other direction has keys in the file, and it has none", "write an sa section with its keys")
		}
	}
}

// rule makes the selectors and the policy of a rule with its reverse.
func (r *racoon) rule(q *rule) {
	from := []config.Pos{q.node.pos}
	nodes := []*node{q.node}
	if q.reversed != nil {
		from = append(from, q.reversed.node.pos)
		nodes = append(nodes, q.reversed.node)
	}
	leaveOut := func(why, do string) {
		for _, n := range nodes {
			r.leaveOut(n, why, do)
		}
	}
	src, dst := q.src, q.dst
	if q.inbound {
		src, dst = dst, src
	}
	if v := r.probe(inSelector, trafficText(src, dst, q.proto)); !v.ok {
		leaveOut(v.why, v.do)
		return
	}
	p := &section{kind: "policy", from: from}
	name := q.action
	if q.action == "ipsec" {
		var why string
		if name, why = r.protect(p, q, nodes); why != "" {
			leaveOut(why, "write a remote, a policy and selectors for it")
			return
		}
	} else {
		p.put("action "+q.action, "", from...)
	}
	for _, n := range nodes {
		n.claimed = true
	}
	p.name = r.freeName("policy", name)
	r.sections = append(r.sections, p)
	out, in := q, q.reversed
	if q.inbound {
		out, in = in, out
	}
	both := q.action == "ipsec"
	if out != nil || both {
		r.selector(p.name+"_out", "outbound", p.name, src, dst, q, out)
	}
	if in != nil || both {
		r.selector(p.name+"_in", "inbound", p.name, dst, src, q, in)
	}
	if both && q.reversed == nil {
		r.change(q.node, "a rule for the other direction is added: IKEv2 protects both")
	}
}

// trafficText is the traffic of a selector on one line, for config to judge.
func trafficText(src, dst end, proto string) string {
	text := "src " + src.text() + "; dst " + dst.text()
	if proto != "" {
		text += "; upper_layer_protocol " + proto
	}
	return text
}

// selector writes a selector; of is its rule, or nil where it is added.
func (r *racoon) selector(name, direction, policy string, src, dst end, q, of *rule) {
	s := r.newSection("selector", name)
	if of != nil {
		s.from = []config.Pos{of.node.pos}
	} else {
		s.note = "added"
	}
	s.put("direction "+direction, "")
	s.put("src "+src.text(), "")
	s.put("dst "+dst.text(), "")
	if q.proto != "" {
		s.put("upper_layer_protocol "+q.proto, "")
	}
	if of != nil && of.reqID != "" {
		s.put("reqid "+of.reqID, "")
	}
	s.put("policy_index "+policy, "")
}

// protect fills the policy of a rule with IPsec. It returns a name for it, or
// why there cannot be one.
func (r *racoon) protect(p *section, q *rule, nodes []*node) (name, why string) {
	mine, theirs := q.ends()
	peer := r.byAddr[theirs]
	if peer == nil {
		if why := r.refusedKeys(q); why != "" {
			return "", why
		}
		if theirs.IsValid() {
			return "", "no remote of racoon.conf is for its peer " + theirs.String()
		}
		return "", "transport mode between networks does not say who the peer is"
	}
	main := q.main()
	protocols, kept := protocolsOf(q)
	if protocols == "" {
		p.put("action discard", "blocked: IPComp alone", nodes[0].pos)
		for _, n := range nodes {
			r.leaveOut(n, kept+", so this traffic is blocked", "use ESP at both ends")
		}
		return peer.name, ""
	}
	for _, n := range nodes {
		if kept != "" {
			r.leaveOut(n, kept, "see that ESP alone is enough")
		}
	}
	p.put("action auto_ipsec", "")
	p.put("remote_index "+peer.name, "")
	p.put("ipsec_mode "+main.mode, "", nodes[0].pos)
	p.put("ipsec_level "+q.level(), "", nodes[0].pos)
	if main.mode == "tunnel" {
		p.put("my_sa_ipaddr "+mine.String(), "", nodes[0].pos)
		p.put("peers_sa_ipaddr "+theirs.String(), "", nodes[0].pos)
	}
	if f := r.sainfoFor(q); f != nil {
		p.put("ipsec_index "+r.bundleFor(f, protocols), "", f.node.pos)
	} else if protocols != "esp" {
		return "", "no sainfo is for this traffic, and it is not ESP alone"
	} else {
		r.note(LeftOut, nodes[0], "no sainfo is for this traffic, so the built-in algorithms apply", "")
	}
	return peer.name, ""
}
