package config

import (
	"fmt"
	"strings"
	"testing"

	t "racoon2/ikev2/transform"
)

const withKeys = `
selector out { direction outbound; src 192.0.2.1; dst 192.0.2.2; policy_index keyed; };
selector in { direction inbound; src 192.0.2.2; dst 192.0.2.1; policy_index keyed; };
policy keyed { action static_ipsec; ipsec_mode transport; ipsec_index keyed; };
ipsec keyed { sa_index { comp; esp; ah; }; };
sa comp { sa_protocol ipcomp; spi 0x1000; };
sa esp { sa_protocol esp; spi 0x1001; esp_enc_alg aes_cbc,,"sixteen octets !"; esp_auth_alg hmac_sha1,,0x000102030405060708090a0b0c0d0e0f10111213; };
sa ah { sa_protocol ah; spi 0xfffffff0;
	ah_auth_alg
		hmac_sha2_256,,"thirty-two octets are a secret!!"; };
`

// The SAs of static_ipsec have their keys in the model, and nothing prints them.
func TestStaticKeys(tt *testing.T) {
	c, fs := one(tt, withKeys)
	if fs.HasErrors() {
		tt.Fatal(report(fs))
	}
	p := c.Policy("keyed")
	if p.Disabled || len(p.IPsecs) != 1 || len(p.IPsecs[0].SAs) != 3 {
		tt.Fatalf("%+v", p)
	}
	esp, ah := p.IPsecs[0].SAs[1], p.IPsecs[0].SAs[2]
	if string(esp.EncrKey) != "sixteen octets !" || len(esp.IntegKey) != 20 || esp.IntegKey[19] != 0x13 || esp.SPI != 0x1001 ||
		len(esp.Proposals) != 1 || esp.Proposals[0].Encr[0] != (Encryption{t.ENCR_AES_CBC, 128}) {
		tt.Errorf("%+v", esp)
	}
	if string(ah.IntegKey) != "thirty-two octets are a secret!!" || ah.SPI != 0xfffffff0 {
		tt.Errorf("%+v", ah)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if text := fmt.Sprintf(verb, *esp) + fmt.Sprintf(verb, ah.IntegKey); strings.Contains(text, "octets") || strings.Contains(text, "6f6374657473") {
			tt.Errorf("%s shows a key: %s", verb, text)
		}
	}
	// A finding that is made from the model shows no line with a key.
	later := Findings{{Pos: esp.Pos, Text: "x"}, {Pos: c.SAs[0].Pos, Text: "y"}}.WithSources(Options{FS: Files{c.Path: withKeys}})
	for _, f := range later {
		if f.Text == "x" && f.Source != "" || f.Text == "y" && f.Source == "" {
			tt.Errorf("%+v", f)
		}
	}
	// A changed key is a changed policy.
	other, _ := one(tt, strings.Replace(withKeys, "sixteen", "Sixteen", 1))
	if d := Diff(c, other); len(d.Policies) != 1 {
		tt.Errorf("%+v", d)
	}
}
