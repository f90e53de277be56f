package ikev2

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"racoon2/ikev2/message"
)

// Authentic fragments that fit nothing, or hold nothing, leave nothing behind that
// grows, however many come, and the first that is kept starts the time of all.
func TestFragmentsThatFitNothing(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	sa := b.e.all()[0]
	for range 500 {
		a.sendFragments(b, [][2]uint16{{1, 65535}})
	}
	if n := len(sa.frag.partial); n != 0 {
		t.Errorf("%d messages are in pieces", n)
	}
	empty := func(number, total uint16) {
		own := a.e.all()[0]
		parts, err := message.SealFragments(own.header(message.INFORMATIONAL, own.x.next, false), nil,
			numbered{own.keys.seals, number, total}, own.nextIV, message.MaxLen)
		if err != nil {
			t.Fatal(err)
		}
		b.handle(Datagram{Local: own.peer, Remote: own.local, Data: parts[0]})
	}
	for total := uint16(2); total < 20; total++ {
		empty(1, total)
		w.advance(time.Second)
	}
	if n := len(sa.frag.partial); n != 1 {
		t.Errorf("%d messages are in pieces, want 1", n)
	}
	w.advance(reassemblyTime - 15*time.Second)
	if n := len(sa.frag.partial); n != 0 {
		t.Errorf("%d messages are in pieces after their time", n)
	}
	w.wantUp(a, b, 1, 1)
}

// A hint that nobody has authenticated costs the same with one IKE SA and with many.
func TestINVALIDSPICost(t *testing.T) {
	wayward, err := message.Encode(&message.Message{
		Header:   message.Header{Major: 2, Exchange: message.INFORMATIONAL, Flags: message.FlagInitiator},
		Payloads: []message.Payload{notify(message.INVALID_SPI, []byte{1, 2, 3, 4})},
	})
	if err != nil {
		t.Fatal(err)
	}
	cost := func(sas int) uint64 {
		e := New(Config{})
		at := netip.MustParseAddrPort("192.0.2.1:500")
		for range sas {
			e.newSA(at, at, false)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			var out Outbox
			e.Handle(time.Unix(1e9, 0), Datagram{Local: at, Remote: at, Data: wayward}, &out)
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / 100
	}
	if few, many := cost(1), cost(5000); many > 2*few+1000 {
		t.Errorf("%d octets with 5000 IKE SAs, %d with one", many, few)
	}
}

// A peer that says that it is elsewhere again and again, while a request to it is
// outstanding, does not make that request remember all those places.
func TestPlacesOfARequest(t *testing.T) {
	w, a, b := pair(t)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, _ *Child) { r.MOBIKE, r.AnyPeer = true, true })
	}
	a.initiate()
	w.settle()
	w.filter = func(Send) []Send { return nil }
	b.act(func(e *Engine) { e.all()[0].enqueue(livenessTask{}) })
	sa := b.e.all()[0]
	for i := range 100 {
		own := a.e.all()[0]
		data, err := own.seal(message.INFORMATIONAL, own.x.next, false, []message.Payload{notify(message.UPDATE_SA_ADDRESSES, nil)})
		if err != nil {
			t.Fatal(err)
		}
		own.x.next++
		b.handle(Datagram{Local: own.peer, Remote: netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", i+1)), 4500), Data: data[0]})
	}
	if len(sa.x.flights) == 0 || sa.peer.Addr().String() != "198.51.100.100" {
		t.Fatalf("%d requests are outstanding, the peer is at %v", len(sa.x.flights), sa.peer)
	}
	for _, r := range sa.x.flights {
		if len(r.paths) > maxPaths || r.paths[len(r.paths)-1].peer != sa.peer {
			t.Errorf("a request remembers %d places, the last one is %v", len(r.paths), r.paths[len(r.paths)-1])
		}
	}
}

// A peer that rekeys the IKE SA over and over and deletes none has to wait.
func TestReplacedIKESAsAreBounded(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.filter = func(p Send) []Send {
		if x, _ := exchangeOf(p); x == message.INFORMATIONAL {
			return nil // no deletion gets through
		}
		return []Send{p}
	}
	for range 4 * maxReplaced {
		list := a.e.all()
		a.act(func(*Engine) { list[len(list)-1].enqueue(&rekeyTask{}) })
		w.settle()
	}
	if n := len(b.e.all()); n != maxReplaced+1 {
		t.Errorf("%d IKE SAs, want %d", n, maxReplaced+1)
	}
	b.wantReason(reasonTemporary)
	w.advance(replacedTime + time.Second)
	if n := len(b.e.all()); n > maxReplaced+1 {
		t.Errorf("%d IKE SAs later", n)
	}
}

// Identities are compared with those of all other peers: that takes no memory, and no
// time where they are of other lengths.
func TestIdentitiesAreNotCopied(t *testing.T) {
	long := func(last byte, n int) Identity {
		return Identity{message.ID_FQDN, append(bytes.Repeat([]byte("A"), n), last)}
	}
	for _, c := range []struct {
		a, b Identity
		same bool
	}{
		{fqdn("Host.example.test"), fqdn("hOST.EXAMPLE.test"), true},
		{fqdn("host.example.test"), fqdn("host.example.tes"), false},
		{fqdn("@a"), fqdn("`a"), false}, // they differ in the bit of case, and are no letters
		{Identity{message.ID_KEY_ID, []byte("a")}, Identity{message.ID_KEY_ID, []byte("A")}, false},
		{Identity{message.ID_FQDN, []byte("a")}, Identity{message.ID_RFC822_ADDR, []byte("a")}, false},
		{Identity{}, Identity{}, true},
		{long('z', 60000), long('Z', 60000), true},
		{long('y', 60000), long('z', 60000), false},
	} {
		if got := sameIdentity(c.a, c.b); got != c.same {
			t.Errorf("%.40q and %.40q: %v", c.a.Data, c.b.Data, got)
		}
		if n := testing.AllocsPerRun(10, func() { sameIdentity(c.a, c.b) }); n > 0 {
			t.Errorf("%v allocations for %d octets", n, len(c.a.Data))
		}
	}
}
