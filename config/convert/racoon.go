package convert

import (
	"fmt"
	"net/netip"
	"strings"

	"racoon2/config"
)

// racoon is the conversion of a racoon.conf.
type racoon struct {
	*converter
	remotes   []*racoonRemote
	byKey     map[string]*racoonRemote
	anonymous *racoonRemote
	sainfos   []*sainfo
	rules     []*rule
	secrets   []*secret
	timers    []*node // directives of timer sections
	listen    []netip.Addr
	includes  string // "path include"
	keyPath   *node  // "path pre_shared_key"
	peers     []*peer
	byAddr    map[netip.Addr]*peer
}

// racoonRemote is a remote section of racoon.conf.
type racoonRemote struct {
	node   *node
	key    string // as inherit names it
	addr   netip.Addr
	port   string
	parent *racoonRemote
}

// racoon converts racoon.conf.
func (c *converter) racoon() error {
	r := &racoon{converter: c, byKey: map[string]*racoonRemote{}, byAddr: map[netip.Addr]*peer{}}
	root := &node{}
	if err := r.read(c.o.Main, root, 0); err != nil {
		return err
	}
	c.trees = append(c.trees, root)
	var err error
	if r.rules, err = c.setkey(); err != nil {
		return err
	}
	if _, r.secrets, err = c.psk(); err != nil {
		return err
	}
	for _, n := range root.block {
		r.top(n)
	}
	r.checkInherit()
	r.makePeers()
	r.traffic()
	r.unusedSecrets()
	return nil
}

// maxIncludes bounds files within files.
const maxIncludes = 10

// read parses a file with those that it includes.
func (r *racoon) read(f File, into *node, depth int) error {
	if err := r.take(f); err != nil {
		return err
	}
	root, err := parse(f)
	if err != nil {
		return err
	}
	for _, n := range root.block {
		into.block = append(into.block, n)
		switch {
		case n.name() == "path" && n.arg(1) == "include":
			r.includes = n.arg(2)
			r.change(n, "the files that it is for are part of the result")
		case n.name() == "include":
			if err := r.include(n, f.Name, into, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *racoon) include(n *node, from string, into *node, depth int) error {
	if r.o.Include == nil {
		r.leaveOut(n, "the file is not read", "convert it apart")
		return nil
	}
	if depth >= maxIncludes {
		return &SyntaxError{n.pos, fmt.Sprintf("files include files more than %d deep", maxIncludes)}
	}
	files, err := r.o.Include(n.arg(1), from, r.includes)
	if err != nil {
		return fmt.Errorf("%s: include: %w", n.pos, err)
	}
	for _, f := range files {
		if err := r.read(f, into, depth+1); err != nil {
			return err
		}
	}
	r.change(n, "what the file holds is part of the result")
	return nil
}

// What is said of the sections that have no counterpart.
const (
	noCertificates = "only pre-shared keys are converted"
	agreeOnKey     = "agree on a pre-shared key with the peer"
	noAssignment   = "addresses are not assigned to peers yet"
	noPadding      = "padding is as RFC 7296 §3.14 has it"
	noXAUTH        = "XAUTH is IKEv1; in IKEv2 EAP is in its place"
)

// top reads one directive of the top level.
func (r *racoon) top(n *node) {
	switch n.name() {
	case "remote":
		r.addRemote(n)
	case "sainfo":
		r.addSainfo(n)
	case "path":
		r.path(n)
	case "listen":
		r.readListen(n)
	case "timer":
		n.claimed = true
		for _, sub := range n.block {
			r.timer(sub)
		}
		if len(n.block) > 0 {
			r.change(n, "it stands in each remote")
		}
	case "padding":
		n.claimed = true
		for _, sub := range n.block {
			r.timer(sub)
		}
		if len(n.block) > 0 {
			r.change(n, "it stands in each remote")
		}
	case "log", "logging":
		r.leaveOut(n, "the command line says what is logged", `run racoon2 with "--log-level debug" to see more`)
	case "mode_cfg":
		r.leaveOutAll(n, noAssignment, "give the peers fixed addresses")
	case "radius", "ldap", "radiuscfg", "ldapcfg":
		n.hideSecrets()
		r.leaveOutAll(n, noXAUTH, agreeOnKey)
	case "privsep":
		r.leaveOutAll(n, "there are no processes to separate", "confine the service where it is started")
	case "gss_id_enc":
		r.leaveOut(n, "IKEv2 has no authentication by GSS-API", agreeOnKey)
	case "complex_bundle", "pfkey_buffer":
		r.change(n, "it tunes what this agent does differently")
	}
}

// path reads path KIND "FILE".
func (r *racoon) path(n *node) {
	switch n.arg(1) {
	case "include":
	case "pre_shared_key":
		r.keyPath = n
		if r.o.Secrets == nil {
			r.leaveOut(n, "its keys are not read", "give the file with --psk, or write a file for each remote")
			return
		}
		r.change(n, "each key has a file of its own")
	case "certificate":
		r.leaveOut(n, noCertificates, "")
	case "script":
		r.leaveOut(n, "no script is converted by itself", "")
	default:
		r.leaveOut(n, "racoon2 has no such file", "")
	}
}

// timer keeps a directive for the remotes.
func (r *racoon) timer(n *node) {
	switch n.name() {
	case "counter", "interval", "persend", "phase1", "phase2", "randomize", "randomize_length", "maximum_length":
		r.timers = append(r.timers, n)
		if len(r.timers) > 100 {
			r.timers = r.timers[1:]
		}
	case "strict_check", "exclusive_tail":
		r.leaveOut(n, noPadding, "")
	case "natt_keepalive":
		r.leaveOut(n, "the time between keepalives cannot be set", "")
	}
}

// timerWords are racoon2's words for those of timer.
var timerWords = map[string]string{
	"randomize": "random_pad_content", "randomize_length": "random_padlen", "maximum_length": "max_padlen",
	"counter": "max_retry_to_send", "interval": "interval_to_send", "persend": "times_per_send",
	"phase1": "kmp_sa_nego_time_limit", "phase2": "ipsec_sa_nego_time_limit",
}

// readListen makes the interface section.
func (r *racoon) readListen(n *node) {
	var ike []string
	var from []config.Pos
	s := &section{kind: "interface"}
	for _, sub := range n.block {
		switch sub.name() {
		case "isakmp", "isakmp_natt":
			if r.listenOn(sub, &ike) {
				from = append(from, sub.pos)
			}
		case "strict_address":
			r.change(sub, "an address that cannot be listened on is always reported")
		case "adminsock", "admin":
			r.leaveOut(sub, "the control socket has another protocol", `see "spmd" of the interface section and the racoon2 command`)
		}
	}
	if len(ike) == 0 {
		r.change(n, "IKE listens on ports 500 and 4500 of all addresses")
		return
	}
	n.claimed = true
	if r.names["interface"] {
		r.leaveOutAll(n, "there is a listen section already", "")
		return
	}
	r.names["interface"] = true
	s.from = append(s.from, n.pos)
	s.put("ike "+list(ike), "", from...)
	r.sections = append(r.sections, s)
}

// listenOn reads isakmp ADDRESS [PORT].
func (r *racoon) listenOn(n *node, ike *[]string) bool {
	e, _, err := readEnd(n.words[1:])
	if err != nil || !e.prefix.IsSingleIP() {
		r.leaveOut(n, "what to listen on is not one address in numbers", "write it into the interface section")
		return false
	}
	if e.port == "" {
		e.port = "500"
		if n.name() == "isakmp_natt" {
			e.port = "4500"
		}
	}
	text := e.text()
	if v := r.probe(inInterface, "ike { "+text+"; }"); !v.ok {
		r.leaveOut(n, v.why, v.do)
		return false
	}
	n.claimed = true
	*ike = append(*ike, text)
	r.listen = append(r.listen, e.prefix.Addr())
	return true
}

// addRemote registers remote anonymous | ADDRESS [PORT] | "NAME" [inherit …].
func (r *racoon) addRemote(n *node) {
	m := &racoonRemote{node: n}
	words := n.words[1:]
	m.key, words = remoteKey(words)
	if m.key == "" {
		r.leaveOutAll(n, "the remote has no name", "")
		return
	}
	if a, err := netip.ParseAddr(n.arg(1)); err == nil && !n.words[1].quoted {
		m.addr = a
	} else if addr := n.find("remote_address"); addr != nil {
		if e, _, err := readEnd(addr.words[1:]); err == nil && e.prefix.IsSingleIP() {
			m.addr, m.port = e.prefix.Addr(), e.port
		}
	}
	if len(n.words) > 2 && n.words[2].bracket {
		m.port, _ = portText(n.words[2].text)
	}
	if len(words) > 1 && words[0].text == "inherit" {
		parent, _ := remoteKey(words[1:])
		if m.parent = r.byKey[parent]; m.parent == nil {
			r.leaveOut(n, "the remote that it inherits from does not stand before it", "")
		}
	}
	if len(r.remotes) < maxMany {
		r.remotes = append(r.remotes, m)
	} else {
		r.err = errTooLarge
	}
	r.byKey[m.key] = m
	if m.key == "anonymous" {
		r.anonymous = m
	}
	n.claimed = true
}

// remoteKey is the name of a remote section: its first word, with its port.
func remoteKey(words []word) (string, []word) {
	if len(words) == 0 {
		return "", nil
	}
	key := words[0].text
	words = words[1:]
	if len(words) > 0 && words[0].bracket {
		key += "[" + words[0].text + "]"
		words = words[1:]
	}
	return key, words
}

// checkInherit cuts chains of inheritance that are too long.
func (r *racoon) checkInherit() {
	for _, m := range r.remotes {
		depth := 0
		for p := m.parent; p != nil; p = p.parent {
			if depth++; depth > maxDepth {
				r.leaveOut(m.node, "it inherits over too many steps", "")
				m.parent = nil
				break
			}
		}
	}
}

// settings are the directives of a remote, with those that it inherits.
func (r *racoon) settings(m *racoonRemote) []*node {
	var out []*node
	seen := map[string]bool{}
	for ; m != nil; m = m.parent {
		here := map[string]bool{}
		for _, n := range m.node.block {
			if !r.step() {
				return out
			}
			here[n.name()] = true
			if !seen[n.name()] {
				out = append(out, n)
			} else {
				r.overridden = append(r.overridden, n)
			}
		}
		for name := range here {
			seen[name] = true
		}
	}
	return out
}

// unusedSecrets reports the keys that no remote needs.
func (r *racoon) unusedSecrets() {
	for _, s := range r.secrets {
		if !s.used {
			r.leaveOut(s.node, "no remote uses the key", "")
		}
	}
}

// secretFor finds a key by the identifiers that it may stand under.
func (r *racoon) secretFor(ids ...string) *secret {
	for _, id := range ids {
		for _, s := range r.secrets {
			if id != "" && strings.EqualFold(s.ids[0], id) {
				return s
			}
		}
	}
	return nil
}
