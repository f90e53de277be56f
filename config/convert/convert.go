package convert

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"racoon2/config"
)

// Language is the language of a configuration to convert.
type Language string

// The languages.
const (
	Racoon  Language = "racoon"  // racoon.conf of ipsec-tools
	Swanctl Language = "swanctl" // swanctl.conf of strongSwan
	IPsec   Language = "ipsec"   // ipsec.conf of strongSwan and libreswan
)

// Languages are all of them.
func Languages() []Language { return []Language{Racoon, Swanctl, IPsec} }

// File is one file to convert.
type File struct {
	Name string // for positions and relative includes
	Text string
}

// Options say what to convert.
type Options struct {
	From Language // "" is Racoon
	Main File
	// Setkey is a file for setkey(8), with the policies of racoon.conf; may be nil.
	Setkey *File
	// Secrets is psk.txt for racoon.conf, ipsec.secrets for ipsec.conf; may be nil.
	Secrets *File
	// Include returns the files that an include names, in order. Dir is racoon's
	// "path include", or "". Nil: includes are reported and not followed.
	Include func(pattern, includer, dir string) ([]File, error)
	// KeyDir is the directory in which the key files will be, for the
	// configuration to name them. "" is /etc/racoon2/psk.
	KeyDir string
}

// Key is a pre-shared key that was found.
type Key struct {
	Name   string // of the file below KeyDir
	Secret []byte // all of the file's content; the caller wipes it
}

// Result is what comes out.
type Result struct {
	Config string // racoon2.conf
	Keys   []Key  // the key files that Config names, as far as their secrets were given
	Notes  []Note // what is not, or not literally, in Config; in the order of files and lines
	// Findings are what config says of Config. There are no errors among them.
	Findings config.Findings
}

// Kind is what a note means for the user.
type Kind string

// The kinds of notes.
const (
	// LeftOut is a directive that is not in the result and may be missed.
	LeftOut Kind = "left out"
	// Changed is one that is not in the result literally, with nothing lost.
	Changed Kind = "changed"
)

// Note is one thing to say about one directive.
type Note struct {
	Kind      Kind
	Pos       config.Pos
	Directive string // as written, shortened, without secrets
	Reason    string
	Do        string // what to do; "" is nothing
}

// String prints the note on one line.
func (n Note) String() string {
	s := fmt.Sprintf("%s: %s: %s: %s", n.Pos, n.Kind, n.Directive, n.Reason)
	if n.Do != "" {
		s += "; " + n.Do
	}
	return s
}

// LeftOut counts the notes about what may be missed.
func (r *Result) LeftOut() int {
	count := 0
	for _, n := range r.Notes {
		if n.Kind == LeftOut {
			count++
		}
	}
	return count
}

// SyntaxError is text that is not in the language. It quotes nothing of it,
// because the text may hold secrets.
type SyntaxError struct {
	Pos  config.Pos
	Text string
}

func (e *SyntaxError) Error() string { return e.Pos.String() + ": " + e.Text }

// errTooLarge refuses inputs that would grow beyond all bounds.
var errTooLarge = errors.New("the configuration is too large to convert")

// The bounds: one input file, everything that is read, and the result, in octets; steps of
// inheritance; remotes or selectors that one directive may multiply into.
const (
	maxInput  = 8 << 20
	maxOutput = 32 << 20
	maxSteps  = 1 << 20
	maxMany   = 10_000
)

// Convert converts a configuration. The error is a *SyntaxError, or says what
// could not be read.
func Convert(o Options) (*Result, error) { return convert(o, nil) }

// convert is Convert; read, if any, gets everything that was parsed.
func convert(o Options, read func([]*node)) (*Result, error) {
	c := &converter{
		o: o, probes: map[string]verdict{}, seen: map[noteKey]bool{}, order: map[string]int{},
		names: map[string]bool{}, numbers: map[string]int{}, keyNames: map[string]string{},
	}
	c.o.KeyDir = strings.TrimRight(cmp.Or(o.KeyDir, "/etc/racoon2/psk"), "/")
	if _, err := quoted(c.o.KeyDir); err != nil {
		return nil, fmt.Errorf("the directory of the keys: %w", err)
	}
	var err error
	switch cmp.Or(o.From, Racoon) {
	case Racoon:
		err = c.racoon()
	case Swanctl:
		err = c.swanctl()
	case IPsec:
		err = c.ipsec()
	default:
		err = fmt.Errorf("there is no language %q: use racoon, swanctl or ipsec", o.From)
	}
	if err = cmp.Or(c.err, err); err != nil {
		return nil, err
	}
	if read != nil {
		read(c.trees)
	}
	return c.finish()
}

// converter is the state of one conversion.
type converter struct {
	manuals  map[manualKey]*manual    // SAs with keys of their own
	refused  map[manualKey]config.Pos // where there are SAs with keys that were left out
	o        Options
	sections []*section
	notes    []Note
	seen     map[noteKey]bool
	order    map[string]int // files, in the order of reading
	trees    []*node        // everything that was read
	// overridden are inherited directives that something else took the place of.
	overridden []*node
	probes     map[string]verdict
	names      map[string]bool   // of sections, with their kind
	numbers    map[string]int    // the last number behind each of them
	keyNames   map[string]string // key files by identity of the secret
	keys       []Key
	read       int   // octets of input
	steps      int   // of inheritance
	err        error // a bound that was met
}

type noteKey struct {
	pos    config.Pos
	reason string
}

// step counts work that inputs can multiply.
func (c *converter) step() bool {
	if c.steps++; c.steps > maxSteps && c.err == nil {
		c.err = errTooLarge
	}
	return c.err == nil
}

// take registers a file before it is parsed.
func (c *converter) take(f File) error {
	if c.read += len(f.Text); len(f.Text) > maxInput || c.read > 4*maxInput {
		return fmt.Errorf("%s: %w", f.Name, errTooLarge)
	}
	if _, known := c.order[f.Name]; !known {
		c.order[f.Name] = len(c.order)
	}
	return nil
}

// finish reports what nothing has claimed and writes the result.
func (c *converter) finish() (*Result, error) {
	for _, n := range c.overridden {
		if !n.claimed {
			c.change(n, "a section that takes this over says it anew")
		}
	}
	for _, t := range c.trees {
		c.unclaimed(t)
	}
	r := &Result{Config: c.render(), Keys: c.keys, Notes: c.notes}
	if c.err != nil {
		return nil, c.err
	}
	slices.SortStableFunc(r.Notes, func(a, b Note) int {
		return cmp.Or(c.order[a.Pos.File]-c.order[b.Pos.File], a.Pos.Line-b.Pos.Line, a.Pos.Col-b.Pos.Col)
	})
	_, r.Findings = config.Load(outputName, config.Options{
		FS: config.Files{outputName: r.Config}, LookupEnv: noEnvironment, AnyOwner: true,
	})
	if r.Findings.HasErrors() {
		for _, f := range r.Findings {
			if f.Severity == config.Error {
				return nil, fmt.Errorf("the result would not load: %s", f)
			}
		}
	}
	return r, nil
}

// outputName is what the result is called.
const outputName = "racoon2.conf"

func noEnvironment(string) (string, bool) { return "", false }

// leaveOut notes that a directive is missing from the result.
func (c *converter) leaveOut(n *node, reason, do string) { c.note(LeftOut, n, reason, do) }

// change notes that a directive is not in the result literally.
func (c *converter) change(n *node, reason string) { c.note(Changed, n, reason, "") }

func (c *converter) note(kind Kind, n *node, reason, do string) {
	n.claimed = true
	key := noteKey{n.pos, reason}
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	c.notes = append(c.notes, Note{kind, n.pos, n.shown(), printable(reason), printable(do)})
}

// leaveOutAll notes a directive and all below it.
func (c *converter) leaveOutAll(n *node, reason, do string) {
	c.leaveOut(n, reason, do)
	for _, sub := range n.block {
		if !sub.claimed {
			c.leaveOutAll(sub, reason, do)
		}
	}
}

// unclaimed notes what no other part of the conversion has understood.
func (c *converter) unclaimed(n *node) {
	for _, sub := range n.block {
		if !sub.claimed {
			c.leaveOut(sub, "racoon2 has nothing like it", "see whether it is still needed")
		}
		c.unclaimed(sub)
	}
}

// printable keeps a report on its lines: files are hostile input.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// clip shortens what a hostile file made long.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
