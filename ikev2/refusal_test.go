package ikev2

import (
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// clearAnswer is the only notification of a clear answer that was sent.
func clearAnswer(t *testing.T, p Send) *message.Notify {
	t.Helper()
	m, err := message.Decode(p.Data)
	if err != nil || len(m.Payloads) != 1 {
		t.Fatalf("no single notification: %v %+v", err, m)
	}
	n, ok := m.Payloads[0].(*message.Notify)
	if !ok || m.Flags&message.FlagResponse == 0 {
		t.Fatalf("not a notification in a response: %+v", m)
	}
	return n
}

// opened decrypts the protected datagram p with the keys of the IKE SA that
// sent it.
func opened(t *testing.T, sender *ikeSA, p Send) []message.Payload {
	t.Helper()
	data := append([]byte(nil), p.Data...)
	m, err := message.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	list, err := message.Open(data, m, sender.keys.seals)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// keepKeys copies an IKE SA's keys before it ends.
func keepKeys(sa *ikeSA) *ikeSA {
	k := *sa.keys
	return &ikeSA{keys: &k, suite: sa.suite}
}

func notifies(list []message.Payload) []message.NotifyType {
	var kinds []message.NotifyType
	for _, p := range list {
		if n, ok := p.(*message.Notify); ok {
			kinds = append(kinds, n.Kind)
		}
	}
	return kinds
}

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}

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

// The child fails alone: the IKE SA stays, the reason is told on both sides.
func TestChildFailsAlone(t *testing.T) {
	cases := map[string]struct {
		change func(*Settings, *Remote, *Child) // at the responder
		reason string
		answer message.NotifyType
		words  []string
	}{
		"no common traffic": {
			func(_ *Settings, _ *Remote, c *Child) {
				c.Outbound = []kernel.Selector{selector("10.9.0.0/24", "10.8.0.0/24")}
			},
			reasonTSUnacceptable, message.TS_UNACCEPTABLE,
			[]string{"peer asks for 10.0.2.0/24[any] any to 10.0.1.0/24[any] any", "selector tokyo_out (racoon2.conf:40) 10.9.0.0/24[any] any to 10.8.0.0/24"},
		},
		"no common proposal": {
			func(_ *Settings, _ *Remote, c *Child) {
				c.Proposals[0].Encr = []Encryption{{transform.ENCR_AES_GCM_16, 256}}
			},
			reasonNoProposal, message.NO_PROPOSAL_CHOSEN,
			[]string{"ENCR: peer offers ENCR_AES_GCM_16-128", "selector tokyo_out (racoon2.conf:40) accepts ENCR_AES_GCM_16-256"},
		},
		"mode": {
			func(_ *Settings, _ *Remote, c *Child) {
				c.Mode = kernel.Transport
				c.Outbound = []kernel.Selector{selector("0.0.0.0/0", "0.0.0.0/0")}
			},
			reasonTSUnacceptable, message.TS_UNACCEPTABLE, nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			b.change(c.change)
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 0)
			ev := b.wantReason(c.reason)
			wantWords(t, ev.Text, c.words...)
			list := opened(t, b.e.all()[0], w.sent[3])
			if kinds := notifies(list); len(kinds) != 1 || kinds[0] != c.answer {
				t.Errorf("answered %v", kinds)
			}
			if _, ok := list[1].(*message.Auth); !ok {
				t.Error("the answer has no AUTH")
			}
			a.wantReason(c.reason)
			if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, c.answer.String()) {
				t.Errorf("failures %+v", a.failures)
			}
		})
	}
}

// A mode that is configured differently is refused, not bent.
func TestModeMismatch(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, c *Child) {
			c.Outbound = []kernel.Selector{selector(n.addr.String()+"/32", r.Peers[0].Addr().String()+"/32")}
		})
	}
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.Mode = kernel.Transport })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 0)
	wantWords(t, b.wantReason(reasonModeMismatch).Text, "peer asks for transport", "selector tokyo_out (racoon2.conf:40) has tunnel")
}

// The kernel refuses: the peer hears of it, and nothing is left half-done.
func TestKernelRefuses(t *testing.T) {
	fails := map[string]func(op kernel.Op) bool{
		"GetSPI":   func(op kernel.Op) bool { _, ok := op.(kernel.GetSPI); return ok },
		"inbound":  func(op kernel.Op) bool { a, ok := op.(kernel.AddSA); return ok && a.SA.Direction == kernel.In },
		"outbound": func(op kernel.Op) bool { a, ok := op.(kernel.AddSA); return ok && a.SA.Direction == kernel.Out },
	}
	for name, fail := range fails {
		for _, who := range []string{"initiator", "responder"} {
			t.Run(name+" at the "+who, func(t *testing.T) {
				w, a, b := pair(t)
				n := a
				if who == "responder" {
					n = b
				}
				n.kernel.fail = func(op kernel.Op) error {
					if fail(op) {
						return kernel.ErrUnsupported
					}
					return nil
				}
				a.initiate()
				w.settle()
				n.wantReason(reasonKernel)
				if len(a.failures) != 1 {
					t.Errorf("failures %+v", a.failures)
				}
				if name == "GetSPI" && who == "initiator" {
					a.wantNothing()
					return
				}
				w.wantUp(a, b, 1, 0)
				if len(a.kernel.sas)+len(a.kernel.reserved)+len(b.kernel.sas)+len(b.kernel.reserved) != 0 {
					t.Error("something is left in a kernel")
				}
			})
		}
	}
}

// A group of a child is retried like that of an IKE SA, and one that the peer
// wants without our asking is granted.
func TestChildGroups(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, _ *Remote, c *Child) {
		c.Proposals[0].KE = []transform.KE{transform.KE_ECP_384, transform.KE_CURVE25519}
	})
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	packet := selector("10.0.1.1/32", "10.0.2.1/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	w.wantUp(a, b, 1, 2)
	b.wantReason(reasonInvalidKE)
	if ke := b.e.Status()[0].Children[1].KE; ke != "CURVE25519" {
		t.Errorf("key exchange %q", ke)
	}
}

// A responder that demands PFS refuses a child without it.
func TestChildWithoutPFS(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals[0].KE = []transform.KE{transform.KE_CURVE25519} })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1) // IKE_AUTH has no KE
	w.advance(time.Minute)
	packet := selector("10.0.1.1/32", "10.0.2.1/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	w.wantUp(a, b, 1, 1)
	wantWords(t, b.wantReason(reasonNoProposal).Text, "KE: peer offers nothing", "accepts CURVE25519")
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
