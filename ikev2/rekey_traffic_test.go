package ikev2

import (
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// A responder that would narrow to what holds the first selectors of a request does not
// do so where a child is rekeyed that carries more (RFC 7296 §2.9.2).
func TestResponderKeepsTraffic(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, r *Remote, c *Child) {
		second := *c
		second.Name, second.ReqID = "tokyo_second", 8
		second.Outbound = []kernel.Selector{selector("10.0.3.0/24", "10.0.1.0/24")}
		r.Children = append(r.Children, &second)
	})
	a.initiate()
	w.settle()
	old := a.firstChild()
	request := func(tsr ...message.TrafficSelector) []message.Payload {
		return []message.Payload{
			&message.Notify{Kind: message.REKEY_SA, Protocol: message.ProtocolESP, SPI: spiOctets(old.spiIn)},
			&message.SA{Proposals: offer(old.conf.alternatives(keOffer, nil), []byte{1, 2, 3, 4})},
			&message.Nonce{Data: make([]byte, 32)},
			&message.TS{Initiator: true, Selectors: old.traffic.local}, &message.TS{Selectors: tsr},
		}
	}
	sa := b.e.all()[0]
	a.forge(b, message.CREATE_CHILD_SA, request(ts("10.0.3.7/32", 0), ts("10.0.2.0/24", 0), ts("10.0.3.0/24", 0)))
	next := sa.children[len(sa.children)-1]
	if got := tsList(next.traffic.local); next.conf.Name != "tokyo_out" || got != "10.0.2.0/24[any] any" {
		t.Errorf("child %s with %s, want all of what the old one carries", next.conf.Name, got)
	}
	b.wantNoReason(reasonNarrowed)

	// A peer that asks for less has another policy now, and is told of in the log.
	w, a, b = pair(t)
	a.initiate()
	w.settle()
	old, sa = a.firstChild(), b.e.all()[0]
	a.forge(b, message.CREATE_CHILD_SA, request(ts("10.0.2.0/25", 0)))
	if got := tsList(sa.children[len(sa.children)-1].traffic.local); got != "10.0.2.0/25[any] any" {
		t.Errorf("the child has %s", got)
	}
	wantWords(t, b.wantReason(reasonNarrowed).Text, "the peer narrows a child SA that is rekeyed")
}

// A peer that narrows a child in its rekeying breaks RFC 7296 §2.9.2: what it grants
// is taken, and said; what it no longer does is asked for when a packet wants it.
func TestNarrowedByRekeying(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	part := &message.TS{Selectors: []message.TrafficSelector{ts("10.0.2.0/25", 0)}}
	b.lie(message.CREATE_CHILD_SA, with(message.PayloadTSr, part))
	a.expireSoft(t)
	w.settle()
	w.wantUp(a, b, 1, 1)
	ev := a.wantReason(reasonNarrowed)
	wantWords(t, ev.Text, "narrows a child SA that is rekeyed", "10.0.2.0/25")
	if got := tsList(a.e.Status()[0].Children[0].TSRemote); got != "10.0.2.0/25[any] any" {
		t.Errorf("the child has %s", got)
	}
	w.advance(time.Minute)
	packet := selector("10.0.1.7/32", "10.0.2.200/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	w.wantUp(a, b, 1, 2)
}
