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

// Terminate by serial, by remote, by child.
func TestTerminate(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.handle(Terminate{Remote: "osaka"})
	a.handle(Terminate{IKE: 99999})
	a.handle(Terminate{Child: 1})
	w.settle()
	w.wantUp(a, b, 1, 1)
	secret := a.e.all()[0].keys.d
	a.handle(Terminate{IKE: a.e.Status()[0].Serial, Reason: "maintenance"})
	a.handle(Terminate{Remote: "tokyo"}) // twice is once
	w.settle()
	a.wantNothing()
	b.wantNothing()
	if string(secret) != string(make([]byte, len(secret))) {
		t.Error("SK_d is still there")
	}
	if a.downs[0].Reason != "maintenance" {
		t.Errorf("reason %q", a.downs[0].Reason)
	}
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

// Shutdown tells the peers and waits for a short time only.
func TestShutdown(t *testing.T) {
	for _, alive := range []bool{true, false} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		if !alive {
			w.filter = func(Send) []Send { return nil }
		}
		before := len(w.sent)
		a.handle(Shutdown{})
		if alive {
			w.settle()
			b.wantNothing()
		} else {
			w.advance(1900 * time.Millisecond)
			if a.e.Idle() || len(w.sent)-before != 2 {
				t.Errorf("idle %v after %d datagrams, want a DELETE and its retransmission", a.e.Idle(), len(w.sent)-before)
			}
			w.advance(time.Second)
		}
		a.wantNothing()
		a.initiate()
		if len(a.failures) != 1 {
			t.Error("initiates after shutdown")
		}
		b.initiate()
		w.advance(100 * time.Millisecond)
		if alive {
			a.wantReason(reasonShutdown)
		}
		a.wantNothing()
	}
}

// Shutdown with a request outstanding that nobody answers.
func TestShutdownWhileWaiting(t *testing.T) {
	w, a, _ := pair(t)
	a.initiate()
	w.settle()
	w.filter = func(Send) []Send { return nil }
	a.expireSoft(t)
	a.handle(Shutdown{})
	w.advance(3 * time.Second)
	a.wantNothing()
}

// Settings that are the same touch nothing; others delete what they change.
func TestReconfigure(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	fresh := func() *Settings { return testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24") }
	a.handle(Reconfigure{Settings: fresh()})
	w.settle()
	w.wantUp(a, b, 1, 1)
	if len(w.sent) != 4 {
		t.Errorf("%d datagrams, want none for the same settings", len(w.sent)-4)
	}
	a.expireSoft(t) // works with the new settings' objects
	w.settle()
	w.wantUp(a, b, 1, 1)

	changed := fresh()
	changed.Remotes[0].Children[0].Lifetime.Time = time.Hour
	a.handle(Reconfigure{Settings: changed})
	w.settle()
	a.wantNothing()
	b.wantNothing()
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if sa := a.kernel.one(t, kernel.In); sa.Hard.Time != time.Hour || sa.Soft.Time < 48*time.Minute || sa.Soft.Time > 54*time.Minute {
		t.Errorf("lifetimes %v and %v", sa.Soft.Time, sa.Hard.Time)
	}
	a.handle(Reconfigure{Settings: &Settings{IKEPort: 500, NATPort: 4500}})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}

// A remote that is removed while its IKE SA is set up.
func TestReconfigureWhileNegotiating(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.step()
	a.handle(Reconfigure{Settings: &Settings{IKEPort: 500, NATPort: 4500}})
	w.advance(2 * time.Minute)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
	b.wantNothing()
}

// Status and counters tell what there is.
func TestStatus(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Lifetime = time.Hour })
	a.initiate()
	w.settle()
	i := a.e.Status()[0]
	if i.Remote != "tokyo" || i.State != "ESTABLISHED" || !i.Initiator || i.LocalID != "fqdn kyoto.example.test" || i.RemoteID != "fqdn tokyo.example.test" ||
		i.Encr != "ENCR_AES_GCM_16-128" || i.PRF != "PRF_HMAC_SHA2_256" || i.KE != "CURVE25519" || i.Integ != "" ||
		i.Expires.Sub(i.Established) != time.Hour || i.SPIi == 0 || i.SPIr == 0 {
		t.Errorf("%+v", i)
	}
	c := a.e.Counters()
	if c["ike_sas"] != 1 || c["child_sas"] != 1 || c["half_open"] != 0 || c[reasonEstablished] != 1 || c[reasonChildUp] != 1 {
		t.Errorf("%v", c)
	}
	if b.e.Status()[0].Initiator {
		t.Error("the responder is an initiator")
	}
}

// The SPI carries the shard, and datagrams find it.
func TestShardOf(t *testing.T) {
	w, a, b := pair(t)
	a.e.cfg.Shard, b.e.cfg.Shard = 3, 5
	a.initiate()
	w.settle()
	for i, p := range w.sent {
		want := 3
		if p.Local.Addr() == a.addr {
			want = 5
		}
		if i == 0 {
			first := ShardOf(p.Data, p.Local, 8)
			again := ShardOf(p.Data, netip.AddrPortFrom(p.Local.Addr(), 999), 8)
			if first != again || first < 0 || first > 7 {
				t.Errorf("an IKE_SA_INIT request goes to shards %d and %d", first, again)
			}
			continue
		}
		if got := ShardOf(p.Data, p.Local, 8); got != want {
			t.Errorf("datagram %d goes to shard %d, want %d", i, got, want)
		}
	}
	if ShardOf(nil, netip.AddrPort{}, 8) != 0 || ShardOf([]byte{0xff}, netip.AddrPort{}, 1) != 0 {
		t.Error("short datagrams do not go to shard 0")
	}
	spread := map[int]bool{}
	for n := range 64 {
		data := make([]byte, 28)
		data[7], data[19] = 1, byte(message.FlagInitiator)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 500)
		spread[ShardOf(data, from, 4)] = true
		if ShardOf(data, from, 4) != ShardOfAddress(from.Addr(), 4) {
			t.Error("a request does not go to the shard of its address")
		}
	}
	if len(spread) != 4 {
		t.Errorf("64 addresses meet %d of 4 shards", len(spread))
	}
}

// An IKE SA that is to go while its IKE_AUTH is unanswered is deleted as soon as
// the peer, which holds it for established, has answered.
func TestTerminateBeforeAuthAnswer(t *testing.T) {
	w, a, b := pair(t)
	lost := 0
	w.filter = func(p Send) []Send {
		if x, resp := exchangeOf(p); x == message.IKE_AUTH && resp && lost < 2 {
			lost++
			return nil
		}
		return []Send{p}
	}
	a.initiate()
	w.settle()
	a.handle(Terminate{})
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	w.advance(10 * time.Second)
	a.wantNothing()
	b.wantNothing()
	if len(a.ups) != 0 {
		t.Error("a child came up that nobody wants any more")
	}
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
