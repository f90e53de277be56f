package ikev2

import (
	"testing"
	"time"
)

// A remote's name has another address: MOBIKE moves what this host has begun, and
// what it has not is made anew.
func TestMobikePeerAddresses(t *testing.T) {
	for _, began := range []bool{true, false} {
		w, a, b, _, spare := mobile(t, false)
		b.readdress("192.0.2.2", spare)
		if began {
			a.initiate()
		} else {
			b.initiate()
		}
		w.settle()
		spi := spiOf(a)
		a.change(func(_ *Settings, r *Remote, _ *Child) { r.AnyPeer = false })
		a.handle(PeerAddresses{Remote: "tokyo", Peers: addrPorts(spare)})
		w.advance(time.Minute)
		if !began {
			spi = 0
		}
		w.wantAt(a, b, "192.0.2.1", spare, spi)
		w.end(a, b)
	}
}

// Addresses that change all the time end in the last one.
func TestMobikeFlapping(t *testing.T) {
	for step := range 6 {
		w, a, b, spare, _ := mobile(t, false)
		a.initiate()
		w.settle()
		spi := spiOf(a)
		for i := range 9 {
			a.readdress([]string{spare, "192.0.2.31", "192.0.2.1"}[i%3])
			for range step {
				if len(w.wire) > 0 {
					w.step()
				}
			}
		}
		a.readdress(spare)
		w.advance(time.Minute)
		w.wantAt(a, b, spare, "192.0.2.2", spi)
		w.end(a, b)
	}
}

// The responder's address goes and is back before anybody heard of the other one:
// both ends use the same pair all the same.
func TestMobikeResponderFlaps(t *testing.T) {
	for steps := range 5 {
		for _, lost := range []bool{false, true} {
			w, a, b, _, spare := mobile(t, false)
			b.readdress("192.0.2.2", spare)
			a.initiate()
			w.settle()
			b.readdress(spare)
			for range steps {
				if len(w.wire) > 0 {
					w.step()
				}
			}
			if lost {
				w.wire = nil
				until := w.now.Add(4 * time.Second)
				w.filter = func(p Send) []Send {
					if p.Local.Addr().String() == spare && w.now.Before(until) {
						return nil
					}
					return []Send{p}
				}
			}
			b.readdress(spare, "192.0.2.2")
			w.advance(time.Minute)
			w.wantAt(a, b, "192.0.2.1", a.e.Status()[0].RemoteAddr.Addr().String(), 0)
			w.end(a, b)
		}
	}
}
