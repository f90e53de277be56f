package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// TestJSONCannotSteerATerminal: what peers call themselves comes out as it is for programs,
// and does nothing to a terminal.
func TestJSONCannotSteerATerminal(t *testing.T) {
	name := "gw\x1b[2J\u009b2J\x7f\u202e\U000e0001é\ufeff.example.com"
	var out bytes.Buffer
	a := &app{out: &out}
	if err := a.printJSON(map[string]string{"id": name}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }); i >= 0 {
		t.Errorf("%q", out.String())
	}
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["id"] != name {
		t.Errorf("%q, %v", got["id"], err)
	}
}
