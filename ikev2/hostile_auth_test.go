package ikev2

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
)

// An answer to IKE_AUTH that lacks the proof of who sent it makes no IKE SA, whatever
// else says that all is well (others took an early EAP Success for it).
func TestEarlySuccess(t *testing.T) {
	drop := func(kinds ...message.PayloadType) func([]message.Payload) []message.Payload {
		return func(l []message.Payload) []message.Payload {
			return slices.DeleteFunc(l, func(p message.Payload) bool { return slices.Contains(kinds, p.Type()) })
		}
	}
	success := &message.EAP{Data: []byte{3, 1, 0, 4}}
	for name, change := range map[string]func([]message.Payload) []message.Payload{
		"EAP Success alone":           func([]message.Payload) []message.Payload { return []message.Payload{success} },
		"EAP Success instead of AUTH": func(l []message.Payload) []message.Payload { return append(drop(message.PayloadAUTH)(l), success) },
		"no AUTH":                     drop(message.PayloadAUTH),
		"no IDr":                      drop(message.PayloadIDr),
		"empty":                       func([]message.Payload) []message.Payload { return nil },
		"AUTH of nothing": func(l []message.Payload) []message.Payload {
			return append(drop(message.PayloadAUTH)(l), &message.Auth{Method: message.AuthSharedKey, Data: make([]byte, 32)})
		},
		"AUTH NULL": func(l []message.Payload) []message.Payload {
			return append(drop(message.PayloadAUTH)(l), &message.Auth{Method: 13, Data: make([]byte, 32)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t)
			b.lie(message.IKE_AUTH, change)
			a.initiate()
			w.settle()
			if len(a.ups) != 0 || len(a.said) != 0 || len(a.failures) != 1 {
				t.Errorf("announced %v, failures %+v", a.said, a.failures)
			}
			w.advance(2 * time.Minute)
			a.wantNothing()
		})
	}
}

// Deletions, and anything else, in the clear change nothing in an IKE SA that stands.
func TestClearMessagesChangeNothing(t *testing.T) {
	for name, list := range map[string][]message.Payload{
		"of the IKE SA": {&message.Delete{Protocol: message.ProtocolIKE}},
		"of a child":    {&message.Delete{Protocol: message.ProtocolESP, SPIs: []uint32{0}}},
		"refusal":       {notify(message.AUTHENTICATION_FAILED, nil)},
		"INVALID_SPI":   {notify(message.INVALID_SPI, []byte{0, 0, 1, 2})},
		"nothing":       nil,
	} {
		for _, exchange := range []message.ExchangeType{message.INFORMATIONAL, message.IKE_AUTH, message.CREATE_CHILD_SA, message.IKE_SA_INIT} {
			w, a, b := pair(t)
			a.initiate()
			w.settle()
			a.act(func(e *Engine) { e.all()[0].probe() }) // a request is out
			probe := w.wire
			w.wire = nil
			for _, n := range []*node{a, b} {
				sa := n.e.all()[0]
				if d, ok := find[*message.Delete](&received{payloads: list}), len(list) > 0; ok && d != nil && len(d.SPIs) > 0 {
					d.SPIs[0] = uint32(sa.children[0].spiOut)
				}
				for _, flags := range []message.Flags{0, message.FlagInitiator, message.FlagResponse, message.FlagResponse | message.FlagInitiator} {
					for id := range uint32(4) {
						data, err := message.Encode(&message.Message{
							Header: message.Header{SPIi: sa.spii, SPIr: sa.spir, Major: 2, Exchange: exchange, Flags: flags, MessageID: id}, Payloads: list})
						if err != nil {
							t.Fatal(err)
						}
						n.handle(Datagram{Local: sa.local, Remote: sa.peer, Data: data})
					}
				}
			}
			w.wire = append(w.wire, probe...)
			w.advance(time.Minute)
			w.wantUp(a, b, 1, 1)
			if t.Failed() {
				t.Fatalf("%s in exchange %d", name, exchange)
			}
		}
	}
}

// Payloads that somebody puts in front of the encrypted one, or of a fragment, are found
// by the checksum: nothing is kept, and the IKE SA stands.
func TestPayloadsBeforeTheEncrypted(t *testing.T) {
	for _, fragments := range []bool{false, true} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		var parts [][]byte
		sa := a.e.all()[0]
		if fragments {
			parts = [][]byte{a.craft(1, 2, 100), a.craft(2, 2, 100)}
		} else {
			whole, err := sa.seal(message.INFORMATIONAL, sa.x.next, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			parts = whole
		}
		for _, data := range parts {
			for _, kind := range []byte{43, 200, 41} {
				bad := slices.Clone(data[:message.HeaderLen])
				bad = append(bad, data[16], 0, 0, 8, 0, 0, 0, 0)
				bad = append(bad, data[message.HeaderLen:]...)
				bad[16] = kind
				binary.BigEndian.PutUint32(bad[24:], uint32(len(bad)))
				b.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: bad})
			}
		}
		if b.e.reassembling != 0 {
			t.Errorf("%d octets are kept", b.e.reassembling)
		}
		if b.e.Counters()[reasonIntegrity]+b.e.Counters()[reasonInvalidSyntax]+b.e.Counters()[reasonFragment] == 0 {
			t.Errorf("nothing was counted:\n%s", b.log())
		}
		w.advance(time.Minute)
		w.wantUp(a, b, 1, 1)
	}
}
