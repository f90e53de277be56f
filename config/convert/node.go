package convert

import (
	"strings"

	"racoon2/config"
)

// node is one directive or section of any of the languages.
type node struct {
	pos   config.Pos
	words []word // the first is the directive
	block []*node
	// claimed says that the directive is in the result or in the report.
	claimed bool
	// show is how many words a report may repeat; the others are secrets. 0: all.
	show int
}

// word is one word of a directive.
type word struct {
	text    string
	quoted  bool
	bracket bool // [text], a port in racoon.conf and setkey
}

// name is the directive.
func (n *node) name() string { return n.arg(0) }

// arg is the text of a word, or "".
func (n *node) arg(i int) string {
	if i >= len(n.words) {
		return ""
	}
	return n.words[i].text
}

// find returns the last directive of that name below a node, as the last one wins; nil for none.
func (n *node) find(name string) *node {
	for i := len(n.block) - 1; i >= 0; i-- {
		if n.block[i].name() == name {
			return n.block[i]
		}
	}
	return nil
}

// shown is the directive for a report.
func (n *node) shown() string {
	var b strings.Builder
	for i, w := range n.words {
		if n.show > 0 && i >= n.show {
			b.WriteString(" …")
			break
		}
		if i > 0 && !w.bracket && w.text != "," {
			b.WriteByte(' ')
		}
		switch {
		case w.bracket:
			b.WriteString("[" + w.text + "]")
		case w.quoted:
			b.WriteString(`"` + w.text + `"`)
		default:
			b.WriteString(w.text)
		}
		if b.Len() > 200 {
			break
		}
	}
	return printable(clip(b.String()))
}

// hideSecrets keeps the words of everything below a node out of reports.
func (n *node) hideSecrets() {
	n.show = 1
	for _, sub := range n.block {
		sub.hideSecrets()
	}
}
