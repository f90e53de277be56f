package ikev2

import (
	"testing"
	"time"

	"racoon2/kernel"
)

// Either end can have ESP in UDP without any NAT, in both modes; the tunnel is
// rekeyed on the same ports, and the one that forces it keeps the ports open.
func TestForceNAT(t *testing.T) {
	for _, who := range []int{0, 1} {
		for _, mode := range []kernel.Mode{kernel.Tunnel, kernel.Transport} {
			w, a, b := pair(t)
			w.nodes[who].change(func(_ *Settings, r *Remote, _ *Child) { r.ForceNAT = true })
			if mode == kernel.Transport {
				for _, n := range w.nodes {
					n.change(func(_ *Settings, r *Remote, c *Child) {
						c.Mode = mode
						c.Outbound = []kernel.Selector{selector(n.addr.String()+"/32", r.Peers[0].Addr().String()+"/32")}
					})
				}
			}
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 1)
			for _, n := range w.nodes {
				i := n.e.Status()[0]
				if i.NATLocal != (n == w.nodes[who]) || i.NATRemote == i.NATLocal || i.LocalAddr.Port() != 4500 || i.RemoteAddr.Port() != 4500 {
					t.Errorf("%s sees NATs %v %v, ports %v %v", n.name, i.NATLocal, i.NATRemote, i.LocalAddr, i.RemoteAddr)
				}
				if e := n.kernel.one(t, kernel.Out).Encap; e == nil || *e != (kernel.Encap{Local: 4500, Remote: 4500}) {
					t.Errorf("%s encapsulates %+v", n.name, e)
				}
			}
			before := len(w.sent)
			w.advance(2*keepaliveInterval + time.Second)
			if n := len(w.sent) - before; n != 2 {
				t.Errorf("%d keepalives, want 2", n)
			}
			b.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
			w.settle()
			w.wantUp(a, b, 1, 1)
			a.handle(Terminate{})
			w.settle()
			a.wantNothing()
			b.wantNothing()
		}
	}
}

// A host without the port for it does not pretend.
func TestForceNATWithoutPort(t *testing.T) {
	w, a, b := pair(t)
	a.change(func(s *Settings, r *Remote, _ *Child) { r.ForceNAT = true; s.NATPort = 0 })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if a.kernel.one(t, kernel.Out).Encap != nil {
		t.Error("ESP is encapsulated")
	}
}
