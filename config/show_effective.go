package config

import "strings"

// effective writes what holds in the end.
func (s *shower) effective() {
	r, c := s.r, s.r.config
	if c.Interface.Default {
		s.comment("no interface: IKE listens on ports 500 and 4500 of all addresses")
	} else {
		s.open("interface", fileLine(c.Interface.Pos))
		s.rows(inInterface, view{own: r.iface}, true)
		s.close()
	}
	if r.dns != nil {
		s.open("resolver", fileLine(c.Resolver.Pos))
		s.rows(inResolver, view{own: r.dns}, true)
		s.close()
	}
	s.defaults()
	for _, x := range r.remotes {
		remote := c.index.remotes[x.name]
		s.head("remote", x.name, x.pos, remote.Disabled, remote.Reason)
		s.remote(remote, view{x, r.defaults[inRemote]})
		s.close()
	}
	for _, x := range r.selectors {
		sel := c.index.selectors[x.name]
		s.head("selector", x.name, x.pos, sel.Disabled, sel.Reason)
		s.rows(inSelector, view{own: x}, true)
		s.close()
	}
	for _, x := range r.policies {
		p := c.index.policies[x.name]
		s.head("policy", x.name, x.pos, p.Disabled, p.Reason)
		s.policy(p, view{x, r.defaults[inPolicy]})
		s.close()
	}
	s.bundles()
	for _, p := range c.AddressPools {
		s.head("addresspool", p.Name, p.Pos, false, "")
		for _, a := range p.Ranges {
			s.line(a.First.String()+" - "+a.Last.String()+";", fileLine(a.Pos))
		}
		s.close()
	}
}

// bundles writes the ipsec and sa sections.
func (s *shower) bundles() {
	r, c := s.r, s.r.config
	for _, x := range r.ipsecs {
		p := c.index.ipsecs[x.name]
		s.head("ipsec", x.name, x.pos, p.Disabled, p.Reason)
		s.rows(inIPsec, view{x, r.defaults[inIPsec]}, true)
		s.close()
	}
	for _, x := range r.sas {
		sa := c.index.sas[x.name]
		s.head("sa", x.name, x.pos, sa.Disabled, sa.Reason)
		s.transform(sa, view{x, r.defaults[inSA]})
		s.close()
	}
}

// head opens a section with a name.
func (s *shower) head(kind, name string, pos Pos, disabled bool, reason string) {
	quoted := Item{Kind: ItemWord, Text: name}
	for i := range len(name) {
		if !isBare(name[i]) {
			quoted.Kind = ItemString
		}
	}
	if name == "-" || strings.ContainsRune(name, '"') {
		quoted.Kind, quoted.Text = ItemString, strings.ReplaceAll(name, `"`, "?")
	}
	s.open(kind+" "+quoted.Source(), fileLine(pos))
	if disabled {
		s.comment("disabled: %s", reason)
	}
}

// defaults writes what default is still good for: the remote of last resort,
// and what policies without ipsec_index, and bundles without sa_index, have.
func (s *shower) defaults() {
	r := s.r
	s.open("default", "for policies and bundles that name no section")
	if r.config.Default != nil {
		s.open("remote", "of last resort; "+fileLine(r.defaults[inRemote].pos))
		s.remote(r.config.Default, view{own: r.defaults[inRemote]})
		s.close()
	}
	s.open("ipsec", "")
	s.rows(inIPsec, view{inherited: r.defaults[inIPsec]}, true)
	s.close()
	s.open("sa", "")
	for _, name := range []string{"esp_enc_alg", "esp_auth_alg"} {
		s.row(lookup(inSA, name), view{inherited: r.defaults[inSA]}, true)
	}
	s.close()
	s.close()
}

// remote writes a remote with the blocks that count for it.
func (s *shower) remote(remote *Remote, v view) {
	for _, name := range []string{"acceptable_kmp", "selector_index"} {
		if v.own.get(name) != nil || name != "acceptable_kmp" {
			s.row(lookup(inRemote, name), v, true)
		}
	}
	blocks := ownBlocks(v.own)
	if len(blocks) == 0 {
		blocks = ownBlocks(v.inherited)
	}
	for _, c := range blocks {
		kmp := KMP(c.value)
		where := map[KMP]place{KMPIKEv1: inIKEv1, KMPIKEv2: inIKEv2, KMPKINK: inKINK}[kmp]
		sub := v.sub(kmp.String())
		s.open(kmp.String(), fileLine(c.item.Pos))
		s.rows(where, sub, where != inIKEv1)
		if where == inIKEv2 && remote.IKEv2 != nil && sub.get("peers_id") == nil {
			s.peersID(remote.IKEv2.PeersID)
		}
		s.close()
	}
}

// peersID writes the identities that come from the peer's addresses.
func (s *shower) peersID(ids []ID) {
	var list strings.Builder
	for _, id := range ids {
		list.WriteString(" ipaddr " + id.Value + ";")
	}
	switch len(ids) {
	case 0:
	case 1:
		s.line("peers_id"+list.String(), "from peers_ipaddr, "+fileLine(ids[0].Pos))
	default:
		s.line("peers_id {"+list.String()+" };", "from peers_ipaddr, "+fileLine(ids[0].Pos))
	}
}

// policy writes a policy with the end that comes from its remote.
func (s *shower) policy(p *Policy, v view) {
	if p.Action == ActionDiscard || p.Action == ActionNone {
		s.rows(inPolicy, v, false)
		return
	}
	s.rows(inPolicy, v, true)
	if p.Mode == ModeTunnel && p.PeersSAIPAddr != nil && v.get("peers_sa_ipaddr") == nil {
		s.line("peers_sa_ipaddr "+p.PeersSAIPAddr.String()+";", "from peers_ipaddr, "+fileLine(p.PeersSAIPAddr.Pos))
	}
}

// transform writes an sa section with the algorithms of its protocol.
func (s *shower) transform(sa *SA, v view) {
	for _, group := range directives {
		for i := range group {
			row := &group[i]
			if row.where&inSA == 0 {
				continue
			}
			esp := strings.HasPrefix(row.name, "esp_")
			s.row(row, v, !esp || sa.Protocol == SAESP)
		}
	}
}

// rows writes the directives of a section in the order of the language.
func (s *shower) rows(where place, v view, builtin bool) {
	for _, group := range directives {
		for i := range group {
			if group[i].where&where != 0 {
				s.rowAt(where, &group[i], v, builtin)
			}
		}
	}
}

func (s *shower) row(row *directive, v view, builtin bool) { s.rowAt(row.where, row, v, builtin) }

// rowAt writes one directive: as the section has it, or as it inherits it, or
// the built-in value, if there is one and it is wanted.
func (s *shower) rowAt(where place, row *directive, v view, builtin bool) {
	e := v.get(row.name)
	if e == nil {
		x := explanationOf(where, row.name)
		if builtin && x.builtin != "" && row.idle == "" {
			s.line(row.name+" "+x.builtin+";", "built-in")
		}
		return
	}
	origin := fileLine(e.pos)
	if v.own.get(row.name) == nil {
		origin += ", default"
	}
	if inner, ok := e.val.(*section); ok {
		s.open(row.name, origin)
		s.rows(inner.kind, view{own: inner}, false)
		s.close()
		return
	}
	text := row.name
	if len(e.args) > 0 {
		text += " " + s.items(e.args)
	}
	if e.body != nil {
		text += " " + s.inline(e.body)
	}
	s.line(text+";", origin)
}
