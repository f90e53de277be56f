package kink

import (
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kink/message"
)

func TestCreateTwoWay(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(a)
	w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT")
	w.wantPairs(1)
	if len(a.ups) != 1 || len(b.ups) != 1 || !a.ups[0].Info.Initiator || b.ups[0].Info.Initiator {
		t.Errorf("ups: %+v, %+v\n%s%s", a.ups, b.ups, a.said(), b.said())
	}
	info := a.e.Status()
	if len(info) != 1 || info[0].Principal != principal("b") || len(info[0].Children) != 1 || info[0].Children[0].Encr != "ENCR_AES_GCM_16-256" || info[0].Epoch == 0 {
		t.Errorf("status: %+v", info)
	}
}

func TestCreateThreeWay(t *testing.T) {
	w, a, b := pairOfHosts(t)
	b.settings.Remotes[0].Children[0].Proposals = []Proposal{cbc} // not a's first choice
	w.create(a)
	w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY ACKREQ AP_REP ENCRYPT", "a > b ACK AP_REQ")
	w.wantPairs(1)
	if a.ups[0].Info.Encr != "ENCR_AES_CBC-128" || len(b.ups) != 1 {
		t.Errorf("ups: %+v %+v", a.ups, b.ups)
	}
}

func TestCreateThreeWayForced(t *testing.T) {
	w, a, _ := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
	w.create(a)
	w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY ACKREQ AP_REP ENCRYPT", "a > b ACK AP_REQ")
	w.wantPairs(1)
}

// Traffic of the responder may come before the ACK: its own CREATE would only
// make a second pair.
func TestAcquireBeforeTheACK(t *testing.T) {
	w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.ThreeWay = true })
	w.filter = func(s Send) []Send {
		if h, _ := message.Peek(s.Data); h.Type == message.ACK {
			return nil
		}
		return []Send{s}
	}
	w.create(a)
	w.sent = nil
	b.handle(Initiate{Remote: "a", Child: b.settings.Remotes[0].Children[0].Name})
	w.settle()
	w.wantLadder()
	w.filter = nil
	w.pass(3 * time.Second) // the REPLY comes again, and with it the ACK
	w.wantPairs(1)
}

func TestDeleteFromEitherSide(t *testing.T) {
	for _, from := range []int{0, 1} {
		w, a, b := pairOfHosts(t)
		w.create(a)
		w.sent = nil
		w.nodes[from].handle(Terminate{Remote: w.nodes[1-from].name, Reason: "asked to"})
		w.settle()
		names := []string{"a", "b"}
		w.wantLadder(names[from]+" > "+names[1-from]+" DELETE AP_REQ ENCRYPT", names[1-from]+" > "+names[from]+" REPLY AP_REP ENCRYPT")
		if n := len(a.keys) + len(b.keys); n != 2 {
			t.Errorf("%d SAs in the grace time, want both inbound ones", n)
		}
		w.pass(11 * time.Second)
		w.wantPairs(0)
		if len(a.downs) != 1 || len(b.downs) != 1 {
			t.Fatalf("downs: %+v %+v", a.downs, b.downs)
		}
		for _, n := range w.nodes {
			if up, down := n.ups[0], n.downs[0]; up.Again || up.Told || up.Peer == "" || up.Peer != down.Peer || up.Info.SPIIn != down.Info.SPIIn {
				t.Errorf("%s: up %+v, down %+v", n.name, up, down)
			}
		}
	}
}

func TestRekeyBeforeTheOldGoes(t *testing.T) {
	w, a, b := pairOfHosts(t)
	w.create(a)
	w.sent = nil
	old := a.ups[0].Info
	a.handle(KernelEvent{Event: kernel.Expire{ID: kernel.SAID{Dst: old.Remote, Proto: kernel.ESP, SPI: old.SPIOut}}})
	b.handle(KernelEvent{Event: kernel.Expire{ID: kernel.SAID{Dst: old.Remote, Proto: kernel.ESP, SPI: old.SPIOut}}}) // the responder never rekeys
	w.settle()
	w.wantLadder("a > b CREATE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT", "a > b DELETE AP_REQ ENCRYPT", "b > a REPLY AP_REP ENCRYPT")
	w.pass(15 * time.Second)
	w.wantPairs(1)
	if len(a.downs) != 0 || len(b.downs) != 0 {
		t.Errorf("downs: %+v %+v", a.downs, b.downs)
	}
	for _, n := range w.nodes {
		if len(n.ups) != 2 || n.ups[0].Again || !n.ups[1].Again {
			t.Errorf("%s: ups %+v", n.name, n.ups)
		}
	}
}
