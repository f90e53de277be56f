package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// lexer cuts one file into tokens.
type lexer struct {
	report *reporter
	src    *source
	off    int
	line   int
	start  int // offset of the line's first octet
}

func newLexer(src *source, report *reporter) *lexer {
	l := &lexer{report: report, src: src, line: 1}
	// An editor's byte order mark is no part of the text.
	if bytes.HasPrefix(src.data, []byte("\ufeff")) {
		l.off, l.start = 3, 3
	}
	return l
}

// pos is the position of the next octet.
func (l *lexer) pos() Pos {
	return Pos{File: l.src.name, Line: l.line, Col: l.off - l.start + 1}
}

// next returns the next token; after the last it returns tokenEOF for ever.
func (l *lexer) next() token {
	for {
		l.skipBlank()
		if l.off >= len(l.src.data) {
			return token{kind: tokenEOF, pos: l.pos(), end: l.pos()}
		}
		switch c := l.src.data[l.off]; {
		case c == '#':
			return l.comment()
		case c == '"':
			return l.quoted()
		case c == '{':
			return l.single(tokenOpen)
		case c == '}':
			return l.single(tokenClose)
		case c == ';':
			return l.single(tokenSemicolon)
		case c == ',':
			return l.single(tokenComma)
		case isBare(c):
			return l.word()
		case c == '$' && bytes.ContainsAny(l.peek(), "{["):
			return l.unquoted()
		default:
			l.illegal()
		}
	}
}

// peek returns the octet behind the next one, or nothing.
func (l *lexer) peek() []byte {
	return l.src.data[min(l.off+1, len(l.src.data)):min(l.off+2, len(l.src.data))]
}

// unquoted reads ${NAME} or $[NAME] without the quotes that it needs, so that
// its brace is not taken for a block's.
func (l *lexer) unquoted() token {
	t := token{kind: tokenString, pos: l.pos()}
	line := l.src.data[l.off:]
	if n := bytes.IndexAny(line, " \t\r\n;\""); n >= 0 {
		line = line[:n]
	}
	l.off += len(line)
	t.text = string(line)
	t.end = l.pos()
	l.report.add(Finding{
		Code: "unquoted-substitution", Severity: Error, Pos: t.pos, Offending: t.text,
		Text: "a substitution needs quotes around it", Hint: `write: "` + clip(t.text) + `"`,
	})
	return t
}

func (l *lexer) skipBlank() {
	for l.off < len(l.src.data) {
		switch l.src.data[l.off] {
		case ' ', '\t', '\r':
			l.off++
		case '\n':
			l.off++
			l.newline()
		default:
			return
		}
	}
}

// newline counts a line; off is behind its end.
func (l *lexer) newline() {
	l.line++
	l.start = l.off
}

func (l *lexer) single(kind tokenKind) token {
	t := token{kind: kind, pos: l.pos(), text: string(l.src.data[l.off])}
	l.off++
	t.end = l.pos()
	return t
}

func (l *lexer) comment() token {
	t := token{kind: tokenComment, pos: l.pos()}
	rest := l.src.data[l.off+1:]
	if n := bytes.IndexByte(rest, '\n'); n >= 0 {
		rest = rest[:n]
	}
	l.off += 1 + len(rest)
	t.text = strings.TrimRight(string(rest), " \t\r")
	t.end = l.pos()
	return t
}

func (l *lexer) word() token {
	t := token{kind: tokenWord, pos: l.pos()}
	from := l.off
	for l.off < len(l.src.data) && isBare(l.src.data[l.off]) {
		l.off++
	}
	t.text = string(l.src.data[from:l.off])
	if t.text == "-" {
		t.kind = tokenDash
	}
	t.end = l.pos()
	return t
}

// quoted reads a string. It has no escapes and may span lines; one that is
// never closed ends with its line, so that the rest of the file is still read.
func (l *lexer) quoted() token {
	t := token{kind: tokenString, pos: l.pos()}
	rest := l.src.data[l.off+1:]
	n := bytes.IndexByte(rest, '"')
	closed := n >= 0
	if !closed {
		if n = bytes.IndexAny(rest, "\r\n"); n < 0 {
			n = len(rest)
		}
		l.report.add(Finding{
			Code: "unclosed-string", Severity: Error, Pos: t.pos, Offending: `"` + string(rest[:n]),
			Text: "the string has no closing quote", Hint: `end it with "`,
		})
	}
	t.text = string(rest[:n])
	l.advance(1 + n)
	if closed {
		l.off++
	}
	t.end = l.pos()
	l.checkString(t)
	return t
}

// advance moves over n octets and counts the lines among them.
func (l *lexer) advance(n int) {
	for range n {
		c := l.src.data[l.off]
		l.off++
		if c == '\n' {
			l.newline()
		}
	}
}

// checkString refuses what no name, path or identity can hold.
func (l *lexer) checkString(t token) {
	if strings.ContainsAny(t.text, "\r\n") {
		first, _, _ := strings.Cut(t.text, "\n")
		l.report.add(Finding{
			Code: "string-spans-lines", Severity: Warning, Pos: t.pos, Offending: `"` + strings.TrimRight(first, "\r"),
			Text: "the string goes on over the end of the line", Hint: "is a closing quote missing?",
		})
	}
	if strings.ContainsRune(t.text, 0) {
		l.report.add(Finding{
			Code: "illegal-character", Severity: Error, Pos: t.pos,
			Text: "the string holds a NUL octet", Hint: "remove it",
		})
	}
}

// illegal reports a run of characters that may not stand outside quotes, and skips it.
func (l *lexer) illegal() {
	pos, from := l.pos(), l.off
	for l.off < len(l.src.data) {
		c := l.src.data[l.off]
		if isBare(c) || strings.IndexByte(" \t\r\n{};,#\"", c) >= 0 {
			break
		}
		l.off++
	}
	text := string(l.src.data[from:l.off])
	shown := text
	if !utf8.ValidString(text) {
		shown = fmt.Sprintf("%q", clip(text))
	}
	hint := `put the whole value in quotes: "…"`
	if text == "=" {
		hint = "a value follows its directive with nothing but a space between"
	}
	l.report.add(Finding{
		Code: "illegal-character", Severity: Error, Pos: pos, Offending: text,
		Text: fmt.Sprintf("%s cannot stand outside quotes", clip(shown)), Hint: hint,
	})
}
