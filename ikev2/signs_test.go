package ikev2

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// used lets the host's kernel have received so many packets on its inbound SAs, the
// last at a moment; a kernel that does not tell moments has the zero time.
func (n *node) used(packets uint64, last time.Time) {
	n.kernel.state = func(sa kernel.SA) kernel.SAState {
		return kernel.SAState{SA: sa, Packets: packets, LastUsed: last}
	}
}

// Packets in a child SA are life (RFC 7296 §2.4): as long as they come nobody asks.
func TestLivenessByTraffic(t *testing.T) {
	for _, tells := range []bool{true, false} {
		t.Run(fmt.Sprintf("kernel tells the last use %v", tells), func(t *testing.T) {
			w, a, b := pair(t)
			a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 30 * time.Second })
			a.initiate()
			w.settle()
			before := len(w.sent)
			for i := range 30 {
				w.advance(10 * time.Second)
				last := w.now
				if !tells {
					last = time.Time{}
				}
				a.used(uint64(i+1), last)
			}
			if n := len(w.sent) - before; n != 0 {
				t.Errorf("%d datagrams though traffic came all the time", n)
			}
			if heard := a.e.Status()[0].LastHeard; w.now.Sub(heard) > time.Minute {
				t.Errorf("status says heard %v ago", w.now.Sub(heard))
			}
			// It ends: the peer is asked, and given up in bounded time.
			w.filter = func(Send) []Send { return nil }
			w.advance(3 * time.Minute)
			a.wantReason(reasonRetransmitLimit)
			a.wantNothing()
			_ = b
		})
	}
}

// What is built in finds a dead peer within two and a half minutes.
func TestDeadPeerByDefault(t *testing.T) {
	w, a, _ := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) {
		r.DPDDelay, r.Retry = time.Minute, Retransmission{First: 2 * time.Second, Tries: 6, Copies: 1}
	})
	a.initiate()
	w.settle()
	w.filter = func(Send) []Send { return nil }
	w.advance(137 * time.Second)
	if len(a.e.Status()) != 1 {
		t.Fatal("given up too early")
	}
	w.advance(2 * time.Second)
	a.wantNothing()
}

// INVALID_SPI on an IKE SA has the child made anew; in the clear it leads to one
// question, and never to an answer (RFC 7296 §1.5).
func TestInvalidSPI(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	spi := a.kernel.one(t, kernel.In).SPI
	a.forge(b, message.INFORMATIONAL, []message.Payload{notify(message.INVALID_SPI, spiOctets(spi))})
	w.settle()
	w.wantUp(a, b, 1, 1)
	if a.kernel.one(t, kernel.In).SPI == spi {
		t.Error("the child is the same")
	}
	b.wantReason(reasonChildNotFound)
	for _, strange := range [][]byte{nil, {1, 2, 3}, {0, 0, 0, 0}, spiOctets(spi)} {
		spi := a.kernel.one(t, kernel.In).SPI
		a.forge(b, message.INFORMATIONAL, []message.Payload{notify(message.INVALID_SPI, strange)})
		w.settle()
		w.wantUp(a, b, 1, 1)
		if a.kernel.one(t, kernel.In).SPI != spi {
			t.Errorf("INVALID_SPI %x changed something", strange)
		}
	}

	clear := func(data []byte) []byte {
		wayward, err := message.Encode(&message.Message{
			Header:   message.Header{Major: 2, Exchange: message.INFORMATIONAL, Flags: message.FlagInitiator},
			Payloads: []message.Payload{notify(message.INVALID_SPI, data)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return wayward
	}
	w.advance(2 * time.Second)
	before := len(w.sent)
	for range 20 {
		b.at("192.0.2.1:500", clear(spiOctets(a.kernel.one(t, kernel.In).SPI)))
		b.at("192.0.2.1:500", clear(spiOctets(0x99)))
		b.at("203.0.113.99:500", clear(spiOctets(a.kernel.one(t, kernel.In).SPI)))
	}
	if n := len(w.sent) - before; n != 1 {
		t.Errorf("%d datagrams for 60 hints, want one question", n)
	}
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// One Delete payload may name several SAs, and the answer names all of their twins
// (RFC 7296 §1.4.1).
func TestDeleteSeveral(t *testing.T) {
	w, a, b := pair(t)
	manyChildren(5, a, b)
	a.initiateAll()
	w.settle()
	w.wantUp(a, b, 1, 5)
	var named, twins []uint32
	for _, c := range a.e.Status()[0].Children[1:4] {
		named, twins = append(named, uint32(c.SPIIn)), append(twins, uint32(c.SPIOut))
	}
	keys := keepKeys(b.e.all()[0])
	before := len(w.sent)
	a.forge(b, message.INFORMATIONAL, []message.Payload{&message.Delete{Protocol: message.ProtocolESP, SPIs: append(named, 0x77777)}})
	answer := &received{payloads: opened(t, keys, w.sent[before])}
	d := find[*message.Delete](answer)
	if d == nil || !slices.Equal(d.SPIs, twins) {
		t.Errorf("the answer deletes %+v, want %x", d, twins)
	}
	if n := len(b.e.Status()[0].Children); n != 2 {
		t.Errorf("%d children are left, want 2", n)
	}
}

// Every row of the transition table is gone through: the engines count.
func TestEveryRowIsVisited(t *testing.T) {
	visits := map[string]uint64{}
	key := func(r row) string {
		return fmt.Sprint(r.state, " ", r.exchange, " ", direction(r.response), " ", r.name, " ", r.required)
	}
	count := func(w *world) {
		for _, n := range w.nodes {
			for _, r := range n.e.table {
				visits[key(r)] += r.visits
			}
		}
	}
	play := func(what func(w *world, a, b *node)) {
		w, a, b := pair(t)
		children2(a, b)
		what(w, a, b)
		w.advance(3 * time.Minute)
		count(w)
	}
	up := func(w *world, a *node) {
		a.initiate()
		w.settle()
	}
	// setting up, a further child, both rekeyings, a question, a deletion
	play(func(w *world, a, b *node) {
		up(w, a)
		deedNewChild.do(a)
		w.settle()
		deedRekeyChild.do(b)
		w.settle()
		deedRekeyIKE.do(a)
		w.settle()
		deedDeleteIKE.do(b)
	})
	// without a first child
	play(func(w *world, a, b *node) {
		a.change(func(_ *Settings, _ *Remote, c *Child) { c.Childless = true })
		b.change(func(_ *Settings, r *Remote, _ *Child) { r.Childless = true })
		up(w, a)
	})
	// refused at each stage
	play(func(w *world, a, b *node) {
		b.change(func(_ *Settings, r *Remote, _ *Child) { r.CookieRequired = true })
		up(w, a)
		b.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals = nil })
		deedNewChild.do(a)
	})
	play(func(w *world, a, b *node) {
		b.change(func(_ *Settings, r *Remote, _ *Child) { r.SharedKey = []byte("another") })
		up(w, a)
	})
	// a peer that wants EAP: no engine of ours does
	play(func(w *world, a, b *node) {
		a.initiate()
		w.step()
		w.step()
		w.wire = nil
		sa := a.e.all()[0]
		ts := hostTS(a.addr)
		data, err := sa.seal(message.IKE_AUTH, 1, false, []message.Payload{
			idPayload(fqdn("kyoto.example.test"), true), &message.SA{Proposals: sa.setup.first.offered},
			&message.TS{Initiator: true, Selectors: []message.TrafficSelector{ts}}, &message.TS{Selectors: []message.TrafficSelector{ts}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data[0]})
	})
	// everything that crosses an IKE SA that is replaced or deleted
	for _, c := range []struct{ first, second deed }{
		{deedRekeyIKE, deedNewChild}, {deedNewChild, deedDeleteIKE}, {deedDeleteIKE, deedDeleteIKE}, {deedRekeyIKE, deedRekeyIKE},
	} {
		play(func(w *world, a, b *node) {
			up(w, a)
			c.first.do(a)
			c.second.do(b)
		})
	}
	// requests on the old IKE SA after the new one stands
	play(func(w *world, a, b *node) {
		up(w, a)
		old := b.e.all()[0]
		deedRekeyIKE.do(a)
		w.step() // b answers, and waits for the deletion of the old one
		ask := func(x message.ExchangeType) {
			data, err := a.e.all()[0].seal(x, a.e.all()[0].x.next, false, []message.Payload{notify(message.INITIAL_CONTACT, nil)})
			if err != nil {
				t.Fatal(err)
			}
			a.e.all()[0].x.next++
			b.handle(Datagram{Local: old.local, Remote: old.peer, Data: data[0]})
		}
		ask(message.CREATE_CHILD_SA)
	})
	// a question on it that was asked before
	play(func(w *world, a, b *node) {
		up(w, a)
		b.act(func(e *Engine) { e.all()[0].probe() })
		deedRekeyIKE.do(a)
		w.wire[0], w.wire[1] = w.wire[1], w.wire[0]
	})
	// a request for life that meets a deletion
	play(func(w *world, a, b *node) {
		up(w, a)
		b.act(func(e *Engine) { e.all()[0].probe() })
		deedDeleteIKE.do(a)
	})
	for _, r := range transitions() {
		if visits[key(r)] == 0 {
			t.Errorf("no message went through %s", key(r))
		}
	}
	if t.Failed() {
		for k, n := range visits {
			t.Logf("%6d %s", n, k)
		}
	}
}
