package ikev2

import (
	"bytes"
	"encoding/hex"
	"testing"

	"racoon2/ikev2/transform"
)

// unhex decodes octets of a vector.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The first vector of the NIST CAVP file for the IKEv2 key derivation of
// SP 800-135 with HMAC-SHA-1 (component test vectors, ikev2.zip). Its 132
// octets of keying material are exactly the keys of AES-CBC-128 with
// HMAC-SHA-1-96.
func TestNISTKeyDerivation(t *testing.T) {
	ni, nr := unhex(t, "3651fef5c9c35e93"), unhex(t, "c09a8b90a3f04d59")
	const spii, spir = 0x8e5c3ae507221684, 0xb1f201bb155c3acd
	shared := unhex(t, "d084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e28"+
		"9cd3f34dad4eb4df1a07685a4b8a94fa61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a6873a3"+
		"6455172a8540b8a5d23a0143bed0390ee49b168269d75fffee9fb62be965993c")
	renewed := unhex(t, "52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41"+
		"ea70e8fb916c4fa27ed52b5f8ebd8461afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d047504"+
		"84f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2")
	keymat := unhex(t, "6f1b12cad3cbe097b35430356d869d54cddb0198ec859174d53ceb92dddedbe2436db69f60977c58fa63bbb667f8d369"+
		"20b109baae8f6c61a9ac49feda01843225d080ec5539d5881a25521ffb2a0a91874a9c0a27fcc2d717eb8963a9e3a89c"+
		"7ab264757284c28cf8c3ca40576f4220b052b1fb8e9ad60ba3c80557323331a8cbb89f20")
	childKeymat := unhex(t, "4727dc0ef94eb326ce131cf282fb652faa638ad0ddae3786a11bcc0309876009f8c485de011ad962c5b1ca8a41ff8145"+
		"445749079c5686e26ffebbc342f06981f3da745e11ca0976")
	pfsKeymat := unhex(t, "b109c21ad4c0797768c1cec9e63554681e48f224bca7f23c20c4ea7041983451e9aa1d5408656c8a975ff1b9d9a12c75"+
		"ffeb64bdecb30174664cccb4e14f1c377b7f6d1525af77c7")

	p, err := transform.NewPRF(transform.PRF_HMAC_SHA1)
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Errorf("%s is %x, want %x", what, got, want)
		}
	}
	seed := firstSeed(transform.PRF_HMAC_SHA1, p, ni, nr, shared)
	same("SKEYSEED", seed, unhex(t, "cd2e8050137832245f1dbacc6e4f0a92f94d45d6"))

	s := suite{Encryption{transform.ENCR_AES_CBC, 128}, transform.PRF_HMAC_SHA1, transform.AUTH_HMAC_SHA1_96, transform.KE_MODP_1024}
	k, err := deriveKeys(s, seed, ni, nr, spii, spir, true)
	if err != nil {
		t.Fatal(err)
	}
	same("SK_d", k.d, keymat[:20])
	same("SK_pi", k.pOwn, keymat[92:112])
	same("SK_pr", k.pPeer, keymat[112:])
	iv, text := make([]byte, 16), make([]byte, 16)
	for name, c := range map[string]struct {
		ours        transform.Cipher
		encr, integ []byte
	}{
		"SK_ei, SK_ai": {k.seals, keymat[60:76], keymat[20:40]},
		"SK_er, SK_ar": {k.opens, keymat[76:92], keymat[40:60]},
	} {
		byHand, err := transform.NewCipher(s.encr.ID, c.encr, s.integ, c.integ)
		if err != nil {
			t.Fatal(err)
		}
		same(name, c.ours.Seal(nil, iv, bytes.Clone(text), nil, nil), byHand.Seal(nil, iv, bytes.Clone(text), nil, nil))
	}

	cs := childSuite{encr: Encryption{transform.ENCR_AES_CBC, 128}, integ: transform.AUTH_HMAC_SHA1_96}
	for what, c := range map[string]struct{ shared, want []byte }{
		"KEYMAT": {nil, childKeymat}, "KEYMAT with a new g^ir": {renewed, pfsKeymat},
	} {
		ck, err := deriveChildKeys(k, cs, c.shared, ni, nr)
		if err != nil {
			t.Fatal(err)
		}
		same(what, concat(ck.encrI, ck.integI, ck.encrR, ck.integR), c.want)
	}
	same("SKEYSEED after rekeying", rekeySeed(k, renewed, ni, nr), unhex(t, "3b03bce748c96d5e8306918d2ff89b68f0648da3"))
}
