package convert

import (
	"strconv"
	"strings"

	"racoon2/config"
)

// directWords are the directives of remote that racoon2 has under a name of its own.
var directWords = map[string]string{
	"passive": "passive", "nat_traversal": "nat_traversal", "dpd_delay": "dpd_delay", "nonce_size": "nonce_size",
	"initial_contact": "initial_contact", "verify_identifier": "verify_id",
}

// changedWords are those that need no counterpart, and why.
var changedWords = map[string]string{
	"doi":              "IKEv2 has no domain of interpretation",
	"situation":        "IKEv2 has no situation",
	"proposal_check":   "IKEv2 does not negotiate lifetimes, and everything else must be as configured",
	"ike_frag":         "messages are fragmented where both ends can (RFC 7383)",
	"support_proxy":    "IKEv2 negotiates the addresses of the traffic apart (RFC 7296 §2.9)",
	"dpd_retry":        "a question that is not answered is sent again as any other (RFC 7296 §2.4)",
	"dpd_maxfail":      "a question that is not answered is sent again as any other (RFC 7296 §2.4)",
	"ph1id":            "sainfo finds its remote by it",
	"dh_group":         "IKEv2 has no aggressive mode that needs the group before",
	"match_empty_cr":   "it concerns certificates",
	"rekey":            "IKE SAs are always rekeyed",
	"keepalive":        "NAT keepalives are always sent",
	"strict_address":   "it concerns the remote's configuration in racoon alone",
	"certificate_mode": "it concerns certificates",
}

// missingWords are those without counterpart: the reason, and what to do.
var missingWords = map[string][2]string{
	"certificate_type":  {noCertificates, agreeOnKey},
	"ca_type":           {noCertificates, agreeOnKey},
	"peers_certfile":    {noCertificates, agreeOnKey},
	"send_cert":         {noCertificates, ""},
	"send_cr":           {noCertificates, ""},
	"verify_cert":       {noCertificates, ""},
	"mode_cfg":          {noAssignment, "give the peer a fixed address"},
	"xauth_login":       {noXAUTH, agreeOnKey},
	"generate_policy":   {"policies are not made from what a peer asks for", "write selectors for the peers' traffic"},
	"weak_phase1_check": {"only protected messages delete an SA (RFC 7296 §1.4.1)", ""},
	"esp_frag":          {"packets are not fragmented before ESP", "set the MTU of the route instead"},
	"gss_id":            {"IKEv2 has no authentication by GSS-API", agreeOnKey},
	"script":            {"programs are called with other variables", "write script with the event and the program; racoon2 config explain script tells what it is given"},
}

// remoteDirective converts a directive of remote that is no identity and no proposal.
func (r *racoon) remoteDirective(p *peer, n *node) {
	name := n.name()
	if word := directWords[name]; word != "" {
		r.directWord(p, n, word)
		return
	}
	if why := changedWords[name]; why != "" {
		if name == "ph1id" {
			p.phase1 = n.arg(1)
		}
		r.change(n, why)
		return
	}
	if why, missing := missingWords[name]; missing {
		if n.arg(1) == "off" {
			r.change(n, "it is off: "+why[0])
			return
		}
		r.leaveOut(n, why[0], why[1])
		return
	}
	switch name {
	case "exchange_mode":
		r.exchangeMode(p, n)
	case "lifetime":
		r.lifetime(p.ikev2, n, inIKEv2, "kmp_sa_lifetime_")
	}
}

// directWord converts a directive whose value is the same.
func (r *racoon) directWord(p *peer, n *node, word string) {
	text, err := plainText(word, n.words[1:])
	if err != nil || len(n.words) < 2 {
		r.leaveOut(n, "the value is not understood", "")
		return
	}
	if v := r.probe(inIKEv2, text); !v.ok {
		r.leaveOut(n, v.why, v.do)
		return
	}
	for i, e := range p.ikev2.entries {
		if strings.HasPrefix(e.text, word+" ") { // the last one wins
			p.ikev2.entries[i] = entry{text: text, from: []config.Pos{n.pos}, note: "overrides line " + strconv.Itoa(e.from[0].Line)}
			r.note(Changed, n, "the last one counts", "")
			return
		}
	}
	n.claimed = true
	p.ikev2.put(text, "", n.pos)
}

// exchangeMode reads the modes of IKEv1. Main mode, which IKEv2's one exchange
// takes the place of, is what a remote converts from.
func (r *racoon) exchangeMode(p *peer, n *node) {
	main := false
	var others []string
	for _, w := range n.words[1:] {
		switch w.text {
		case "main":
			main = true
		case ",":
		default:
			others = append(others, clip(w.text))
		}
	}
	n.claimed = true
	if main {
		p.ikev2.from = append(p.ikev2.from, n.pos)
		p.ikev2.note = "main mode becomes IKEv2"
	}
	switch {
	case len(others) > 0 && main:
		r.change(n, "IKEv2 has one exchange; there is no "+strings.Join(others[:min(3, len(others))], " or ")+" mode")
	case !main:
		r.leaveOut(n, "IKEv2 has one exchange, which protects the identities: there is no such mode", "let the peer speak IKEv2")
	}
}
