package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// Concurrent acquires for a child that is being negotiated are one child; an
// acquire that crossed the child is none.
func TestAcquiresAreOne(t *testing.T) {
	w, a, b := pair(t)
	packet := selector("10.0.1.5/32", "10.0.2.6/32")
	packet.Proto = 6
	packet.SrcPort, packet.DstPort = kernel.PortRange{First: 1024, Last: 1024}, kernel.PortRange{First: 80, Last: 80}
	ask := Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet}
	a.handle(ask)
	a.handle(ask)
	w.settle()
	a.handle(ask)
	w.settle()
	w.wantUp(a, b, 1, 1)
	c := a.e.Status()[0].Children[0]
	if tsList(c.TSLocal) != "10.0.1.0/24[any] any" || tsList(c.TSRemote) != "10.0.2.0/24[any] any" {
		t.Errorf("traffic %s to %s", tsList(c.TSLocal), tsList(c.TSRemote))
	}
	// Later on the same packet means that the kernel has lost its SAs.
	w.advance(time.Minute)
	a.handle(ask)
	w.settle()
	w.wantUp(a, b, 1, 2)
}

// The packet's own selectors come first in the request (RFC 7296 §2.9), and a
// responder that allows only part of the rest still includes them.
func TestNarrowingKeepsThePacket(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, _ *Remote, c *Child) {
		c.Outbound = []kernel.Selector{selector("10.0.2.0/28", "10.0.1.0/25"), selector("10.0.2.64/26", "10.0.1.0/24")}
	})
	packet := selector("10.0.1.200/32", "10.0.2.70/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	w.wantUp(a, b, 1, 1)
	c := a.e.Status()[0].Children[0]
	if tsList(c.TSLocal) != "10.0.1.0/24[any] any" || tsList(c.TSRemote) != "10.0.2.64/26[any] any" {
		t.Errorf("narrowed to %s and %s", tsList(c.TSLocal), tsList(c.TSRemote))
	}
	if got := a.kernel.one(t, kernel.Out).Selector; got != selector("10.0.1.0/24", "10.0.2.64/26") {
		t.Errorf("kernel selector %+v", got)
	}
}

// A packet outside of what the peer narrows to makes no second child like the
// first: the peer is told to forget it, and whoever asked that it was in vain.
func TestNarrowingWithoutThePacket(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(_ *Settings, _ *Remote, c *Child) {
		c.Outbound = []kernel.Selector{selector("10.0.2.0/24", "10.0.1.0/25")}
	})
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	packet := selector("10.0.1.200/32", "10.0.2.70/32")
	for range 3 {
		a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
		w.settle()
	}
	w.wantUp(a, b, 1, 1)
	a.wantReason(reasonTSUnacceptable)
	if len(a.failures) != 3 {
		t.Errorf("%d failures reported, want 3", len(a.failures))
	}
}

// Further children use the IKE SA that stands, from both ends, with and
// without perfect forward secrecy.
func TestFurtherChildren(t *testing.T) {
	for _, group := range []transform.KE{transform.KE_NONE, transform.KE_ECP_256} {
		t.Run(group.String(), func(t *testing.T) {
			w, a, b := pair(t)
			nets := map[*node][2]string{a: {"10.0.1.0/24", "10.0.3.0/24"}, b: {"10.0.3.0/24", "10.0.1.0/24"}}
			for _, n := range w.nodes {
				n.change(func(_ *Settings, r *Remote, c *Child) {
					second := *c
					second.Name = n.name + "_second"
					second.Outbound = []kernel.Selector{selector(nets[n][0], nets[n][1])}
					second.ReqID = 8
					p := testChildProposal()
					if group != transform.KE_NONE {
						p.KE = []transform.KE{group}
					}
					second.Proposals = []ChildProposal{p}
					r.Children = append(r.Children, &second)
				})
			}
			a.initiate()
			a.handle(Initiate{Remote: "tokyo", Child: "kyoto_second"})
			w.settle()
			w.wantUp(a, b, 1, 2)
			b.handle(Terminate{Child: b.e.Status()[0].Children[1].SPIIn})
			w.settle()
			w.wantUp(a, b, 1, 1)
			b.handle(Initiate{Remote: "kyoto", Child: "tokyo_second"})
			w.settle()
			w.wantUp(a, b, 1, 2)
			ke := ""
			if group != transform.KE_NONE {
				ke = group.String()
			}
			if got := a.e.Status()[0].Children[1].KE; got != ke {
				t.Errorf("key exchange %q, want %q", got, ke)
			}
			if len(w.sent) != 4+2+2+2 {
				t.Errorf("%d datagrams, want 10", len(w.sent))
			}
		})
	}
}

func TestRouteFails(t *testing.T) {
	w, a, _ := pair(t)
	a.addr = netip.Addr{}
	a.initiate()
	w.settle()
	a.wantReason(reasonNoRoute)
	if len(a.failures) != 1 {
		t.Errorf("failures %+v", a.failures)
	}
	a.wantNothing()
}

// The tunnel's own end points are used where they are given.
func TestTunnelEndPoints(t *testing.T) {
	w, a, b := pair(t)
	end := netip.MustParseAddr("192.0.2.1")
	a.change(func(_ *Settings, _ *Remote, c *Child) { c.MyEnd = end; c.PeerEnd = netip.MustParseAddr("192.0.2.77") })
	a.initiate()
	w.settle()
	if out := a.kernel.one(t, kernel.Out); out.Dst != netip.MustParseAddr("192.0.2.77") || out.Src != end {
		t.Errorf("outbound SA from %s to %s", out.Src, out.Dst)
	}
	if in := a.kernel.one(t, kernel.In); in.Dst != end {
		t.Errorf("inbound SA to %s", in.Dst)
	}
	_ = b
}

// Initiate for things that are not there.
func TestInitiateNothing(t *testing.T) {
	_, a, _ := pair(t)
	a.handle(Initiate{Remote: "osaka", Child: "x"})
	a.handle(Initiate{Remote: "tokyo", Child: "x"})
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Passive = true })
	a.initiate()
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.Passive, r.Peers = false, nil })
	a.initiate()
	if len(a.failures) != 4 {
		t.Errorf("%d failures, want 4: %+v", len(a.failures), a.failures)
	}
	a.wantNothing()
}
