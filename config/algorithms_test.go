package config

import (
	"strings"
	"testing"

	t "racoon2/ikev2/transform"
)

// TestBuiltAlgorithms holds the names to what ikev2/transform can do.
func TestBuiltAlgorithms(tt *testing.T) {
	check := func(name string, said, built bool, why string) {
		switch {
		case said && !built:
			tt.Errorf("%s counts as built and is not", name)
		case !said && built && why == "":
			tt.Errorf("%s is built and does not count", name)
		}
	}
	for name, row := range encryptions {
		check(name, row.built, row.id.Built(), row.why)
		if row.built && row.aead != row.id.AEAD() {
			tt.Errorf("%s: AEAD %v", name, row.aead)
		}
	}
	for name, row := range prfs {
		check(name, row.built, t.PRF(row.id).Built(), row.why)
	}
	for name, row := range integrities {
		check(name, row.built, t.INTEG(row.id) == t.AUTH_NONE || t.INTEG(row.id).Built(), row.why)
	}
	for name, row := range groups {
		check(name, row.built, t.KE(row.id).Built(), row.why)
	}
}

// TestAlgorithmsOfESP: what ESP alone has is left out of kmp_enc_alg with words, and
// what does not encrypt is taken by ESP with a warning.
func TestAlgorithmsOfESP(tt *testing.T) {
	for name, aead := range map[string]bool{"null_enc": false, "aes_gmac": true, "aes_gcm8": true, "aes_gcm_iiv": true, "aes_ccm8_iiv": true, "chacha20_poly1305_iiv": true} {
		d := newDraft()
		d.set("ikev2", "kmp_enc_alg", "{ aes_gcm; "+name+"; }")
		d.set("sa", "esp_enc_alg", "{ "+name+"; }")
		c, fs := one(tt, d.String())
		said := ""
		for _, f := range fs {
			said += f.String() + "\n"
		}
		if !strings.Contains(said, name+" is left out: it is for ESP alone") {
			tt.Errorf("%s in kmp_enc_alg: %s", name, said)
		}
		if weak := strings.Contains(said, name+" is weak: it does not encrypt"); weak != (name == "null_enc" || name == "aes_gmac") {
			tt.Errorf("%s in esp_enc_alg: %s", name, said)
		}
		for _, e := range c.Remote("peer").IKEv2.Proposals[0].Encr {
			if e.ID != t.ENCR_AES_GCM_16 {
				tt.Errorf("IKE has %v", e.ID)
			}
		}
		p := c.index.sas["transform"].Proposals
		if len(p) != 1 || p[0].Encr[0].ID != encryptions[name].id || (len(p[0].Integ) == 0) != aead {
			tt.Errorf("%s: %+v", name, p)
		}
	}
}
