package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestDiff(tt *testing.T) {
	base := minimal + `
remote other { ikev2 { my_id fqdn "a"; peers_id fqdn "c"; peers_ipaddr 192.0.2.3; pre_shared_key "/psk"; }; };
ipsec bundle { sa_index transform; };
sa transform { sa_protocol esp; };
`
	for _, test := range []struct{ name, from, to, want string }{
		{"nothing", "", "", "{false false false [] [] [] [] false false}"},
		{"layout", "remote peer {", "\n\n# moved\nremote    peer {", "{false false false [] [] [] [] false false}"},
		{"written default", "remote_index peer;", "remote_index peer; ipsec_mode tunnel;", "{false false false [] [] [] [] false false}"},
		{"a remote", "192.0.2.2", "192.0.2.4", "{false false false [{changed peer}] [] [{changed tunnel}] [] false false}"},
		{"new name", "remote other", "remote another", "{false false false [{removed other} {added another}] [] [] [] false false}"},
		{"a selector", "dst 10.0.2.0/24", "dst 10.0.3.0/24", "{false false false [] [{changed out} {changed in}] [] [] false false}"},
		{"an ipsec section", "remote_index peer;", "remote_index peer; ipsec_index bundle;", "{false false false [] [] [{changed tunnel}] [] false false}"},
		{"interface", "remote peer", "interface { ike 192.0.2.1; };\nremote peer", "{true false false [] [] [] [] false false}"},
		{"resolver", "remote peer", "resolver { nameserver 192.0.2.1; };\nremote peer", "{false true false [] [] [] [] false false}"},
		{"from default", "remote peer", "default { remote { ikev2 { dpd_delay 0; }; }; };\nremote peer", "{false false false [{changed peer} {changed other}] [] [] [] false false}"},
		{"a pool", "remote peer", "addresspool p { 10.0.0.1 - 10.0.0.9; };\nremote peer", "{false false false [] [] [] [{added p}] false false}"},
	} {
		tt.Run(test.name, func(tt *testing.T) {
			old, fs := one(tt, base)
			if fs.HasErrors() {
				tt.Fatal(report(fs))
			}
			now, fs := one(tt, strings.Replace(base, test.from, test.to, 1))
			if fs.HasErrors() {
				tt.Fatal(report(fs))
			}
			d := Diff(old, now)
			if got := fmt.Sprint(d); got != test.want {
				tt.Errorf("got  %s\nwant %s", got, test.want)
			}
			if d.Empty() != (test.want == "{false false false [] [] [] [] false false}") {
				tt.Errorf("empty: %v", d.Empty())
			}
		})
	}
}

func TestDiffOfOrder(tt *testing.T) {
	const peer = `remote %[1]s { ikev2 { my_id fqdn "a"; peers_id fqdn "%[1]s"; peers_ipaddr 192.0.2.2; pre_shared_key "/psk"; }; };
selector %[1]s { direction outbound; src 10.0.0.1; dst 10.0.0.2; policy_index p; };
`
	a, b := fmt.Sprintf(peer, "a"), fmt.Sprintf(peer, "b")
	const rest = "policy p { action discard; };"
	old, _ := one(tt, a+b+rest)
	now, _ := one(tt, b+a+rest)
	d := Diff(old, now)
	if !d.RemoteOrder || !d.SelectorOrder || d.Empty() || len(d.Remotes)+len(d.Selectors) != 0 {
		tt.Errorf("exchanged: %+v", d)
	}
	if now, _ = one(tt, b+rest); Diff(old, now).RemoteOrder {
		tt.Error("a removal is taken for another order")
	}
}
