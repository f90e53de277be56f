package kink

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kink/message"
)

// TestDeletedInTheMaking: the peer deletes a pair whose SAs are still on their way into this
// host's kernel. Nothing of it stays, and the transaction comes to its end.
func TestDeletedInTheMaking(t *testing.T) {
	for _, grace := range []time.Duration{0, 10 * time.Second} {
		for step := range 6 {
			t.Run(fmt.Sprint(grace, " ", step), func(t *testing.T) {
				w, a, b := pairOfHosts(t, func(r *Remote, _ *Child) { r.Grace = grace })
				w.create(a)
				w.expireSoft(a) // what is made replaces another pair
				w.pass(time.Minute)
				w.late = rand.New(rand.NewPCG(1, 2))
				a.handle(Initiate{Remote: "b", Child: "out", Packet: &a.settings.Remotes[0].Children[0].Outbound[0]})
				for b.e.Counters()["child_sas"] < 2 {
					for _, n := range w.nodes {
						for len(n.inbox) > 0 {
							in := n.inbox[0]
							n.inbox = n.inbox[1:]
							n.handle(in)
						}
					}
					if len(w.wire) > 0 && message.Type(w.wire[0].Data[0]) != message.REPLY {
						w.step()
					}
				}
				w.step() // the REPLY
				for range min(step, len(a.inbox)) {
					in := a.inbox[0]
					a.inbox = a.inbox[1:]
					a.handle(in)
				}
				b.handle(Terminate{})
				for len(b.inbox) > 0 { // tickets
					in := b.inbox[0]
					b.inbox = b.inbox[1:]
					b.handle(in)
				}
				for range len(w.wire) {
					w.step()
				}
				w.settle()
				w.pass(5 * time.Minute)
				for _, n := range w.nodes {
					if len(n.e.outgoing) != 0 || len(n.e.pairs) != 0 || len(n.keys) != 0 {
						t.Errorf("%s has %d transactions, %d pairs, %d SAs left\n%s", n.name, len(n.e.outgoing), len(n.e.pairs), len(n.keys), n.said())
					}
				}
			})
		}
	}
}

// TestExpiryInTheMaking: the kernel ends the optimistic inbound SA while the peer's REPLY is on
// its way. The transaction comes to its end all the same, and nothing stays.
func TestExpiryInTheMaking(t *testing.T) {
	w, a, _ := pairOfHosts(t)
	var held []Send
	w.filter = func(p Send) []Send {
		if message.Type(p.Data[0]) == message.REPLY && len(held) == 0 {
			held = append(held, p)
			return nil
		}
		return []Send{p}
	}
	a.handle(Initiate{Remote: "b", Child: "out"})
	w.settle()
	w.filter = nil
	for id := range a.keys {
		a.handle(KernelEvent{Event: kernel.Expire{ID: id, Hard: true}})
	}
	w.deliver(held[0])
	w.settle()
	w.pass(2 * time.Minute)
	for _, n := range w.nodes {
		if len(n.e.outgoing) != 0 || len(n.e.pairs) != 0 || len(n.e.bySAID) != 0 || len(n.keys) != 0 {
			t.Errorf("%s has %d transactions, %d pairs, %d names and %d SAs left\n%s", n.name, len(n.e.outgoing), len(n.e.pairs), len(n.e.bySAID), len(n.keys), n.said())
		}
	}
}
