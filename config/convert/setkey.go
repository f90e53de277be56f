package convert

import (
	"fmt"
	"net/netip"
	"strings"

	"racoon2/config"
)

// rule is a policy of the kernel's SPD, from setkey's spdadd.
type rule struct {
	node      *node
	inbound   bool
	src, dst  end
	proto     string // "" is any; with type and code of ICMP
	action    string // ipsec, none or discard
	requests  []request
	reqID     string
	reversed  *rule
	isReverse bool // the reverse of a rule before it
}

// end is one side of a rule.
type end struct {
	prefix netip.Prefix
	port   string // "" is any
}

// text writes the side as src and dst of a selector take it.
func (e end) text() string {
	s := e.prefix.String()
	if e.prefix.IsSingleIP() {
		s = e.prefix.Addr().String()
	}
	if e.port != "" {
		s += " port " + e.port
	}
	return s
}

// request is one protocol of a rule: esp/tunnel/SRC-DST/LEVEL.
type request struct {
	proto, mode, level string
	src, dst           netip.Addr // not valid in transport mode
}

// setkey reads the rules of a setkey file.
func (c *converter) setkey() ([]*rule, error) {
	if c.o.Setkey == nil {
		return nil, nil
	}
	if err := c.take(*c.o.Setkey); err != nil {
		return nil, err
	}
	root, err := parse(*c.o.Setkey)
	if err != nil {
		return nil, err
	}
	c.trees = append(c.trees, root)
	var rules []*rule
	for _, n := range root.block {
		switch n.name() {
		case "spdadd", "spdupdate":
			r, err := readRule(n)
			if err != nil {
				c.leaveOut(n, err.Error(), "write selectors and a policy for this traffic")
				continue
			}
			if r == nil {
				c.change(n, "the forward policy is made from the inbound selector")
				continue
			}
			rules = append(rules, r)
			if len(rules) > 2*maxMany {
				return nil, errTooLarge
			}
		case "flush", "spdflush":
			c.change(n, "the agent clears what it has made by itself")
		case "add", "update":
			n.show = 5
			m, err := readManual(n)
			if err != nil {
				if c.refused == nil {
					c.refused = map[manualKey]config.Pos{}
				}
				if len(c.refused) < 2*maxMany {
					c.refused[manualKey{m.src, m.dst, m.proto}] = n.pos
				}
				c.leaveOut(n, err.Error(), "let IKEv2 negotiate this one, or write an sa section")
				continue
			}
			if c.manuals == nil {
				c.manuals = map[manualKey]*manual{}
			}
			key := manualKey{m.src, m.dst, m.proto}
			if old := c.manuals[key]; old != nil {
				c.change(old.node, "a later SA has its place")
			}
			c.manuals[key] = m
			if len(c.manuals) > 2*maxMany {
				return nil, errTooLarge
			}
		case "delete", "deleteall", "spddelete", "get", "dump", "spddump":
			c.leaveOut(n, "it is a command, not a setting", "racoon2 sa and racoon2 policy show and change what is there")
		default:
			n.show = 1
		}
	}
	pairRules(rules)
	return rules, nil
}

// readRule reads spdadd [-46n] SRC DST PROTOCOL POLICY; nil for a forward policy.
func readRule(n *node) (*rule, error) {
	words := n.words[1:]
	for len(words) > 0 && (words[0].text == "-4" || words[0].text == "-6" || words[0].text == "-n" || words[0].text == "-46n") {
		words = words[1:]
	}
	r := &rule{node: n}
	var err error
	if r.src, words, err = readEnd(words); err != nil {
		return nil, err
	}
	if r.dst, words, err = readEnd(words); err != nil {
		return nil, err
	}
	if r.src.prefix.Addr().Is4() != r.dst.prefix.Addr().Is4() {
		return nil, fmt.Errorf("source and destination are of different families")
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("there is no upper-layer protocol")
	}
	if r.proto, err = upperProtocol(words[0].text); err != nil {
		return nil, err
	}
	words = words[1:]
	if strings.Contains(r.proto, "icmp") && len(words) > 0 && strings.Trim(words[0].text, "0123456789") == "" {
		icmp := words[0].text
		if len(words) > 2 && words[1].text == "," {
			icmp += " " + words[2].text
			words = words[2:]
		}
		r.proto += " " + icmp
		words = words[1:]
	}
	if r.proto == "" && (r.src.port != "" || r.dst.port != "") {
		return nil, fmt.Errorf("a port needs a protocol that has ports (RFC 4301 §4.4.1.1)")
	}
	return r.readPolicy(words)
}

// upperProtocol is a protocol as upper_layer_protocol takes it; any is "".
func upperProtocol(s string) (string, error) {
	switch s = strings.ToLower(s); {
	case s == "any":
		return "", nil
	case !isPlain(s):
		return "", fmt.Errorf("the upper-layer protocol is not known")
	}
	return s, nil
}

// readEnd reads ADDRESS[/LENGTH][port].
func readEnd(words []word) (end, []word, error) {
	if len(words) == 0 {
		return end{}, nil, fmt.Errorf("an address is missing")
	}
	e := end{}
	s := words[0].text
	var err error
	if strings.Contains(s, "/") {
		e.prefix, err = netip.ParsePrefix(s)
	} else {
		var a netip.Addr
		if a, err = netip.ParseAddr(s); err == nil {
			e.prefix = netip.PrefixFrom(a.WithZone(""), a.BitLen())
		}
	}
	if err != nil || e.prefix.Addr().Is4In6() {
		return end{}, nil, fmt.Errorf("an address is not in numbers: names and ranges are not resolved")
	}
	e.prefix = e.prefix.Masked()
	words = words[1:]
	if len(words) > 0 && words[0].bracket {
		if e.port, err = portText(words[0].text); err != nil {
			return end{}, nil, err
		}
		words = words[1:]
	}
	return e, words, nil
}

// portText is a port as racoon2.conf takes it; any is "".
func portText(s string) (string, error) {
	switch {
	case s == "any" || s == "0" || s == "":
		return "", nil
	case !isPlain(s) || strings.Contains(s, "-"):
		return "", fmt.Errorf("ranges of ports cannot be written")
	}
	return s, nil
}

// readPolicy reads -P DIRECTION [priority] ACTION [REQUEST …].
func (r *rule) readPolicy(words []word) (*rule, error) {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
		if w.bracket {
			texts[i] = ""
		}
	}
	if len(texts) < 3 || texts[0] != "-P" {
		return nil, fmt.Errorf("the policy is not understood")
	}
	switch texts[1] {
	case "in":
		r.inbound = true
	case "out":
	case "fwd":
		return nil, nil
	default:
		return nil, fmt.Errorf("the direction is neither in nor out")
	}
	switch r.action = texts[2]; r.action {
	case "discard", "none":
		return r, nil
	case "bypass":
		r.action = "none"
		return r, nil
	case "ipsec":
	default:
		return nil, fmt.Errorf("the action and priority are not understood: only discard, none and ipsec without a priority are")
	}
	for _, s := range texts[3:] {
		if s == "" {
			continue // the port of a tunnel's end, which NAT traversal finds by itself
		}
		if err := r.readRequest(s); err != nil {
			return nil, err
		}
	}
	if len(r.requests) == 0 {
		return nil, fmt.Errorf("the policy names no protocol")
	}
	for _, q := range r.requests {
		if q.mode == "tunnel" && !q.dst.IsValid() {
			return nil, fmt.Errorf("the tunnel has no ends")
		}
	}
	return r, nil
}

// readRequest reads PROTOCOL/MODE/[SRC-DST]/LEVEL. A port cuts it into parts.
func (r *rule) readRequest(s string) error {
	if strings.HasPrefix(s, "-") && len(r.requests) > 0 { // behind a port of the source
		last := &r.requests[len(r.requests)-1]
		return last.fill(strings.Split(last.src.String()+s, "/"))
	}
	if strings.HasPrefix(s, "/") && len(r.requests) > 0 { // behind a port of the destination
		r.requests[len(r.requests)-1].level = s[1:]
		return r.readLevel()
	}
	parts := strings.Split(s, "/")
	if len(parts) < 3 || len(parts) > 4 {
		return fmt.Errorf("the protocol's mode, ends and level are not understood")
	}
	q := request{proto: parts[0], mode: parts[1]}
	if err := q.fill(parts[2:]); err != nil {
		return err
	}
	r.requests = append(r.requests, q)
	return r.readLevel()
}

// fill reads SRC-DST and LEVEL; what follows a port comes later.
func (q *request) fill(parts []string) error {
	switch q.mode {
	case "transport", "tunnel":
	default:
		return fmt.Errorf("the mode is neither transport nor tunnel")
	}
	src, dst, both := strings.Cut(parts[0], "-")
	if len(parts) > 1 {
		q.level = parts[1]
	}
	var err error
	if q.mode == "transport" && parts[0] == "" {
		return nil
	}
	if q.src, err = netip.ParseAddr(src); err != nil {
		return fmt.Errorf("the ends of the tunnel are not addresses in numbers")
	}
	if !both {
		return nil
	}
	if q.dst, err = netip.ParseAddr(dst); err != nil || q.src.Is4() != q.dst.Is4() || q.src.Is4In6() || q.dst.Is4In6() {
		return fmt.Errorf("the ends of the tunnel are not two addresses of one family")
	}
	return nil
}

// readLevel reads require, use, default or unique[:ID].
func (r *rule) readLevel() error {
	q := &r.requests[len(r.requests)-1]
	level, id, numbered := strings.Cut(q.level, ":")
	switch level {
	case "require", "use", "unique":
	case "default", "":
		level = "require"
	default:
		return fmt.Errorf("the level is none of require, use and unique")
	}
	if numbered {
		if id == "" || len(id) > 9 || strings.Trim(id, "0123456789") != "" {
			return fmt.Errorf("the number behind unique is not understood")
		}
		r.reqID = id
	}
	q.level = level
	return nil
}

// pairRules finds for each rule the one of the other direction.
func pairRules(rules []*rule) {
	type key struct {
		inbound  bool
		src, dst end
		proto    string
		action   string
	}
	open := map[key]*rule{}
	for _, r := range rules {
		other := key{!r.inbound, r.dst, r.src, r.proto, r.action}
		if first := open[other]; first != nil {
			first.reversed, r.reversed, r.isReverse = r, first, true
			delete(open, other)
			continue
		}
		open[key{r.inbound, r.src, r.dst, r.proto, r.action}] = r
	}
}

// ends are the ends of what a rule protects: this host's and the peer's. An
// end that is not known is not valid.
func (r *rule) ends() (mine, theirs netip.Addr) {
	if r.action != "ipsec" {
		return mine, theirs
	}
	main := r.main()
	mine, theirs = main.src, main.dst
	if main.mode == "transport" {
		mine, theirs = hostOf(r.src.prefix), hostOf(r.dst.prefix)
	}
	if r.inbound {
		mine, theirs = theirs, mine
	}
	return mine, theirs
}

func hostOf(p netip.Prefix) netip.Addr {
	if p.IsSingleIP() {
		return p.Addr()
	}
	return netip.Addr{}
}

// level is the strictest of what a rule says of ESP and AH: IPComp, which is often
// optional, must not let their traffic go in clear.
func (r *rule) level() string {
	level := ""
	for _, one := range r.requests {
		switch {
		case one.proto == "ipcomp" && len(r.requests) > 1:
		case level == "" || level == "use" || one.level == "unique":
			level = one.level
		}
	}
	return level
}

// main is the request that names the ends: the tunnel if there is one.
func (r *rule) main() request {
	for _, one := range r.requests {
		if one.mode == "tunnel" {
			return one
		}
	}
	return r.requests[0]
}
