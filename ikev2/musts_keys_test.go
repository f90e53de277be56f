package ikev2

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// §2.10: nonces are new for each exchange, and large enough for every PRF that may
// be chosen.
func TestNonces(t *testing.T) {
	for prf, least := range map[transform.PRF]int{
		transform.PRF_HMAC_MD5: 16, transform.PRF_HMAC_SHA2_256: 16, transform.PRF_HMAC_SHA2_384: 24, transform.PRF_HMAC_SHA2_512: 32, transform.PRF_AES128_CMAC: 16,
	} {
		_, a, _ := pair(t)
		p := testIKEProposal()
		p.PRF = []transform.PRF{transform.PRF_HMAC_SHA2_256, prf}
		n, err := a.e.nonce(&Remote{NonceSize: 0, Proposals: []IKEProposal{p}})
		if err != nil || len(n) < least {
			t.Errorf("%v: %d octets, want %d; %v", prf, len(n), least, err)
		}
	}
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	for range 5 {
		a.expireSoft(t)
		w.settle()
	}
	seen := map[string]bool{}
	count := 0
	for _, p := range w.sent {
		var list []message.Payload
		if m, err := message.Decode(slices.Clone(p.Data)); err == nil && m.Exchange == message.IKE_SA_INIT {
			list = m.Payloads
		} else {
			list = opened(t, map[bool]*node{true: a, false: b}[p.Local.Addr() == a.addr].e.all()[0], p)
		}
		for _, payload := range list {
			if n, ok := payload.(*message.Nonce); ok {
				count++
				seen[string(n.Data)] = true
			}
		}
	}
	if count != 12 || len(seen) != count {
		t.Errorf("%d nonces, %d different ones", count, len(seen))
	}
}

// §2.12: what ends leaves no keys behind.
func TestKeysAreForgotten(t *testing.T) {
	for name, end := range map[string]func(a *node){
		"deleted": func(a *node) { a.handle(Terminate{}) },
		"rekeyed": func(a *node) { a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) }) },
	} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		var secrets [][]byte
		for _, n := range []*node{a, b} {
			k := n.e.all()[0].keys
			secrets = append(secrets, k.d, k.pOwn, k.pPeer)
			c := n.e.all()[0].children[0]
			if c.keys.encrI != nil || c.keys.encrR != nil {
				t.Error("a child that stands keeps its keys")
			}
		}
		end(a)
		w.settle()
		w.advance(time.Minute)
		for i, s := range secrets {
			if len(bytes.Trim(s, "\x00")) != 0 {
				t.Errorf("%s: secret %d is still there", name, i)
			}
		}
	}
}

// §3.3.6: a responder that chooses the group NONE ignores the KE payload and sends none.
func TestGroupNone(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Check = CheckExact })
	set := a.e.all()[0].children[0].traffic
	c := *a.e.settings.Remotes[0].Children[0]
	c.Proposals = []ChildProposal{testChildProposal()}
	c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519, transform.KE_NONE}
	from := len(w.sent)
	a.forge(b, message.CREATE_CHILD_SA, []message.Payload{
		&message.SA{Proposals: offer(c.alternatives(keOffer, nil), []byte{1, 2, 3, 4})}, &message.Nonce{Data: make([]byte, 32)},
		&message.KE{Method: transform.KE_CURVE25519, Data: []byte(strings.Repeat("no point", 4))},
		&message.TS{Initiator: true, Selectors: set.local}, &message.TS{Selectors: set.remote},
	})
	if len(b.kernel.sas) != 4 {
		t.Fatalf("%d SAs; says\n%s", len(b.kernel.sas), b.log())
	}
	for _, p := range opened(t, b.e.all()[0], w.sent[from]) {
		if p.Type() == message.PayloadKE {
			t.Error("the answer has a KE payload")
		}
	}
}

// §3.3, §3.3.1: proposals are numbered from 1 in order of preference, each transform
// has one attribute at most, and AEADs stand apart from integrity algorithms.
func TestOffers(t *testing.T) {
	r := &Remote{Proposals: []IKEProposal{testIKEProposal(), {
		Encr: []Encryption{{transform.ENCR_AES_CBC, 256}, {transform.ENCR_AES_CBC, 128}, {transform.ENCR_3DES, 0}}, PRF: []transform.PRF{transform.PRF_HMAC_SHA2_256},
		Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}, KE: []transform.KE{transform.KE_ECP_256},
	}, testIKEProposal()}}
	list := offer(r.ikeAlternatives(), nil)
	for i, p := range list {
		aead := len(ofType(p.Transforms, transform.TypeINTEG)) == 0
		if int(p.Number) != i+1 || len(p.SPI) != 0 || aead != (i != 1) {
			t.Errorf("proposal %d: %+v", i, p)
		}
		for _, e := range ofType(p.Transforms, transform.TypeENCR) {
			if (e.KeyBits == 0) != (transform.ENCR(e.ID) == transform.ENCR_3DES) {
				t.Errorf("%s", transformName(e)) // §3.3.5
			}
		}
	}
	if got := list[1].Transforms[0]; got.KeyBits != 256 {
		t.Errorf("the first of the second proposal is %s", transformName(got))
	}
}

// §3.14: IVs of CBC are new and unpredictable for every message, those of AEADs never
// repeat.
func TestIVs(t *testing.T) {
	for _, cbc := range []bool{false, true} {
		w, a, b := pair(t)
		size := 8
		for _, n := range w.nodes {
			n.change(func(_ *Settings, r *Remote, _ *Child) {
				if cbc {
					size = 16
					r.Proposals[0].Encr, r.Proposals[0].Integ = []Encryption{{transform.ENCR_AES_CBC, 128}}, []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}
				}
			})
		}
		a.initiate()
		w.settle()
		for range 20 {
			a.act(func(e *Engine) { e.all()[0].probe() })
			w.settle()
		}
		seen := map[string]bool{}
		sent := 0
		for _, p := range w.sent[2:] {
			if p.Local.Addr() == a.addr {
				sent++
				seen[string(p.Data[32:32+size])] = true
			}
		}
		if len(seen) != sent || sent < 20 {
			t.Errorf("CBC %v: %d IVs for %d messages", cbc, len(seen), sent)
		}
		counting := 0
		for iv := range seen {
			if len(strings.TrimLeft(iv, "\x00")) <= 2 {
				counting++
			}
		}
		if cbc && counting > 0 || !cbc && counting != sent {
			t.Errorf("CBC %v: %d of %d IVs count", cbc, counting, sent)
		}
		_ = b
	}
}

// A remote without a key authenticates nobody and is refused by nobody's mistake: in
// neither role does an empty key count as one.
func TestNoSharedKey(t *testing.T) {
	for _, without := range []string{"initiator", "responder", "both"} {
		w, a, b := pair(t)
		if without != "responder" {
			a.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = nil })
		}
		if without != "initiator" {
			b.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = nil })
		}
		a.initiate()
		w.settle()
		w.advance(time.Minute)
		a.wantNothing()
		b.wantNothing()
		if len(a.failures) != 1 {
			t.Errorf("%s without a key: failures %+v", without, a.failures)
		}
	}
}
