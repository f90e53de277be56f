package convert

import (
	"errors"
	"slices"
	"strings"
)

// sainfo is a sainfo section of racoon.conf, and the ipsec section it becomes.
type sainfo struct {
	node       *node
	src, dst   *traffic // nil: anonymous
	proto      string
	remoteID   string
	pfs        *node
	group      string   // of pfs_group
	bundle     *section // the ipsec section
	ipsec      string   // its name
	suite      suite
	others     map[string]string // names of its ipsec sections for other protocols than ESP alone
	understood bool
}

// traffic is an address of sainfo.
type traffic struct{ end end }

// addSainfo reads a sainfo section and makes its ipsec and sa sections.
func (r *racoon) addSainfo(n *node) {
	if len(r.sainfos) >= maxMany {
		r.err = errTooLarge
		return
	}
	f := &sainfo{node: n, understood: true}
	r.sainfos = append(r.sainfos, f)
	n.claimed = true
	if err := f.readHead(n.words[1:]); err != nil {
		f.understood = false
		r.leaveOut(n, err.Error(), "write selectors for this traffic")
	}
	name := "anonymous"
	if f.src != nil || f.dst != nil {
		name = "sainfo"
	}
	bundle := r.newSection("ipsec", name, n.pos)
	f.bundle, f.ipsec = bundle, bundle.name
	sa := r.newSection("sa", name, n.pos)
	sa.put("sa_protocol esp", "", n.pos)
	for _, sub := range n.block {
		r.sainfoDirective(f, bundle, sub, &f.suite)
	}
	r.protection(sa, inSA, "esp_enc_alg", "esp_auth_alg", f.suite)
	bundle.put("sa_index "+sa.name, "", n.pos)
}

// bundleFor returns the ipsec section of a sainfo for the protocols of a rule:
// its own for ESP alone, and one like it for AH, or with IPComp beside.
func (r *racoon) bundleFor(f *sainfo, protocols string) string {
	if protocols == "esp" {
		return f.ipsec
	}
	if name := f.others[protocols]; name != "" {
		return name
	}
	bundle := r.newSection("ipsec", f.bundle.name+"_"+strings.ReplaceAll(protocols, " ", "_"), f.node.pos)
	for _, e := range f.bundle.entries {
		if !strings.HasPrefix(e.text, "sa_index ") {
			bundle.entries = append(bundle.entries, e)
		}
	}
	var names []string
	for _, proto := range strings.Fields(protocols) {
		if proto == "esp" {
			for _, e := range f.bundle.entries {
				if name, ok := strings.CutPrefix(e.text, "sa_index "); ok {
					names = append(names, name)
				}
			}
			continue
		}
		sa := r.newSection("sa", bundle.name+"_"+proto, f.node.pos)
		sa.put("sa_protocol "+proto, "", f.node.pos)
		if proto == "ah" {
			r.putAlgorithms(sa, inSA, "ah_auth_alg", f.suite.integ)
		}
		names = append(names, sa.name)
	}
	bundle.put("sa_index "+oneOrList(names), "", f.node.pos)
	if f.others == nil {
		f.others = map[string]string{}
	}
	f.others[protocols] = bundle.name
	return bundle.name
}

// protocolsOf are the protocols that are negotiated for a rule: IKEv2 has ESP or
// AH, each with IPComp or without (RFC 7296 §1.7, §2.22). why says what is not kept.
func protocolsOf(q *rule) (protocols, why string) {
	has := func(proto string) bool {
		return slices.ContainsFunc(q.requests, func(one request) bool { return one.proto == proto })
	}
	switch esp, ah := has("esp"), has("ah"); {
	case esp && ah:
		protocols, why = "esp", "only the ESP of it is kept: IKEv2 negotiates no bundle of ESP and AH (RFC 7296 §1.7)"
	case esp:
		protocols = "esp"
	case ah:
		protocols = "ah"
	default:
		return "", "IPComp is agreed on together with ESP or AH only (RFC 7296 §2.22)"
	}
	if has("ipcomp") {
		protocols = "ipcomp " + protocols
	}
	return protocols, why
}

// readHead reads anonymous | SOURCE DESTINATION [from …] [group …].
func (f *sainfo) readHead(words []word) error {
	var err error
	if f.src, f.proto, words, err = readTraffic(words); err != nil {
		return err
	}
	if len(words) > 0 && words[0].text != "from" && words[0].text != "group" {
		proto := ""
		if f.dst, proto, words, err = readTraffic(words); err != nil {
			return err
		}
		if f.proto == "" {
			f.proto = proto
		}
	}
	if len(words) > 0 {
		return errors.New("policies do not depend on the peer's identity or group here")
	}
	return nil
}

// readTraffic reads anonymous | address ADDRESS[/LENGTH] [PORT] PROTOCOL | subnet ….
func readTraffic(words []word) (*traffic, string, []word, error) {
	if len(words) == 0 {
		return nil, "", nil, errors.New("there is no traffic")
	}
	switch words[0].text {
	case "anonymous":
		return nil, "", words[1:], nil
	case "address", "subnet":
	default:
		return nil, "", nil, errors.New("traffic is named by addresses alone")
	}
	e, rest, err := readEnd(words[1:])
	if err != nil {
		return nil, "", nil, err
	}
	if len(rest) == 0 {
		return nil, "", nil, errors.New("there is no upper-layer protocol")
	}
	proto, err := upperProtocol(rest[0].text)
	if err == nil && proto == "" && e.port != "" {
		err = errors.New("a port needs a protocol that has ports (RFC 4301 §4.4.1.1)")
	}
	return &traffic{e}, proto, rest[1:], err
}

// sainfoDirective converts one directive of sainfo.
func (r *racoon) sainfoDirective(f *sainfo, bundle *section, n *node, t *suite) {
	switch n.name() {
	case "lifetime":
		r.lifetime(bundle, n, inIPsec, "ipsec_sa_lifetime_")
	case "encryption_algorithm", "authentication_algorithm":
		n.claimed = true
		for _, words := range splitWords(n.words[1:]) {
			if !r.step() {
				return
			}
			if n.name() == "authentication_algorithm" {
				t.integ = append(t.integ, algorithm{translated(racoonHashes, words[0].text), n})
				continue
			}
			bits := ""
			if len(words) > 1 {
				bits = words[1].text
			}
			t.encr = append(t.encr, algorithm{withBits(translated(racoonEncryption, words[0].text), bits), n})
		}
	case "compression_algorithm":
		r.change(n, "racoon insists on it; IPComp is used where a policy asks for it")
	case "pfs_group":
		f.pfs, f.group = n, translated(nil, racoonGroup(n.arg(1)))
		n.claimed = true
	case "remoteid":
		f.remoteID = n.arg(1)
		r.change(n, "it finds the remote that has it as ph1id")
	}
}

// splitWords cuts a list at its commas.
func splitWords(words []word) [][]word {
	var out [][]word
	var one []word
	for _, w := range append(slices.Clone(words), word{text: ","}) {
		if w.text != "," || w.quoted {
			one = append(one, w)
			continue
		}
		if len(one) > 0 {
			out = append(out, one)
		}
		one = nil
	}
	return out
}

// peersOf are the remotes that a sainfo may be for.
func (r *racoon) peersOf(f *sainfo) []*peer {
	if f.remoteID == "" {
		return r.peers
	}
	return slices.DeleteFunc(slices.Clone(r.peers), func(p *peer) bool { return p.phase1 != f.remoteID })
}

// needPFS writes need_pfs into remotes whose children have a key exchange.
func (r *racoon) needPFS(f *sainfo, peers []*peer) {
	if f.pfs == nil {
		return
	}
	for _, p := range peers {
		if !r.step() {
			return
		}
		if !p.pfs {
			p.pfs = true
			p.ikev2.put("need_pfs on", "", f.pfs.pos)
		}
		if !slices.Contains(p.groups, f.group) {
			r.change(f.pfs, "children use the groups of their remote's kmp_dh_group, not one of their own")
		}
	}
	if len(peers) == 0 {
		r.leaveOut(f.pfs, "no remote is for this traffic", "")
	}
}

// sainfoFor finds the sainfo of a rule: the one of its addresses, or the anonymous one.
func (r *racoon) sainfoFor(q *rule) *sainfo {
	src, dst := q.src, q.dst
	if q.inbound {
		src, dst = dst, src
	}
	var best *sainfo
	score := -1
	for _, f := range r.sainfos {
		if !f.understood || !r.step() {
			continue
		}
		n := 0
		for _, side := range []struct {
			has  *traffic
			want end
		}{{f.src, src}, {f.dst, dst}} {
			if side.has == nil {
				continue
			}
			if side.has.end != side.want {
				n = -1
				break
			}
			n++
		}
		if n > score && (f.proto == "" || strings.HasPrefix(q.proto, f.proto)) {
			best, score = f, n
		}
	}
	return best
}

// sainfoTraffic makes selectors of a sainfo's addresses.
func (r *racoon) sainfoTraffic(f *sainfo) {
	q := &rule{node: f.node, src: f.src.end, dst: f.dst.end, proto: f.proto, action: "ipsec"}
	peer := r.sainfoPeer(f)
	do := "write selectors and a policy with ipsec_index " + f.ipsec
	switch {
	case peer == nil:
		r.leaveOut(f.node, "it does not say which remote protects its traffic", do)
		return
	case f.src.end.prefix.Addr().Is4() != f.dst.end.prefix.Addr().Is4():
		r.leaveOut(f.node, "its addresses are of different families", do)
		return
	}
	if v := r.probe(inSelector, trafficText(q.src, q.dst, q.proto)); !v.ok {
		r.leaveOut(f.node, v.why, do)
		return
	}
	mode := "tunnel"
	if f.src.end.prefix.IsSingleIP() && f.dst.end.prefix.Addr() == peer.addr {
		mode = "transport"
	}
	p := r.newSection("policy", peer.name, f.node.pos)
	p.put("action auto_ipsec", "")
	p.put("remote_index "+peer.name, "")
	p.put("ipsec_mode "+mode, "from the addresses: racoon has it in the policies of the kernel")
	p.put("ipsec_index "+f.ipsec, "", f.node.pos)
	r.selector(p.name+"_out", "outbound", p.name, q.src, q.dst, q, q)
	r.selector(p.name+"_in", "inbound", p.name, q.dst, q.src, q, q)
}

// sainfoPeer finds the remote of a sainfo.
func (r *racoon) sainfoPeer(f *sainfo) *peer {
	if f.remoteID != "" {
		if of := r.peersOf(f); len(of) > 0 {
			return of[0]
		}
		return nil
	}
	if p := r.byAddr[hostOf(f.dst.end.prefix)]; p != nil {
		return p
	}
	if len(r.peers) == 1 {
		return r.peers[0]
	}
	return nil
}
