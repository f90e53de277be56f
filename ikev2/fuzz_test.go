package ikev2

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// Random changes of real messages, in every state: no panic, no lasting harm
// beyond what an unauthenticated message may do, and bounded memory.
func TestMutatedDatagrams(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, a, b := pair(t)
		b.change(func(s *Settings, r *Remote, _ *Child) { r.AnyPeer, s.MaxHalfOpen = true, 64 })
		w.filter = func(p Send) []Send {
			all := []Send{}
			for range 4 {
				m := p
				m.Data = mutate(r, p.Data)
				if x, _ := exchangeOf(p); x == message.IKE_SA_INIT {
					m.Local = netip.AddrPortFrom(m.Local.Addr(), uint16(1024+r.IntN(4))) // a forger elsewhere
					if p.Local.Addr() == b.addr {
						continue // a forged answer may well win: it is not authenticated
					}
				}
				all = append(all, m)
			}
			return append(all, p)
		}
		a.initiate()
		w.advance(5 * time.Second)
		if len(a.ups) != 1 || len(b.ups) != 1 {
			t.Fatalf("seed %d: the tunnel did not come up\n%s\n%s", seed, a.log(), b.log())
		}
		a.expireSoft(t)
		w.advance(5 * time.Second)
		a.handle(Terminate{})
		w.advance(5 * time.Minute)
		a.wantNothing()
		b.wantNothing()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func mutate(r *rand.Rand, data []byte) []byte {
	b := slices.Clone(data)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			break
		}
		switch r.IntN(5) {
		case 0:
			b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
		case 1:
			b = b[:r.IntN(len(b)+1)]
		case 2:
			b[r.IntN(len(b))] = byte(r.Uint32())
		case 3:
			b = append(b, byte(r.Uint32()))
		case 4: // a length that fits again, so that the payloads are looked at
			if len(b) >= 28 {
				binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
			}
		}
	}
	if slices.Equal(b, data) {
		return nil
	}
	return b
}

// FuzzDatagram gives one datagram to engines in every state.
func FuzzDatagram(f *testing.F) {
	w := newWorld(new(testing.T))
	a := w.add("kyoto", "192.0.2.1", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
	w.add("tokyo", "192.0.2.2", testSettings("tokyo", "kyoto", "192.0.2.1", "10.0.2.0/24", "10.0.1.0/24"))
	a.initiate()
	w.settle()
	for _, p := range w.sent {
		f.Add(p.Data)
	}
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		w, a, b := pair(t)
		inject := func() {
			for _, n := range w.nodes {
				for _, sa := range n.e.all() { // as if it were for an SA that is there
					forged := slices.Clone(data)
					if len(forged) >= 28 {
						binary.BigEndian.PutUint64(forged, sa.spii)
						binary.BigEndian.PutUint64(forged[8:], sa.spir)
					}
					n.at("198.51.100.1:500", forged)
				}
				n.at("198.51.100.1:500", data)
			}
		}
		inject()
		a.initiate()
		for range 20 { // not until silence: an injection may be answered each time
			if len(w.wire) > 0 {
				inject()
				w.step()
			}
		}
		w.advance(time.Minute)
		a.handle(Terminate{})
		b.handle(Terminate{})
		inject()
		w.advance(time.Minute)
	})
}

// FuzzAuthentic gives payloads that an authenticated peer sends to an
// established IKE SA.
func FuzzAuthentic(f *testing.F) {
	for _, list := range [][]message.Payload{
		nil,
		{&message.Delete{Protocol: message.ProtocolIKE}},
		{&message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{0x1001}}},
		{&message.SA{Proposals: offer((&Child{Proposals: []ChildProposal{testChildProposal()}}).alternatives(keNever, nil), []byte{1, 2, 3, 4})},
			&message.Nonce{Data: make([]byte, 32)},
			&message.TS{Initiator: true, Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.1.1"))}},
			&message.TS{Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.2.1"))}}},
		{compPayload(0x1234, transform.COMP_DEFLATE), notify(message.ADDITIONAL_TS_POSSIBLE, nil),
			&message.SA{Proposals: offer((&Child{Proposals: []ChildProposal{testChildProposal()}}).alternatives(keNever, nil), []byte{1, 2, 3, 4})},
			&message.Nonce{Data: make([]byte, 32)},
			&message.TS{Initiator: true, Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.1.1"))}},
			&message.TS{Selectors: []message.TrafficSelector{hostTS(netip.MustParseAddr("10.0.2.1"))}}},
		{&message.Delete{Protocol: message.ProtocolAH, SPIs: []uint32{0x1001}}, &message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{0x1001}}},
	} {
		first, body, err := message.EncodePayloads(list)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(message.INFORMATIONAL), uint8(first), body)
		f.Add(uint8(message.CREATE_CHILD_SA), uint8(first), body)
	}
	f.Fuzz(func(t *testing.T, exchange, first uint8, body []byte) {
		list, err := message.DecodePayloads(message.PayloadType(first), slices.Clone(body))
		if err != nil || len(body) > 8000 {
			return
		}
		w, a, b := pair(t)
		if len(body)%2 == 0 {
			w, a, b = protected(t, false, kernel.Tunnel, testChildProposal(), transform.COMP_DEFLATE)
		}
		a.initiate()
		w.settle()
		sa := a.e.all()[0]
		data, err := sa.seal(message.ExchangeType(exchange), sa.x.next, false, list)
		if err != nil {
			return // contains what cannot be encoded again
		}
		b.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data[0]})
		w.advance(time.Minute)
		b.handle(Shutdown{})
		w.advance(time.Minute)
		b.wantNothing()
	})
}
