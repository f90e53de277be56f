package agent

import (
	"net/netip"
	"slices"
	"testing"

	"racoon2/kernel"
	"racoon2/kink/kerberos"
)

// A policy of a remote that speaks KINK alone may have AH around ESP around IPComp; where
// the remote speaks IKEv2 as well, that has no such bundle.
func TestKINKBundles(t *testing.T) {
	const text = `
remote b {
	acceptable_kmp { kink; };
	kink { my_principal "kink/a.example.org@EXAMPLE.ORG"; peers_principal "kink/b.example.org@EXAMPLE.ORG"; peers_ipaddr 192.0.2.2; };
};
selector out { direction outbound; src 192.0.2.1; dst 192.0.2.2; policy_index p; };
selector in { direction inbound; src 192.0.2.2; dst 192.0.2.1; policy_index p; };
policy p { action auto_ipsec; remote_index b; ipsec_mode transport; ipsec_level require; ipsec_index { all; }; };
ipsec all { sa_index { s_ah; s_esp; s_comp; }; };
sa s_ah { sa_protocol ah; ah_auth_alg { hmac_sha2_256; hmac_sha2_512; }; };
sa s_esp { sa_protocol esp; esp_enc_alg { aes_gcm; aes256_cbc; }; esp_auth_alg { hmac_sha2_256; }; };
sa s_comp { sa_protocol ipcomp; ipcomp_alg deflate; };
`
	c := mustCompile(t, text, func(o *CompileOptions) {
		o.KINK = KINKOptions{
			Host: func() string { return "a.example.org" }, NamesOf: func(netip.Addr) []string { return nil },
			Krb5Conf: func(string) (*kerberos.Krb5Conf, error) { return kerberos.ParseKrb5Conf(nil) },
			Keytab:   func(string) error { return nil },
		}
	})
	want := []kernel.Protocol{kernel.IPComp, kernel.ESP, kernel.AH}
	for _, s := range c.Policy.Selectors {
		if !slices.Equal(s.Bundle, want) {
			t.Errorf("the SPD has %v for %s, want %v", s.Bundle, s.Name, want)
		}
	}
	child := c.KINK.Remotes[0].Children[0]
	if len(child.Proposals) == 0 {
		t.Fatal("no proposals")
	}
	for _, p := range child.Proposals {
		var got []kernel.Protocol
		for _, part := range append(slices.Clone(p.Outer), p) {
			got = append(got, part.Protocol)
			if len(part.Encr)+len(part.Integ)+len(part.Comp) == 0 {
				t.Errorf("%v has no algorithm", part.Protocol)
			}
		}
		slices.Sort(got)
		if len(got) != 3 || got[0] != kernel.ESP || got[1] != kernel.AH || got[2] != kernel.IPComp {
			t.Errorf("a proposal of %v", got)
		}
	}
}
