package convert

import (
	"net/netip"
	"strings"

	"racoon2/config"
)

// peer is a remote section of the result.
type peer struct {
	name   string
	addr   netip.Addr // not valid: any
	ikev2  *section
	groups []string // of kmp_dh_group; empty: the built-in ones
	pfs    bool
	phase1 string // ph1id
}

// wanted is a remote to make: a remote section of racoon.conf for one peer.
type wanted struct {
	from   *racoonRemote
	name   string
	addr   netip.Addr
	me     netip.Addr // this host's end, where a policy says it
	secret *secret
	anyone bool // anonymous for whoever comes
}

// makePeers makes a remote for each peer that racoon.conf, the policies and the
// keys know.
func (r *racoon) makePeers() {
	ends := map[netip.Addr]netip.Addr{} // this host's end by the peer's
	var order []netip.Addr
	for _, rule := range r.rules {
		mine, theirs := rule.ends()
		if r.manualsOf(rule) != nil {
			continue // its keys are in the file: nobody is talked to
		}
		if _, known := ends[theirs]; theirs.IsValid() && !known {
			ends[theirs] = mine
			order = append(order, theirs)
		}
	}
	for _, m := range r.remotes {
		if m == r.anonymous {
			continue
		}
		r.makePeer(wanted{from: m, name: m.key, addr: m.addr, me: ends[m.addr], secret: r.secretFor(r.secretNames(m)...)})
	}
	if r.anonymous == nil {
		return
	}
	before := len(r.peers)
	for _, a := range order {
		if r.byAddr[a] == nil {
			r.makePeer(wanted{from: r.anonymous, name: a.String(), addr: a, me: ends[a], secret: r.secretFor(a.String())})
		}
	}
	var everybody *secret
	for _, s := range r.secrets {
		switch a, err := netip.ParseAddr(s.ids[0]); {
		case s.used:
		case s.ids[0] == "*":
			everybody = s
		case err == nil && r.byAddr[a] == nil:
			r.makePeer(wanted{from: r.anonymous, name: s.ids[0], addr: a, secret: s})
		case err != nil && r.sharesKeys(r.anonymous):
			r.makePeer(wanted{from: r.anonymous, name: s.ids[0], secret: s})
		}
	}
	if everybody != nil || len(r.peers) == before {
		r.makePeer(wanted{from: r.anonymous, name: "anonymous", secret: everybody, anyone: true})
	}
}

// secretNames are what the key of a remote may stand under in psk.txt.
func (r *racoon) secretNames(m *racoonRemote) []string {
	names := []string{m.addr.String()}
	for _, n := range r.settings(m) {
		if n.name() == "peers_identifier" && len(n.words) > 1 {
			names = append(names, n.words[len(n.words)-1].text)
		}
	}
	return names
}

// sharesKeys says whether a remote authenticates by pre-shared keys at all.
func (r *racoon) sharesKeys(m *racoonRemote) bool {
	for _, n := range r.settings(m) {
		if n.name() == "proposal" {
			if method := n.find("authentication_method"); method != nil &&
				(method.arg(1) == "pre_shared_key" || strings.HasPrefix(method.arg(1), "xauth_psk")) {
				return true
			}
		}
	}
	return false
}

// makePeer makes one remote section.
func (r *racoon) makePeer(w wanted) {
	if !r.step() {
		return
	}
	if len(r.peers) > 2*maxMany {
		r.err = errTooLarge
		return
	}
	s := r.newSection("remote", w.name, w.from.node.pos)
	p := &peer{name: s.name, addr: w.addr, ikev2: s.sub("ikev2")}
	r.peers = append(r.peers, p)
	if w.addr.IsValid() && r.byAddr[w.addr] == nil {
		r.byAddr[w.addr] = p
	}
	settings := r.settings(w.from)
	r.identities(p, w, settings)
	var t suite
	var methods []*node
	for _, n := range settings {
		if n.name() == "proposal" {
			methods = append(methods, r.proposal(p, n, &t)...)
		}
	}
	for _, n := range settings {
		r.remoteDirective(p, n)
	}
	for _, n := range r.timers {
		text, err := plainText(timerWords[n.name()], n.words[1:])
		if err != nil {
			r.leaveOut(n, err.Error(), "")
			continue
		}
		r.add(p.ikev2, inIKEv2, n, text)
	}
	r.putSuite(p.ikev2, t)
	if words, _ := r.algorithms(inIKEv2, "kmp_dh_group", t.ke); words != nil {
		p.groups = words
	}
	r.authenticate(p, w, methods)
}

// identities writes peers_ipaddr, my_id and peers_id.
func (r *racoon) identities(p *peer, w wanted, settings []*node) {
	k, pos := p.ikev2, w.from.node.pos
	peersID, mine, noted := []string{}, "", []config.Pos{}
	for _, n := range settings {
		switch n.name() {
		case "my_identifier", "identifier":
			if text, ok := r.identity(n, r.myAddress(w)); ok {
				mine = text
				k.put("my_id "+text, "", n.pos)
			}
		case "peers_identifier":
			if text, ok := r.identity(n, peerAddress(w)); ok && len(peersID) < 1000 {
				peersID = append(peersID, text)
				noted = append(noted, n.pos)
			}
		}
	}
	if mine == "" {
		k.put("my_id ipaddr "+r.myAddress(w), "the default of racoon", pos)
	}
	if w.secret != nil && !isAddress(w.secret.ids[0]) && !w.anyone && len(peersID) == 0 {
		if text, _, err := swanIdentity(w.secret.ids[0]); err == nil && text != "" {
			peersID, noted = []string{text}, []config.Pos{w.secret.node.pos}
		}
	}
	if len(peersID) == 0 {
		peersID, noted = []string{"ipaddr " + peerAddress(w)}, []config.Pos{pos}
	}
	if len(peersID) == 1 {
		k.put("peers_id "+peersID[0], "", noted...)
	} else {
		k.put("peers_id "+list(peersID), "", noted...)
	}
	text := peerAddress(w)
	if w.from.port != "" && w.addr.IsValid() && r.probe(inIKEv2, "peers_ipaddr "+text+" port "+w.from.port).ok {
		text += " port " + w.from.port
	}
	where := []config.Pos{pos}
	for _, n := range settings {
		switch {
		case n.name() != "remote_address":
		case w.addr.IsValid():
			n.claimed = true
			where = append(where, n.pos)
		default:
			r.leaveOut(n, "the address is not in numbers", "write it as peers_ipaddr")
		}
	}
	k.put("peers_ipaddr "+text, "", where...)
}

// myAddress is this host's address as far as it is known.
func (r *racoon) myAddress(w wanted) string {
	switch {
	case w.me.IsValid():
		return w.me.String()
	case len(r.listen) > 0 && (!w.addr.IsValid() || r.listen[0].Is4() == w.addr.Is4()):
		return r.listen[0].String()
	}
	return "MY_IP"
}

func peerAddress(w wanted) string {
	if w.addr.IsValid() {
		return w.addr.String()
	}
	return "IP_ANY"
}

// identity reads my_identifier and peers_identifier.
func (r *racoon) identity(n *node, address string) (string, bool) {
	words := n.words[1:]
	if len(words) == 0 {
		return "", false
	}
	kind, value, qualifier := words[0].text, "", ""
	if len(words) > 2 && (words[1].text == "tag" || words[1].text == "file") {
		qualifier = words[1].text
		words = words[1:]
	}
	if len(words) > 1 {
		value = words[1].text
	}
	var text string
	var err error
	switch kind {
	case "address":
		if value == "" {
			value = address
		}
		text, err = identityText("ipaddr", value)
	case "fqdn":
		text, err = identityText("fqdn", value)
	case "user_fqdn":
		text, err = identityText("email", value)
	case "keyid":
		text, err = identityText("keyid "+map[bool]string{true: "tag", false: "file"}[qualifier == "tag"], value)
	default:
		r.leaveOut(n, "the identity belongs to certificates: "+noCertificates, "an ipaddr identity takes its place; write my_id or peers_id")
		return "", false
	}
	if err != nil {
		r.leaveOut(n, err.Error(), "write another identity")
		return "", false
	}
	directive := map[bool]string{true: "peers_id ", false: "my_id "}[n.name() == "peers_identifier"]
	if v := r.probe(inIKEv2, directive+text); !v.ok {
		r.leaveOut(n, v.why, v.do)
		return "", false
	}
	n.claimed = true
	return text, true
}

// proposal collects the algorithms of a proposal and returns its authentication methods.
func (r *racoon) proposal(p *peer, n *node, t *suite) (methods []*node) {
	n.claimed = true
	p.ikev2.from = append(p.ikev2.from, n.pos)
	for _, sub := range n.block {
		if !r.step() {
			return methods
		}
		switch sub.name() {
		case "encryption_algorithm":
			t.encr = append(t.encr, algorithm{withBits(translated(racoonEncryption, sub.arg(1)), sub.arg(2)), sub})
		case "hash_algorithm":
			a := algorithm{translated(racoonHashes, sub.arg(1)), sub}
			t.integ, t.prf = append(t.integ, a), append(t.prf, a)
		case "dh_group":
			t.ke = append(t.ke, algorithm{translated(nil, racoonGroup(sub.arg(1))), sub})
		case "authentication_method":
			methods = append(methods, sub)
		case "lifetime":
			r.lifetime(p.ikev2, sub, inIKEv2, "kmp_sa_lifetime_")
		case "gss_id":
			r.leaveOut(sub, "IKEv2 has no authentication by GSS-API", agreeOnKey)
		}
	}
	return methods
}

// lifetime reads lifetime time | byte NUMBER UNIT. The first one counts.
func (r *racoon) lifetime(s *section, n *node, p place, prefix string) {
	if n.arg(1) != "time" && n.arg(1) != "byte" {
		return
	}
	word := prefix + n.arg(1)
	for _, e := range s.entries {
		if strings.HasPrefix(e.text, word+" ") {
			r.change(n, "there is a lifetime already, and IKEv2 negotiates none")
			return
		}
	}
	text, err := plainText(word, n.words[2:])
	if err != nil {
		r.leaveOut(n, err.Error(), "")
		return
	}
	r.add(s, p, n, text)
}

// plainText writes a directive whose values need no quotes.
func plainText(directive string, words []word) (string, error) {
	for _, w := range words {
		if !isPlain(w.text) {
			return "", errUnquotable
		}
		directive += " " + w.text
	}
	return directive, nil
}

// authenticate writes the key of a remote and reports the methods that are none.
func (r *racoon) authenticate(p *peer, w wanted, methods []*node) {
	pos := []config.Pos{}
	for _, n := range methods {
		if n.arg(1) == "pre_shared_key" {
			n.claimed = true
			pos = append(pos, n.pos)
		}
	}
	if len(pos) == 0 {
		pos = append(pos, w.from.node.pos)
	}
	path := r.putKey(p.ikev2, p.name, w.secret, pos...)
	for _, n := range methods {
		do := agreeOnKey + " and write it into " + path
		switch method := n.arg(1); {
		case method == "pre_shared_key":
			if w.secret == nil {
				r.note(LeftOut, n, "the key of remote "+p.name+" is not known", "write it into "+path)
			}
		case strings.HasPrefix(method, "xauth") && strings.Contains(method, "psk"):
			r.leaveOut(n, noXAUTH+"; the remote uses the pre-shared key alone", do)
		case strings.HasPrefix(method, "xauth"), strings.HasPrefix(method, "hybrid"):
			r.leaveOut(n, "XAUTH and hybrid authentication are IKEv1; in IKEv2 EAP is in their place", do)
		default:
			r.leaveOut(n, noCertificates, do)
		}
	}
}
