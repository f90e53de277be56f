package config

import (
	"strings"
	"testing"
)

// pre_shared_key [hex] PATH: the word counts before a path alone.
func TestKeyFile(tt *testing.T) {
	for _, c := range []struct {
		value, path string // "" is an error
		hex         bool
	}{
		{`"/psk"`, "/psk", false},
		{`/psk`, "/psk", false},
		{`hex "/psk"`, "/psk", true},
		{`hex hex`, "hex", true},
		{`hex`, "hex", false},
		{`"hex" "/psk"`, "", false},
		{`hex ""`, "", false},
		{`""`, "", false},
		{`hex "/psk" "/other"`, "", false},
		{`octal "/psk"`, "", false},
	} {
		text := `remote a { ikev2 { my_id fqdn "a"; peers_id fqdn "b"; peers_ipaddr 192.0.2.2; pre_shared_key ` + c.value + "; }; };\n"
		cfg, fs := Load("/racoon2.conf", Options{FS: Files{"/racoon2.conf": text}})
		if c.path == "" {
			if !fs.HasErrors() || !strings.Contains(report(fs), `pre_shared_key [hex] "PATH";`) {
				tt.Errorf("%s: %s", c.value, report(fs))
			}
			continue
		}
		if fs.HasErrors() {
			tt.Fatalf("%s: %s", c.value, report(fs))
		}
		if k := cfg.Remotes[0].IKEv2; k.PreSharedKey != c.path || k.PreSharedKeyHex != c.hex {
			tt.Errorf("%s: %q, hex %v", c.value, k.PreSharedKey, k.PreSharedKeyHex)
		}
	}
}
