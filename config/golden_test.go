package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBroken compares what is said of broken configurations with golden files.
func TestBroken(t *testing.T) {
	names, err := filepath.Glob("testdata/broken/*.conf")
	if err != nil || len(names) < 50 {
		t.Fatalf("%d broken files: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, fs := one(t, string(data))
			if len(fs) == 0 {
				t.Error("nothing was found")
			}
			golden(t, strings.TrimSuffix(name, ".conf")+".want", report(fs))
			checkJSON(t, name, fs)
		})
	}
}

// asJSON are the files whose findings have golden files in JSON, too: of each
// severity, with and without a position, a hint and odd characters.
var asJSON = []string{"values", "include", "control-characters", "lifetimes", "same-id", "static-key"}

func checkJSON(t *testing.T, name string, fs Findings) {
	t.Helper()
	base := strings.TrimSuffix(filepath.Base(name), ".conf")
	if !slices.Contains(asJSON, base) {
		return
	}
	var b bytes.Buffer
	if err := fs.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, strings.TrimSuffix(name, ".conf")+".json", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./config -update writes it anew, to be read before it is committed); got:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestFindingForms(t *testing.T) {
	_, fs := one(t, "remote peer {\n\tikev3 { };\n};\n")
	var text, js bytes.Buffer
	if err := fs.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	want := `racoon2.conf:1:1: error: remote peer has no block of a key management protocol [no-protocol]
    remote peer {
    ^~~~~~
    hint: add a block: ikev2 { … };
racoon2.conf:2:2: error: ikev3 is not a directive of remote [unknown-directive]
    	ikev3 { };
    	^~~~~
    hint: did you mean ikev1?
`
	if text.String() != want {
		t.Errorf("text:\n%s\nwant:\n%s", text.String(), want)
	}
	if err := fs.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(js.Bytes(), &list); err != nil || len(list) != 2 {
		t.Fatalf("%v in %s", err, js.String())
	}
	last := list[1]
	if last["code"] != "unknown-directive" || last["severity"] != "error" || last["line"] != 2.0 || last["column"] != 2.0 || last["offending"] != "ikev3" {
		t.Errorf("json: %v", last)
	}
	js.Reset()
	if err := Findings(nil).WriteJSON(&js); err != nil || strings.TrimSpace(js.String()) != "[]" {
		t.Errorf("no findings are %q", js.String())
	}
}
