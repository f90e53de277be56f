package agent

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"racoon2/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCheckBroken holds what check says of files of keys and of kernels, which
// config alone does not know.
func TestCheckBroken(t *testing.T) {
	names, err := filepath.Glob("testdata/check/*.conf")
	if err != nil || len(names) < 2 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			must(t, err)
			want, err := filepath.Abs(strings.TrimSuffix(name, ".conf") + ".want")
			must(t, err)
			t.Chdir(t.TempDir())
			for _, f := range []struct {
				name, text string
				mode       os.FileMode
			}{{"good", "secret", 0o600}, {"open", "secret", 0o644}, {"empty", "", 0o600}, {"racoon2.conf", string(text), 0o600}} {
				must(t, os.WriteFile(f.name, []byte(f.text), f.mode))
				must(t, os.Chmod(f.name, f.mode))
			}
			var b strings.Builder
			must(t, Check("racoon2.conf", CheckOptions{}).WithSources(config.Options{}).WriteText(&b))
			golden(t, want, b.String())
		})
	}
}

// golden holds a text to the one in a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(name, []byte(got), 0o644))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew, to be read before it is committed); got:\n%s", name, got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
