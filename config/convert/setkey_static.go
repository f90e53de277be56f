package convert

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// manual is an SA with keys of its own, from setkey's add.
type manual struct {
	node        *node
	src, dst    netip.Addr
	proto, spi  string
	encr, integ string // as the sa section takes them, with their keys
	used        bool
}

// inStatic is where a static policy stands, with all that it names on one line.
const inStatic place = "selector o { direction outbound; src 192.0.2.1; dst 192.0.2.2; policy_index p; }; selector i { direction inbound; src 192.0.2.2; dst 192.0.2.1; policy_index p; };\n%s;\n"

// setkeyEncryption and setkeyIntegrity are setkey's algorithms in racoon2's words.
var (
	setkeyEncryption = map[string]string{
		"des-cbc": "des_cbc", "3des-cbc": "3des_cbc", "null": "null_enc", "rijndael-cbc": "aes_cbc", "aes-cbc": "aes_cbc",
		"blowfish-cbc": "blowfish_cbc", "cast128-cbc": "cast128_cbc", "twofish-cbc": "twofish_cbc",
	}
	setkeyIntegrity = map[string]string{
		"hmac-md5": "hmac_md5", "hmac-sha1": "hmac_sha1", "hmac-sha256": "hmac_sha2_256", "hmac-sha2-256": "hmac_sha2_256",
		"hmac-sha384": "hmac_sha2_384", "hmac-sha2-384": "hmac_sha2_384", "hmac-sha512": "hmac_sha2_512",
		"hmac-sha2-512": "hmac_sha2_512", "aes-xcbc-mac": "aes_xcbc", "null": "",
	}
)

// counterModes are the ciphers of setkey and of Linux that no SA with a fixed key
// may have: after a restart they would encrypt again with the same counters.
var counterModes = []struct{ name, rfc string }{
	{"aes-ctr", "RFC 3686 §7"}, {"rfc3686(", "RFC 3686 §7"}, {"aes-gcm", "RFC 4106 §10"}, {"rfc4106(", "RFC 4106 §10"},
	{"aes-ccm", "RFC 4309 §9"}, {"rfc4309(", "RFC 4309 §9"}, {"aes-gmac", "RFC 4543 §7"}, {"rfc4543(", "RFC 4543 §7"},
	{"chacha20-poly1305", "RFC 7634 §5"}, {"rfc7539esp(", "RFC 7634 §5"},
}

// counterMode says of a cipher that it takes no key by hand.
func counterMode(name string) error {
	for _, m := range counterModes {
		if strings.HasPrefix(name, m.name) {
			return fmt.Errorf("%s takes no keys by hand: after a restart it would repeat its counters under the same key (%s)", clip(name), m.rfc)
		}
	}
	return nil
}

// readManual reads add [-46n] SRC DST PROTOCOL SPI [EXTENSIONS] [ALGORITHMS].
// With an error the manual has what was read of addresses and protocol.
func readManual(n *node) (*manual, error) {
	m := &manual{node: n}
	words := n.words[1:]
	for len(words) > 0 && (words[0].text == "-4" || words[0].text == "-6" || words[0].text == "-n" || words[0].text == "-46n") {
		words = words[1:]
	}
	if len(words) < 4 {
		return m, fmt.Errorf("it lacks addresses, protocol or SPI")
	}
	m.proto = words[2].text
	var errSrc, errDst error
	m.src, errSrc = netip.ParseAddr(words[0].text)
	m.dst, errDst = netip.ParseAddr(words[1].text)
	if errSrc != nil || errDst != nil || m.src.Is4() != m.dst.Is4() {
		return m, fmt.Errorf("its addresses are not two numbers of one family")
	}
	switch m.proto {
	case "esp", "ah", "ipcomp":
	default:
		return m, fmt.Errorf("its protocol is none of esp, ah and ipcomp")
	}
	spi, err := strconv.ParseUint(words[3].text, 0, 32)
	if err != nil {
		return m, fmt.Errorf("its SPI is not one number")
	}
	m.spi = fmt.Sprintf("%#x", spi)
	if err := m.readExtensions(words[4:]); err != nil {
		return m, err
	}
	if m.proto == "esp" && m.integ == "" {
		return m, fmt.Errorf("nothing authenticates what it encrypts (RFC 8221 §4)")
	}
	return m, nil
}

// readExtensions reads what follows the SPI.
func (m *manual) readExtensions(words []word) error {
	for len(words) > 0 {
		option := words[0].text
		take := 2
		switch option {
		case "-m", "-u", "-r", "-f", "-C":
		case "-ls", "-lh", "-bs", "-bh":
			return fmt.Errorf("static SAs do not end: there is nobody to make new ones")
		case "-E", "-A":
			take = 3
		case "-R":
			take = 1
		default:
			return fmt.Errorf("%s is not understood", clip(option))
		}
		if option == "-E" && len(words) > 1 && words[1].text == "null" && (len(words) == 2 || strings.HasPrefix(words[2].text, "-")) {
			take = 2
		}
		if len(words) < take {
			return fmt.Errorf("%s has no value", clip(option))
		}
		if option == "-E" || option == "-A" {
			if err := m.readKey(option, words[1:take]); err != nil {
				return err
			}
		}
		words = words[take:]
	}
	return nil
}

// readKey reads an algorithm and its key.
func (m *manual) readKey(option string, words []word) error {
	var key []byte
	if len(words) > 1 {
		text, isHex := strings.CutPrefix(words[1].text, "0x")
		key = []byte(words[1].text)
		if isHex && !words[1].quoted {
			var err error
			if key, err = hex.DecodeString(text); err != nil {
				return fmt.Errorf("a key is not hexadecimal")
			}
		}
	}
	table := setkeyEncryption
	if option == "-A" {
		table = setkeyIntegrity
	}
	algorithm := strings.ToLower(words[0].text)
	if err := counterMode(algorithm); err != nil {
		return err
	}
	name, known := table[algorithm]
	if !known {
		return fmt.Errorf("the algorithm %s has no counterpart", clip(words[0].text))
	}
	text := name
	if len(key) > 0 && name != "" && name != "null_enc" {
		bits := ""
		if name == "aes_cbc" {
			bits = strconv.Itoa(len(key) * 8)
		}
		text = name + "," + bits + ",0x" + hex.EncodeToString(key)
	}
	if option == "-E" {
		m.encr = text
	} else {
		m.integ = text
	}
	return nil
}

// lines are the directives of the sa section.
func (m *manual) lines() []string {
	out := []string{"sa_protocol " + m.proto, "spi " + m.spi}
	enc, auth := "esp_enc_alg ", "esp_auth_alg "
	if m.proto == "ah" {
		auth = "ah_auth_alg "
	}
	if m.encr != "" && m.proto == "esp" {
		out = append(out, enc+m.encr)
	}
	if m.integ != "" && m.proto != "ipcomp" {
		out = append(out, auth+m.integ)
	}
	return out
}

// manualsOf are the SAs that serve a rule, one for each of its requests; none
// where one is missing, or one of the other direction was left out.
func (r *racoon) manualsOf(q *rule) []*manual {
	if q.action != "ipsec" || len(r.manuals) == 0 || r.refusedKeys(q) != "" {
		return nil
	}
	mine, theirs := q.ends()
	src, dst := mine, theirs
	if q.inbound {
		src, dst = dst, src
	}
	var out []*manual
	for _, one := range q.requests {
		found := r.manuals[manualKey{src, dst, one.proto}]
		if found == nil {
			return nil
		}
		out = append(out, found)
	}
	return out
}

// refusedKeys says that the keys of a rule or of its reverse are in the file, and
// were left out.
func (r *racoon) refusedKeys(q *rule) string {
	for _, q := range []*rule{q, q.reversed} {
		if q == nil {
			continue
		}
		src, dst := q.ends()
		if q.inbound {
			src, dst = dst, src
		}
		for _, one := range q.requests {
			if at, refused := r.refused[manualKey{src, dst, one.proto}]; refused {
				return fmt.Sprintf("an SA with its keys was left out (%s:%d)", at.File, at.Line)
			}
		}
	}
	return ""
}

// manualKey finds an SA for a rule.
type manualKey struct {
	src, dst netip.Addr
	proto    string
}

// static makes the policy, the selector and the sa sections of a rule whose keys
// are in the file. It reports whether it did.
func (r *racoon) static(q *rule) bool {
	list := r.manualsOf(q)
	if list == nil {
		return false
	}
	mine, theirs := q.ends()
	main := q.main()
	policy := []string{"action static_ipsec", "ipsec_mode " + main.mode, "ipsec_level " + q.level()}
	if main.mode == "tunnel" {
		policy = append(policy, "my_sa_ipaddr "+mine.String(), "peers_sa_ipaddr "+theirs.String())
	}
	text := "policy p { " + strings.Join(policy, "; ") + "; ipsec_index b; }; ipsec b { sa_index { "
	for i := range list {
		text += fmt.Sprintf("s%d; ", i)
	}
	text += "}; }"
	for i, m := range list {
		text += fmt.Sprintf("; sa s%d { %s; }", i, strings.Join(m.lines(), "; "))
	}
	if v := r.probe(inStatic, text); !v.ok {
		why := strings.NewReplacer("sa s0 of static policy p: ", "", "sa s1 of static policy p: ", "", "sa s2 of static policy p: ", "").Replace(v.why)
		r.leaveOut(q.node, why, v.do)
		for _, m := range list {
			m.used = true
			r.leaveOut(m.node, why, v.do)
		}
		return true
	}
	r.writeStatic(q, list, policy)
	return true
}

// writeStatic adds the sections of a static rule.
func (r *racoon) writeStatic(q *rule, list []*manual, policy []string) {
	q.node.claimed = true
	direction, suffix := "outbound", "_out"
	if q.inbound {
		direction, suffix = "inbound", "_in"
	}
	p := r.newSection("policy", "static"+suffix, q.node.pos)
	r.selector(p.name, direction, p.name, q.src, q.dst, q, q)
	bundle := r.newSection("ipsec", p.name, q.node.pos)
	var names []string
	for _, m := range list {
		m.used, m.node.claimed = true, true
		s := r.newSection("sa", p.name+"_"+m.proto, m.node.pos)
		for _, line := range m.lines() {
			s.put(line, "")
		}
		names = append(names, s.name)
	}
	bundle.put("sa_index "+oneOrList(names), "")
	for _, line := range policy {
		p.put(line, "")
	}
	p.put("ipsec_index "+bundle.name, "")
}

// oneOrList is one name as it stands, and several in braces.
func oneOrList(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return list(names)
}

// unusedManuals reports the SAs that no rule needs, in the order of the file.
func (r *racoon) unusedManuals() {
	var left []*manual
	for _, m := range r.manuals {
		if !m.used {
			left = append(left, m)
		}
	}
	slices.SortFunc(left, func(a, b *manual) int { return a.node.pos.Line - b.node.pos.Line })
	for _, m := range left {
		if at, refused := r.refused[manualKey{m.dst, m.src, m.proto}]; refused {
			r.leaveOut(m.node, fmt.Sprintf("the SA of the other direction was left out (%s:%d)", at.File, at.Line), "let IKEv2 negotiate both")
			continue
		}
		r.leaveOut(m.node, "no policy with spdadd uses it", "write selectors and a policy with action static_ipsec for it")
	}
}
