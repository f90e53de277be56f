package ikev2

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// childAlgorithms are the ways to protect a child beside those of TestSuites.
var childAlgorithms = []ChildProposal{
	{Encr: []Encryption{{transform.ENCR_NULL, 0}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}},
	{Encr: []Encryption{{transform.ENCR_NULL_AUTH_AES_GMAC, 128}}},
	{Encr: []Encryption{{transform.ENCR_NULL_AUTH_AES_GMAC, 256}}},
	{Encr: []Encryption{{transform.ENCR_AES_GCM_16_IIV, 256}}},
	{Encr: []Encryption{{transform.ENCR_AES_CCM_8_IIV, 128}}},
	{Encr: []Encryption{{transform.ENCR_CHACHA20_POLY1305_IIV, 0}}},
	{Encr: []Encryption{{transform.ENCR_AES_GCM_8, 192}}},
	{Encr: []Encryption{{transform.ENCR_AES_GCM_12, 256}}},
	{Encr: []Encryption{{transform.ENCR_AES_CCM_16, 256}}},
	{Encr: []Encryption{{transform.ENCR_AES_CTR, 256}}, Integ: []transform.INTEG{transform.AUTH_AES_XCBC_96}},
	{Encr: []Encryption{{transform.ENCR_3DES, 0}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA1_96}},
}

// Each gets keys of its size, with and without extended sequence numbers, and is
// rekeyed; both ends have the same keys (wantUp).
func TestChildAlgorithms(t *testing.T) {
	for _, p := range childAlgorithms {
		for _, sn := range []transform.SN{transform.SN_32BIT, transform.SN_EXTENDED} {
			t.Run(fmt.Sprint(encryptionName(p.Encr[0]), " ", sn), func(t *testing.T) {
				p.Protocol, p.SN = kernel.ESP, []transform.SN{sn}
				w, a, b := pair(t)
				for _, n := range w.nodes {
					n.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals = []ChildProposal{p} })
				}
				a.initiate()
				w.settle()
				w.wantUp(a, b, 1, 1)
				sa := b.kernel.one(t, kernel.In)
				size, err := p.Encr[0].ID.KeyLen(p.Encr[0].KeyBits)
				if err != nil || len(sa.EncrKey) != size || sa.ESN != (sn == transform.SN_EXTENDED) {
					t.Errorf("key of %d octets, want %d; ESN %v; %v", len(sa.EncrKey), size, sa.ESN, err)
				}
				if want := 0; len(p.Integ) > 0 && len(sa.IntegKey) != p.Integ[0].KeyLen() || len(p.Integ) == 0 && len(sa.IntegKey) != want {
					t.Errorf("integrity key of %d octets", len(sa.IntegKey))
				}
				a.expireSoft(t)
				w.settle()
				w.wantUp(a, b, 1, 1)
			})
		}
	}
}

// RFC 8750 §7, RFC 4543 §1: what ESP alone has is neither offered nor accepted for
// an IKE SA, even if somebody configures it.
func TestIKERefusesCiphersOfESP(t *testing.T) {
	for _, e := range []Encryption{{transform.ENCR_NULL, 0}, {transform.ENCR_NULL_AUTH_AES_GMAC, 128}, {transform.ENCR_AES_GCM_8, 128},
		{transform.ENCR_AES_GCM_16_IIV, 128}, {transform.ENCR_AES_CCM_8_IIV, 128}, {transform.ENCR_CHACHA20_POLY1305_IIV, 0}} {
		good := testIKEProposal()
		bad := good
		bad.Encr = []Encryption{e}
		if bad.Encr[0].ID == transform.ENCR_NULL {
			bad.Integ = []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}
		}
		mixed := good
		mixed.Encr = []Encryption{e, good.Encr[0]}
		r := &Remote{Proposals: []IKEProposal{bad, mixed}}
		offered := offer(r.ikeAlternatives(), nil)
		if len(offered) != 1 || len(ofType(offered[0].Transforms, transform.TypeENCR)) != 1 {
			t.Errorf("%v: offered %s", e.ID, proposalList(offered))
		}
		theirs := ikeP(1, encrT(e.ID, slices.DeleteFunc([]uint16{e.KeyBits}, func(b uint16) bool { return b == 0 })...),
			prfT(transform.PRF_HMAC_SHA2_256), keT(transform.KE_CURVE25519))
		if got, why := choose(r.ikeAlternatives(), []message.Proposal{theirs}, 0); got != nil || why.kind != transform.TypeENCR {
			t.Errorf("%v: chosen %+v, %+v", e.ID, got, why)
		}
	}
}

// Every group makes IKE SAs and gives children forward secrecy.
func TestEveryGroup(t *testing.T) {
	groups := []transform.KE{
		transform.KE_MODP_1536, transform.KE_MODP_2048, transform.KE_MODP_3072, transform.KE_MODP_4096, transform.KE_MODP_6144, transform.KE_MODP_8192,
		transform.KE_ECP_256, transform.KE_ECP_384, transform.KE_ECP_521, transform.KE_CURVE25519, transform.KE_CURVE448,
	}
	for _, ke := range groups {
		t.Run(ke.String(), func(t *testing.T) {
			if testing.Short() && (ke == transform.KE_MODP_6144 || ke == transform.KE_MODP_8192) {
				ke = transform.KE_MODP_4096
			}
			w, a, b := pair(t)
			for _, n := range w.nodes {
				n.change(func(_ *Settings, r *Remote, c *Child) {
					r.Proposals[0].KE = []transform.KE{ke}
					c.Proposals[0].KE = r.groups()
				})
			}
			a.initiate()
			w.settle()
			w.advance(time.Minute)
			a.expireSoft(t)
			w.settle()
			w.wantUp(a, b, 1, 1)
			if i := b.e.Status()[0]; i.KE != ke.String() || i.Children[0].KE != ke.String() {
				t.Errorf("%s, child %s", i.KE, i.Children[0].KE)
			}
		})
	}
}

// RFC 7296 §3.3.2, §3.3.3: Transform ID 0 and absence say the same for KE and INTEG
// where they are optional, in offers and in answers. Sequence numbers are mandatory
// for ESP and AH, PRF and KE for IKE: there neither says anything.
func TestNoneAgainstAbsence(t *testing.T) {
	gcm, cbc, sha := encrT(transform.ENCR_AES_GCM_16, 128), encrT(transform.ENCR_AES_CBC, 128), integT(transform.AUTH_HMAC_SHA2_256_128)
	prf, x, sn := prfT(transform.PRF_HMAC_SHA2_256), keT(transform.KE_CURVE25519), snT(transform.SN_32BIT)
	aead := ChildProposal{Encr: []Encryption{{transform.ENCR_AES_GCM_16, 128}}}
	optional := aead
	optional.KE = []transform.KE{transform.KE_CURVE25519, transform.KE_NONE}
	plain := ChildProposal{Encr: []Encryption{{transform.ENCR_AES_CBC, 128}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}}
	type list = []message.Transform
	for _, c := range []struct {
		name  string
		ours  ChildProposal
		offer list
		want  bool
	}{
		{"KE and INTEG absent", aead, list{gcm, sn}, true},
		{"KE NONE", aead, list{gcm, keT(0), sn}, true},
		{"INTEG NONE", aead, list{gcm, integT(0), sn}, true},
		{"both NONE", aead, list{gcm, integT(0), keT(0), sn}, true},
		{"KE optional to us, absent", optional, list{gcm, sn}, true},
		{"KE optional to us, NONE", optional, list{gcm, keT(0), sn}, true},
		{"KE optional to us, there", optional, list{gcm, x, sn}, true},
		{"KE optional to both", optional, list{gcm, x, keT(0), sn}, true},
		{"INTEG absent from a cipher that needs it", plain, list{cbc, sn}, false},
		{"INTEG NONE with a cipher that needs it", plain, list{cbc, integT(0), sn}, false},
		{"INTEG optional to the peer", plain, list{cbc, sha, integT(0), sn}, true},
		{"SN absent", aead, list{gcm}, false},
		{"SN 0", aead, list{gcm, snT(0)}, true},
		{"ENCR absent", aead, list{sn}, false},
		{"PRF in a child", aead, list{gcm, sn, prf}, false},
	} {
		child := &Child{Proposals: []ChildProposal{c.ours}}
		theirs := []message.Proposal{{Number: 1, Protocol: message.ProtocolESP, SPI: []byte{1, 2, 3, 4}, Transforms: c.offer}}
		got, why := choose(child.alternatives(keRespond, nil), theirs, 0)
		if (got != nil) != c.want {
			t.Errorf("%s: chosen %v, %+v", c.name, got != nil, why)
		}
		if got == nil {
			continue
		}
		if _, err := verifyChoice(theirs, []message.Proposal{got.proposal(theirs[0].SPI)}); err != nil {
			t.Errorf("%s: the peer would not take it: %v", c.name, err)
		}
	}

	for name, c := range map[string]struct {
		offered, answer list
		problem         string
	}{
		"KE NONE chosen":               {list{gcm, x, keT(0), sn}, list{gcm, keT(0), sn}, ""},
		"KE NONE chosen by silence":    {list{gcm, x, keT(0), sn}, list{gcm, sn}, ""},
		"KE NONE where it was silent":  {list{gcm, sn}, list{gcm, keT(0), sn}, ""},
		"KE not optional":              {list{gcm, x, sn}, list{gcm, sn}, "chooses no KE"},
		"KE not optional, NONE":        {list{gcm, x, sn}, list{gcm, keT(0), sn}, "NONE, which was not offered"},
		"INTEG NONE by silence":        {list{cbc, sha, integT(0), sn}, list{cbc, sn}, ""},
		"INTEG not optional":           {list{cbc, sha, sn}, list{cbc, sn}, "chooses no INTEG"},
		"SN by silence":                {list{gcm, sn, snT(1)}, list{gcm}, "chooses no SN"},
		"SN 0 where 1 alone was there": {list{gcm, snT(1)}, list{gcm, snT(0)}, "not offered"},
	} {
		p := func(l list) []message.Proposal {
			return []message.Proposal{{Number: 1, Protocol: message.ProtocolESP, SPI: []byte{1, 2, 3, 4}, Transforms: l}}
		}
		choice, err := verifyChoice(p(c.offered), p(c.answer))
		switch {
		case (err != nil) != (c.problem != ""), err != nil && !strings.Contains(err.Error(), c.problem):
			t.Errorf("%s: %v", name, err)
		case err == nil && choice.ke() != transform.KE_NONE:
			t.Errorf("%s: group %v", name, choice.ke())
		}
	}

	ike := &Remote{Proposals: []IKEProposal{testIKEProposal()}}
	for name, l := range map[string]list{
		"no KE": {gcm, prf}, "KE NONE": {gcm, prf, keT(0)}, "no PRF": {gcm, x}, "PRF 0": {gcm, prfT(0), x}, "with SN": {gcm, prf, x, sn},
	} {
		if got, _ := choose(ike.ikeAlternatives(), []message.Proposal{ikeP(1, l...)}, 0); got != nil {
			t.Errorf("IKE %s: chosen %+v", name, got)
		}
	}
}

// badValues are public values that RFC 6989 and the lengths of RFC 7296 §3.4 forbid.
func badValues(ke transform.KE) map[string][]byte {
	n := ke.PublicLen()
	one := append(make([]byte, n-1), 1)
	bad := map[string][]byte{"empty": nil, "short": make([]byte, n-1), "long": make([]byte, n+1), "zero": make([]byte, n), "one": one}
	switch ke {
	case transform.KE_CURVE25519, transform.KE_CURVE448:
		bad["one"] = append([]byte{1}, make([]byte, n-1)...) // little-endian, of small order
	default: // above every prime of this length, and off every curve
		bad["all ones"] = []byte(strings.Repeat("\xff", n))
	}
	return bad
}

// Whatever value of whatever group a stranger or a peer sends, nothing comes of it:
// no IKE SA, no child, and no answer with keys.
func TestBadValuesOfEveryGroup(t *testing.T) {
	for _, ke := range []transform.KE{transform.KE_MODP_2048, transform.KE_MODP_4096, transform.KE_ECP_256, transform.KE_ECP_384, transform.KE_ECP_521,
		transform.KE_CURVE25519, transform.KE_CURVE448} {
		for name, value := range badValues(ke) {
			t.Run(ke.String()+" "+name, func(t *testing.T) {
				w, a, b := pair(t)
				for _, n := range w.nodes {
					n.change(func(_ *Settings, r *Remote, c *Child) {
						r.Proposals[0].KE = append(r.Proposals[0].KE, ke)
						c.Proposals[0].KE = []transform.KE{ke}
					})
				}
				data, err := message.Encode(&message.Message{
					Header: message.Header{SPIi: 5, Major: 2, Exchange: message.IKE_SA_INIT, Flags: message.FlagInitiator},
					Payloads: []message.Payload{
						&message.SA{Proposals: offer(b.e.settings.Remotes[0].ikeAlternatives(), nil)},
						&message.KE{Method: ke, Data: value}, &message.Nonce{Data: make([]byte, 32)},
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				b.at("192.0.2.1:500", data)
				b.wantReason(reasonInvalidKE)
				b.wantNothing()

				a.initiate()
				w.settle()
				w.advance(time.Minute)
				sa := a.e.all()[0]
				set := sa.children[0].traffic
				a.forge(b, message.CREATE_CHILD_SA, []message.Payload{
					&message.SA{Proposals: offer(a.e.settings.Remotes[0].Children[0].alternatives(keOffer, nil), []byte{1, 2, 3, 4})},
					&message.Nonce{Data: make([]byte, 32)}, &message.KE{Method: ke, Data: value},
					&message.TS{Initiator: true, Selectors: set.local}, &message.TS{Selectors: set.remote},
				})
				if got := len(b.kernel.sas); got > 2 {
					t.Errorf("%d SAs", got)
				}
			})
		}
	}
}
