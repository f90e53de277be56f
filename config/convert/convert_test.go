package convert

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"racoon2/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

func file(t testing.TB, name string) File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return File{Name: filepath.Base(name), Text: string(data)}
}

// sample is a conversion with a golden result.
type sample struct {
	name            string
	from            Language
	main            string
	setkey, secrets string
}

func samples(t testing.TB) []sample {
	t.Helper()
	names, err := filepath.Glob("testdata/racoon/*racoon.conf*")
	if err != nil || len(names) != 6 {
		t.Fatalf("samples %v, %v", names, err)
	}
	var out []sample
	for _, n := range names {
		out = append(out, sample{name: filepath.Base(n), from: Racoon, main: "racoon/" + filepath.Base(n)})
	}
	return append(out,
		sample{"sites", Racoon, "own/sites.conf", "own/sites.setkey", "own/psk.txt"},
		sample{"swanctl", Swanctl, "own/swanctl.conf", "", ""},
		sample{"ipsec", IPsec, "own/ipsec.conf", "", "own/ipsec.secrets"},
	)
}

func (s sample) options(t testing.TB) Options {
	o := Options{From: s.from, Main: file(t, s.main)}
	if s.setkey != "" {
		f := file(t, s.setkey)
		o.Setkey = &f
	}
	if s.secrets != "" {
		f := file(t, s.secrets)
		o.Secrets = &f
	}
	return o
}

// TestSamples converts every sample and compares with the reviewed result.
func TestSamples(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			r, err := Convert(s.options(t))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			b.WriteString(r.Config)
			b.WriteString("\n#### report\n")
			for _, n := range r.Notes {
				b.WriteString(n.String() + "\n")
			}
			b.WriteString("\n#### findings\n")
			for _, f := range r.Findings {
				b.WriteString(f.String() + "\n")
			}
			b.WriteString("\n#### keys\n")
			for _, k := range r.Keys {
				fmt.Fprintf(&b, "%s %q\n", k.Name, k.Secret)
			}
			golden(t, s.name+".want", b.String())
			once, _ := config.Format(outputName, []byte(r.Config))
			if twice, fs := config.Format(outputName, once); fs.HasErrors() || string(once) != string(twice) || strings.Count(string(once), "#") != strings.Count(r.Config, "#") {
				t.Errorf("config fmt is not settled, or drops comments:\n%s", once)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at what changed. Got:\n%s", path, got)
	}
}

// TestNothingVanishes counts: each directive of each sample is named by its line in a
// comment of the result, or stands in the report.
func TestNothingVanishes(t *testing.T) {
	for _, s := range samples(t) {
		r, trees := converted(t, s.options(t))
		said := mentioned(r)
		total := 0
		var walk func(n *node)
		walk = func(n *node) {
			for _, sub := range n.block {
				total++
				if at := fmt.Sprint(sub.pos.File, ":", sub.pos.Line); !said[at] {
					t.Errorf("%s: %s (%s) vanishes", s.name, at, sub.shown())
				}
				walk(sub)
			}
		}
		for _, n := range trees {
			walk(n)
		}
		if total < 10 {
			t.Errorf("%s: only %d directives are read", s.name, total)
		}
	}
}

// converted runs a conversion and keeps what was read.
func converted(t *testing.T, o Options) (*Result, []*node) {
	t.Helper()
	var trees []*node
	r, err := convert(o, func(read []*node) { trees = read })
	if err != nil {
		t.Fatal(err)
	}
	return r, trees
}

// mentioned are the lines that a result speaks of, as file:line.
func mentioned(r *Result) map[string]bool {
	said := map[string]bool{}
	for _, n := range r.Notes {
		said[fmt.Sprint(n.Pos.File, ":", n.Pos.Line)] = true
	}
	for line := range strings.Lines(r.Config) {
		_, comment, _ := strings.Cut(line, "# ")
		file := ""
		for _, part := range strings.Fields(comment) {
			part = strings.Trim(part, ",:")
			if f, line, ok := strings.Cut(part, ":"); ok {
				file, part = f, line
			}
			said[file+":"+part] = true
		}
	}
	return said
}

// TestSecretsStayIn looks for keys where none may be.
func TestSecretsStayIn(t *testing.T) {
	for _, s := range samples(t) {
		r, err := Convert(s.options(t))
		if err != nil {
			t.Fatal(err)
		}
		if s.secrets == "" && s.from != Swanctl && len(r.Keys) > 0 {
			t.Errorf("%s: keys from nowhere", s.name)
		}
		text := r.Config + fmt.Sprint(r.Notes) + fmt.Sprint(r.Findings)
		for _, secret := range []string{"berlin key", "the road key", "0123456789abcdef", "112233445566", "hunter2", "the third key"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the secret %q is in the open", s.name, secret)
			}
		}
		for _, k := range r.Keys {
			if !strings.Contains(r.Config, "/etc/racoon2/psk/"+k.Name+`"`) {
				t.Errorf("%s: nothing names the key file %s", s.name, k.Name)
			}
		}
	}
}

// TestLoads loads the results as the program would.
func TestLoads(t *testing.T) {
	for _, s := range samples(t) {
		r, err := Convert(s.options(t))
		if err != nil {
			t.Fatal(err)
		}
		c, findings := config.Load("x.conf", config.Options{FS: config.Files{"x.conf": r.Config}, LookupEnv: noEnvironment})
		if findings.HasErrors() || len(c.Remotes) == 0 {
			t.Errorf("%s: %d remotes, %v", s.name, len(c.Remotes), findings)
		}
		if fair, _ := config.Format("x.conf", []byte(r.Config)); string(fair) != r.Config {
			t.Errorf("%s: the layout is not that of config fmt", s.name)
		}
		for _, f := range findings {
			if f.Severity == config.Warning && f.Code != "weak-algorithm" {
				t.Errorf("%s: %s", s.name, f)
			}
		}
	}
}
