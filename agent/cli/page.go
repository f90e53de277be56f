package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// width is what the commands' texts fit into.
const width = 80

// page collects lines that fit the width and cannot steer a terminal.
type page struct{ b strings.Builder }

func (p *page) String() string { return p.b.String() }

// line adds a line, broken at blanks where it is too long.
func (p *page) line(indent int, text string) {
	margin := strings.Repeat(" ", indent)
	room := width - indent
	for i, part := range wrap(clean(text), room, 4) {
		if i > 0 {
			part = "    " + part
		}
		p.b.WriteString(margin + part + "\n")
	}
}

// field adds a label with its text.
func (p *page) field(label, text string) {
	const column = 10
	for i, part := range wrap(clean(text), width-column, 0) {
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(&p.b, "%-*s%s\n", column, label, part)
	}
}

// section adds a heading with the number of things below it.
func (p *page) section(name string, n int) { fmt.Fprintf(&p.b, "\n%s: %d\n", name, n) }

// pair adds two things that belong together, on one line or on two.
func (p *page) pair(indent int, label, a, b string) {
	text := fmt.Sprintf("%-8s%s - %s", label, a, b)
	if utf8.RuneCountInString(text) <= width-indent {
		p.line(indent, text)
		return
	}
	p.line(indent, fmt.Sprintf("%-8s%s", label, a))
	p.line(indent, fmt.Sprintf("%-8s%s", "", "- "+b))
}

// wrap breaks text at blanks into parts of at most room runes, the later ones
// shorter by less; a word that is longer still is cut.
func wrap(text string, room, less int) []string {
	var parts []string
	for utf8.RuneCountInString(text) > room {
		at := breakAt(text, room)
		parts = append(parts, strings.TrimRight(text[:at], " "))
		text = strings.TrimLeft(text[at:], " ")
		if len(parts) == 1 {
			room -= less
		}
	}
	return append(parts, text)
}

// breakAt finds the octet to break a text at: behind the last blank that fits,
// or else where the room ends.
func breakAt(text string, room int) int {
	runes, blank := 0, 0
	for i, r := range text {
		if runes == room {
			if blank > 0 {
				return blank
			}
			return i
		}
		if r == ' ' && strings.TrimSpace(text[:i]) != "" {
			blank = i + 1
		}
		runes++
	}
	return len(text)
}

// clean replaces what could steer a terminal: names come from peers, too.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func (a *app) print(text string) error {
	_, err := io.WriteString(a.out, text)
	return err
}
