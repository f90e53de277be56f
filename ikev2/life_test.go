package ikev2

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// A silent peer is asked for life after DPDDelay; one that answers stays.
func TestLiveness(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 30 * time.Second })
	a.initiate()
	w.settle()
	w.advance(95 * time.Second)
	w.wantUp(a, b, 1, 1)
	if n := len(w.sent) - 4; n != 6 {
		t.Errorf("%d datagrams in 95 seconds, want 3 checks with their answers", n)
	}
}

// Any protected message counts as life.
func TestLivenessHearsEverything(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 30 * time.Second })
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 20 * time.Second })
	a.initiate()
	w.settle()
	from := len(w.sent)
	w.advance(95 * time.Second)
	for _, p := range w.sent[from:] {
		if _, resp := exchangeOf(p); p.Local.Addr() == a.addr && !resp {
			t.Error("asked for life although the peer had just asked itself")
		}
	}
	w.wantUp(a, b, 1, 1)
}

// A dead peer's SAs go, and so does everything of them in the kernel.
func TestDeadPeer(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 30 * time.Second })
	a.initiate()
	w.settle()
	w.filter = func(Send) []Send { return nil }
	w.advance(3 * time.Minute)
	a.wantReason(reasonRetransmitLimit)
	a.wantNothing()
	if len(a.downs) != 1 {
		t.Errorf("%d children reported down", len(a.downs))
	}
	_ = b
}

// A clear INVALID_IKE_SPI is a hint: it leads to one check, and a forged one to
// nothing more.
func TestInvalidSPIHint(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	sa := a.e.all()[0]
	forged, err := message.Encode(&message.Message{
		Header:   message.Header{SPIi: sa.spii, SPIr: sa.spir, Major: 2, Exchange: message.INFORMATIONAL},
		Payloads: []message.Payload{notify(message.INVALID_IKE_SPI, nil)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		a.handle(Datagram{Local: netip.AddrPortFrom(a.addr, 500), Remote: netip.AddrPortFrom(b.addr, 500), Data: slices.Clone(forged)})
	}
	a.wantReason(reasonUnprotected)
	if len(w.wire) != 1 {
		t.Errorf("%d datagrams in answer to 50 forged hints, want one check", len(w.wire))
	}
	w.settle()
	w.wantUp(a, b, 1, 1)

	// The real thing: the peer restarted and knows nothing.
	b.e = New(Config{Rand: b.e.cfg.Rand, Settings: b.e.settings})
	b.kernel = newTestKernel()
	w.advance(time.Minute)
	a.handle(Terminate{})
	w.advance(time.Minute)
	b.wantReason(reasonUnknownSPI)
	a.wantNothing()
}

// A deletion behind a request that is never answered does not wait for all its
// retransmissions: neither a lifetime nor an operator's flush is put off by a
// peer that is gone.
func TestDeletionBehindUnansweredRequest(t *testing.T) {
	w, a, _ := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) {
		r.DPDDelay = 30 * time.Second
		r.Retry = Retransmission{First: 10 * time.Second, Tries: 10}
	})
	a.initiate()
	w.settle()
	w.filter = func(Send) []Send { return nil }
	w.advance(40 * time.Second) // the check for life is under way
	a.handle(Terminate{})
	w.advance(deletingTime + time.Second)
	a.wantReason(reasonIKEDeleted)
	a.wantNothing()
}

// Hard limits, and SAs that somebody else deletes or flushes, end the child on
// both sides.
func TestKernelEventsEndChildren(t *testing.T) {
	events := map[string]func(kernel.SA) kernel.Event{
		"hard":    func(sa kernel.SA) kernel.Event { return kernel.Expire{ID: sa.SAID, Hard: true} },
		"deleted": func(sa kernel.SA) kernel.Event { return kernel.Deleted{ID: sa.SAID} },
		"flushed": func(kernel.SA) kernel.Event { return kernel.Flushed{} },
	}
	for name, event := range events {
		for _, dir := range []kernel.Direction{kernel.In, kernel.Out} {
			t.Run(name+" "+dir.String(), func(t *testing.T) {
				w, a, b := pair(t)
				a.initiate()
				w.settle()
				sa := a.kernel.one(t, dir)
				delete(a.kernel.sas, sa.SAID)
				a.handle(KernelEvent{Event: event(sa)})
				w.settle()
				w.wantUp(a, b, 1, 0)
				if len(a.downs) != 1 || len(b.downs) != 1 {
					t.Errorf("%d and %d reported down", len(a.downs), len(b.downs))
				}
				a.initiate() // the tunnel comes back in the same IKE SA
				w.settle()
				w.wantUp(a, b, 1, 1)
			})
		}
	}
}

// Events for SAs that are not ours are nobody's business.
func TestForeignKernelEvents(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	foreign := kernel.SAID{Dst: a.addr, Proto: kernel.ESP, SPI: 0xdead}
	for _, ev := range []kernel.Event{kernel.Expire{ID: foreign}, kernel.Expire{ID: foreign, Hard: true}, kernel.Deleted{ID: foreign},
		kernel.Flushed{Proto: kernel.AH}, kernel.Mapping{ID: foreign}, kernel.Resync{}} {
		a.handle(KernelEvent{Event: ev})
	}
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// A lifetime that cannot be prolonged ends the IKE SA orderly.
func TestIKELifetimeEnds(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Lifetime = 100 * time.Second })
	a.initiate()
	w.settle()
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Proposals = nil }) // refuses every rekeying
	w.advance(95 * time.Second)
	w.wantUp(a, b, 1, 1)
	b.wantReason(reasonNoProposal)
	w.advance(10 * time.Second)
	a.wantNothing()
	b.wantNothing()
}

// An IKE SA without a child is deleted after Grace.
func TestGrace(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Grace = 30 * time.Second })
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 1)
	a.handle(Terminate{Child: a.e.Status()[0].Children[0].SPIIn})
	w.settle()
	w.wantUp(a, b, 1, 0)
	w.advance(31 * time.Second)
	a.wantNothing()
	b.wantNothing()
}

// Both ends delete at once: both answer, both are done (RFC 7296 §2.25).
func TestDeletionsCross(t *testing.T) {
	for _, what := range []string{"IKE SA", "child"} {
		t.Run(what, func(t *testing.T) {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			for _, n := range w.nodes {
				in := Terminate{}
				if what == "child" {
					in.Child = n.e.Status()[0].Children[0].SPIIn
				}
				n.handle(in)
			}
			from := len(w.sent)
			senders := map[netip.Addr]*ikeSA{a.addr: keepKeys(a.e.all()[0]), b.addr: keepKeys(b.e.all()[0])}
			w.advance(time.Minute)
			for _, p := range w.sent[from:] {
				if list := opened(t, senders[p.Local.Addr()], p); len(list) != 0 {
					// RFC 7296 §1.4.1: what is in this host's own request is not answered again.
					t.Errorf("answered %+v", list)
				}
			}
			if what == "child" {
				w.wantUp(a, b, 1, 0)
				return
			}
			a.wantNothing()
			b.wantNothing()
		})
	}
}

// A DELETE whose answer is lost is answered again though the IKE SA is gone.
func TestLostDeleteAnswer(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	lost := false
	w.filter = func(p Send) []Send {
		if _, resp := exchangeOf(p); resp && !lost {
			lost = true
			return nil
		}
		return []Send{p}
	}
	a.handle(Terminate{})
	w.settle()
	b.wantNothing()
	w.advance(2 * time.Second)
	a.wantNothing()
	b.wantNoReason(reasonUnknownSPI)
}

// Requests of a responder whose answer to IKE_AUTH is lost wait for the
// retransmission; a deletion that nobody answers is said once more at the end.
func TestResponderAhead(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 500 * time.Millisecond })
	lost := 0
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && resp && lost < 2 {
			lost++
			return nil
		}
		return []Send{p}
	}
	a.initiate()
	w.advance(10 * time.Second)
	w.wantUp(a, b, 1, 1)

	w, a, b = pair(t)
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && resp {
			return nil // every one
		}
		return []Send{p}
	}
	a.initiate()
	w.advance(2 * time.Minute)
	a.wantNothing()
	b.wantNothing()
}
