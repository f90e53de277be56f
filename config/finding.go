package config

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Pos is a place in a file; Line and Col count from 1, Col in octets.
type Pos struct {
	File      string
	Line, Col int
}

// IsValid reports whether the position names a line.
func (p Pos) IsValid() bool { return p.Line > 0 }

// String prints file:line:col, or what of it is known.
func (p Pos) String() string {
	if !p.IsValid() {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Severity says what a finding means for running the configuration.
type Severity uint8

// The severities, the gravest first.
const (
	Error   Severity = iota + 1 // the configuration is refused
	Warning                     // it runs, though not as written
	Advice                      // it runs as written; it could be better
)

func (s Severity) String() string {
	return [...]string{"", "error", "warning", "advice"}[s&3]
}

// MarshalText prints the severity's word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing to say about a configuration.
type Finding struct {
	Code      string   // stable, for programs and for searching: "unknown-directive"
	Severity  Severity // what it means
	Pos       Pos      // where; File alone when no line is to blame
	Text      string   // what is wrong, one sentence without a full stop
	Offending string   // the text to blame, as written; may be ""
	Hint      string   // what to write instead; may be ""
	Source    string   // the whole line, for the caret; "" where it is not known or too long
}

// String prints the first line of the text form.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: %s [%s]", f.Pos, f.Severity, f.Text, f.Code)
}

// Findings are all that there is to say about a configuration, in the order of
// files and lines.
type Findings []Finding

// HasErrors reports whether the configuration is to be refused.
func (fs Findings) HasErrors() bool { return fs.Count(Error) > 0 }

// Count returns how many findings have that severity.
func (fs Findings) Count(s Severity) int {
	n := 0
	for _, f := range fs {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// WriteText prints the findings for people: position and text, the line with a
// caret under the text to blame, and the hint.
func (fs Findings) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, f := range fs {
		f.write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f Finding) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s\n", f)
	if f.Source != "" && f.Pos.Col >= 1 && f.Pos.Col-1 <= len(f.Source) {
		before := f.Source[:f.Pos.Col-1]
		fmt.Fprintf(b, "    %s\n    %s%s\n", printable(f.Source), caretPad(before), caret(f))
	}
	if f.Hint != "" {
		fmt.Fprintf(b, "    hint: %s\n", f.Hint)
	}
}

// caretPad is as wide as the text, with its tabs kept so that both lines align.
func caretPad(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, text)
}

// caret marks the offending text where the source line shows it.
func caret(f Finding) string {
	width := 1
	if strings.HasPrefix(f.Source[f.Pos.Col-1:], f.Offending) {
		width = max(1, utf8.RuneCountInString(f.Offending))
	}
	return "^" + strings.Repeat("~", width-1)
}

// printable replaces what could disturb a terminal; a file is hostile input.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0)) {
			return '?'
		}
		return r
	}, s)
}

// findingJSON is the machine-readable form of a finding.
type findingJSON struct {
	Code      string   `json:"code"`
	Severity  Severity `json:"severity"`
	File      string   `json:"file"`
	Line      int      `json:"line,omitempty"`
	Column    int      `json:"column,omitempty"`
	Text      string   `json:"text"`
	Offending string   `json:"offending,omitempty"`
	Hint      string   `json:"hint,omitempty"`
}

// MarshalJSON prints code, severity, file, line, column, text, offending and hint.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(findingJSON{
		f.Code, f.Severity, f.Pos.File, f.Pos.Line, f.Pos.Col, f.Text, f.Offending, f.Hint,
	})
}

// WriteJSON prints the findings as one JSON array.
func (fs Findings) WriteJSON(w io.Writer) error {
	if fs == nil {
		fs = Findings{}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(fs)
}

// maxFindings bounds the findings of each severity: what comes after so many
// says nothing new, and warnings must not crowd out an error.
const maxFindings = 1000

// reporter collects findings, each once.
type reporter struct {
	sources map[string]*source // by file name, for the lines
	order   map[string]int     // files in the order of reading
	seen    map[findingKey]bool
	list    Findings
	count   [4]int // by severity
	mute    int    // above 0: findings are dropped
	muted   int    // errors dropped

	secret map[Pos]bool // lines that hold a secret; Col is 0
}

type findingKey struct {
	code string
	pos  Pos
	text string
}

func newReporter() *reporter {
	return &reporter{
		sources: map[string]*source{},
		order:   map[string]int{},
		seen:    map[findingKey]bool{},
		secret:  map[Pos]bool{},
	}
}

// add takes a finding unless it is known, muted or beyond the bound.
func (r *reporter) add(f Finding) {
	if r.mute > 0 {
		if f.Severity == Error {
			r.muted++
		}
		return
	}
	if r.count[f.Severity&3] > maxFindings {
		return
	}
	f.Text, f.Hint, f.Offending = printable(f.Text), printable(f.Hint), printable(clip(f.Offending))
	key := findingKey{f.Code, f.Pos, f.Text}
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	if r.count[f.Severity&3]++; r.count[f.Severity&3] > maxFindings {
		r.list = append(r.list, Finding{
			Code: "too-many-findings", Severity: f.Severity, Pos: Pos{File: f.Pos.File},
			Text: fmt.Sprintf("there is more than %d times %s; the rest is left out", maxFindings, f.Severity),
		})
		return
	}
	if src := r.sources[f.Pos.File]; src != nil {
		f.Source = src.line(f.Pos.Line)
	}
	r.list = append(r.list, f)
}

// conceal keeps a line out of what findings show.
func (r *reporter) conceal(p Pos) { r.secret[Pos{File: p.File, Line: p.Line}] = true }

// sorted returns the findings in the order of files and lines.
func (r *reporter) sorted() Findings {
	for i, f := range r.list {
		if r.secret[Pos{File: f.Pos.File, Line: f.Pos.Line}] {
			r.list[i].Source, r.list[i].Offending = "", ""
		}
	}
	slices.SortStableFunc(r.list, func(a, b Finding) int {
		if d := r.order[a.Pos.File] - r.order[b.Pos.File]; d != 0 {
			return d
		}
		if d := a.Pos.Line - b.Pos.Line; d != 0 {
			return d
		}
		return a.Pos.Col - b.Pos.Col
	})
	return r.list
}

// clip shortens text that a hostile file made long.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
