package config

import (
	"fmt"
	"slices"
)

// Bounds of a parse, against files that are made to exhaust memory or stack.
const (
	maxDepth  = 16      // blocks in blocks
	maxTokens = 4 << 20 // in all files together
)

// Parse reads the text of one file into a syntax tree. It goes on after errors:
// the tree holds what could be read, and the findings say what could not.
func Parse(name string, data []byte) (*Tree, Findings) {
	report := newReporter()
	src := newSource(name, data)
	report.sources[name] = src
	budget := maxTokens
	tree := parse(src, report, &budget)
	return tree, report.sorted()
}

// parser builds the tree of one file.
type parser struct {
	lex     *lexer
	report  *reporter
	budget  *int // tokens that may still be read
	tok     token
	behind  Pos       // the end of the token before tok
	pending []Comment // read, and not yet given to a statement
	items   []Item    // of the statements that are being read, the outermost first
}

// parse builds the tree of a file; budget bounds the tokens of all files.
func parse(src *source, report *reporter, budget *int) *Tree {
	p := &parser{lex: newLexer(src, report), report: report, budget: budget}
	p.advance()
	tree := &Tree{Name: src.name}
	for p.tok.kind != tokenEOF {
		if p.tok.kind == tokenClose {
			p.stray("there is no { for this }", "remove it, or look for a }; too many above")
			continue
		}
		if st := p.statement(0); st != nil {
			tree.Statements = append(tree.Statements, st)
		}
	}
	tree.Comments = p.takeComments()
	tree.Statements = slices.Clip(tree.Statements)
	return tree
}

// advance reads the next token that is not a comment; comments are kept.
func (p *parser) advance() {
	for {
		if *p.budget <= 0 {
			p.report.add(Finding{
				Code: "too-large", Severity: Error, Pos: p.lex.pos(),
				Text: fmt.Sprintf("the configuration has more than %d words", maxTokens),
			})
			p.tok = token{kind: tokenEOF, pos: p.lex.pos(), end: p.lex.pos()}
			return
		}
		*p.budget--
		if p.tok.kind != tokenComment {
			p.behind = p.tok.end
		}
		p.tok = p.lex.next()
		if p.tok.kind != tokenComment {
			return
		}
		p.pending = append(p.pending, Comment{p.tok.pos, p.tok.text})
	}
}

func (p *parser) takeComments() []Comment {
	c := p.pending
	p.pending = nil
	return c
}

// stray reports the current token as out of place and skips it and a semicolon behind it.
func (p *parser) stray(text, hint string) {
	p.report.add(Finding{
		Code: "syntax", Severity: Error, Pos: p.tok.pos, Offending: p.tok.text, Text: text, Hint: hint,
	})
	p.advance()
	if p.tok.kind == tokenSemicolon {
		p.advance()
	}
}

// statement reads one statement. It returns nil where there is none.
func (p *parser) statement(depth int) *Statement {
	switch p.tok.kind {
	case tokenSemicolon: // an empty statement is nobody's mistake
		p.advance()
		return nil
	case tokenWord, tokenString:
	default:
		p.stray(fmt.Sprintf("a directive must begin with its name, not with %s", p.tok.describe()), "")
		return nil
	}
	st := &Statement{Comments: p.takeComments()}
	from := len(p.items)
	done := func() {
		st.Items = slices.Clone(p.items[from:]) // no larger than it must be: there are many
		p.items = p.items[:from]
	}
	for {
		switch p.tok.kind {
		case tokenSemicolon:
			done()
			p.finish(st)
			return st
		case tokenOpen:
			st.Comments = append(st.Comments, p.takeComments()...)
			item := Item{Kind: ItemBlock, Pos: p.tok.pos, Text: "{"}
			item.Block = p.block(depth + 1)
			p.items = append(p.items, item)
			if p.tok.kind != tokenSemicolon {
				done()
				p.missing(st)
				return st
			}
		case tokenClose, tokenEOF:
			done()
			p.missing(st)
			return st
		default:
			p.items = append(p.items, Item{Kind: itemKind(p.tok.kind), Pos: p.tok.pos, Text: p.tok.text})
			p.advance()
		}
	}
}

func itemKind(k tokenKind) ItemKind {
	switch k {
	case tokenString:
		return ItemString
	case tokenComma:
		return ItemComma
	case tokenDash:
		return ItemDash
	default:
		return ItemWord
	}
}

// finish ends a statement at its semicolon and takes a comment behind it.
func (p *parser) finish(st *Statement) {
	st.End = p.tok.end
	st.Comments = append(st.Comments, p.takeComments()...)
	p.advance()
	if len(p.pending) > 0 && p.pending[0].Pos.Line == st.End.Line {
		trailing := p.pending[0]
		st.Trailing = &trailing
		p.pending = p.pending[1:]
	}
}

// missing ends a statement that has no semicolon.
func (p *parser) missing(st *Statement) {
	last := st.Items[len(st.Items)-1]
	st.End = p.behind
	what := last.Source()
	if last.Kind == ItemBlock {
		what = "}"
		if !last.Block.End.IsValid() { // the brace is missing too, and reported
			st.End = last.Pos
			return
		}
	}
	p.report.add(Finding{
		Code: "missing-semicolon", Severity: Error, Pos: st.End,
		Text: fmt.Sprintf("; is missing after %s", clip(what)),
		Hint: "every statement ends with ; and so does every closing brace",
	})
}

// block reads from { to }; the current token is the {.
func (p *parser) block(depth int) *Block {
	b := &Block{Pos: p.tok.pos}
	if depth > maxDepth {
		p.report.add(Finding{
			Code: "too-deep", Severity: Error, Pos: p.tok.pos, Offending: "{",
			Text: fmt.Sprintf("blocks stand in blocks more than %d deep", maxDepth),
		})
		p.skipBlock(b)
		return b
	}
	p.advance()
	for {
		switch p.tok.kind {
		case tokenClose:
			b.Comments = p.takeComments()
			b.End = p.tok.end
			p.advance()
			return b
		case tokenEOF:
			p.report.add(Finding{
				Code: "unclosed-block", Severity: Error, Pos: b.Pos, Offending: "{",
				Text: "this { is never closed", Hint: "end the block with };",
			})
			return b
		}
		if st := p.statement(depth); st != nil {
			b.Statements = append(b.Statements, st)
		}
	}
}

// skipBlock reads over a block without looking into it.
func (p *parser) skipBlock(b *Block) {
	for open := 0; p.tok.kind != tokenEOF; {
		switch p.tok.kind {
		case tokenOpen:
			open++
		case tokenClose:
			open--
		}
		end := p.tok.end
		p.advance()
		if open == 0 {
			b.End = end
			return
		}
	}
}
