package kink

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// TestUnnamedPrincipalCostsLittle: anybody in the realm has tickets for this host. Who is no
// peer of it takes no place in the replay cache and among the answers, and is limited like
// those who show no key.
func TestUnnamedPrincipalCostsLittle(t *testing.T) {
	w, a, b := pairOfHosts(t)
	offer, err := offerOf(b.settings.Remotes[0].Children[0], 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	create := quick(t, offer, isakmp.Nonce{Data: make([]byte, 16)})
	c := w.stranger("203.0.113.5", "c", b)
	answers := 0
	for i := range 300 {
		kind := []message.Type{message.CREATE, message.STATUS, message.DELETE}[i%3]
		sent := len(c.w.sent)
		c.command(kind, create)
		answers += len(c.w.sent) - sent
		c.w.sent = nil
	}
	if answers > 3*strangerRate {
		t.Errorf("%d answers to 300 commands of somebody whom nobody names", answers)
	}
	if len(b.krb.seen) != 0 || len(b.e.incoming) != 0 || len(b.e.answersOf) != 0 || len(b.e.peers) != 0 {
		t.Errorf("it takes %d places in the replay cache, %d answers, %d peers", len(b.krb.seen), len(b.e.incoming), len(b.e.peers))
	}
	if len(b.e.timers.list) != 0 {
		t.Errorf("%d timers run for it", len(b.e.timers.list))
	}
	b.wantReason(reasonNoRemote)
	b.wantReason(reasonRateLimit)
	w.create(a) // others are not concerned
	w.wantPairs(1)
}

// TestRecordedReply: a REPLY that asks for an ACK and is sent on and on by somebody who has
// recorded it is acknowledged a few times, as after losses, and no more.
func TestRecordedReply(t *testing.T) {
	w, a, _ := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
	w.create(a)
	var reply Send
	for _, p := range w.sent {
		if m, err := message.Decode(p.Data); err == nil && m.AckRequest {
			reply = p
		}
	}
	w.sent = nil
	for range 1000 {
		w.deliver(reply)
		w.wire = nil
	}
	if len(w.sent) == 0 || len(w.sent) > maxOutstanding {
		t.Errorf("%d ACKs to 1000 copies of one REPLY", len(w.sent))
	}
	w.wantPairs(1)
}

// TestForgedWishForUserToUser: whoever can read the XID may ask for user-to-user in the
// peer's name. The peer that knows nothing of it is tried without again.
func TestForgedWishForUserToUser(t *testing.T) {
	w, a, _ := pairOfHosts(t)
	forged := false
	w.filter = func(p Send) []Send {
		switch message.Type(p.Data[0]) {
		case message.GETTGT:
			return nil // as the original's kinkd does
		case message.CREATE:
			if forged {
				break
			}
			forged = true
			krb, err := json.Marshal(KRBErrorMessage{Code: KRB_AP_ERR_USER_TO_USER_REQUIRED})
			if err != nil {
				t.Fatal(err)
			}
			return []Send{w.forge(p, message.KRBError{Octets: krb})}
		}
		return []Send{p}
	}
	w.create(a)
	w.pass(2 * time.Minute)
	w.wantPairs(1)
	if len(a.failures) != 0 {
		t.Errorf("failures: %v\n%s", a.failures, a.said())
	}
	a.wantReason(reasonUserToUser)
}

// TestForgedTGT: a TGT that nobody's KDC knows, sent in the peer's name, does not end a
// transaction that has a ticket.
func TestForgedTGT(t *testing.T) {
	w, a, _ := pairOfHosts(t, func(r *Remote, _ *Child) { r.UserToUser = true })
	w.create(a)
	forged := false
	w.filter = func(p Send) []Send {
		if message.Type(p.Data[0]) == message.CREATE && !forged {
			forged = true
			return []Send{w.forge(p, message.TGTRep{Ticket: []byte("no TGT")})}
		}
		return []Send{p}
	}
	w.expireSoft(a)
	if !forged {
		t.Fatal("nothing was sent")
	}
	w.pass(30 * time.Second)
	w.wantPairs(1)
	if a.e.Counters()[reasonChildRekeyed] != 1 || strings.Contains(a.said(), "failed") {
		t.Errorf("the pair is not rekeyed at once:\n%s", a.said())
	}
}

// forge is a REPLY in the clear to a command, in the name of its receiver.
func (w *world) forge(to Send, p message.Payload) Send {
	w.t.Helper()
	data, err := message.Encode(&message.Message{Type: message.REPLY, Payloads: []message.Payload{p}}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	copy(data[8:12], to.Data[8:12])
	return Send{Local: to.Remote, Remote: to.Local, Data: data}
}

// TestMalformedCommandsAreLimited: one source cannot use up the answers in the clear, which
// GETTGT of peers needs, with what does not decode.
func TestMalformedCommandsAreLimited(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("203.0.113.5", "", b)
	answers := 0
	for range 1000 {
		answers += len(s.send([]byte{byte(message.STATUS), 0x20, 0, 16, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0}))
	}
	if answers == 0 || answers > 2*strangerRate {
		t.Errorf("%d answers to 1000 malformed commands", answers)
	}
	b.wantReason(reasonRateLimit)
	peer := w.stranger("192.0.2.1", "", b)
	data, err := message.Encode(&message.Message{Type: message.GETTGT, Payloads: []message.Payload{message.TGTReq{Principal: principal("b")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := answersIn(t, peer.send(data)); got != "KINK_TGT_REP" {
		t.Errorf("a peer's GETTGT: %q", got)
	}
}

// TestHeldBackMessage: a message of the peer's former life, held back for as long as its
// authenticator is good, does not take away what the peer has made since.
func TestHeldBackMessage(t *testing.T) {
	w, a, b := pairOfHosts(t)
	var held []Send
	w.filter = func(p Send) []Send {
		if message.Type(p.Data[0]) == message.CREATE && len(held) == 0 {
			held = append(held, p)
			return nil
		}
		return []Send{p}
	}
	w.create(b)
	w.pass(5 * time.Second)
	w.filter = nil
	b.boot()
	b.e.epoch++
	w.create(b)
	w.pass(4 * time.Minute)
	w.wantPairs(1)
	restarts := a.e.Counters()[reasonPeerRestart]
	w.deliver(held[0])
	w.settle()
	w.pass(time.Minute)
	if a.e.Counters()[reasonPeerRestart] != restarts {
		t.Errorf("it counts as a restart:\n%s", a.said())
	}
	a.wantReason(reasonLate)
	w.wantPairs(1)
}

// TestOnePeerCannotFillTheKernel: a peer that makes pairs and never deletes any is refused
// at last, and told so.
func TestOnePeerCannotFillTheKernel(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("192.0.2.1", "a", b)
	last := ""
	for i := range maxPairs + 5 {
		w.now = w.now.Add(10 * time.Millisecond)
		offer, err := offerOf(b.settings.Remotes[0].Children[0], kernel.SPI(0x1000+i))
		if err != nil {
			t.Fatal(err)
		}
		last = saidIn(t, s.command(message.CREATE, quick(t, offer, isakmp.Nonce{Data: make([]byte, 16)})))
	}
	if last != "NO-PROPOSAL-CHOSEN" || b.e.Counters()["child_sas"] != maxPairs {
		t.Errorf("the last one is answered with %q, %d pairs stand", last, b.e.Counters()["child_sas"])
	}
	b.wantReason(reasonLimit)
}

// TestEpochZero: a peer without an epoch is served, and what the log says of it has a reason,
// so that it is limited.
func TestEpochZero(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("192.0.2.1", "a", b)
	s.epoch = 0
	s.command(message.STATUS)
	b.wantReason(reasonNoEpoch)
	for _, e := range b.traces {
		if e.Reason == "" {
			t.Errorf("a line for each message: %s", e.Text)
		}
	}
}

// TestEndlessOffer: what one CREATE offers is bounded, in one payload and in many.
func TestEndlessOffer(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("192.0.2.1", "a", b)
	good, err := offerOf(b.settings.Remotes[0].Children[0], 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	many := func(proposals int, number uint8) (sa isakmp.SA) {
		p := isakmp.Proposal{Protocol: isakmp.PROTO_IPSEC_ESP, SPI: []byte{1, 2, 3, number}}
		for i := range 200 {
			p.Transforms = append(p.Transforms, isakmp.Transform{Number: uint8(i), ID: isakmp.ESP_DES})
		}
		for i := range proposals {
			p.Number = uint8(i + 1)
			sa.Proposals = append(sa.Proposals, p)
		}
		return sa
	}
	nonce := isakmp.Nonce{Data: make([]byte, 16)}
	if got := saidIn(t, s.command(message.CREATE, quick(t, many(11, 1), nonce))); got != "NO-PROPOSAL-CHOSEN" {
		t.Errorf("in one payload: %q", got)
	}
	b.wantReason(reasonLimit)
	limited := b.e.Counters()[reasonLimit]
	got := saidIn(t, s.command(message.CREATE, quick(t, good, nonce), quick(t, many(10, 2), nonce), quick(t, many(1, 3), nonce)))
	if got != "SA NO-PROPOSAL-CHOSEN NO-PROPOSAL-CHOSEN" || b.e.Counters()[reasonLimit] != limited+1 {
		t.Errorf("in three payloads: %q", got)
	}
	if b.e.Counters()["child_sas"] != 1 {
		t.Errorf("%d pairs", b.e.Counters()["child_sas"])
	}
}
