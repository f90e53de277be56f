package config

import (
	"testing"

	t "racoon2/ikev2/transform"
)

// TestBuiltAlgorithms holds the names to what ikev2/transform can do.
func TestBuiltAlgorithms(tt *testing.T) {
	check := func(name string, said, built bool, why string) {
		switch {
		case said && !built:
			tt.Errorf("%s counts as built and is not", name)
		case !said && built && why == notBuilt:
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
