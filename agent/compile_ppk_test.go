package agent

import (
	"errors"
	"strings"
	"testing"
)

// A post-quantum key is read from ppk/ID.bin beside the configuration; whatever is
// wrong with it is an error and never a tunnel without it.
func TestCompilePPK(t *testing.T) {
	for _, c := range []struct {
		lines, wants string // "" compiles
	}{
		{`use_ppk on; ppk_id "key-1";`, ""},
		{`use_ppk on; ppk_mandatory on; ppk_id "key-1";`, ""},
		{`use_ppk off; ppk_id "key-1";`, ""},
		{`use_ppk on; ppk_id "gone";`, "/ppk/gone.bin: no such file"},
		{`use_ppk on; ppk_id "empty";`, "the file is empty"},
		{`use_ppk on;`, "use_ppk needs a ppk_id"},
		{`use_ppk on; ppk_id "../racoon2";`, "use_ppk needs a ppk_id"},
		{`use_ppk on; ppk_id "..";`, "use_ppk needs a ppk_id"},
		{`ppk_mandatory on; ppk_id "key-1";`, "use_ppk is off"},
	} {
		text := strings.Replace(siteToSite, "pre_shared_key", c.lines+" pre_shared_key", 1)
		compiled, findings := compileText(t, text, func(o *CompileOptions) {
			o.ReadSecret = func(path string) ([]byte, error) {
				switch path {
				case "/ppk/key-1.bin":
					return []byte("post-quantum"), nil
				case "/ppk/empty.bin":
					return nil, nil
				case "/ppk/gone.bin":
					return nil, errors.New("no such file")
				}
				return secretOf(path)
			}
		})
		var said strings.Builder
		_ = findings.WriteText(&said)
		switch {
		case c.wants != "" && (compiled != nil || !strings.Contains(said.String(), c.wants)):
			t.Errorf("%s: compiled %v, findings\n%s", c.lines, compiled != nil, said.String())
		case c.wants == "" && compiled == nil:
			t.Errorf("%s: findings\n%s", c.lines, said.String())
		case c.wants == "":
			p := compiled.IKEv2.Remotes[0].PPK
			if (p != nil) != strings.Contains(c.lines, "use_ppk on") {
				t.Errorf("%s: PPK %v", c.lines, p != nil)
			}
			if p != nil && (string(p.ID) != "\x02key-1" || string(p.Secret) != "post-quantum" || p.Mandatory != strings.Contains(c.lines, "mandatory")) {
				t.Errorf("%s: PPK_ID %q, mandatory %v", c.lines, p.ID, p.Mandatory)
			}
		}
	}
}
