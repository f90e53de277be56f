package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Show returns the configuration at path as one text, with includes read and
// ${NAME} and $[NAME] replaced, and behind each value where it was written.
// With effective it is what holds in the end: each section has what it inherits
// from default and the built-in values, too, and the text, when it is loaded,
// means the same. Keys of static SAs are left out. The findings are Load's;
// where they have errors the text is what could be understood.
func Show(path string, opts Options, effective bool) (string, Findings) {
	lines, findings := ShowLines(path, opts, effective)
	var b strings.Builder
	for _, l := range lines {
		l.write(&b)
	}
	return b.String(), findings
}

// ShownLine is one line of what Show shows.
type ShownLine struct {
	Depth  int    `json:"depth"` // of the blocks that it stands in
	Text   string `json:"text"`
	Origin string `json:"origin,omitempty"` // where it was written, as FILE:LINE, or what it is otherwise
}

// originColumn is where the origins of short lines begin.
const originColumn = 56

// write writes the line, and a blank one before a section.
func (l ShownLine) write(b *strings.Builder) {
	if l.Depth == 0 && b.Len() > 0 && strings.HasSuffix(l.Text, " {") {
		b.WriteByte('\n')
	}
	b.WriteString(strings.Repeat("\t", l.Depth) + l.Text)
	if l.Origin != "" {
		pad := max(1, originColumn-l.Depth*tabWidth-utf8.RuneCountInString(l.Text))
		b.WriteString(strings.Repeat(" ", pad) + "# " + l.Origin)
	}
	b.WriteByte('\n')
}

// ShowLines is Show line by line, for programs.
func ShowLines(path string, opts Options, effective bool) ([]ShownLine, Findings) {
	var sections []*Statement
	r := load(path, opts, &sections)
	s := &shower{r: r}
	if effective {
		s.effective()
	} else {
		for _, st := range sections {
			s.statement(st)
		}
	}
	return s.lines, slices.Clip(r.report.sorted())
}

// shower writes statements with their origins.
type shower struct {
	r     *resolver
	lines []ShownLine
	depth int
}

// line writes a line and where it comes from.
func (s *shower) line(text, origin string) {
	s.lines = append(s.lines, ShownLine{s.depth, printable(text), printable(origin)})
}

func (s *shower) open(text, origin string) {
	s.line(text+" {", origin)
	s.depth++
}

func (s *shower) close() {
	s.depth--
	s.line("};", "")
}

func (s *shower) comment(format string, args ...any) {
	s.line("# "+fmt.Sprintf(format, args...), "")
}

// fileLine is a position without its column.
func fileLine(p Pos) string {
	if !p.IsValid() {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// statement writes a statement as it is, after substitution.
func (s *shower) statement(st *Statement) {
	b := st.Block()
	switch {
	case b == nil:
		s.line(s.items(st.Items)+";", fileLine(st.Pos()))
	case isList(b) && s.depth > 0:
		s.line(s.items(st.Items[:len(st.Items)-1])+" "+s.inline(b)+";", fileLine(st.Pos()))
	default:
		s.open(s.items(st.Items[:len(st.Items)-1]), fileLine(st.Pos()))
		for _, inner := range b.Statements {
			s.statement(inner)
		}
		s.close()
	}
}

// isList reports whether a block is a list of values rather than of directives.
func isList(b *Block) bool {
	for _, st := range b.Statements {
		if st.Block() != nil || len(st.Items) > 1 && placesOf(st.Name()) != "" {
			return false
		}
	}
	return true
}

// inline writes a list on one line.
func (s *shower) inline(b *Block) string {
	text := "{"
	for _, st := range b.Statements {
		text += " " + s.items(st.Items) + ";"
	}
	return text + " }"
}

// items writes words after substitution. The key of a static SA, behind the
// second comma, is a secret without a use.
func (s *shower) items(items []Item) string {
	var b strings.Builder
	commas := 0
	for i, it := range items {
		if it.Kind == ItemComma {
			if commas++; commas > 1 {
				break
			}
		}
		if i > 0 && it.Kind != ItemComma && items[i-1].Kind != ItemComma {
			b.WriteByte(' ')
		}
		b.WriteString(s.word(it))
	}
	return strings.TrimSuffix(b.String(), ",")
}

func (s *shower) word(it Item) string {
	if text, err := s.r.symbols.expand(it.Text); err == nil {
		it.Text = strings.ReplaceAll(text, `"`, "?")
	}
	return it.Source()
}
