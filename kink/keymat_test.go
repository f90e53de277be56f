package kink

import (
	"errors"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kink/isakmp"
)

// silent is a session whose key is gone.
type silent struct{ Session }

func (silent) PRF([]byte) []byte { return nil }

// TestNoPRFNoKeys: where Kerberos gives no keying material there are no keys, and least of
// all those of zeros.
func TestNoPRFNoKeys(t *testing.T) {
	suite := isakmp.Suite{Protocol: isakmp.PROTO_IPSEC_ESP, Encr: transform.ENCR_AES_GCM_16, KeyBits: 256}
	if k, err := deriveKeys(silent{}, suite, 0x1000, nil, make([]byte, 16), nil); !errors.Is(err, errNoPRF) || k.encr != nil {
		t.Errorf("%x, %v", k.encr, err)
	}
}
