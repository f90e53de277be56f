package message

import (
	"fmt"
	"net/netip"
	"testing"

	"racoon2/ikev2/transform"
)

func TestNames(t *testing.T) {
	for _, v := range []struct {
		value fmt.Stringer
		want  string
	}{
		{NoNextPayload, "none"}, {PayloadSA, "SA"}, {PayloadNonce, "Nonce"}, {PayloadSKF, "SKF"}, {PayloadType(99), "PAYLOAD(99)"},
		{IKE_SA_INIT, "IKE_SA_INIT"}, {CREATE_CHILD_SA, "CREATE_CHILD_SA"}, {ExchangeType(43), "IKE_INTERMEDIATE"}, {ExchangeType(99), "EXCHANGE(99)"},
		{ProtocolNone, "none"}, {ProtocolESP, "ESP"}, {Protocol(99), "PROTOCOL(99)"},
		{ID_FQDN, "ID_FQDN"}, {ID_NULL, "ID_NULL"}, {IDType(99), "ID(99)"},
		{AuthSharedKey, "Shared Key Message Integrity Code"}, {AuthDigitalSignature, "Digital Signature"}, {AuthMethod(99), "AUTH(99)"},
		{NO_PROPOSAL_CHOSEN, "NO_PROPOSAL_CHOSEN"}, {NotifyType(47), "STATE_NOT_FOUND"}, {NotifyType(99), "NOTIFY(99)"},
		{COOKIE, "COOKIE"}, {IKEV2_FRAGMENTATION_SUPPORTED, "IKEV2_FRAGMENTATION_SUPPORTED"},
		{NotifyType(16404), "MULTIPLE_AUTH_SUPPORTED"}, {NotifyType(16441), "ADDITIONAL_KEY_EXCHANGE"}, {NotifyType(40960), "NOTIFY(40960)"},
		{Flags(0), "none"}, {FlagInitiator | FlagResponse, "initiator|response"}, {FlagVersion, "version"},
		{Transform{Type: transform.TypeENCR, ID: 20, KeyBits: 128}, "ENCR_AES_GCM_16-128"},
		{Transform{Type: transform.TypePRF, ID: 5}, "PRF_HMAC_SHA2_256"},
		{Transform{Type: transform.TypeINTEG, ID: 12, Unknown: true}, "AUTH_HMAC_SHA2_256_128?"},
		{Transform{Type: transform.TypeKE, ID: 31}, "CURVE25519"},
		{Transform{Type: transform.TypeSN, ID: 1}, "SN_EXTENDED"},
		{Transform{Type: 6, ID: 36}, "ADDKE1:36"},
		{Proposal{Number: 2, Protocol: ProtocolESP, SPI: []byte{1, 2, 3, 4}, Transforms: []Transform{
			{Type: transform.TypeENCR, ID: 28}, {Type: transform.TypeSN, ID: 0}}}, "#2 ESP ENCR_CHACHA20_POLY1305 SN_32BIT"},
		{TrafficSelector{UnknownType: 9}, "TS type 9"},
		{selector("10.0.0.0", "10.0.0.255", 0, 0, 65535), "10.0.0.0-10.0.0.255"},
		{selector("10.0.0.0", "10.0.0.255", 6, 80, 80), "10.0.0.0-10.0.0.255 protocol 6 ports 80-80"},
		{selector("2001:db8::", "2001:db8::1", 58, 65535, 0), "2001:db8::-2001:db8::1 protocol 58 ports OPAQUE"},
	} {
		if got := v.value.String(); got != v.want {
			t.Errorf("%T: %q, want %q", v.value, got, v.want)
		}
	}
}

func selector(start, end string, protocol uint8, first, last uint16) TrafficSelector {
	return TrafficSelector{Protocol: protocol, StartPort: first, EndPort: last,
		Start: netip.MustParseAddr(start), End: netip.MustParseAddr(end)}
}

// No two numbers share a name, and every number has one.
func TestNamesUnique(t *testing.T) {
	for what, name := range map[string]func(n int) string{
		"PayloadType":  func(n int) string { return PayloadType(n).String() },
		"ExchangeType": func(n int) string { return ExchangeType(n).String() },
		"Protocol":     func(n int) string { return Protocol(n).String() },
		"IDType":       func(n int) string { return IDType(n).String() },
		"AuthMethod":   func(n int) string { return AuthMethod(n).String() },
		"NotifyType":   func(n int) string { return NotifyType(n).String() },
		"status":       func(n int) string { return NotifyType(16384 + n).String() },
	} {
		seen := map[string]int{}
		for n := range 256 {
			s := name(n)
			if other, ok := seen[s]; ok || s == "" {
				t.Errorf("%s: %d and %d are both %q", what, other, n, s)
			}
			seen[s] = n
		}
	}
}
