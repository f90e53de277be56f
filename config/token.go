package config

// tokenKind is the kind of a token.
type tokenKind uint8

// The tokens of the language. There are no keywords: a word is a word, and the
// place where it stands gives it meaning.
const (
	tokenEOF tokenKind = iota
	tokenWord
	tokenString // quoted
	tokenOpen   // {
	tokenClose  // }
	tokenSemicolon
	tokenComma
	tokenDash // a lone -
	tokenComment
)

// token is one token of a file.
type token struct {
	kind tokenKind
	pos  Pos
	end  Pos    // behind the last octet
	text string // a string's is without its quotes, a comment's without # and line end
}

// describe says what the token is, for a finding.
func (t token) describe() string {
	switch t.kind {
	case tokenEOF:
		return "the end of the file"
	case tokenString:
		return `"` + clip(t.text) + `"`
	default:
		return clip(t.text)
	}
}

// isBare reports whether c may stand in an unquoted word.
func isBare(c byte) bool {
	switch {
	case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		return true
	}
	switch c {
	case '%', '*', '-', '.', '/', ':', '?', '@', '_':
		return true
	}
	return false
}
