package kink

import (
	"testing"

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
