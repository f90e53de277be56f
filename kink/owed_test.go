package kink

import (
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// lose drops all messages of a type to a host until stop is called.
func (w *world) lose(kind message.Type, to *node) (stop func()) {
	before := w.filter
	w.filter = func(p Send) []Send {
		if m, err := message.Decode(p.Data); err == nil && m.Type == kind && p.Remote.Addr() == to.addr {
			return nil
		}
		return []Send{p}
	}
	return func() { w.filter = before }
}

// halves counts the SAs that one end has and the other has not.
func (w *world) halves() int {
	n := 0
	for _, x := range w.nodes {
		for id, sa := range x.keys {
			if sa.Direction != kernel.Out {
				continue
			}
			for _, y := range w.nodes {
				if _, ok := y.keys[id]; y.addr == sa.Dst && !ok {
					n++
				}
			}
		}
	}
	return n
}

// TestGivenUpPairsAreDeleted: whatever this host gives up without word from the peer, the
// peer is told as soon as it is heard of; it would send into nothing otherwise.
func TestGivenUpPairsAreDeleted(t *testing.T) {
	for name, c := range map[string]struct {
		lost  message.Type
		to    func(a, b *node) *node
		begin func(w *world, a *node)
	}{
		"CREATE that was never answered": {message.REPLY, func(a, _ *node) *node { return a }, func(w *world, a *node) { w.create(a) }},
		"DELETE that did not arrive": {message.DELETE, func(_, b *node) *node { return b }, func(w *world, a *node) {
			w.create(a)
			a.handle(Terminate{})
			w.settle()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pairOfHosts(t)
			w.create(b) // so that a has heard of b
			a.handle(Terminate{})
			w.settle()
			w.pass(time.Minute)
			w.wantPairs(0)
			stop := w.lose(c.lost, c.to(a, b))
			c.begin(w, a)
			w.pass(45 * time.Second)
			if w.halves() == 0 {
				t.Fatalf("both ends agree already:\n%s%s", a.said(), b.said())
			}
			stop()
			w.pass(time.Minute)
			if n := w.halves(); n != 0 || len(a.e.debts) != 0 {
				t.Errorf("%d halves are left, and a owes %v", n, a.e.debts)
			}
			w.create(a)
			w.wantPairs(1)
		})
	}
}

// TestDebtsEnd: they are bounded, end with the SA's life, with a restart of the peer and
// with the shutdown.
func TestDebtsEnd(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(b)
	stop := w.lose(message.REPLY, a)
	for range maxOwed + 20 {
		a.handle(Initiate{Remote: "b", Child: "out"})
		a.handle(Terminate{Remote: "b"})
		w.now = w.now.Add(time.Second)
	}
	d := a.e.debts[principal("b")]
	if d == nil || len(d.spis) == 0 || len(d.spis) > maxOwed {
		t.Fatalf("%+v", d)
	}
	w.pass(61 * time.Minute)
	stop()
	w.pass(11 * time.Minute)
	if len(a.e.debts) != 0 {
		t.Errorf("%+v", a.e.debts[principal("b")])
	}
	stop = w.lose(message.REPLY, a)
	a.handle(Initiate{Remote: "b", Child: "out"})
	w.settle()
	a.handle(Terminate{Remote: "b"})
	stop()
	b.boot()
	w.create(b)
	if len(a.e.debts) != 0 {
		t.Errorf("after the peer's restart: %+v", a.e.debts[principal("b")])
	}
	w.lose(message.REPLY, a)
	a.handle(Initiate{Remote: "b", Child: "out"})
	w.settle()
	a.handle(Terminate{Remote: "b"})
	a.handle(Shutdown{})
	if len(a.e.debts) != 0 {
		t.Errorf("after the shutdown: %+v", a.e.debts[principal("b")])
	}
}

// TestLateMessages: a message of the peer's former life that was overtaken by one of its
// present life ends nothing, whatever it is.
func TestLateMessages(t *testing.T) {
	w, a, b := pairOfHosts(t)
	var held []Send
	w.filter = func(p Send) []Send {
		if m, _ := message.Decode(p.Data); p.Remote.Addr() == a.addr && m.Type != message.DELETE {
			held = append(held, p)
			return nil
		}
		return []Send{p}
	}
	w.create(b) // a command is on its way
	a.handle(Initiate{Remote: "b", Child: "out"})
	w.settle() // and so is an answer
	if len(held) < 2 {
		t.Fatalf("held: %d", len(held))
	}
	w.filter = nil
	w.now = w.now.Add(300 * time.Millisecond)
	b.boot()
	b.e.epoch++ // whole seconds
	w.create(b)
	pairs := a.e.Counters()["child_sas"]
	for _, p := range held {
		w.deliver(p)
		w.settle()
	}
	if n := a.e.Counters()[reasonLate]; n < 2 || a.e.Counters()["child_sas"] != pairs {
		t.Errorf("%d messages were late, %d pairs\n%s", n, a.e.Counters()["child_sas"], a.said())
	}
	w.pass(time.Minute)
	if w.halves() != 0 || a.e.Counters()["child_sas"] != b.e.Counters()["child_sas"] {
		t.Errorf("%d halves\n%s%s", w.halves(), a.said(), b.said())
	}
	// A clock that was put back is a restart all the same, when nothing can be on its way any more.
	w.pass(lateMessage + time.Second)
	b.boot()
	b.e.epoch -= 3600
	before := a.e.Counters()[reasonPeerRestart]
	w.create(b)
	w.pass(time.Minute)
	if a.e.Counters()[reasonPeerRestart] != before+1 {
		t.Errorf("not noticed:\n%s", a.said())
	}
}

// TestStartWindow: a CREATE that may have been answered before this host started is
// answered with a nonce, so that no key comes again; what the original kinkd offers is not.
func TestStartWindow(t *testing.T) {
	for _, c := range []struct {
		child    func(*Remote, *Child)
		age      time.Duration
		threeWay bool
	}{
		{transportAs(gcm), 0, true}, {transportAs(gcm), startWindow - time.Second, true}, {transportAs(gcm), startWindow, false},
		{transportAs(cbc), 0, true}, {transportAs(ah), 0, true},
		{transportAs(sha1Proposal), 0, false},
	} {
		w, a, b := pairOfHosts(t, c.child)
		b.e.cfg.Start = w.now.Add(-c.age)
		w.create(a)
		w.wantPairs(1)
		acks := 0
		for _, p := range w.sent {
			if m, err := message.Decode(p.Data); err == nil && m.Type == message.ACK {
				acks++
			}
		}
		if (acks > 0) != c.threeWay {
			t.Errorf("%v after the start, %v: %d ACKs", c.age, a.ups[0].Info.Encr, acks)
		}
	}
}

// TestSameCreateAfterARestart: the initiator retransmits over the responder's restart, and the
// keys are not those that the responder has used before.
func TestSameCreateAfterARestart(t *testing.T) {
	w, a, b := pairOfHosts(t, transportAs(gcm))
	stop := w.lose(message.REPLY, a)
	w.create(a)
	used := make(map[string]bool)
	for _, sa := range b.keys {
		used[string(sa.EncrKey)] = true
	}
	if len(used) == 0 {
		t.Fatal("b has no SA")
	}
	b.boot()
	b.e.cfg.Start = w.now
	stop()
	w.pass(20 * time.Second)
	w.wantPairs(1)
	for id, sa := range b.keys {
		if used[string(sa.EncrKey)] {
			t.Errorf("%v has a key that was used before the restart", id)
		}
	}
}

// TestFlushInTheMaking: SAs that somebody takes while their pair is being made are
// missed, at every step, and made again.
func TestFlushInTheMaking(t *testing.T) {
	for step := range 12 {
		for who := range 2 {
			w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = step%2 == 0 })
			n := []*node{a, b}[who]
			count := 0
			n.refuse = func(kernel.Op) error {
				if count++; count == step/2+1 {
					// After this operation, and seen by the engine before its result.
					events, _ := n.kernel.Foreign(w.now, kernel.FlushSA{})
					clear(n.keys)
					for _, ev := range events {
						n.handle(KernelEvent{Event: ev})
					}
				}
				return nil
			}
			w.create(a)
			w.pass(2 * time.Minute)
			if len(a.keys) != len(b.keys) || w.halves() != 0 {
				t.Errorf("step %d at %s: %d and %d SAs, %d halves\n%s%s", step, n.name, len(a.keys), len(b.keys), w.halves(), a.said(), b.said())
			}
		}
	}
}

// TestNotifyInCreate: notifications in a CREATE are logged, whatever they say, and change
// nothing; in its answer a status does no more, and an error of any kind is a refusal.
func TestNotifyInCreate(t *testing.T) {
	w, _, b := pairOfHosts(t)
	s := w.stranger("192.0.2.1", "a", b)
	offer, err := offerOf(b.settings.Remotes[0].Children[0], 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	answers := s.command(message.CREATE, quick(t, offer, isakmp.Nonce{Data: make([]byte, 16)},
		isakmp.Notify{Protocol: isakmp.PROTO_IPSEC_ESP, Kind: isakmp.INITIAL_CONTACT}, isakmp.Notify{Protocol: isakmp.PROTO_IPSEC_ESP, Kind: 4711}))
	if n := b.e.Counters(); n[reasonNotify] != 2 || n["child_sas"] != 1 || len(answers) != 1 {
		t.Errorf("%d notifications, %d pairs, %v\n%s", n[reasonNotify], n["child_sas"], answers, b.said())
	}
	for _, c := range []struct {
		kind  isakmp.NotifyType
		pairs uint64
	}{{isakmp.RESPONDER_LIFETIME, 1}, {4711, 0}} {
		w, a, b := pairOfHosts(t)
		w.filter = func(p Send) []Send {
			if p.Local.Addr() == b.addr {
				p = w.rewrite(p, a, func(sa *isakmp.SA) []isakmp.Payload {
					return []isakmp.Payload{*sa, isakmp.Notify{Protocol: isakmp.PROTO_IPSEC_ESP, Kind: c.kind}}
				})
			}
			return []Send{p}
		}
		w.create(a)
		if n := a.e.Counters()["child_sas"]; n != c.pairs {
			t.Errorf("%v in the answer: %d pairs\n%s", c.kind, n, a.said())
		}
	}
}
