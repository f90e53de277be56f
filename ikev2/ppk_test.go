package ikev2

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

func ppk(id string, mandatory bool) *PPK {
	return &PPK{ID: append([]byte{2}, id...), Secret: []byte("post-quantum secret of " + id), Mandatory: mandatory}
}

// The table of RFC 8784 §3, and what the initiator does with the answers: each
// combination of no PPK, the same, another one; optional and mandatory.
func TestPPK(t *testing.T) {
	kinds := map[string]*PPK{
		"none": nil, "optional": ppk("key", false), "mandatory": ppk("key", true),
		"other": ppk("other", false), "other mandatory": ppk("other", true),
	}
	for initiator, ours := range kinds {
		for responder, theirs := range kinds {
			t.Run(initiator+" to "+responder, func(t *testing.T) {
				w, a, b := pair(t)
				a.change(func(_ *Settings, r *Remote, _ *Child) { r.PPK = ours })
				b.change(func(_ *Settings, r *Remote, _ *Child) { r.PPK = theirs })
				a.initiate()
				w.settle()
				same := ours != nil && theirs != nil && bytes.Equal(ours.ID, theirs.ID)
				needed := ours != nil && ours.Mandatory || theirs != nil && theirs.Mandatory
				if needed && !same {
					w.advance(5 * time.Minute)
					a.wantNothing()
					b.wantNothing()
					if a.e.Counters()[reasonPPK]+b.e.Counters()[reasonPPK] == 0 {
						t.Error("nobody says that it is for the PPK")
					}
					return
				}
				w.wantUp(a, b, 1, 1)
				for _, n := range w.nodes {
					if n.e.all()[0].ppk != same || fmt.Sprint(n.e.Status()[0].Extensions) == "[PPK]" && !same {
						t.Errorf("%s uses a PPK: %v, want %v", n.name, n.e.all()[0].ppk, same)
					}
				}
			})
		}
	}
}

// The same PPK_ID with different secrets ends in AUTHENTICATION_FAILED, and the
// secret never shows.
func TestPPKSecretsDiffer(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.PPK = ppk("key", false) })
	b.change(func(_ *Settings, r *Remote, _ *Child) {
		r.PPK = ppk("key", false)
		r.PPK.Secret = []byte("another secret")
	})
	a.initiate()
	w.settle()
	b.wantReason(reasonAuthFailed)
	a.wantNothing()
	b.wantNothing()
	for _, n := range w.nodes {
		if bytes.Contains([]byte(n.log()), []byte("secret of")) {
			t.Errorf("%s logs the secret", n.name)
		}
	}
}

// The keys are those of RFC 8784 §3, and a successor does not mix the PPK in again.
func TestPPKKeys(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, _ *Child) { r.PPK = ppk("key", true) })
	}
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	prf, err := transform.NewPRF(transform.PRF_HMAC_SHA2_256)
	if err != nil {
		t.Fatal(err)
	}
	k := keys{prf: prf, d: bytes.Repeat([]byte{1}, 32), pOwn: bytes.Repeat([]byte{2}, 32), pPeer: bytes.Repeat([]byte{3}, 32)}
	secret := []byte("PPK")
	mixed := k.withPPK(secret)
	// Where the PRF's output has the size of its key, prf+ is one prf.
	for _, c := range [][2][]byte{{mixed.d, k.d}, {mixed.pOwn, k.pOwn}, {mixed.pPeer, k.pPeer}} {
		if want := prf.Sum(secret, c[1], []byte{1}); !bytes.Equal(c[0], want) {
			t.Errorf("%x, want prf(PPK, key | 0x01) = %x", c[0], want)
		}
	}
	for range 2 {
		a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
		w.settle()
		w.wantUp(a, b, 1, 1)
		if !a.e.all()[0].ppk || !b.e.all()[0].ppk {
			t.Error("the successor does not count as protected")
		}
	}
}

// An initiator that sent USE_PPK and then no PPK_IDENTITY is refused, and so is
// one whose NO_PPK_AUTH is not its AUTH value.
func TestPPKDishonest(t *testing.T) {
	drop := func(kind message.NotifyType) func([]message.Payload) []message.Payload {
		return func(list []message.Payload) []message.Payload {
			var out []message.Payload
			for _, p := range list {
				if n, ok := p.(*message.Notify); !ok || n.Kind != kind {
					out = append(out, p)
				}
			}
			return out
		}
	}
	spoil := func(list []message.Payload) []message.Payload {
		for i, p := range list {
			if n, ok := p.(*message.Notify); ok && n.Kind == message.NO_PPK_AUTH {
				list[i] = notify(n.Kind, append([]byte{1}, n.Data[1:]...))
			}
		}
		return list
	}
	for name, c := range map[string]struct {
		change func([]message.Payload) []message.Payload
		reason string
	}{
		"no PPK_IDENTITY":  {drop(message.PPK_IDENTITY), reasonPPK},
		"no NO_PPK_AUTH":   {drop(message.NO_PPK_AUTH), reasonPPK},
		"bad NO_PPK_AUTH":  {spoil, reasonAuthFailed},
		"empty everything": {func([]message.Payload) []message.Payload { return []message.Payload{notify(message.PPK_IDENTITY, nil)} }, reasonInvalidSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			a.change(func(_ *Settings, r *Remote, _ *Child) { r.PPK = ppk("key", false) })
			b.change(func(_ *Settings, r *Remote, _ *Child) { r.PPK = ppk("other", false) })
			w.filter = func(p Send) []Send {
				if x, resp := exchangeOf(p); x != message.IKE_AUTH || resp {
					return []Send{p}
				}
				sa := a.e.all()[0]
				sealed, err := sa.seal(message.IKE_AUTH, 1, false, c.change(sa.x.flights[0].payloads))
				if err != nil {
					t.Fatal(err)
				}
				p.Data = sealed[0]
				return []Send{p}
			}
			a.initiate()
			w.settle()
			b.wantReason(c.reason)
			b.wantNothing()
		})
	}
}

// A forged IKE_SA_INIT response without USE_PPK does not stop an initiator that
// insists on it: the true one comes later.
func TestPPKForgedAnswer(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, _ *Child) { r.PPK = ppk("key", true) })
	}
	forged := false
	w.filter = func(p Send) []Send {
		x, resp := exchangeOf(p)
		if x != message.IKE_SA_INIT || !resp || forged {
			return []Send{p}
		}
		forged = true
		m, err := message.Decode(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		m.Payloads = m.Payloads[:3]
		bad := p
		if bad.Data, err = message.Encode(m); err != nil {
			t.Fatal(err)
		}
		return []Send{bad, p}
	}
	a.initiate()
	w.settle()
	a.wantReason(reasonPPK)
	w.wantUp(a, b, 1, 1)
}
