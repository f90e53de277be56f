package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFormat(tt *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"words", "a   b\t\"c d\" ;;; e;", "a b \"c d\";\ne;\n"},
		{"lists", "x { a , 128 ; b,,k; };", "x { a,128; b,,k; };\n"},
		{"range", "p { 10.0.0.1   -  10.0.0.2; };", "p { 10.0.0.1 - 10.0.0.2; };\n"},
		{"blocks", "a {\nb { c; };\nd {\ne;};};", "a {\n\tb { c; };\n\td {\n\t\te;\n\t};\n};\n"},
		{"empty block", "a {\n\n};", "a { };\n"},
		{"sections are apart", "a {\nb;\n};\nc;\nd;\n\n\n\ne;", "a {\n\tb;\n};\n\nc;\nd;\n\ne;\n"},
		{"comments", "#x\n\n# y\na # in\n { # three\n b; # four\n # five\n}; # six\n# seven", "#x\n\n# y\n# in\na {\n\t# three\n\tb; # four\n\t# five\n}; # six\n\n# seven\n"},
		{"too long for a line", "a { " + strings.Repeat("word; ", 20) + "};", "a {\n" + strings.Repeat("\tword;\n", 20) + "};\n"},
		{"line ends", "\ufeffa;\r\n# b \r\n", "a;\n# b\n"},
		{"nothing", "", ""},
		{"long string", "a \"x\ny\";b;", "a \"x\ny\";\nb;\n"},
	} {
		got, fs := Format("f", []byte(test.text))
		if string(got) != test.want || fs.HasErrors() {
			tt.Errorf("%s: got\n%s\nwant\n%s\n%s", test.name, got, test.want, report(fs))
		}
		checkFormat(tt, []byte(test.text))
	}
	if got, fs := Format("f", []byte("a { b;")); got != nil || !fs.HasErrors() {
		tt.Errorf("a broken file became %q", got)
	}
}

// checkFormat holds that formatting changes nothing but blanks, and nothing at
// all the second time.
func checkFormat(tb testing.TB, data []byte) {
	tb.Helper()
	once, fs := Format("f", data)
	if fs.HasErrors() {
		return
	}
	twice, fs := Format("f", once)
	if fs.HasErrors() || !bytes.Equal(once, twice) {
		tb.Fatalf("formatted twice:\n%s\nonce:\n%s\nfrom:\n%s\n%s", twice, once, data, report(fs))
	}
	a, b := words(tb, data), words(tb, once)
	if a != b {
		tb.Fatalf("formatting changed the words from\n%s\nto\n%s", a, b)
	}
	if a, b := comments(data), comments(once); a != b {
		tb.Fatalf("formatting changed the comments from\n%s\nto\n%s", a, b)
	}
}

// words are the tokens of a file but for comments and empty statements.
func words(tb testing.TB, data []byte) string {
	tree, fs := Parse("f", data)
	if fs.HasErrors() {
		tb.Fatal(report(fs))
	}
	var b strings.Builder
	for _, st := range tree.Statements {
		b.WriteString(show(st) + ";")
	}
	return b.String()
}

// comments are the comments of a file, sorted: one inside a statement moves.
func comments(data []byte) string {
	l := newLexer(newSource("f", data), newReporter())
	var list []string
	for t := l.next(); t.kind != tokenEOF; t = l.next() {
		if t.kind == tokenComment {
			list = append(list, t.text)
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// TestFormatFiles formats every configuration there is, with the errors of
// syntax of some left out.
func TestFormatFiles(tt *testing.T) {
	n := 0
	for _, pattern := range []string{"../testdata/racoon2/*.conf", "testdata/*.conf", "testdata/broken/*.conf"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			tt.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				tt.Fatal(err)
			}
			checkFormat(tt, data)
			n++
		}
	}
	if n < 60 {
		tt.Errorf("%d files", n)
	}
	checkFormat(tt, []byte(everything))
}

// FuzzFormat holds the formatter to changing nothing that counts.
func FuzzFormat(f *testing.F) {
	names, err := filepath.Glob("testdata/broken/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(everything))
	f.Add([]byte("#x\n\n# y\na # in\n { # three\n b; # four\n # five\n}; # six\n# seven"))
	f.Add([]byte("a { b { c; d, e - f; }; } # g\n;# h\n\n\n# i"))
	f.Fuzz(func(t *testing.T, data []byte) { checkFormat(t, data) })
}
