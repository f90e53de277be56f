package convert

import (
	"strings"

	"racoon2/config"
)

// maxDepth bounds blocks within blocks.
const maxDepth = 16

// parser reads what racoon.conf and setkey files have in common: words, strings,
// [ports], statements that end with a semicolon, blocks that end with a brace,
// and comments.
type parser struct {
	file  string
	text  string
	off   int
	line  int
	start int // offset of the line's first octet
}

func (p *parser) pos() config.Pos {
	return config.Pos{File: p.file, Line: p.line, Col: p.off - p.start + 1}
}

func (p *parser) fail(pos config.Pos, text string) error { return &SyntaxError{pos, text} }

// parse reads a whole file as the block of a node without words.
func parse(f File) (*node, error) {
	p := &parser{file: f.Name, text: strings.TrimPrefix(f.Text, "\ufeff"), line: 1}
	root := &node{pos: p.pos()}
	if err := p.statements(root, 0); err != nil {
		return nil, err
	}
	return root, nil
}

// statements reads up to the end of a block or of the file.
func (p *parser) statements(into *node, depth int) error {
	if depth > maxDepth {
		return p.fail(p.pos(), "blocks are nested too deeply")
	}
	for {
		p.blanks()
		if p.off == len(p.text) {
			if depth > 0 {
				return p.fail(into.pos, "the block has no closing brace")
			}
			return nil
		}
		switch p.text[p.off] {
		case '}':
			if depth == 0 {
				return p.fail(p.pos(), "a closing brace without an opening one")
			}
			p.off++
			return nil
		case ';':
			p.off++ // an empty statement
		default:
			if err := p.statement(into, depth); err != nil {
				return err
			}
		}
	}
}

// statement reads words up to a semicolon or through a block.
func (p *parser) statement(into *node, depth int) error {
	n := &node{pos: p.pos()}
	into.block = append(into.block, n)
	for {
		p.blanks()
		if p.off == len(p.text) {
			return p.fail(n.pos, "the statement has no semicolon at its end")
		}
		switch p.text[p.off] {
		case ';':
			p.off++
			return nil
		case '{':
			if len(n.words) == 0 {
				return p.fail(p.pos(), "a block without a name")
			}
			p.off++
			return p.statements(n, depth+1)
		case '}':
			return p.fail(n.pos, "the statement has no semicolon at its end")
		}
		w, err := p.word()
		if err != nil {
			return err
		}
		n.words = append(n.words, w)
	}
}

// word reads a word, a string, a comma or a [port].
func (p *parser) word() (word, error) {
	pos := p.pos()
	switch p.text[p.off] {
	case '"':
		n := strings.IndexAny(p.text[p.off+1:], "\"\n")
		if n < 0 || p.text[p.off+1+n] == '\n' {
			return word{}, p.fail(pos, "the string has no closing quote on its line")
		}
		w := word{text: p.text[p.off+1 : p.off+1+n], quoted: true}
		p.off += n + 2
		return w, nil
	case '[':
		n := strings.IndexAny(p.text[p.off+1:], "]\n;")
		if n < 0 || p.text[p.off+1+n] != ']' {
			return word{}, p.fail(pos, "the bracket is not closed on its line")
		}
		w := word{text: strings.TrimSpace(p.text[p.off+1 : p.off+1+n]), bracket: true}
		p.off += n + 2
		return w, nil
	case ',':
		p.off++
		return word{text: ","}, nil
	}
	from := p.off
	for p.off < len(p.text) && !strings.ContainsRune(" \t\r\n{};,\"[#", rune(p.text[p.off])) {
		p.off++
	}
	return word{text: p.text[from:p.off]}, nil
}

// blanks skips blanks and comments.
func (p *parser) blanks() {
	for p.off < len(p.text) {
		switch p.text[p.off] {
		case '\n':
			p.off++
			p.line++
			p.start = p.off
		case ' ', '\t', '\r':
			p.off++
		case '#':
			n := strings.IndexByte(p.text[p.off:], '\n')
			if n < 0 {
				n = len(p.text) - p.off
			}
			p.off += n
		default:
			return
		}
	}
}
