package config

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Layout of a formatted file.
const (
	formatWidth = 100 // columns that a statement on one line may take
	tabWidth    = 8
)

// Format lays a file out anew: a tab for each block, one space between words, a
// statement a line. A block that was written on one line stays there when it
// fits, blank lines stay as one, and sections have one between them. Comments
// are kept; one in the midst of a statement moves above it. Formatting twice
// changes nothing. A file with errors of syntax is not formatted: the result is
// nil, and the findings say why.
func Format(name string, data []byte) ([]byte, Findings) {
	tree, findings := Parse(name, data)
	if findings.HasErrors() {
		return nil, findings
	}
	var f formatter
	f.list(tree.Statements, tree.Comments, 0)
	return f.out.Bytes(), findings
}

// formatter writes statements.
type formatter struct {
	out   bytes.Buffer
	last  int  // line in the source on which the thing written last ends; 0: none in this block
	apart bool // the statement written last asks for a blank line behind it
}

// list writes the statements of a block, and the comments behind the last one.
func (f *formatter) list(statements []*Statement, comments []Comment, depth int) {
	f.last, f.apart = 0, false
	for _, st := range statements {
		f.statement(st, depth)
	}
	for _, c := range comments {
		f.gap(c.Pos.Line, false)
		f.comment(c, depth)
	}
}

// gap writes a blank line where the source has some in front of a line, or
// where the layout wants one.
func (f *formatter) gap(line int, wanted bool) {
	if f.last > 0 && (line-f.last > 1 || wanted || f.apart) {
		f.out.WriteByte('\n')
	}
	f.apart = false
}

func (f *formatter) indent(depth int) {
	for range depth {
		f.out.WriteByte('\t')
	}
}

func (f *formatter) comment(c Comment, depth int) {
	f.indent(depth)
	f.out.WriteString("#" + c.Text + "\n")
	f.last = c.Pos.Line
}

func (f *formatter) statement(st *Statement, depth int) {
	text, inline := oneLine(st, depth)
	section := depth == 0 && !inline
	begin, from := st.Pos(), st.Pos().Line
	front := 0 // comments in front of the statement, not inside it
	for front < len(st.Comments) && before(st.Comments[front].Pos, begin) {
		front++
	}
	if front > 0 {
		from = st.Comments[0].Pos.Line
	}
	f.gap(from, section)
	for i, c := range st.Comments {
		if i > 0 && i < front {
			f.gap(c.Pos.Line, false)
		}
		f.comment(c, depth)
	}
	if front > 0 && front == len(st.Comments) {
		f.gap(begin.Line, false)
	}
	f.indent(depth)
	if inline {
		f.out.WriteString(text)
	} else {
		f.out.WriteString(head(st) + " {\n")
		f.list(st.Block().Statements, st.Block().Comments, depth+1)
		f.indent(depth)
		f.out.WriteString("};")
	}
	if st.Trailing != nil {
		f.out.WriteString(" #" + st.Trailing.Text)
	}
	f.out.WriteByte('\n')
	f.last, f.apart = st.End.Line, section
}

func before(a, b Pos) bool { return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col }

// head is a statement up to its block.
func head(st *Statement) string {
	var b strings.Builder
	items := st.Items
	if st.Block() != nil {
		items = items[:len(items)-1]
	}
	for i, it := range items {
		// A comma clings to its neighbours, as in aes_cbc,256.
		if i > 0 && it.Kind != ItemComma && items[i-1].Kind != ItemComma {
			b.WriteByte(' ')
		}
		b.WriteString(it.Source())
	}
	return b.String()
}

// oneLine returns a statement on one line, if that is where it belongs.
func oneLine(st *Statement, depth int) (string, bool) {
	b := st.Block()
	if b == nil {
		return head(st) + ";", true
	}
	if !plain(b) {
		return "", false
	}
	if len(b.Statements) > 0 && b.Pos.Line != b.End.Line {
		return "", false
	}
	text := head(st) + " {"
	for _, inner := range b.Statements {
		part, ok := oneLine(inner, depth+1)
		if !ok {
			return "", false
		}
		text += " " + part
		if len(text) > formatWidth*utf8.UTFMax {
			return "", false
		}
	}
	text += " };"
	fits := len(b.Statements) == 0 || depth*tabWidth+utf8.RuneCountInString(text) <= formatWidth
	return text, fits
}

// plain reports whether a block has no comments of its own.
func plain(b *Block) bool {
	if len(b.Comments) > 0 {
		return false
	}
	for _, st := range b.Statements {
		if len(st.Comments) > 0 || st.Trailing != nil {
			return false
		}
	}
	return true
}
