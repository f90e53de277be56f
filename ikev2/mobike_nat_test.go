package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/kernel"
)

// Into a network behind a NAT and out of it: ESP gets into UDP and out of it.
func TestMobikeNATComesAndGoes(t *testing.T) {
	w, a, b, _, _ := mobile(t, false)
	a.initiate()
	w.settle()
	spi := spiOf(a)
	if b.kernel.one(t, kernel.Out).Encap != nil {
		t.Fatal("encapsulated without a NAT")
	}
	s := newSite("203.0.113.7")
	a.site = s
	a.readdress("10.9.9.9")
	w.settle()
	w.wantUp(a, b, 1, 1)
	port := s.ports[netip.MustParseAddrPort("10.9.9.9:4500")]
	if e := b.kernel.one(t, kernel.Out).Encap; e == nil || e.Remote != port || b.kernel.one(t, kernel.Out).Dst.String() != "203.0.113.7" {
		t.Errorf("the responder sends to %v, %v", b.kernel.one(t, kernel.Out).Dst, e)
	}
	if a.kernel.one(t, kernel.Out).Encap == nil || spiOf(a) != spi || !a.e.Status()[0].NATLocal {
		t.Error("the initiator does not know of the NAT, or has another child")
	}
	// RFC 4555 §3.8: the NAT forgets, and the initiator finds out by itself.
	s.rebind("203.0.113.99")
	w.advance(35 * time.Second)
	w.wantUp(a, b, 1, 1)
	if got := b.kernel.one(t, kernel.Out); got.Dst.String() != "203.0.113.99" || got.Encap.Remote != s.ports[netip.MustParseAddrPort("10.9.9.9:4500")] {
		t.Errorf("the responder sends to %v, %v", got.Dst, got.Encap)
	}
	b.wantReason(reasonPeerMoved)
	before := len(w.sent)
	w.advance(25 * time.Second)
	if len(w.sent) == before {
		t.Error("no keepalive")
	}
	a.site = nil
	a.readdress("192.0.2.1")
	w.settle()
	w.wantAt(a, b, "192.0.2.1", "192.0.2.2", spi)
	for _, n := range w.nodes {
		if n.kernel.one(t, kernel.Out).Encap != nil || n.kernel.one(t, kernel.In).Encap != nil {
			t.Errorf("%s is still encapsulated", n.name)
		}
	}
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = 0 })
	w.advance(time.Minute)
	before = len(w.sent)
	w.advance(2 * time.Minute)
	for _, p := range w.sent[before:] {
		if len(p.Data) == 1 {
			t.Fatal("a keepalive without a NAT")
		}
	}
	w.end(a, b)
}

// A NAT that rebinds does not move the peer by any packet, for it could be
// anybody's: RFC 4555 §3.8.
func TestMobikeNoDynamicUpdate(t *testing.T) {
	w, a, b, _, _ := mobile(t, false)
	s := newSite("203.0.113.7")
	a.site = s
	a.readdress("10.9.9.9")
	a.initiate()
	w.settle()
	at := b.e.Status()[0].RemoteAddr
	s.rebind("203.0.113.99")
	a.act(func(e *Engine) { e.all()[0].enqueue(&informTask{}) })
	w.settle()
	if got := b.e.Status()[0].RemoteAddr; got != at {
		t.Errorf("moved to %v", got)
	}
}

// Without NAT traversal NO_NATS_ALLOWED protects the addresses (RFC 4555 §3.9).
func TestMobikeNoNATs(t *testing.T) {
	setup := func(t *testing.T) (*world, *node, *node) {
		w, a, b, _, _ := mobile(t, false)
		for _, n := range w.nodes {
			n.change(func(s *Settings, r *Remote, _ *Child) { r.NATTraversal, s.NATPort = false, 0 })
		}
		return w, a, b
	}
	t.Run("none", func(t *testing.T) {
		w, a, b := setup(t)
		a.initiate()
		w.settle()
		spi := spiOf(a)
		a.readdress("192.0.2.11")
		w.settle()
		w.wantAt(a, b, "192.0.2.11", "192.0.2.2", spi)
		b.readdress("192.0.2.12")
		w.settle()
		w.wantAt(a, b, "192.0.2.11", "192.0.2.12", spi)
		b.wantNoReason(reasonUnexpectedNAT)
		a.wantNoReason(reasonUnexpectedNAT)
	})
	t.Run("in the beginning", func(t *testing.T) {
		w, a, b := setup(t)
		a.site = newSite("203.0.113.7")
		a.initiate()
		w.advance(time.Minute)
		if len(a.e.Status())+len(b.e.Status()) > 0 || len(a.failures) != 1 {
			t.Errorf("an IKE SA stands: %v %v, failures %+v", a.e.Status(), b.e.Status(), a.failures)
		}
		if c := b.e.Counters()[reasonUnexpectedNAT]; c != 6 {
			t.Errorf("tried %d times, want once and 5 times again", c)
		}
		a.wantNothing()
	})
	t.Run("later", func(t *testing.T) {
		w, a, b := setup(t)
		a.readdress("192.0.2.1", "192.0.2.13")
		a.initiate()
		w.settle()
		spi := spiOf(a)
		lies := 2
		w.filter = func(p Send) []Send {
			if p.Local.Addr().String() == "192.0.2.13" && lies > 0 {
				lies--
				p.Local = netip.MustParseAddrPort("192.0.2.13:777")
			}
			return []Send{p}
		}
		a.readdress("192.0.2.13")
		w.advance(20 * time.Second)
		w.wantAt(a, b, "192.0.2.13", "192.0.2.2", spi)
		b.wantReason(reasonUnexpectedNAT)
	})
}

// A child in transport mode is closed and made anew, by the end that moves; one
// whose end points are configured apart from the IKE SA stays there.
func TestMobikeTransportAndFixedEnds(t *testing.T) {
	w, a, b, spare, _ := mobile(t, false)
	for _, n := range w.nodes {
		n.change(func(_ *Settings, _ *Remote, c *Child) {
			c.Mode, c.Outbound[0] = kernel.Transport, selector("0.0.0.0/0", "0.0.0.0/0")
		})
	}
	a.initiate()
	w.settle()
	old := spiOf(a)
	a.readdress(spare)
	w.settle()
	w.wantUp(a, b, 1, 1)
	if got := b.kernel.one(t, kernel.Out).Dst.String(); got != spare || spiOf(a) == old {
		t.Errorf("the child is at %s, SPI %v", got, spiOf(a))
	}
	a.wantReason(reasonChildMoved)
	w.end(a, b)

	w, a, _, spare, _ = mobile(t, false)
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.PeerEnd = netip.MustParseAddr("192.0.2.200") })
	a.initiate()
	w.settle()
	a.readdress(spare)
	w.settle()
	if out := a.kernel.one(t, kernel.Out); out.Src.String() != spare || out.Dst.String() != "192.0.2.200" {
		t.Errorf("the child is at %v - %v", out.Src, out.Dst)
	}
	// A child that was configured for the address that went follows, as do later ones.
	w, a, b, spare, _ = mobile(t, false)
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.MyEnd = netip.MustParseAddr("192.0.2.1") })
	a.initiate()
	w.settle()
	a.readdress(spare)
	w.settle()
	a.expireSoft(t)
	w.settle()
	w.wantAt(a, b, spare, "192.0.2.2", 0)
}
