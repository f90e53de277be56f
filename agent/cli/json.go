package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonOut writes JSON that cannot steer a terminal: names come from peers, and of what
// does so encoding/json escapes the first 32 characters alone.
type jsonOut struct{ w io.Writer }

func (o jsonOut) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	for rest := p; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if unicode.IsPrint(r) && r != utf8.RuneError || r == '\n' {
			out = append(out, rest[:size]...)
		} else { // only strings have such characters
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		rest = rest[size:]
	}
	_, err := o.w.Write(out)
	return len(p), err
}

// printJSON prints a value as indented JSON.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(jsonOut{a.out})
	enc.SetIndent("", "  ")
	return failed(enc.Encode(v))
}
