package convert

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"racoon2/config"
)

// section is a section or block of the result.
type section struct {
	kind, name string
	from       []config.Pos
	note       string
	entries    []entry
}

// entry is a directive, or a block, of a section.
type entry struct {
	text  string // without its semicolon
	from  []config.Pos
	note  string
	block *section
}

// place is where a directive stands, for config to judge it.
type place string

// The places.
const (
	inIKEv2     place = "remote x { ikev2 {\n%s;\n}; };"
	inSelector  place = "selector x {\n%s;\n};"
	inPolicy    place = "policy x {\n%s;\n};"
	inIPsec     place = "ipsec x {\n%s;\n};"
	inSA        place = "sa x {\n%s;\n};"
	inInterface place = "interface {\n%s;\n};"
)

// verdict is what config thinks of a directive.
type verdict struct {
	ok      bool
	why, do string
}

// maxProbes bounds the verdicts that are kept.
const maxProbes = 20_000

// probe asks config whether it would use a directive.
func (c *converter) probe(p place, text string) verdict {
	conf := fmt.Sprintf(string(p), text)
	if v, known := c.probes[conf]; known {
		return v
	}
	_, findings := config.Load(outputName, config.Options{
		FS: config.Files{outputName: conf}, LookupEnv: noEnvironment, AnyOwner: true,
	})
	v := verdict{ok: true}
	for _, f := range findings {
		if f.Pos.Line != 2 {
			continue
		}
		if f.Severity == config.Error || f.Severity == config.Warning && lost(f.Code) {
			v = verdict{false, reasonOf(f.Text), f.Hint}
			break
		}
	}
	if len(c.probes) < maxProbes {
		c.probes[conf] = v
	}
	return v
}

// reasonOf is a finding's text without the word that it is about, which the report names.
func reasonOf(text string) string {
	for _, verb := range []string{" left out: ", " is weak: "} {
		if _, why, found := strings.Cut(text, verb); found {
			return why
		}
	}
	return text
}

// lost says whether a warning means that the directive has no effect, or should have
// none: what can be broken is not carried into a new configuration.
func lost(code string) bool {
	return code == "left-out" || code == "broken-algorithm" || code == "no-effect" || code == "not-built"
}

// sub adds a block.
func (s *section) sub(kind string) *section {
	b := &section{kind: kind}
	s.entries = append(s.entries, entry{block: b})
	return b
}

// put adds a directive that the conversion knows to be right.
func (s *section) put(text, note string, from ...config.Pos) {
	s.entries = append(s.entries, entry{text: text, from: from, note: note})
}

// add adds a directive that comes from a node if config would use it, and
// reports the node otherwise.
func (c *converter) add(s *section, p place, n *node, text string) bool {
	v := c.probe(p, text)
	if !v.ok {
		c.leaveOut(n, v.why, v.do)
		return false
	}
	n.claimed = true
	s.put(text, "", n.pos)
	return true
}

// newSection adds a section under a name that is free.
func (c *converter) newSection(kind, name string, from ...config.Pos) *section {
	s := &section{kind: kind, name: c.freeName(kind, name), from: from}
	c.sections = append(c.sections, s)
	return s
}

// freeName makes a name of letters that need no quotes and that nothing of its kind has.
func (c *converter) freeName(kind, name string) string {
	name = safeName(name)
	free := name
	for c.names[kind+" "+free] {
		c.numbers[kind+" "+name]++
		free = fmt.Sprintf("%s_%d", name, 1+c.numbers[kind+" "+name])
	}
	c.names[kind+" "+free] = true
	return free
}

// safeName replaces what names of sections and files should not have.
func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-', r == ':':
			return r
		}
		return '_'
	}, name)
	if name = strings.TrimLeft(name, ".-"); len(name) > 48 {
		name = name[:48]
	}
	if name == "" {
		return "unnamed"
	}
	return name
}

// errUnquotable refuses text that racoon2.conf has no way to write.
var errUnquotable = errors.New("racoon2.conf cannot hold text with quotes, control characters, ${ or $[")

// quoted writes text as a string of racoon2.conf, which has no escapes.
func quoted(s string) (string, error) {
	if strings.ContainsAny(s, "\"\x00\r\n") || strings.Contains(s, "${") || strings.Contains(s, "$[") || printable(s) != s {
		return "", errUnquotable
	}
	return `"` + s + `"`, nil
}

// isPlain says whether a word may be written without quotes and cannot be
// taken for anything but a word.
func isPlain(s string) bool {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("%*-./:@_", r):
		default:
			return false
		}
	}
	return s != "" && s != "-"
}

// list writes a list of racoon2.conf.
func list(items []string) string { return "{ " + strings.Join(items, "; ") + "; }" }

// header opens the result.
const header = "# Converted from %s. Comments name the lines that directives come from.\n"

// render writes all sections, in the order in which a reader looks for them.
func (c *converter) render() string {
	var b strings.Builder
	fmt.Fprintf(&b, header, printable(path.Base(c.o.Main.Name)))
	rank := []string{"interface", "default", "remote", "selector", "policy", "ipsec", "sa"}
	sorted := slices.Clone(c.sections)
	slices.SortStableFunc(sorted, func(x, y *section) int {
		return slices.Index(rank, x.kind) - slices.Index(rank, y.kind)
	})
	for _, s := range sorted {
		b.WriteByte('\n')
		s.write(&b, 0)
		if b.Len() > maxOutput {
			c.err = errTooLarge
			break
		}
	}
	return b.String()
}

func (s *section) write(b *strings.Builder, depth int) {
	indent := strings.Repeat("\t", depth)
	head := s.kind
	if s.name != "" {
		head += " " + s.name
	}
	b.WriteString(indent + head + " {\n")
	if text := comment(s.from, s.note); text != "" {
		b.WriteString(indent + "\t" + text[1:] + "\n")
	}
	for _, e := range s.entries {
		if e.block != nil {
			e.block.write(b, depth+1)
			continue
		}
		b.WriteString(indent + "\t" + e.text + ";" + comment(e.from, e.note) + "\n")
	}
	b.WriteString(indent + "};\n")
}

// maxOrigins bounds the lines that one comment names.
const maxOrigins = 20

// comment names where a directive comes from.
func comment(from []config.Pos, note string) string {
	var parts []string
	last := ""
	for i, p := range from {
		if len(parts) == maxOrigins {
			parts = append(parts, "…")
			break
		}
		sameLine := func(o config.Pos) bool { return o.File == p.File && o.Line == p.Line }
		if slices.ContainsFunc(from[:i], sameLine) {
			continue
		}
		line := fmt.Sprint(p.Line)
		if file := path.Base(p.File); file != last {
			line, last = file+":"+line, file
		}
		parts = append(parts, line)
	}
	text := strings.Join(parts, ", ")
	if note != "" {
		if text != "" {
			text += ": "
		}
		text += note
	}
	if text == "" {
		return ""
	}
	return " # " + printable(text)
}
