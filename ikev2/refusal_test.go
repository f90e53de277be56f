package ikev2

import (
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
)

// No common IKE proposal: NO_PROPOSAL_CHOSEN in the clear, the first mismatch
// in words, and an initiator that goes on trying for a little.
func TestNoIKEProposal(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) {
		r.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_CBC, 128}}
		r.Proposals[0].Integ = []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}
	})
	a.initiate()
	w.settle()
	if n := clearAnswer(t, w.sent[1]); n.Kind != message.NO_PROPOSAL_CHOSEN {
		t.Errorf("answered %v", n.Kind)
	}
	ev := b.wantReason(reasonNoProposal)
	wantWords(t, ev.Text, "ENCR: peer offers ENCR_AES_CBC-128", "remote kyoto (racoon2.conf:12) accepts ENCR_AES_GCM_16-128")
	wantWords(t, attrOf(ev, "offered"), "PRF_HMAC_SHA2_256", "AUTH_HMAC_SHA2_256_128")
	wantWords(t, attrOf(ev, "configured"), "ENCR_AES_GCM_16-128")
	wantWords(t, attrOf(ev, "first_mismatch"), "ENCR: peer offers")
	b.wantNothing()

	a.wantReason(reasonPeerRefused)
	if len(a.failures) != 0 {
		t.Error("gave up at once on an unauthenticated refusal")
	}
	w.advance(10 * time.Second)
	if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "NO_PROPOSAL_CHOSEN") {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
}

// A group that the peer does not send is asked for with INVALID_KE_PAYLOAD, and
// the retry succeeds with the same nonce and the whole offer.
func TestGroupRetry(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) {
		r.Proposals[0].KE = []transform.KE{transform.KE_ECP_384, transform.KE_CURVE25519}
	})
	a.initiate()
	w.settle()
	n := clearAnswer(t, w.sent[1])
	if n.Kind != message.INVALID_KE_PAYLOAD || string(n.Data) != "\x00\x1f" {
		t.Errorf("answered %v %x", n.Kind, n.Data)
	}
	wantWords(t, b.wantReason(reasonInvalidKE).Text, "peer sends a value for ECP_384", "chooses CURVE25519")
	w.wantUp(a, b, 1, 1)
	if len(w.sent) != 6 {
		t.Errorf("%d datagrams, want 6", len(w.sent))
	}
	// RFC 7296 §1.2: all of the suites again, so that nobody can take some away.
	var offers []string
	for _, i := range []int{0, 2} {
		m, err := message.Decode(w.sent[i].Data)
		if err != nil {
			t.Fatal(err)
		}
		r := &received{payloads: m.Payloads}
		offers = append(offers, proposalList(find[*message.SA](r).Proposals))
		if ke := find[*message.KE](r).Method; ke != []transform.KE{transform.KE_ECP_384, 0, transform.KE_CURVE25519}[i] {
			t.Errorf("request %d has a value for %s", i, ke)
		}
	}
	if offers[0] != offers[1] || !strings.Contains(offers[1], "ECP_384") {
		t.Errorf("offered %s, then %s", offers[0], offers[1])
	}
}

// A demand for a group that was not offered is only a hint: no downgrade.
func TestGroupNotOffered(t *testing.T) {
	w, a, b := pair(t)
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_SA_INIT && !resp {
			h, _ := message.DecodeHeader(p.Data)
			forged, err := message.Encode(&message.Message{
				Header:   message.Header{SPIi: h.SPIi, Major: 2, Exchange: message.IKE_SA_INIT, Flags: message.FlagResponse},
				Payloads: []message.Payload{notify(message.INVALID_KE_PAYLOAD, []byte{0, 2})},
			})
			if err != nil {
				t.Fatal(err)
			}
			a.handle(Datagram{Local: p.Local, Remote: p.Remote, Data: forged})
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	wantWords(t, a.wantReason(reasonInvalidKE).Text, "peer wants MODP_1024", "offers CURVE25519")
	w.wantUp(a, b, 1, 1)
}

// Wrong pre-shared key: AUTHENTICATION_FAILED, protected, and nothing is left.
func TestWrongKey(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = []byte("wrong") })
	var sender *ikeSA
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && !resp {
			sender = keepKeys(b.e.all()[0])
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	if kinds := notifies(opened(t, sender, w.sent[3])); len(kinds) != 1 || kinds[0] != message.AUTHENTICATION_FAILED {
		t.Errorf("answered %v", kinds)
	}
	ev := b.wantReason(reasonAuthFailed)
	wantWords(t, ev.Text, "fqdn kyoto.example.test", "remote kyoto (racoon2.conf:12)")
	for _, n := range w.nodes {
		if log := n.log(); strings.Contains(log, "wrong\"") || strings.Contains(log, testPSK) {
			t.Error("a key is in a trace")
		}
	}
	a.wantReason(reasonAuthFailed)
	if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "AUTHENTICATION_FAILED") {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
	b.wantNothing()
}

// The answer to a failed IKE_AUTH comes again though the IKE SA is gone.
func TestLostAuthFailure(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = []byte("wrong") })
	lost := false
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && resp && !lost {
			lost = true
			return nil
		}
		return []Send{p}
	}
	a.initiate()
	w.advance(5 * time.Second)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v\n%s", a.failures, b.log())
	}
	a.wantNothing()
}

// An initiator of no configured address hears NO_PROPOSAL_CHOSEN.
func TestUnknownAddress(t *testing.T) {
	w, a, b := pair(t)
	a.addr = a.addr.Next().Next().Next()
	a.initiate()
	w.settle()
	b.wantReason(reasonNoRemote)
	b.wantNothing()
	if n := clearAnswer(t, w.sent[1]); n.Kind != message.NO_PROPOSAL_CHOSEN {
		t.Errorf("answered %v", n.Kind)
	}
}

// An initiator that wants EAP is refused.
func TestEAPRefused(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	var sa *ikeSA
	for len(w.wire) > 0 {
		if x, resp := exchangeOf(w.wire[0]); x == message.IKE_AUTH && !resp {
			sa = a.e.all()[0]
			ts := &message.TS{Initiator: true, Selectors: []message.TrafficSelector{hostTS(a.addr)}}
			data, err := sa.seal(message.IKE_AUTH, 1, false, []message.Payload{
				idPayload(sa.localID, true), &message.SA{Proposals: offer(sa.remote.Children[0].alternatives(keNever, nil), spiOctets(9))},
				ts, &message.TS{Selectors: ts.Selectors},
			})
			if err != nil {
				t.Fatal(err)
			}
			w.wire[0].Data = data[0]
		}
		w.step()
	}
	wantWords(t, b.wantReason(reasonAuthFailed).Text, "EAP")
	a.wantNothing()
	b.wantNothing()
}
