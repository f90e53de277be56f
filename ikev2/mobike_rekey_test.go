package ikev2

import (
	"testing"
	"time"

	"racoon2/kernel"
)

// A tunnel to wherever the peer is (IP_RW) is rekeyed after the peer has moved, by either
// end, with the traffic that it had, and goes on following.
func TestMobikeRekeyAfterMove(t *testing.T) {
	for _, inner := range []string{"network", "own address"} {
		for _, byMover := range []bool{true, false} {
			w, a, b, spare, _ := mobile(t, false)
			b.change(func(_ *Settings, r *Remote, c *Child) {
				r.AnyPeer = true
				if inner == "own address" {
					c.Dynamic = true
					c.Outbound = []kernel.Selector{selector("10.0.2.0/24", "0.0.0.0/0")}
				}
			})
			if inner == "own address" {
				a.change(func(_ *Settings, _ *Remote, c *Child) {
					c.Outbound = []kernel.Selector{selector("192.0.2.1/32", "10.0.2.0/24")}
				})
			}
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 1)
			traffic := b.firstChild().traffic
			a.readdress(spare)
			w.advance(time.Minute)
			spi := spiOf(a)
			who := a
			if !byMover {
				who = b
			}
			who.act(func(*Engine) { who.firstChild().rekey() })
			w.advance(time.Minute)
			w.wantUp(a, b, 1, 1)
			c := b.firstChild()
			if spiOf(a) == spi || !c.traffic.equal(traffic) {
				t.Errorf("%s, by the mover %v: not rekeyed, or with %s to %s\n%s", inner, byMover, tsList(c.traffic.local), tsList(c.traffic.remote), b.log())
			}
			if out := b.kernel.one(t, kernel.Out); out.Dst.String() != spare {
				t.Errorf("%s, by the mover %v: sends to %v", inner, byMover, out.Dst)
			}
			if len(a.downs)+len(b.downs) != 0 {
				t.Errorf("downs %+v %+v", a.downs, b.downs)
			}
		}
	}
}
