//go:build linux

package integration

import (
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// With level use traffic passes in clear while the peer does not speak IPsec, and
// as ESP as soon as it does.
func TestLevelUse(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, family, "transport", false)
			p.a.conf.Policy, p.b.conf.Policy = "\tipsec_level use;\n", "\tipsec_level use;\n"
			p.a.configure()
			p.b.configure()
			w := p.watch(t)
			p.a.start()
			ping(t, p.left, p.src, p.dst, 15*time.Second)
			if len(w.sent(netlab.Clear)) == 0 {
				t.Error("nothing was sent in clear")
			}
			p.b.start()
			waitFor(t, 60*time.Second, "ESP", func() bool {
				_ = p.left.ns.Ping(netlab.Ping{From: p.src, To: p.dst, Timeout: time.Second})
				return len(w.sent(netlab.ESP)) >= 2
			})
			w.reset()
			ping(t, p.left, p.src, p.dst, 15*time.Second)
			w.wantESP(netlab.ESP, 2)
		})
	}
}

// With level unique selectors to the same peer have SAs of their own.
func TestLevelUnique(t *testing.T) {
	p := newPair(t, "v4", "tunnel", false)
	for _, r := range []*racoon2{p.a, p.b} {
		r.conf.Policy = "\tipsec_level unique;\n"
		r.configure()
		c := r.conf
		r.write("racoon2.conf", c.render(r.dir+"/peer.psk")+`
selector outer_out { direction outbound; src `+c.MyAddr+`; dst `+c.PeerNet+`; policy_index protect; };
selector outer_in { direction inbound; src `+c.PeerNet+`; dst `+c.MyAddr+`; policy_index protect; };
selector back_out { direction outbound; src `+c.MyNet+`; dst `+c.PeerAddr+`; policy_index protect; };
selector back_in { direction inbound; src `+c.PeerAddr+`; dst `+c.MyNet+`; policy_index protect; };
`)
	}
	w := p.watch(t)
	p.start()
	ping(t, p.left, p.left.inner, p.right.inner, 15*time.Second)
	ping(t, p.left, p.left.outer, p.right.inner, 15*time.Second)
	w.wantNoClear()
	reqIDs := map[uint32]string{}
	for _, i := range p.a.status().IKESAs {
		for _, c := range i.Children {
			if other := reqIDs[c.ReqID]; other != "" && other != c.Name {
				t.Errorf("%s and %s share reqid %d", other, c.Name, c.ReqID)
			}
			reqIDs[c.ReqID] = c.Name
			if c.Out == nil || c.Out.Packets == 0 {
				t.Errorf("child %s has carried nothing: %+v", c.Name, c.Out)
			}
		}
	}
	if len(reqIDs) != 2 {
		t.Errorf("children %v", reqIDs)
	}
}
