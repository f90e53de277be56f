package convert

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"racoon2/config"
)

// swanctl converts swanctl.conf.
func (c *converter) swanctl() error {
	root := &node{}
	if err := c.readSwanctl(c.o.Main, root, 0); err != nil {
		return err
	}
	c.trees = append(c.trees, root)
	var secrets []*secret
	for _, top := range root.block {
		switch top.name() {
		case "connections", "include":
		case "secrets":
			top.claimed = true
			secrets = append(secrets, c.swanctlSecrets(top)...)
		case "pools":
			c.leaveOutAll(top, noAssignment, "give the peers fixed addresses")
		case "authorities":
			c.leaveOutAll(top, noCertificates, agreeOnKey)
		}
	}
	for _, top := range root.block {
		if top.name() != "connections" {
			continue
		}
		top.claimed = true
		c.change(top, "each connection is a remote with its selectors and policies")
		for _, n := range top.block {
			c.swanConn(c.swanctlConn(root, n), secrets)
		}
	}
	c.unusedKeys(secrets)
	return nil
}

// swanctlParser reads the syntax of strongSwan's settings: sections in braces,
// KEY = VALUE on a line, comments, includes.
type swanctlParser struct {
	parser
	into func(pattern string, n, parent *node) error // reads an include
}

func (c *converter) readSwanctl(f File, root *node, depth int) error {
	if err := c.take(f); err != nil {
		return err
	}
	p := &swanctlParser{parser: parser{file: f.Name, text: f.Text, line: 1}}
	p.into = func(pattern string, n, parent *node) error {
		if c.o.Include == nil {
			c.leaveOut(n, "the file is not read", "convert it apart")
			return nil
		}
		if depth >= maxIncludes || parent != root {
			c.leaveOut(n, "files are included at the top level alone, at most ten deep", "convert it apart")
			return nil
		}
		files, err := c.o.Include(pattern, f.Name, "")
		if err != nil {
			return fmt.Errorf("%s: include: %w", n.pos, err)
		}
		c.change(n, "what the file holds is part of the result")
		for _, f := range files {
			if err := c.readSwanctl(f, root, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return p.section(root, 0)
}

// section reads up to a closing brace or the end of the file.
func (p *swanctlParser) section(into *node, depth int) error {
	if depth > maxDepth {
		return p.fail(p.pos(), "sections are nested too deeply")
	}
	for {
		p.blanks()
		if p.off == len(p.text) {
			if depth > 0 {
				return p.fail(into.pos, "the section has no closing brace")
			}
			return nil
		}
		if p.text[p.off] == '}' {
			if depth == 0 {
				return p.fail(p.pos(), "a closing brace without an opening one")
			}
			p.off++
			return nil
		}
		if err := p.entry(into, depth); err != nil {
			return err
		}
	}
}

// entry reads KEY = VALUE, NAME [: PARENT, …] { … }, or include PATTERN.
func (p *swanctlParser) entry(into *node, depth int) error {
	n := &node{pos: p.pos()}
	name := strings.TrimSpace(p.until("=:{}#\n"))
	n.words = []word{{text: name}}
	into.block = append(into.block, n)
	if pattern, ok := strings.CutPrefix(name, "include "); ok {
		pattern = strings.TrimSpace(pattern + p.until("#\n"))
		n.words = []word{{text: "include"}, {text: pattern}}
		return p.into(pattern, n, into)
	}
	if name == "" {
		return p.fail(n.pos, "a name is missing")
	}
	p.blanks()
	if p.off == len(p.text) {
		return p.fail(n.pos, "neither = nor { follows the name")
	}
	switch p.text[p.off] {
	case '=':
		p.off++
		n.words = append(n.words, p.value())
		return nil
	case ':':
		p.off++
		for _, parent := range strings.Split(p.until("{}#\n"), ",") {
			n.words = append(n.words, word{text: strings.TrimSpace(parent)})
		}
		p.blanks()
	}
	if p.off == len(p.text) || p.text[p.off] != '{' {
		return p.fail(n.pos, "neither = nor { follows the name")
	}
	p.off++
	return p.section(n, depth+1)
}

// until takes the text up to one of some characters.
func (p *swanctlParser) until(stops string) string {
	n := strings.IndexAny(p.text[p.off:], stops)
	if n < 0 {
		n = len(p.text) - p.off
	}
	p.off += n
	return p.text[p.off-n : p.off]
}

// value reads what stands behind =.
func (p *swanctlParser) value() word {
	p.off += len(p.text[p.off:]) - len(strings.TrimLeft(p.text[p.off:], " \t"))
	if strings.HasPrefix(p.text[p.off:], `"`) {
		if n := strings.IndexAny(p.text[p.off+1:], "\"\n"); n >= 0 && p.text[p.off+1+n] == '"' {
			w := word{text: p.text[p.off+1 : p.off+1+n], quoted: true}
			p.off += n + 2
			return w
		}
	}
	return word{text: strings.TrimSpace(p.until("{}#\n"))}
}

// effective are the entries of a section with those of the sections that it
// takes over; its own come first.
func (c *converter) effective(root, n *node, depth int) []*node {
	out := slices.Clone(n.block)
	if depth > maxIncludes {
		c.leaveOut(n, "sections take over sections over too many steps", "")
		return out
	}
	have := map[string]bool{}
	for _, e := range out {
		have[e.name()] = true
	}
	for _, w := range n.words[1:] {
		parent := root
		for _, part := range strings.Split(w.text, ".") {
			if parent != nil {
				parent = parent.find(part)
			}
		}
		if parent == nil || parent == n || parent == root {
			c.leaveOut(n, "a section that it takes over is not there", "")
			continue
		}
		c.change(parent, "what it says stands in the sections that take it over")
		for _, e := range c.effective(root, parent, depth+1) {
			if c.step() && !have[e.name()] {
				have[e.name()] = true
				out = append(out, e)
			}
		}
	}
	return out
}

// swanctlConn reads a connection.
func (c *converter) swanctlConn(root, n *node) *conn {
	k := newConn(n)
	entries := c.effective(root, n, 0)
	for _, e := range entries {
		side, _, _ := strings.Cut(e.name(), "-")
		switch {
		case side == "local" || side == "remote":
			if _, twice := k.sides[side]; twice {
				c.leaveOutAll(e, "there is one authentication of each side", "")
				continue
			}
			e.claimed = true
			k.sides[side] = e
			for _, s := range c.effective(root, e, 0) {
				k.set(side+"."+s.name(), s)
			}
		case e.name() == "children":
			e.claimed = true
			k.from = append(k.from, e.pos)
			for _, sub := range e.block {
				k.children = append(k.children, newConn(sub))
				for _, s := range c.effective(root, sub, 0) {
					k.children[len(k.children)-1].set(s.name(), s)
				}
			}
		default:
			k.set(e.name(), e)
		}
	}
	return k
}

// swanctlSecrets reads the keys of the secrets section.
func (c *converter) swanctlSecrets(top *node) []*secret {
	var out []*secret
	c.change(top, "each key has a file of its own")
	for _, n := range top.block {
		n.hideSecrets()
		if !strings.HasPrefix(n.name(), "ike") {
			c.leaveOutAll(n, "only the pre-shared keys of IKE are converted", "")
			continue
		}
		s := &secret{node: n}
		for _, e := range n.block {
			switch {
			case e.name() == "secret":
				key, err := swanKey(e.arg(1), false)
				if err != nil {
					c.leaveOut(e, err.Error(), "write the key into a file of its own")
					continue
				}
				s.key = key
				c.change(e, "the key has a file of its own")
			case strings.HasPrefix(e.name(), "id"):
				s.ids = append(s.ids, bareIdentity(e.arg(1)))
				c.change(e, "the remotes of that identity have the key")
			}
		}
		n.claimed = true
		if s.key == nil {
			c.leaveOut(n, "there is no key in it", "")
			continue
		}
		if len(out) == maxMany {
			c.err = errTooLarge
			return out
		}
		out = append(out, s)
	}
	return out
}

// nameOf is the connection's name for sections of the result.
func nameOf(n *node) string { return path.Base(n.name()) }

// at are the places of nodes.
func at(nodes ...*node) []config.Pos {
	var out []config.Pos
	for _, n := range nodes {
		if n != nil {
			out = append(out, n.pos)
		}
	}
	return out
}
