package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of include.
const (
	maxIncludeDepth = 10
	maxFiles        = 10000
)

// gatherer reads a file and all that it includes, in the order of the text, and
// keeps their sections apart from setval, which belongs to no place.
type gatherer struct {
	opts     Options
	report   *reporter
	symbols  expander
	files    []string
	sections []*Statement // of all files, in order
	setval   Pos          // of the one setval section
	read     int          // files opened, a file that is included twice counted twice
	size     int          // octets read
	tokens   int          // budget of the parser
	full     bool         // a bound was reached and reported

	including string // the name in the include that is being read, as written
}

func newGatherer(opts Options, report *reporter) *gatherer {
	return &gatherer{
		opts:    opts,
		report:  report,
		symbols: expander{symbols: map[string]*symbol{}, lookupEnv: opts.LookupEnv},
		tokens:  maxTokens,
	}
}

// file reads one file; from is the include that names it, and stack are the
// files that are being read around it.
func (g *gatherer) file(name string, from Pos, stack []string) {
	src := g.open(name, from)
	if src == nil {
		return
	}
	tree := parse(src, g.report, &g.tokens)
	stack = append(stack, name)
	for _, st := range tree.Statements {
		switch st.Name() {
		case "include":
			g.include(st, stack)
		case "setval":
			g.setvals(st)
		default:
			g.sections = append(g.sections, st)
		}
	}
}

// open reads a file under the rules of ownership and size.
func (g *gatherer) open(name string, from Pos) *source {
	if g.full {
		return nil
	}
	fail := func(code, text, hint string) *source {
		f := Finding{Code: code, Severity: Error, Pos: from, Text: text, Hint: hint, Offending: g.including}
		if !from.IsValid() {
			f.Pos = Pos{File: name}
		}
		g.report.add(f)
		return nil
	}
	if g.read++; g.read > g.opts.maxFiles {
		g.full = true
		return fail("too-many-files", fmt.Sprintf("more than %d files are included", g.opts.maxFiles),
			"does a pattern match more than it should?")
	}
	data, err := g.opts.FS.ReadFile(name, !g.opts.AnyOwner)
	if err != nil {
		hint := ""
		if !from.IsValid() && errors.Is(err, fs.ErrNotExist) {
			hint = "-c FILE names another one; racoon2 config new writes a first one"
		}
		return fail("unreadable-file", fmt.Sprintf("%s cannot be read: %v", clip(name), err), hint)
	}
	if g.size += len(data); g.size > maxTotalSize {
		g.full = true
		return fail("too-large", fmt.Sprintf("all files together are larger than %d MB", maxTotalSize>>20), "")
	}
	src := newSource(name, data)
	if g.report.sources[name] == nil {
		g.report.sources[name] = src
		g.report.order[name] = len(g.report.order)
		g.files = append(g.files, name)
	}
	return src
}

// include reads the files that an include names.
func (g *gatherer) include(st *Statement, stack []string) {
	args := st.Args()
	fail := func(pos Pos, code, text, hint string) {
		g.report.add(Finding{Code: code, Severity: Error, Pos: pos, Text: text, Hint: hint,
			Offending: st.Items[min(1, len(st.Items)-1)].Source()})
	}
	if len(args) != 1 || st.Block() != nil || !args[0].isText() {
		fail(st.Pos(), "syntax", "include takes one file name or pattern", `include "/etc/racoon2/vals.conf";`)
		return
	}
	pos := args[0].Pos
	pattern, err := g.symbols.expand(args[0].Text)
	if err != nil {
		hint := ""
		if errors.Is(err, errUndefined) {
			hint = "in include, a setval must stand above its use; environment variables are $[NAME]"
		}
		fail(pos, "bad-substitution", err.Error(), hint)
		return
	}
	if pattern, err = g.locate(pattern, stack[len(stack)-1]); err != nil {
		fail(pos, "unreadable-file", err.Error(), "")
		return
	}
	if len(stack) >= maxIncludeDepth {
		fail(pos, "include-depth", fmt.Sprintf("files include files more than %d deep", maxIncludeDepth), "")
		return
	}
	names := []string{pattern}
	if strings.ContainsAny(pattern, `*?[\`) {
		if names, err = g.opts.FS.Glob(pattern); err != nil {
			fail(pos, "bad-pattern", fmt.Sprintf("%s is not a pattern: %v", clip(pattern), err), "")
			return
		}
		if len(names) == 0 {
			fail(pos, "no-match", fmt.Sprintf("%s matches no file", clip(pattern)), "")
		}
	}
	for _, name := range names {
		if g.full {
			return
		}
		if slices.Contains(stack, name) {
			fail(pos, "include-loop", fmt.Sprintf("%s includes itself", clip(name)), "remove the include, or narrow its pattern")
			continue
		}
		g.including = args[0].Source()
		g.file(name, pos, stack)
	}
}

// locate expands ~ and puts a relative name beside the file that includes it.
func (g *gatherer) locate(pattern, includer string) (string, error) {
	if pattern == "" {
		return "", errors.New("the file name is empty")
	}
	if pattern[0] == '~' {
		user, rest, _ := strings.Cut(pattern[1:], "/")
		home, err := g.opts.FS.Home(user)
		if err != nil {
			return "", fmt.Errorf("~%s: %w", clip(user), err)
		}
		return path.Join(home, rest), nil
	}
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir(includer), pattern)
	}
	return path.Clean(pattern), nil
}

// setvals reads a setval section in either of its forms. The values stay as
// they are: they are substituted where they are used.
func (g *gatherer) setvals(st *Statement) {
	if g.setval.IsValid() {
		g.report.add(Finding{Code: "duplicate-section", Severity: Error, Pos: st.Pos(), Offending: "setval",
			Text: fmt.Sprintf("there is a setval section at %s already", g.setval),
			Hint: "put all symbols into one setval { … };"})
	} else {
		g.setval = st.Pos()
	}
	if b := st.Block(); b != nil && len(st.Args()) == 0 {
		for _, inner := range b.Statements {
			g.setvalOne(inner, inner.Items)
		}
		return
	}
	g.setvalOne(st, st.Items[1:])
}

func (g *gatherer) setvalOne(st *Statement, items []Item) {
	if len(items) != 2 || !items[0].isText() || !items[1].isText() {
		g.report.add(Finding{Code: "syntax", Severity: Error, Pos: st.Pos(), Offending: st.Name(),
			Text: "setval takes a name and a value", Hint: `NAME "value";`})
		return
	}
	name := items[0].Text
	if old := g.symbols.symbols[name]; old != nil {
		g.report.add(Finding{Code: "duplicate-directive", Severity: Warning, Pos: items[0].Pos, Offending: name,
			Text: fmt.Sprintf("%s was set at %s already; this value is used", clip(name), old.pos)})
	}
	g.symbols.symbols[name] = &symbol{pos: items[0].Pos, value: items[1].Text}
}
