package config

import (
	"cmp"
	"regexp"
	"slices"
)

// WithSources returns the findings in the order of files and lines, each with
// the line that it is about. It is for findings that were made without the text,
// from the model; a file that cannot be read any more leaves them as they are.
func (fs Findings) WithSources(opts Options) Findings {
	opts = opts.withDefaults()
	files := map[string]*source{}
	order := map[string]int{}
	out := slices.Clone(fs)
	for i, f := range out {
		if _, ok := order[f.Pos.File]; !ok {
			order[f.Pos.File] = len(order)
		}
		if f.Source != "" || !f.Pos.IsValid() || concealed(fs, f.Pos) {
			continue
		}
		src, ok := files[f.Pos.File]
		if !ok {
			if data, err := opts.FS.ReadFile(f.Pos.File, !opts.AnyOwner); err == nil {
				src = newSource(f.Pos.File, data)
			}
			files[f.Pos.File] = src
		}
		if src != nil && !keyed.MatchString(src.line(f.Pos.Line)) {
			out[i].Source = src.line(f.Pos.Line)
			out[i].Offending = cmp.Or(f.Offending, wordAt(out[i].Source, f.Pos.Col))
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		if d := order[a.Pos.File] - order[b.Pos.File]; d != 0 {
			return d
		}
		if d := a.Pos.Line - b.Pos.Line; d != 0 {
			return d
		}
		return a.Pos.Col - b.Pos.Col
	})
	return out
}

// wordAt is the word that begins at a column of a line, or "".
func wordAt(line string, col int) string {
	if col < 1 || col > len(line) {
		return ""
	}
	word := line[col-1:]
	for i := range len(word) {
		if !isBare(word[i]) {
			return word[:i]
		}
	}
	return word
}

// concealed reports whether a line holds the key of a static SA, which is not
// to be shown.
func concealed(fs Findings, p Pos) bool {
	return slices.ContainsFunc(fs, func(f Finding) bool {
		return f.Code == staticKeyCode && f.Pos.File == p.File && f.Pos.Line == p.Line
	})
}

// keyed finds a line with the key of a static SA: nothing else stands behind a
// second comma.
var keyed = regexp.MustCompile(`,[^;{}]*,`)

// staticKeyCode is the code of the finding about a key in the configuration.
const staticKeyCode = "static-key"
