package kink

import (
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// TestSPIOfAForeignSA: the SPI of an outbound SA is the peer's choice. Where the kernel has an
// SA by that name that is not KINK's, as IKEv2's with another peer behind the same address,
// the pair is refused and that SA stays.
func TestSPIOfAForeignSA(t *testing.T) {
	for _, threeWay := range []bool{false, true} {
		w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = threeWay })
		foreign := kernel.SA{SAID: kernel.SAID{Dst: a.addr, Proto: kernel.ESP, SPI: 0x4321}}
		b.refuse = func(op kernel.Op) error {
			switch op := op.(type) {
			case kernel.AddSA:
				if op.SA.SAID == foreign.SAID {
					return kernel.ErrExists
				}
			case kernel.DeleteSA:
				if op.ID == foreign.SAID {
					t.Error("an SA of somebody else's is deleted")
				}
			}
			return nil
		}
		s := w.stranger("192.0.2.1", "a", b)
		offer, err := offerOf(b.settings.Remotes[0].Children[0], foreign.SPI)
		if err != nil {
			t.Fatal(err)
		}
		s.command(message.CREATE, quick(t, offer, isakmp.Nonce{Data: make([]byte, 16)}))
		if threeWay {
			octets, session, err := s.ticket.APReq(w.now, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			ack, err := seal(&message.Message{Type: message.ACK, XID: s.xid, Payloads: []message.Payload{message.APReq{Epoch: s.epoch, Octets: octets}}}, nil, session)
			if err != nil {
				t.Fatal(err)
			}
			s.send(ack)
		}
		w.pass(5 * time.Minute)
		b.wantReason(reasonKernel)
		if b.e.Counters()["child_sas"] != 0 || len(b.e.bySAID) != 0 || len(b.keys) != 0 {
			t.Errorf("%d pairs, %d names, %d SAs\n%s", b.e.Counters()["child_sas"], len(b.e.bySAID), len(b.keys), b.said())
		}
	}
}
