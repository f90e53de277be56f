package ikev2

import (
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
)

// wantSaid compares what a host has announced since the last time.
func (n *node) wantSaid(want ...string) {
	n.w.t.Helper()
	if !slices.Equal(n.said, want) {
		n.w.t.Errorf("%s announces\n  %s\nwant\n  %s", n.name, strings.Join(n.said, "\n  "), strings.Join(want, "\n  "))
	}
	n.said = nil
}

// A peer and its traffic come up once and go down once, whatever becomes of the
// SAs in between.
func TestAnnouncements(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	a.wantSaid("IKE SA tokyo up", "child kyoto_out up")
	b.wantSaid("IKE SA kyoto up", "child tokyo_out up")

	a.expireSoft(t)
	w.settle()
	a.wantSaid("child kyoto_out again")
	b.wantSaid("child tokyo_out again")
	for _, by := range []*node{a, b} {
		by.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
		w.settle()
		a.wantSaid("IKE SA tokyo again")
		b.wantSaid("IKE SA kyoto again")
	}
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	b.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	w.settle()
	w.wantUp(a, b, 1, 1)
	a.wantSaid("IKE SA tokyo again")
	b.wantSaid("IKE SA kyoto again")

	a.handle(Terminate{})
	w.settle()
	a.wantSaid("child kyoto_out down", "IKE SA tokyo down")
	b.wantSaid("child tokyo_out down", "IKE SA kyoto down")
	w.advance(2 * time.Minute)
	a.wantSaid()
	b.wantSaid()
}

func TestAnnouncementsOfReauthentication(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.AuthLifetime = time.Hour })
	a.initiate()
	w.settle()
	a.said, b.said = nil, nil
	w.advance(time.Hour)
	a.wantSaid("IKE SA tokyo again", "child kyoto_out again")
	b.wantSaid("IKE SA kyoto again", "child tokyo_out again")
}

// A move is announced once for the IKE SA, at both ends, and so is the way back.
func TestAnnouncementsOfMoves(t *testing.T) {
	w, a, b, spare, _ := mobile(t, false)
	a.initiate()
	w.settle()
	first, far := a.more[0].String(), b.more[0].String()
	a.said, b.said = nil, nil
	for _, to := range []string{spare, first} {
		from := first
		if to == first {
			from = spare
		}
		a.readdress(to)
		w.settle()
		w.advance(time.Minute)
		a.wantSaid("IKE SA " + a.e.settings.Remotes[0].Name + " moved from " + from + " - " + far + " to " + to + " - " + far)
		b.wantSaid("IKE SA " + b.e.settings.Remotes[0].Name + " moved from " + far + " - " + from + " to " + far + " - " + to)
	}
}

// What goes down says what was up, so that a script can undo what it did.
func TestChildDownDescribesTheChild(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	b.handle(KernelEvent{Event: kernel.Expire{ID: b.kernel.one(t, kernel.In).SAID, Hard: true}})
	w.settle()
	for _, n := range w.nodes {
		if len(n.ups) != 1 || len(n.downs) != 1 {
			t.Fatalf("%s: %d up, %d down", n.name, len(n.ups), len(n.downs))
		}
		up, down := n.ups[0].Info, n.downs[0].Info
		if up.SPIIn != down.SPIIn || up.Local != down.Local || up.Remote != down.Remote || !slices.Equal(up.TSLocal, down.TSLocal) {
			t.Errorf("%s: up %+v, down %+v", n.name, up, down)
		}
		if n.ups[0].Peer == "" || n.ups[0].Peer != n.downs[0].Peer {
			t.Errorf("%s: peer %q, then %q", n.name, n.ups[0].Peer, n.downs[0].Peer)
		}
	}
}
