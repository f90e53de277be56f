package convert

import (
	"net/netip"
	"strconv"
	"strings"
)

// childChanged are settings of children that need no counterpart.
var childChanged = map[string]string{
	"dpd_action": "policies stay when a peer is dead, and traffic starts anew", "close_action": "traffic starts anew what was closed",
	"rand_time":   "rekeying begins at a time of its own before the lifetime ends",
	"rekey_bytes": "rekeying begins by itself before life_bytes", "pfs": "the key exchange of children is need_pfs",
}

// swanChild makes the policy, the selectors and the ipsec section of a child.
func (c *converter) swanChild(k, child *conn, ike *section, remote string, locals, remotes []netip.Addr) {
	child.node.claimed = true
	for key, n := range child.values {
		if why := childChanged[key]; why != "" {
			c.change(n, why)
		}
	}
	mode, action := "tunnel", "auto_ipsec"
	switch n := child.values["mode"]; {
	case n == nil || n.arg(1) == "tunnel":
	case n.arg(1) == "transport":
		mode = "transport"
	case n.arg(1) == "pass" || n.arg(1) == "passthrough":
		action = "none"
	case n.arg(1) == "drop" || n.arg(1) == "reject":
		action = "discard"
	default:
		c.leaveOut(n, "racoon2 has no such mode", "use tunnel or transport")
		c.leaveOut(child.node, "its mode is not known here", "write selectors and a policy for it")
		return
	}
	from := at(child.node, child.values["mode"])
	p := &section{kind: "policy", name: c.freeName("policy", child.name), from: at(child.node)}
	p.put("action "+action, "", from...)
	if action == "auto_ipsec" {
		p.put("remote_index "+remote, "")
		p.put("ipsec_mode "+mode, "", from...)
		if mode == "tunnel" && len(locals) > 0 && (len(remotes) == 0 || remotes[0].Is4() == locals[0].Is4()) {
			p.put("my_sa_ipaddr "+locals[0].WithZone("").String(), "", at(k.values["local_addrs"])...)
		}
		c.swanStart(child, p)
		if ipsec := c.swanIPsec(child, ike); ipsec != "" {
			p.put("ipsec_index "+ipsec, "")
		}
	}
	if c.swanSelectors(child, p.name, locals, remotes) {
		if n := child.values["mode"]; n != nil {
			n.claimed = true
		}
		c.sections = append(c.sections, p)
	}
}

// swanStart converts start_action: what is to come up by itself does so where
// policies can.
func (c *converter) swanStart(child *conn, p *section) {
	if n := child.values["updown"]; n != nil {
		c.leaveOut(n, "programs are called with other variables", "write script into the remote; racoon2 config explain script tells what it is given")
	}
	n := child.values["start_action"]
	if n == nil {
		return
	}
	if action := n.arg(1); (strings.Contains(action, "start") || action == "up") && c.probe(inPolicy, "start on").ok {
		n.claimed = true
		p.put("start on", "", n.pos)
		return
	}
	c.change(n, "the first packet starts the negotiation")
}

// swanIPsec makes the ipsec and sa sections of a child. It returns the name,
// or "" where the built-in ones do.
func (c *converter) swanIPsec(child *conn, ike *section) string {
	bundle := c.newSection("ipsec", child.name, child.node.pos)
	c.swanTransforms(child, ike, bundle)
	life := child.values["life_time"]
	factor := 100
	if rekey := child.values["rekey_time"]; rekey != nil && life == nil {
		life, factor = rekey, 110 // strongSwan's life_time without one
	} else if rekey != nil {
		c.change(rekey, "rekeying begins by itself before the lifetime ends")
	}
	if life != nil {
		if seconds, ok := swanSeconds(life.arg(1)); ok {
			c.add(bundle, inIPsec, life, "ipsec_sa_lifetime_time "+strconv.Itoa(seconds*factor/100)+" sec")
		} else {
			c.leaveOut(life, "the time is not understood", "write ipsec_sa_lifetime_time")
		}
	}
	if n := child.values["life_bytes"]; n != nil && isPlain(n.arg(1)) {
		c.add(bundle, inIPsec, n, "ipsec_sa_lifetime_byte "+n.arg(1))
	}
	if len(bundle.entries) == 0 {
		c.sections = c.sections[:len(c.sections)-1]
		delete(c.names, "ipsec "+bundle.name)
		return ""
	}
	return bundle.name
}

// swanTransforms makes the sa sections of a child: ESP, and IPComp beside it.
func (c *converter) swanTransforms(child *conn, ike, bundle *section) {
	n := child.values["esp_proposals"]
	comp := child.values["ipcomp"]
	if comp != nil && comp.arg(1) != "yes" {
		c.change(comp, "it is off unless an sa section asks for it")
		comp = nil
	}
	if n == nil && comp == nil {
		return
	}
	sa := c.newSection("sa", child.name, child.node.pos)
	sa.put("sa_protocol esp", "")
	if n != nil {
		t := c.swanSuite(n, n.arg(1), false)
		if strings.Contains("-"+n.arg(1)+"-", "-esn-") && !strings.Contains(n.arg(1), "-noesn") {
			c.add(bundle, inIPsec, n, "ext_sequence on")
		}
		c.protection(sa, inSA, "esp_enc_alg", "esp_auth_alg", t)
		if len(t.ke) > 0 && !hasEntry(ike, "need_pfs ") {
			ike.put("need_pfs on", "", n.pos)
			c.change(n, "children use the groups of their remote's kmp_dh_group, not a list of their own")
		}
	}
	if comp == nil {
		bundle.put("sa_index "+sa.name, "")
		return
	}
	comp.claimed = true
	small := c.newSection("sa", child.name+"_ipcomp", comp.pos)
	small.put("sa_protocol ipcomp", "")
	bundle.put("sa_index "+list([]string{small.name, sa.name}), "", comp.pos)
}

// hasEntry says whether a section has a directive.
func hasEntry(s *section, prefix string) bool {
	for _, e := range s.entries {
		if strings.HasPrefix(e.text, prefix) {
			return true
		}
	}
	return false
}

// maxPairs bounds the pairs of networks of one child.
const maxPairs = 256

// swanSelectors makes two selectors for each pair of networks.
func (c *converter) swanSelectors(child *conn, policy string, locals, remotes []netip.Addr) bool {
	mine := c.swanTraffic(child, "local_ts", "local_protoport", locals, "MY_IP")
	theirs := c.swanTraffic(child, "remote_ts", "remote_protoport", remotes, "IP_RW")
	if len(mine)*len(theirs) > maxPairs {
		c.leaveOut(child.node, "it has too many pairs of networks", "write selectors for them")
		return false
	}
	made := 0
	why := "there are no networks that could be converted"
	for _, a := range mine {
		for _, b := range theirs {
			proto := a.proto
			if proto == "" {
				proto = b.proto
			}
			body := []string{"src " + a.text, "dst " + b.text}
			back := []string{"src " + b.text, "dst " + a.text}
			if proto != "" {
				body, back = append(body, "upper_layer_protocol "+proto), append(back, "upper_layer_protocol "+proto)
			}
			if v := c.probe(inSelector, strings.Join(body, "; ")); !v.ok {
				why = v.why
				continue
			}
			c.swanSelector(child, policy, "_out", "outbound", body)
			c.swanSelector(child, policy, "_in", "inbound", back)
			made++
		}
	}
	if made == 0 {
		c.leaveOut(child.node, why, "write selectors and a policy for it")
		for _, key := range []string{"mode", "local_ts", "remote_ts", "local_protoport", "remote_protoport"} {
			if n := child.values[key]; n != nil {
				c.leaveOut(n, why, "write selectors and a policy for it")
			}
		}
	}
	if made > 1 {
		c.note(Changed, child.node, "each pair of networks has SAs of its own", "")
	}
	if n := child.values["reqid"]; n != nil && made > 0 {
		c.leaveOut(n, "the kernel's request numbers are chosen", "write reqid into the selectors")
	}
	return made > 0
}

func (c *converter) swanSelector(child *conn, policy, suffix, direction string, body []string) {
	s := c.newSection("selector", policy+suffix, at(child.node, child.values["local_ts"], child.values["remote_ts"],
		child.values["local_protoport"], child.values["remote_protoport"])...)
	s.put("direction "+direction, "")
	for _, line := range body {
		s.put(line, "")
	}
	s.put("policy_index "+policy, "")
}

// swanTS is one traffic selector: an address as src and dst take it, and a protocol.
type swanTS struct{ text, proto string }

// swanTraffic reads a list of traffic selectors.
func (c *converter) swanTraffic(child *conn, key, protoKey string, addrs []netip.Addr, dynamic string) []swanTS {
	if len(addrs) > 0 {
		dynamic = addrs[0].WithZone("").String()
	}
	n := child.values[key]
	list := "dynamic"
	if n != nil {
		n.claimed = true
		list = n.arg(1)
	}
	suffix := ""
	if p := child.values[protoKey]; p != nil {
		p.claimed = true
		suffix = "[" + p.arg(1) + "]"
	}
	owner := n
	if owner == nil {
		owner = child.node
	}
	var out []swanTS
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '{' || r == '}' }) {
		if len(out) >= maxPairs {
			break
		}
		ts, why := readTS(s+suffix, dynamic)
		if why != "" {
			c.leaveOut(owner, why, "write selectors for it")
			continue
		}
		out = append(out, ts)
	}
	return out
}

// readTS reads ADDRESS[/LENGTH] or dynamic, with [PROTOCOL[/PORT]] behind it.
func readTS(s, dynamic string) (swanTS, string) {
	addr, rest, bracket := strings.Cut(s, "[")
	ts := swanTS{text: dynamic}
	if addr != "dynamic" && addr != "%dynamic" {
		text, ok := networkText(addr)
		if !ok {
			return swanTS{}, "the traffic is neither a network nor a range in numbers"
		}
		ts.text = text
	}
	if !bracket {
		return ts, ""
	}
	proto, port, _ := strings.Cut(strings.TrimSuffix(rest, "]"), "/")
	if proto == "0" || proto == "%any" {
		proto = "any"
	}
	var err error
	if ts.proto, err = upperProtocol(proto); err != nil {
		return swanTS{}, err.Error()
	}
	if port == "%any" || port == "opaque" {
		port = ""
	}
	if port, err = portText(port); err != nil {
		return swanTS{}, err.Error()
	}
	if port != "" {
		ts.text += " port " + port
	}
	return ts, ""
}

// networkText is a network, or a range of addresses, as src and dst take it.
func networkText(s string) (string, bool) {
	if e, _, err := readEnd([]word{{text: s}}); err == nil {
		return e.text(), true
	}
	a, b, _ := strings.Cut(s, "-")
	first, errA := netip.ParseAddr(a)
	last, errB := netip.ParseAddr(b)
	if errA != nil || errB != nil || first.BitLen() != last.BitLen() || first.Zone()+last.Zone() != "" || last.Less(first) {
		return "", false
	}
	return first.String() + " - " + last.String(), true
}
