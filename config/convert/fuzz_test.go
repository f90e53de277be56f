package convert

import (
	"strings"
	"testing"
)

// FuzzConvert looks for panics, for results that config refuses, and for
// secrets in the open, in every language.
func FuzzConvert(f *testing.F) {
	for _, s := range samples(f) {
		o := s.options(f)
		var setkey, secrets string
		if o.Setkey != nil {
			setkey = o.Setkey.Text
		}
		if o.Secrets != nil {
			secrets = o.Secrets.Text
		}
		f.Add(string(s.from), o.Main.Text, setkey, secrets)
	}
	f.Add("racoon", `remote "x" { remote_address 1.2.3.4 [5]; my_identifier keyid tag "a${b}"; }`, `spdadd -4 1.1.1.1 2.2.2.2[53] udp -P out prio def ipsec esp/tunnel/1.1.1.1[1]-2.2.2.2[2]/use;`, "* key")
	f.Add("racoon", `include "x"; sainfo address ::1 any subnet ::/0 any {remoteid 3;} remote ::2 {ph1id 3;}`, "", "")
	f.Add("swanctl", "a : b { include x\n c = \"d\" } b : a { }", "", "")
	f.Add("ipsec", "conn a\n also=b\n auto=add\nconn b\n also=a\n", "", "%any : PSK \"x")
	f.Fuzz(func(t *testing.T, from, main, setkey, secrets string) {
		const canary = "squeamish-ossifrage"
		if len(main)+len(setkey)+len(secrets) > 1<<14 || strings.Contains(main+setkey+secrets, "squeamish") {
			return
		}
		o := Options{
			From: Language(from), Main: File{"main.conf", main},
			Setkey: &File{"setkey.conf", setkey}, Secrets: &File{"keys", secrets + "\n192.0.2.99 : PSK " + canary + "\n"},
			Include: func(string, string, string) ([]File, error) {
				return []File{{"included", "remote ::3 { passive on; }"}}, nil
			},
		}
		r, err := Convert(o)
		if err != nil {
			if strings.Contains(err.Error(), "would not load") {
				t.Fatal(err)
			}
			return
		}
		if strings.Contains(r.Config, canary) {
			t.Fatal("a secret is in the configuration")
		}
		for _, n := range r.Notes {
			if strings.Contains(n.String(), canary) {
				t.Fatal("a secret is in the report")
			}
		}
	})
}
