package convert

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"racoon2/config"
)

// ipsec converts ipsec.conf.
func (c *converter) ipsec() error {
	root := &node{}
	if err := c.readIPsec(c.o.Main, root, 0); err != nil {
		return err
	}
	c.trees = append(c.trees, root)
	secrets, err := c.ipsecSecrets()
	if err != nil {
		return err
	}
	conns := map[string]*node{}
	for _, n := range root.block {
		if n.name() == "conn" {
			conns[n.arg(1)] = n
		}
	}
	for _, n := range root.block {
		switch n.name() {
		case "conn":
			c.ipsecConn(conns, n, secrets)
		case "config":
			c.leaveOutAll(n, "it is about the other program", "")
		case "ca":
			c.leaveOutAll(n, noCertificates, agreeOnKey)
		case "version":
			c.change(n, "it is about the file")
		}
	}
	c.unusedKeys(secrets)
	return nil
}

// readIPsec reads sections, each with a heading at the margin and indented
// lines of KEY = VALUE.
func (c *converter) readIPsec(f File, root *node, depth int) error {
	if err := c.take(f); err != nil {
		return err
	}
	var section *node
	number := 0
	for line := range strings.Lines(f.Text) {
		number++
		text := strings.TrimRight(line, " \t\r\n")
		body := strings.TrimLeft(text, " \t")
		n := &node{pos: config.Pos{File: f.Name, Line: number, Col: 1 + len(text) - len(body)}}
		switch {
		case body == "" || body[0] == '#':
			continue
		case len(body) == len(text): // a heading
			section = nil
			for _, s := range strings.Fields(body) {
				n.words = append(n.words, word{text: s})
			}
			switch n.name() {
			case "conn", "config", "ca", "version", "include":
			default:
				return &SyntaxError{n.pos, "the line is no heading of ipsec.conf: conn, config, ca, version or include"}
			}
			root.block = append(root.block, n)
			if n.name() == "include" {
				if err := c.includeIPsec(n, f.Name, root, depth); err != nil {
					return err
				}
				continue
			}
			section = n
		default:
			key, value, ok := strings.Cut(body, "=")
			if !ok || section == nil {
				return &SyntaxError{n.pos, "an indented line is KEY=VALUE below a heading"}
			}
			value = strings.TrimSpace(value)
			if i := strings.Index(value, " #"); i >= 0 && !strings.HasPrefix(value, `"`) {
				value = strings.TrimSpace(value[:i])
			}
			n.words = []word{{text: strings.TrimSpace(key)}, {text: strings.Trim(value, `"`)}}
			section.block = append(section.block, n)
		}
	}
	return nil
}

func (c *converter) includeIPsec(n *node, from string, root *node, depth int) error {
	if c.o.Include == nil || depth >= maxIncludes {
		c.leaveOut(n, "the file is not read", "convert it apart")
		return nil
	}
	files, err := c.o.Include(n.arg(1), from, "")
	if err != nil {
		return fmt.Errorf("%s: include: %w", n.pos, err)
	}
	c.change(n, "what the file holds is part of the result")
	for _, f := range files {
		if err := c.readIPsec(f, root, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// ipsecWords are ipsec.conf's keys under swanctl.conf's names.
var ipsecWords = map[string]string{
	"left": "local_addrs", "right": "remote_addrs", "leftid": "local.id", "rightid": "remote.id",
	"leftauth": "local.auth", "rightauth": "remote.auth", "ike": "proposals",
	"ikelifetime": "rekey_time", "dpddelay": "dpd_delay", "dpdaction": "dpd_action", "dpdtimeout": "dpd_timeout",
	"forceencaps": "encap", "encapsulation": "encap", "fragmentation": "fragmentation", "mobike": "mobike",
}

// ipsecChildWords are those that are about the traffic.
var ipsecChildWords = map[string]string{
	"leftsubnet": "local_ts", "leftsubnets": "local_ts", "rightsubnet": "remote_ts", "rightsubnets": "remote_ts",
	"leftprotoport": "local_protoport", "rightprotoport": "remote_protoport", "esp": "esp_proposals",
	"phase2alg": "esp_proposals", "type": "mode", "auto": "start_action", "lifetime": "life_time",
	"keylife": "life_time", "salifetime": "life_time", "lifebytes": "life_bytes", "reqid": "reqid", "pfs": "pfs",
	"leftupdown": "updown", "compress": "ipcomp",
}

// ipsecChanged are keys that need no counterpart.
var ipsecChanged = map[string]string{
	"margintime": "rekeying begins by itself before the lifetime ends", "rekeymargin": "rekeying begins by itself before the lifetime ends",
	"rekeyfuzz": "rekeying begins at a time of its own before the lifetime ends", "keyingtries": "traffic starts a new attempt",
	"reauth": "IKE SAs are rekeyed, and authenticated once", "ikev2": "only IKEv2 is spoken", "keyexchange": "only IKEv2 is spoken",
	"aggressive": "IKEv2 has no modes", "closeaction": "traffic starts anew what was closed",
	"narrowing": "traffic is narrowed as RFC 7296 §2.9 has it", "leftfirewall": "racoon2 does not touch the firewall",
	"lefthostaccess": "racoon2 does not touch the firewall",
}

// ipsecConn converts a conn section.
func (c *converter) ipsecConn(conns map[string]*node, n *node, secrets []*secret) {
	if n.arg(1) == "%default" {
		c.change(n, "it stands in each remote")
		return
	}
	entries := c.inheritIPsec(conns, n)
	if v := entries["keyexchange"]; v != nil && v.arg(1) == "ikev1" {
		c.leaveOutAll(n, "the connection is IKEv1", "let both ends speak IKEv2")
		return
	}
	if v := entries["ikev2"]; v != nil && (v.arg(1) == "no" || v.arg(1) == "never") {
		c.leaveOutAll(n, "the connection is IKEv1", "let both ends speak IKEv2")
		return
	}
	if v := entries["auto"]; v == nil || v.arg(1) == "ignore" {
		c.ignoredConn(n)
		return
	}
	k := newConn(n)
	k.name = n.arg(1)
	child := newConn(n)
	child.name = n.arg(1)
	k.children = []*conn{child}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		e := entries[key]
		switch {
		case key == "authby":
			k.set("local.auth", e)
			k.set("remote.auth", e)
		case ipsecWords[key] != "":
			k.set(ipsecWords[key], e)
		case ipsecChildWords[key] != "":
			child.set(ipsecChildWords[key], e)
		case ipsecChanged[key] != "":
			c.change(e, ipsecChanged[key])
		}
	}
	k.defaultID = true
	c.swanConn(k, secrets)
}

// ignoredConn reports a connection without auto=, which nothing loads; others
// may take it over.
func (c *converter) ignoredConn(n *node) {
	c.note(Changed, n, "nothing loads it by itself, because auto is not set; what others take over from it stands in their remotes", "")
	c.overridden = append(c.overridden, n.block...)
}

// inheritIPsec gathers the settings of a connection: its own, those of also=,
// and those of %default.
func (c *converter) inheritIPsec(conns map[string]*node, n *node) map[string]*node {
	out := map[string]*node{}
	queue := []*node{n}
	seen := map[*node]bool{n: true}
	for i := 0; i < len(queue); i++ {
		level := map[string]*node{}
		for _, e := range queue[i].block {
			if !c.step() {
				return out
			}
			if e.name() == "also" {
				if also := conns[e.arg(1)]; also != nil && !seen[also] {
					seen[also] = true
					queue = append(queue, also)
				}
				c.change(e, "what the section says stands in the remote")
				continue
			}
			if first := level[e.name()]; first != nil {
				c.change(first, "the last one counts")
			}
			level[e.name()] = e
		}
		for key, e := range level {
			if out[key] == nil {
				out[key] = e
			} else if out[key] != e {
				c.overridden = append(c.overridden, e)
			}
		}
		if d := conns["%default"]; i == len(queue)-1 && d != nil && !seen[d] {
			seen[d] = true
			queue = append(queue, d)
		}
	}
	return out
}

// ipsecSecrets reads ipsec.secrets: lines of IDENTITIES : PSK "KEY".
func (c *converter) ipsecSecrets() ([]*secret, error) {
	if c.o.Secrets == nil {
		return nil, nil
	}
	f := *c.o.Secrets
	if err := c.take(f); err != nil {
		return nil, err
	}
	root := &node{}
	c.trees = append(c.trees, root)
	var out []*secret
	number := 0
	for line := range strings.Lines(f.Text) {
		number++
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		ids, rest, ok := strings.Cut(text, ": ")
		if after, first := strings.CutPrefix(text, ":"); first {
			ids, rest, ok = "", after, true
		}
		n := &node{pos: config.Pos{File: f.Name, Line: number, Col: 1}, words: []word{{text: "a secret"}}}
		root.block = append(root.block, n)
		kind, key, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if !ok || !strings.EqualFold(kind, "PSK") {
			c.leaveOut(n, "only pre-shared keys (PSK) are converted", "")
			continue
		}
		key = strings.TrimSpace(key)
		quoted := strings.HasPrefix(key, `"`)
		if quoted {
			key, _, _ = strings.Cut(key[1:], `"`)
		} else {
			key, _, _ = strings.Cut(key, " ")
		}
		octets, err := swanKey(key, quoted)
		if err != nil {
			c.leaveOut(n, err.Error(), "write the key into a file of its own")
			continue
		}
		s := &secret{key: octets, node: n}
		for _, id := range strings.Fields(ids) {
			s.ids = append(s.ids, bareIdentity(id))
		}
		if len(out) == maxMany {
			return nil, errTooLarge
		}
		out = append(out, s)
	}
	return out, nil
}

// swanKey reads a key: text, hexadecimal behind 0x, or Base64 behind 0s. In
// quotes ipsec.secrets has text alone.
func swanKey(s string, quoted bool) ([]byte, error) {
	if quoted {
		if s == "" || len(s) > maxKey {
			return nil, fmt.Errorf("there is no key, or one longer than %d octets", maxKey)
		}
		return []byte(s), nil
	}
	if b64, ok := strings.CutPrefix(s, "0s"); ok {
		octets, err := base64.StdEncoding.DecodeString(b64)
		if err != nil || len(octets) == 0 || len(octets) > maxKey {
			return nil, fmt.Errorf("the key begins with 0s and is not Base64")
		}
		return octets, nil
	}
	return keyOctets(s)
}
