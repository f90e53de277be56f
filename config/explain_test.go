package config

import (
	"os"
	"strings"
	"testing"
)

// TestExplanations holds that every row is explained and every explanation used.
func TestExplanations(tt *testing.T) {
	used := map[string]bool{}
	key := func(where place, name string) string {
		for p := inTop; p <= inDefault; p <<= 1 {
			k := placeNames[p] + "/" + name
			if _, ok := explanations[k]; ok && where&p != 0 {
				return k
			}
		}
		if where == inTop {
			return "top/" + name
		}
		return name
	}
	for _, name := range topWords {
		used[key(inTop, name)] = true
	}
	for _, group := range directives {
		for _, d := range group {
			used[key(d.where, d.name)] = true
			x := explanationOf(d.where, d.name)
			switch {
			case x.means == "" || !strings.HasSuffix(x.means, "."):
				tt.Errorf("%s is not explained: %q", d.name, x.means)
			case x.builtin == "" && x.otherwise == "":
				tt.Errorf("nothing says what happens without %s", d.name)
			case x.example == "" || x.example == x.builtin:
				tt.Errorf("the example of %s is %q, and the default %q", d.name, x.example, x.builtin)
			}
		}
	}
	for k := range explanations {
		if !used[k] {
			tt.Errorf("%s explains nothing", k)
		}
	}
	for name := range sections {
		if explanations["top/"+name].means == "" {
			tt.Errorf("section %s is not explained", name)
		}
	}
}

// TestReference keeps the reference page current.
func TestReference(tt *testing.T) { golden(tt, "REFERENCE.md", Reference()) }

func TestExplain(tt *testing.T) {
	rows, _ := Explain("dpd_delay")
	if len(rows) != 2 || rows[0].Default != "60" || rows[0].State != Effective || !rows[0].Inherit || !strings.HasPrefix(rows[0].Units, "seconds") {
		tt.Errorf("dpd_delay: %+v", rows)
	}
	if rows, _ = Explain("kink"); len(rows) != 2 {
		tt.Errorf("kink has %d meanings", len(rows))
	}
	if rows, near := Explain("kpm_enc_alg"); rows != nil || near != "kmp_enc_alg" {
		tt.Errorf("a typing error: %v, %q", rows, near)
	}
	if rows, near := Explain("zzzzzzzzzzz"); rows != nil || near != "" {
		tt.Errorf("no word: %v, %q", rows, near)
	}
	for _, d := range Directives() {
		for _, text := range []string{d.Meaning, d.State, d.Syntax, d.Example} {
			if text == "" {
				tt.Errorf("%s is not whole: %+v", d.Name, d)
			}
		}
	}
}

// TestExamples parses every example as it is shown.
func TestExamples(tt *testing.T) {
	for _, d := range Directives() {
		text := strings.ReplaceAll(d.Example, "…", "")
		if _, fs := Parse("f", []byte(text)); len(fs) != 0 {
			tt.Errorf("%s:\n%s", d.Example, report(fs))
		}
	}
	if _, err := os.Stat("REFERENCE.md"); err != nil {
		tt.Error(err)
	}
}
