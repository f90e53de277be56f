package ikev2

import (
	"testing"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// The responder refuses an identity that it does not accept.
func TestWrongInitiatorID(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.MyID = fqdn("nara.example.test") })
	a.initiate()
	w.settle()
	ev := b.wantReason(reasonIDMismatch)
	wantWords(t, ev.Text, "peer is fqdn nara.example.test", "remote kyoto (racoon2.conf:12) accepts fqdn kyoto.example.test")
	a.wantReason(reasonAuthFailed)
	a.wantNothing()
	b.wantNothing()
}

// The initiator refuses a responder of another name, and tells it.
func TestWrongResponderID(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.MyID = fqdn("nara.example.test") })
	a.initiate()
	w.settle()
	wantWords(t, a.wantReason(reasonIDMismatch).Text, "peer is fqdn nara.example.test", "accepts fqdn tokyo.example.test")
	wantWords(t, b.wantReason(reasonAuthFailed).Text, "AUTHENTICATION_FAILED")
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
	b.wantNothing()
}

// A responder that does not know the key is refused by the initiator.
func TestWrongResponderKey(t *testing.T) {
	w, a, b := pair(t)
	// The responder accepts anything: it is the initiator's check that counts.
	a.initiate()
	for len(w.wire) > 0 {
		if x, resp := exchangeOf(w.wire[0]); x == message.IKE_AUTH && !resp {
			r := *a.e.all()[0].remote
			r.SharedKey = []byte("another key")
			a.e.all()[0].remote = &r
		}
		w.step()
	}
	wantWords(t, a.wantReason(reasonAuthFailed).Text, "fqdn tokyo.example.test is wrong")
	a.e.settings.Remotes[0].Name = "tokyo"
	a.wantNothing()
	b.wantNothing()
}

// Identities of every type; the remote is chosen by identity, not by address.
func TestIdentities(t *testing.T) {
	ids := map[string]Identity{
		"ipaddr4": {message.ID_IPV4_ADDR, []byte{192, 0, 2, 1}},
		"ipaddr6": {message.ID_IPV6_ADDR, append(make([]byte, 15), 1)},
		"fqdn":    fqdn("KYOTO.example.test"),
		"email":   {message.ID_RFC822_ADDR, []byte("kyoto@example.test")},
		"keyid":   {message.ID_KEY_ID, []byte{0, 1, 2, 0xff}},
	}
	for name, id := range ids {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			a.change(func(_ *Settings, r *Remote, _ *Child) { r.MyID, r.SendIDr = id, true })
			b.change(func(s *Settings, r *Remote, _ *Child) {
				decoy := *r
				decoy.Name, decoy.PeerIDs, decoy.SharedKey = "decoy", []Identity{fqdn("other.example.test")}, []byte("other")
				r.PeerIDs = []Identity{fqdn("no"), id}
				if id.Type == message.ID_FQDN {
					r.PeerIDs[1] = fqdn("kyoto.EXAMPLE.test")
				}
				s.Remotes = []*Remote{&decoy, r}
			})
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 1)
			i := b.e.Status()[0]
			if i.Remote != "kyoto" || i.RemoteID != id.String() {
				t.Errorf("remote %s, identity %s", i.Remote, i.RemoteID)
			}
		})
	}
}

// verify_id off accepts any name, and a wildcard any address.
func TestLooseIdentities(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.PeerIDs, r.VerifyID = nil, false })
	b.change(func(_ *Settings, r *Remote, _ *Child) {
		r.PeerIDs = []Identity{{message.ID_IPV4_ADDR, []byte{0, 0, 0, 0}}}
		r.Peers, r.AnyPeer = nil, true
	})
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.MyID = Identity{message.ID_IPV4_ADDR, []byte{192, 0, 2, 1}} })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// The identity's remote must also accept the algorithms that were agreed on
// when only the address was known.
func TestIdentityDoesNotWeakenAlgorithms(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(s *Settings, r *Remote, _ *Child) {
		weak := *r
		weak.Name, weak.PeerIDs = "weak", []Identity{fqdn("other.example.test")}
		p := testIKEProposal()
		p.Encr = []Encryption{{transform.ENCR_AES_GCM_16, 256}}
		r.Proposals = []IKEProposal{p}
		s.Remotes = []*Remote{&weak, r}
	})
	a.initiate()
	w.settle()
	wantWords(t, b.wantReason(reasonIDMismatch).Text, "remote kyoto (racoon2.conf:12), which does not accept ENCR_AES_GCM_16-128")
	a.wantNothing()
	b.wantNothing()
}
