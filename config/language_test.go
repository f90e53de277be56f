package config

import (
	"strings"
	"testing"
)

func TestLexical(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"words", "a-b %x/1:2?*@_. 0x1F;", "a-b|%x/1:2?*@_.|0x1F"},
		{"quotes", `a"b c#d;"e;`, `a|"b c#d;"|e`},
		{"comma and dash", "aes,128,,k - b;", "aes|,|128|,|,|k|-|b"},
		{"comment", "a # b; \"\n c;", "a|c"},
		{"crlf", "a\r\n b # x\r\n;\r\n", "a|b"},
		{"byte order mark", "\ufeffa;", "a"},
		{"block", "a { b; };", "a|{b}"},
		{"empty statements", ";;a;;", "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, fs := Parse("f", []byte(test.text))
			if len(fs) != 0 {
				t.Fatalf("findings:\n%s", report(fs))
			}
			if len(tree.Statements) != 1 {
				t.Fatalf("%d statements", len(tree.Statements))
			}
			if got := show(tree.Statements[0]); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func show(st *Statement) string {
	var parts []string
	for _, it := range st.Items {
		if it.Kind == ItemBlock {
			var inner []string
			for _, s := range it.Block.Statements {
				inner = append(inner, show(s))
			}
			parts = append(parts, "{"+strings.Join(inner, ";")+"}")
			continue
		}
		parts = append(parts, it.Source())
	}
	return strings.Join(parts, "|")
}

func TestComments(t *testing.T) {
	tree, _ := Parse("f", []byte("# one\n#two\na # in\n { # three\n b; # four\n # five\n}; # six\n# seven\n"))
	a := tree.Statements[0]
	b := a.Block().Statements[0]
	if len(a.Comments) != 3 || a.Comments[1].Text != "two" || a.Comments[2].Text != " in" || a.Trailing == nil || a.Trailing.Text != " six" {
		t.Errorf("comments of a: %+v, %+v", a.Comments, a.Trailing)
	}
	if len(b.Comments) != 1 || b.Comments[0].Text != " three" || b.Trailing == nil || b.Trailing.Text != " four" {
		t.Errorf("comments of b: %+v, %+v", b.Comments, b.Trailing)
	}
	if len(a.Block().Comments) != 1 || len(tree.Comments) != 1 || tree.Comments[0].Pos.Line != 8 {
		t.Errorf("comments at the ends: %+v, %+v", a.Block().Comments, tree.Comments)
	}
}

func TestPositions(t *testing.T) {
	tree, _ := Parse("f", []byte("a;\n\tbb \"c\" {\n  d;\n};\n"))
	b := tree.Statements[1]
	if b.Pos() != (Pos{"f", 2, 2}) || b.Items[1].Pos != (Pos{"f", 2, 5}) || b.Block().Pos != (Pos{"f", 2, 9}) ||
		b.Block().Statements[0].Pos() != (Pos{"f", 3, 3}) || b.Block().End != (Pos{"f", 4, 2}) || b.End != (Pos{"f", 4, 3}) {
		t.Errorf("positions: %+v", b)
	}
}

// TestWordsAreNames loads every word of the language as the name of a section:
// nothing is reserved.
func TestWordsAreNames(t *testing.T) {
	words := map[string]bool{
		"on": true, "off": true, "force": true, "infinite": true, "port": true, "unix": true, "any": true, "tag": true,
		"include": true, "setval": true, "ecdsa": true, "mlkem768": true, "immediate": true,
	}
	for key := range rows {
		words[key.name] = true
	}
	for w := range sections {
		words[w] = true
	}
	for w := range words {
		text := strings.NewReplacer("tunnel;", w+";", "policy tunnel", "policy "+w, "remote_index peer", "remote_index "+w,
			"remote peer", "remote "+w, "selector out", "selector "+w).Replace(minimal)
		c, fs := one(t, text)
		if len(fs) != 0 {
			t.Fatalf("as a name, %s:\n%s", w, report(fs))
		}
		if c.Remote(w) == nil || c.Policy(w) == nil || c.Selector(w) == nil || c.Policy(w).Remote != c.Remote(w) {
			t.Errorf("%s names nothing", w)
		}
	}
}

func TestSubstitution(t *testing.T) {
	x := expander{
		symbols: map[string]*symbol{
			"A": {value: "a${B}"}, "B": {value: "b$[C]"}, "LOOP": {value: "${LOOP}"}, "GROW": {value: "${GROW}" + strings.Repeat("x", 100)},
			"NAME": {value: "A"}, "ENV": {value: "C"},
		},
		lookupEnv: func(name string) (string, bool) {
			v, ok := map[string]string{"C": "c", "D": "${A}"}[name]
			return v, ok
		},
	}
	for _, test := range []struct{ text, want, err string }{
		{"plain $ text", "plain $ text", ""},
		{"x${A}y", "xabcy", ""},
		{"$[D]", "abc", ""},
		{"${${NAME}}", "", "${${NAME} is not defined"},
		{"$[${ENV}]", "c", ""},
		{"${X}", "", "${X} is not defined"},
		{"$[X]", "", "the environment variable X is not defined"},
		{"${A", "", "${ is never closed"},
		{"$[C", "", "$[ is never closed"},
		{"${LOOP}", "", errEndless.Error()},
		{"${GROW}", "", errTooLong.Error()},
	} {
		got, err := x.expand(test.text)
		switch {
		case err != nil && err.Error() != test.err, err == nil && test.err != "":
			t.Errorf("%s: error %v, want %s", test.text, err, test.err)
		case got != test.want:
			t.Errorf("%s: %q, want %q", test.text, got, test.want)
		}
	}
}

func TestSetvalAnywhere(t *testing.T) {
	text := strings.Replace(minimal, "192.0.2.2", `"${PEER}"`, 1) + `setval PEER "$[HOST]";`
	c, fs := Load("f", Options{
		FS:        Files{"f": text},
		LookupEnv: func(name string) (string, bool) { return "198.51.100.7", name == "HOST" },
	})
	if len(fs) != 0 {
		t.Fatalf("findings:\n%s", report(fs))
	}
	if got := c.Remote("peer").IKEv2.PeersIPAddr[0].Addr.String(); got != "198.51.100.7" {
		t.Errorf("peer %s", got)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"kmp_enc_alg", "kmp_dh_group", "psk", "src", "dst"}
	for _, test := range []struct{ text, want string }{
		{"kmp_enc_algo", "kmp_enc_alg"}, {"kpm_dh_group", "kmp_dh_group"}, {"pks", "psk"}, {"sorc", "src"},
		{"ipsec", ""}, {"", ""}, {strings.Repeat("x", 100), ""},
	} {
		if got := nearest(test.text, words); got != test.want {
			t.Errorf("nearest to %q is %q, want %q", test.text, got, test.want)
		}
	}
}
