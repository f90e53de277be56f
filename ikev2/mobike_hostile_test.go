package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// The responder's tunnels follow when the peer has answered from the new address
// (RFC 4555 §3.7), and not before.
func TestMobikeReturnRoutability(t *testing.T) {
	w, a, b, spare, _ := mobile(t, false)
	a.initiate()
	w.settle()
	a.readdress(spare)
	w.step() // UPDATE_SA_ADDRESSES
	if got := b.kernel.one(t, kernel.Out).Dst.String(); got != "192.0.2.1" {
		t.Errorf("the tunnel is at %s before the check", got)
	}
	w.settle()
	w.wantAt(a, b, spare, "192.0.2.2", 0)
	before := len(w.sent)
	a.readdress("192.0.2.1")
	w.settle()
	if n := len(w.sent) - before; n != 2 {
		t.Errorf("%d datagrams for a move to an address that was checked, want 2", n)
	}

	// An answer without the cookie ends the IKE SA, at either end.
	for _, liar := range []string{"responder", "initiator"} {
		w, a, b, spare, _ := mobile(t, false)
		a.initiate()
		w.settle()
		a.readdress(spare)
		victim, other := a, b
		if liar == "initiator" {
			w.step()
			victim, other = b, a
		}
		sa, peer := victim.e.all()[0], other.e.all()[0]
		r := sa.x.flights[0]
		data, err := peer.seal(message.INFORMATIONAL, r.id, true, []message.Payload{notify(message.COOKIE2, make([]byte, 16))})
		if err != nil {
			t.Fatal(err)
		}
		victim.handle(Datagram{Local: sa.local, Remote: sa.peer, Data: data[0]})
		victim.wantReason(reasonCookie2)
		w.advance(2 * time.Minute)
		victim.wantNothing()
	}
}

// What a peer may say about addresses, and what becomes of it.
func TestMobikeHostile(t *testing.T) {
	many := func(n int) (list []message.Payload) {
		for i := range n {
			list = append(list, notify(message.ADDITIONAL_IP4_ADDRESS, []byte{198, 51, 100, byte(i)}))
		}
		return list
	}
	for _, c := range []struct {
		name string
		from string // where the request comes from; "" is where the peer is
		list []message.Payload
		want func(t *testing.T, b *node)
	}{
		{"more addresses than anybody has", "", many(60), func(t *testing.T, b *node) {
			if n := len(b.e.all()[0].mob.peers); n != maxAdditional {
				t.Errorf("%d are kept", n)
			}
		}},
		{"addresses that are none", "", []message.Payload{
			notify(message.ADDITIONAL_IP4_ADDRESS, make([]byte, 16)), notify(message.ADDITIONAL_IP6_ADDRESS, make([]byte, 4)),
			notify(message.ADDITIONAL_IP4_ADDRESS, nil), notify(message.ADDITIONAL_IP4_ADDRESS, []byte{127, 0, 0, 1}),
			notify(message.ADDITIONAL_IP4_ADDRESS, []byte{224, 0, 0, 1}), notify(message.ADDITIONAL_IP6_ADDRESS, netip.IPv6Unspecified().AsSlice()),
		}, func(t *testing.T, b *node) {
			if got := b.e.all()[0].mob.peers; len(got) != 0 {
				t.Errorf("%v are kept", got)
			}
		}},
		{"to multicast", "224.0.0.1:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to everybody", "255.255.255.255:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to nowhere", "0.0.0.0:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to port 0", "192.0.2.1:0", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to the loopback", "127.0.0.1:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
		{"to the host itself", "192.0.2.2:4500", []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b, _, _ := mobile(t, false)
			a.initiate()
			w.settle()
			sa := a.e.all()[0]
			data, err := sa.seal(message.INFORMATIONAL, sa.x.next, false, c.list)
			if err != nil {
				t.Fatal(err)
			}
			sa.x.next++
			from := sa.local
			if c.from != "" {
				from = netip.MustParseAddrPort(c.from)
			}
			at := b.e.Status()[0].RemoteAddr
			b.handle(Datagram{Local: sa.peer, Remote: from, Data: data[0]})
			if got := b.e.Status()[0].RemoteAddr; got != at {
				t.Errorf("moved to %v", got)
			}
			if c.want != nil {
				c.want(t, b)
			} else {
				b.wantReason(reasonAddresses)
			}
			w.settle()
			w.wantUp(a, b, 1, 1)
		})
	}

	// The end that did not begin decides nothing, and without agreement nobody does.
	w, a, b, _, _ := mobile(t, false)
	a.initiate()
	w.settle()
	at := a.e.Status()[0].RemoteAddr
	sa := b.e.all()[0]
	data, _ := sa.seal(message.INFORMATIONAL, sa.x.next, false, []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)})
	a.handle(Datagram{Local: sa.peer, Remote: netip.MustParseAddrPort("192.0.2.77:4500"), Data: data[0]})
	if got := a.e.Status()[0].RemoteAddr; got != at {
		t.Errorf("the responder moved to %v", got)
	}
	w, a, b = pair(t)
	a.initiate()
	w.settle()
	sa = a.e.all()[0]
	data, _ = sa.seal(message.INFORMATIONAL, sa.x.next, false, []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil), notify(message.COOKIE2, make([]byte, 8))})
	before := len(w.sent)
	b.handle(Datagram{Local: sa.peer, Remote: netip.MustParseAddrPort("192.0.2.77:4500"), Data: data[0]})
	if got := b.e.Status()[0].RemoteAddr.Addr().String(); got != "192.0.2.1" {
		t.Errorf("moved without agreement to %v", got)
	}
	if len(w.sent) != before+1 {
		t.Error("no answer")
	}
	w.step()
}

// The responder refuses addresses: others are tried, and in the end the first again.
func TestMobikeRefused(t *testing.T) {
	w, a, b, spare, _ := mobile(t, false)
	a.readdress("192.0.2.1", "192.0.2.21")
	a.initiate()
	w.settle()
	spi := spiOf(a)
	b.e.locals = append(b.e.locals, netip.MustParseAddr(spare)) // it takes the new one for its own
	a.readdress(spare, "192.0.2.21")
	w.advance(10 * time.Second)
	w.wantAt(a, b, "192.0.2.21", "192.0.2.2", spi)
	b.wantReason(reasonAddresses)
	w.end(a, b)
}

// Requests that were passed by newer ones change nothing any more (RFC 4555 §3.5).
func TestMobikeOldRequests(t *testing.T) {
	w, a, b, _, _ := mobile(t, false)
	b.change(func(_ *Settings, r *Remote, _ *Child) { r.Window = 4 })
	a.initiate()
	w.settle()
	sa := a.e.all()[0]
	send := func(id uint32, from string, last byte) {
		data, err := sa.seal(message.INFORMATIONAL, id, false, []message.Payload{
			notify(message.UPDATE_SA_ADDRESSES, nil), notify(message.ADDITIONAL_IP4_ADDRESS, []byte{198, 51, 100, last}),
		})
		if err != nil {
			t.Fatal(err)
		}
		b.handle(Datagram{Local: sa.peer, Remote: netip.MustParseAddrPort(from), Data: data[0]})
	}
	next := sa.x.next
	send(next+1, "192.0.2.32:4500", 2)
	send(next, "192.0.2.31:4500", 1)
	got := b.e.all()[0]
	if got.peer.Addr().String() != "192.0.2.32" || len(got.mob.peers) != 1 || got.mob.peers[0].String() != "198.51.100.2" {
		t.Errorf("at %v, also %v", got.peer, got.mob.peers)
	}
	if got.x.expected != next+2 {
		t.Error("the older one was not answered")
	}
}
