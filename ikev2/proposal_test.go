package ikev2

import (
	"strings"
	"testing"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// tr makes a wire transform.
func tr(kind transform.Type, id uint16, bits ...uint16) message.Transform {
	t := message.Transform{Type: kind, ID: id}
	if len(bits) > 0 {
		t.KeyBits = bits[0]
	}
	return t
}

func encrT(id transform.ENCR, bits ...uint16) message.Transform {
	return tr(transform.TypeENCR, uint16(id), bits...)
}
func prfT(id transform.PRF) message.Transform     { return tr(transform.TypePRF, uint16(id)) }
func integT(id transform.INTEG) message.Transform { return tr(transform.TypeINTEG, uint16(id)) }
func keT(id transform.KE) message.Transform       { return tr(transform.TypeKE, uint16(id)) }
func snT(id transform.SN) message.Transform       { return tr(transform.TypeSN, uint16(id)) }

func ikeP(n uint8, list ...message.Transform) message.Proposal {
	return message.Proposal{Number: n, Protocol: message.ProtocolIKE, Transforms: list}
}

// What a responder chooses out of an offer.
func TestChooseIKE(t *testing.T) {
	aead := IKEProposal{
		Encr: []Encryption{{transform.ENCR_AES_GCM_16, 256}, {transform.ENCR_AES_GCM_16, 128}},
		PRF:  []transform.PRF{transform.PRF_HMAC_SHA2_384, transform.PRF_HMAC_SHA2_256},
		KE:   []transform.KE{transform.KE_ECP_384, transform.KE_CURVE25519},
	}
	cbc := IKEProposal{
		Encr: []Encryption{{transform.ENCR_AES_CBC, 128}}, PRF: []transform.PRF{transform.PRF_HMAC_SHA2_256},
		Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}, KE: []transform.KE{transform.KE_MODP_2048},
	}
	r := &Remote{Name: "x", Where: "f:1", Proposals: []IKEProposal{aead, cbc}}
	gcm128, gcm256 := encrT(transform.ENCR_AES_GCM_16, 128), encrT(transform.ENCR_AES_GCM_16, 256)
	sha256, sha384 := prfT(transform.PRF_HMAC_SHA2_256), prfT(transform.PRF_HMAC_SHA2_384)
	x25519, p384 := keT(transform.KE_CURVE25519), keT(transform.KE_ECP_384)
	withAttribute := gcm256
	withAttribute.Unknown = true
	cases := []struct {
		name  string
		offer []message.Proposal
		sent  transform.KE
		want  string // the proposal chosen, or the mismatch
	}{
		{"our preference within the peer's", []message.Proposal{ikeP(1, gcm128, gcm256, sha256, sha384, x25519, p384)}, 0,
			"#1 ENCR_AES_GCM_16-256, PRF_HMAC_SHA2_384, ECP_384"},
		{"the group at hand", []message.Proposal{ikeP(1, gcm128, gcm256, sha256, sha384, x25519, p384)}, transform.KE_CURVE25519,
			"#1 ENCR_AES_GCM_16-256, PRF_HMAC_SHA2_384, CURVE25519"},
		{"our first alternative in the peer's second", []message.Proposal{
			ikeP(1, encrT(transform.ENCR_AES_CBC, 128), sha256, integT(transform.AUTH_HMAC_SHA2_256_128), keT(transform.KE_MODP_2048)), ikeP(7, gcm128, sha256, x25519)}, 0,
			"#7 ENCR_AES_GCM_16-128, PRF_HMAC_SHA2_256, CURVE25519"},
		{"INTEG none beside an AEAD", []message.Proposal{ikeP(1, gcm128, sha256, integT(transform.AUTH_NONE), x25519)}, 0,
			"#1 ENCR_AES_GCM_16-128, PRF_HMAC_SHA2_256, NONE, CURVE25519"},
		{"an AEAD with an integrity algorithm", []message.Proposal{ikeP(1, gcm128, sha256, integT(transform.AUTH_HMAC_SHA2_256_128), x25519)}, 0,
			"INTEG: peer offers AUTH_HMAC_SHA2_256_128; f accepts NONE"},
		{"unknown attribute", []message.Proposal{ikeP(1, withAttribute, sha256, x25519)}, 0,
			"ENCR: peer offers ENCR_AES_GCM_16-256 with an unknown attribute; f accepts ENCR_AES_GCM_16-256, ENCR_AES_GCM_16-128"},
		{"unknown attribute and a good one", []message.Proposal{ikeP(1, withAttribute, gcm128, sha256, x25519)}, 0,
			"#1 ENCR_AES_GCM_16-128, PRF_HMAC_SHA2_256, CURVE25519"},
		{"key length missing", []message.Proposal{ikeP(1, encrT(transform.ENCR_AES_GCM_16), sha256, x25519)}, 0, "ENCR: peer offers ENCR_AES_GCM_16;"},
		{"another transform type", []message.Proposal{ikeP(1, gcm128, sha256, x25519, tr(6, 36))}, 0, "transform type 6: peer offers 36; f accepts no transform of this type"},
		{"another type, then without it", []message.Proposal{ikeP(1, gcm128, sha256, x25519, tr(6, 36)), ikeP(2, gcm128, sha256, x25519)}, 0,
			"#2 ENCR_AES_GCM_16-128, PRF_HMAC_SHA2_256, CURVE25519"},
		{"no PRF", []message.Proposal{ikeP(1, gcm128, x25519)}, 0, "PRF: peer offers nothing; f accepts PRF_HMAC_SHA2_384, PRF_HMAC_SHA2_256"},
		{"no group", []message.Proposal{ikeP(1, gcm128, sha256)}, 0, "KE: peer offers nothing; f accepts ECP_384, CURVE25519"},
		{"the mismatch that got furthest", []message.Proposal{ikeP(1, encrT(transform.ENCR_3DES), sha256, x25519), ikeP(2, gcm128, sha256, keT(transform.KE_MODP_1024))}, 0,
			"KE: peer offers MODP_1024; f accepts ECP_384, CURVE25519"},
		{"ESP", []message.Proposal{{Number: 1, Protocol: message.ProtocolESP, Transforms: []message.Transform{gcm128}}}, 0, "protocol: peer offers ESP; f accepts IKE"},
		{"nothing", nil, 0, "protocol: peer offers nothing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, why := choose(r.ikeAlternatives(), c.offer, c.sent)
			text := ""
			if got != nil {
				text = proposalList([]message.Proposal{got.proposal(nil)})
			} else {
				text = why.words("f")
			}
			if !strings.HasPrefix(text, c.want) {
				t.Errorf("%q, want %q", text, c.want)
			}
			if got != nil {
				if _, err := verifyChoice(c.offer, []message.Proposal{got.proposal(nil)}); err != nil {
					t.Errorf("the initiator would not take it: %v", err)
				}
			}
		})
	}
}

// What a responder chooses for a child: key exchange and sequence numbers.
func TestChooseChild(t *testing.T) {
	child := func(sn ...transform.SN) *Child {
		return &Child{Proposals: []ChildProposal{{Encr: []Encryption{{transform.ENCR_AES_GCM_16, 128}}, SN: sn}}}
	}
	pfs := &Child{Proposals: []ChildProposal{{Encr: []Encryption{{transform.ENCR_AES_GCM_16, 128}}, KE: []transform.KE{transform.KE_ECP_256}}}}
	gcm := encrT(transform.ENCR_AES_GCM_16, 128)
	esp := func(list ...message.Transform) []message.Proposal {
		return []message.Proposal{{Number: 1, Protocol: message.ProtocolESP, SPI: []byte{1, 2, 3, 4}, Transforms: append([]message.Transform{gcm}, list...)}}
	}
	groups := []transform.KE{transform.KE_CURVE25519}
	cases := []struct {
		name  string
		child *Child
		use   keUse
		offer []message.Proposal
		sent  transform.KE
		want  string
	}{
		{"plain", child(), keNever, esp(snT(transform.SN_32BIT)), 0, "#1 ENCR_AES_GCM_16-128, " + transform.SN_32BIT.String()},
		{"ESN preferred", child(transform.SN_EXTENDED, transform.SN_32BIT), keNever, esp(snT(0), snT(1)), 0, "#1 ENCR_AES_GCM_16-128, " + transform.SN_EXTENDED.String()},
		{"ESN demanded", child(transform.SN_EXTENDED), keNever, esp(snT(0)), 0, "SN: peer offers " + transform.SN_32BIT.String()},
		{"no SN", child(), keNever, esp(), 0, "SN: peer offers nothing"},
		{"group in IKE_AUTH", child(), keNever, esp(keT(31), snT(0)), 0, "KE: peer offers CURVE25519; f accepts NONE"},
		{"group or none in IKE_AUTH", child(), keNever, esp(keT(31), keT(0), snT(0)), 0, "#1 ENCR_AES_GCM_16-128, NONE, "},
		{"PFS that nobody asked for", child(), keRespond, esp(keT(31), snT(0)), 31, "#1 ENCR_AES_GCM_16-128, CURVE25519, "},
		{"PFS in a group that is not accepted", child(), keRespond, esp(keT(19), snT(0)), 19, "KE: peer offers ECP_256; f accepts NONE, CURVE25519"},
		{"PFS demanded and absent", pfs, keRespond, esp(snT(0)), 0, "KE: peer offers nothing; f accepts ECP_256"},
		{"PFS demanded, not in IKE_AUTH", pfs, keNever, esp(snT(0)), 0, "#1 ENCR_AES_GCM_16-128, " + transform.SN_32BIT.String()},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, why := choose(c.child.alternatives(c.use, groups), c.offer, c.sent)
			text := ""
			if got != nil {
				text = proposalList([]message.Proposal{got.proposal(nil)})
			} else {
				text = why.words("f")
			}
			if !strings.HasPrefix(text, c.want) {
				t.Errorf("%q, want %q", text, c.want)
			}
		})
	}
}

// What an initiator takes for an answer.
func TestVerifyChoice(t *testing.T) {
	gcm, sha, x := encrT(transform.ENCR_AES_GCM_16, 128), prfT(transform.PRF_HMAC_SHA2_256), keT(transform.KE_CURVE25519)
	offered := []message.Proposal{ikeP(1, gcm, sha, x, keT(transform.KE_ECP_256)), ikeP(2, encrT(transform.ENCR_AES_CBC, 128), sha, integT(transform.AUTH_HMAC_SHA2_256_128), x)}
	cases := []struct {
		name   string
		answer []message.Proposal
		want   string // part of the error; "" is fine
	}{
		{"good", []message.Proposal{ikeP(1, gcm, sha, x)}, ""},
		{"INTEG none added", []message.Proposal{ikeP(1, gcm, sha, integT(0), x)}, ""},
		{"two proposals", []message.Proposal{ikeP(1, gcm, sha, x), ikeP(2, gcm, sha, x)}, "2 proposals"},
		{"no proposal", nil, "0 proposals"},
		{"number that was not offered", []message.Proposal{ikeP(3, gcm, sha, x)}, "proposal 3"},
		{"transforms of another proposal", []message.Proposal{ikeP(2, gcm, sha, x)}, "ENCR_AES_GCM_16-128, which was not offered"},
		{"transform that was not offered", []message.Proposal{ikeP(1, encrT(transform.ENCR_AES_GCM_16, 256), sha, x)}, "not offered"},
		{"integrity added to an AEAD", []message.Proposal{ikeP(1, gcm, sha, integT(transform.AUTH_HMAC_SHA2_256_128), x)}, "not offered"},
		{"two groups", []message.Proposal{ikeP(1, gcm, sha, x, keT(transform.KE_ECP_256))}, "KE twice"},
		{"no group", []message.Proposal{ikeP(1, gcm, sha)}, "no KE"},
		{"group none", []message.Proposal{ikeP(1, gcm, sha, keT(0))}, "not offered"},
		{"no PRF", []message.Proposal{ikeP(1, gcm, x)}, "no PRF"},
		{"SPI too long", []message.Proposal{{Number: 1, Protocol: message.ProtocolIKE, SPI: []byte{1}, Transforms: []message.Transform{gcm, sha, x}}}, "1 octets instead of 0"},
		{"ESP", []message.Proposal{{Number: 1, Protocol: message.ProtocolESP, Transforms: []message.Transform{gcm, sha, x}}}, "not offered"},
	}
	for _, c := range cases {
		_, err := verifyChoice(offered, c.answer)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// An explanation stays short, however much is offered.
func TestListsAreBounded(t *testing.T) {
	var many []message.Transform
	var proposals []message.Proposal
	var selectors []message.TrafficSelector
	for i := range 200 {
		many = append(many, tr(99, uint16(i)))
		proposals = append(proposals, ikeP(uint8(i)))
		selectors = append(selectors, message.TrafficSelector{UnknownType: uint8(i + 1)})
	}
	for _, text := range []string{transformList(many), proposalList(proposals), tsList(selectors)} {
		if len(text) > 1000 || !strings.Contains(text, "more") {
			t.Errorf("%d characters: %s", len(text), text)
		}
	}
}
