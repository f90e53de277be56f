package userspace

import (
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest/netlab"
)

// Traffic passes between two hosts, and the wire shows only ESP.
func TestPathBetweenHosts(t *testing.T) {
	for _, c := range []struct {
		name string
		w    tunnel
		kind netlab.Kind
	}{
		{"transport v4 protocol 50", tunnel{mode: kernel.Transport, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.9.0.1/32", outer: "10.9.0.2/32"}, netlab.ESP},
		{"transport v6 protocol 50", tunnel{mode: kernel.Transport, local: "fd09::1", peer: "fd09::2", inner: "fd09::1/128", outer: "fd09::2/128"}, netlab.ESP},
		{"transport v4 UDP", tunnel{mode: kernel.Transport, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.9.0.1/32", outer: "10.9.0.2/32", port1: 4500, port2: 4500}, netlab.ESPInUDP},
		{"transport v6 UDP", tunnel{mode: kernel.Transport, local: "fd09::1", peer: "fd09::2", inner: "fd09::1/128", outer: "fd09::2/128", port1: 4500, port2: 4500}, netlab.ESPInUDP},
		{"tunnel v4 in v4", tunnel{mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24"}, netlab.ESP},
		{"tunnel v6 in v6", tunnel{mode: kernel.Tunnel, local: "fd09::1", peer: "fd09::2", inner: "fd01::/64", outer: "fd02::/64"}, netlab.ESP},
		{"tunnel v6 in v4", tunnel{mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", inner: "fd01::/64", outer: "fd02::/64"}, netlab.ESP},
		{"tunnel v4 in v6", tunnel{mode: kernel.Tunnel, local: "fd09::1", peer: "fd09::2", inner: "10.1.0.0/24", outer: "10.2.0.0/24"}, netlab.ESP},
		{"tunnel v4 in v4 UDP", tunnel{mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", port1: 4500, port2: 4500}, netlab.ESPInUDP},
		{"tunnel v4 in v6 UDP", tunnel{mode: kernel.Tunnel, local: "fd09::1", peer: "fd09::2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", port1: 4500, port2: 4500}, netlab.ESPInUDP},
		{"tunnel between the hosts", tunnel{mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.9.0.1/32", outer: "10.9.0.2/32"}, netlab.ESP},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, na, nb := hostPair(t)
			must(t, na.Address("lo", "10.1.0.1/32", "fd01::1/128"), nb.Address("lo", "10.2.0.1/32", "fd02::1/128"))
			a, b := start(t, na, Options{}), start(t, nb, Options{})
			c.w.reqID = 1
			if c.w.port1 != 0 {
				for _, local := range []string{"10.9.0.1:4500", "[fd09::1]:4500"} {
					a.encap(local)
				}
				for _, local := range []string{"10.9.0.2:4500", "[fd09::2]:4500"} {
					b.encap(local)
				}
			}
			a.policies(c.w, c.w.selector())
			b.policies(c.w.reversed(), c.w.selector().Reverse())
			a.sas(c.w, true, 1)
			b.sas(c.w.reversed(), false, 1)
			wire, err := nb.Capture("eth0")
			must(t, err)

			to := c.w.selector().Dst.Addr()
			if !c.w.selector().Dst.IsSingleIP() {
				to = to.Next()
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("a counted %v", a.backend.Counters())
					t.Logf("b counted %v", b.backend.Counters())
					for _, f := range wire.Frames() {
						t.Logf("wire: %v %v > %v proto %d, %d octets", f.Kind, f.Src, f.Dst, f.Proto, len(f.Octets))
					}
				}
			})
			must(t, a.Ping(ping(to.String())))
			from := c.w.selector().Src.Addr()
			if !c.w.selector().Src.IsSingleIP() {
				from = from.Next()
			}
			must(t, b.Ping(ping(from.String())))

			clear, esp := wire.Count(netlab.Clear), wire.Count(c.kind)
			if clear != 0 || esp < 4 {
				t.Errorf("on the wire: %d clear and %d %v packets, want 0 and 4", clear, esp, c.kind)
			}
			if w := a.backend.Warnings(); len(w) > 0 {
				t.Logf("warnings: %q", w)
			}
		})
	}
}

// Without an SA nothing leaves; the first packet asks for one, and goes out
// when the SA is there.
func TestAcquire(t *testing.T) {
	for _, c := range []struct {
		name string
		w    tunnel
	}{
		{"transport v4", tunnel{mode: kernel.Transport, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.9.0.1/32", outer: "10.9.0.2/32", reqID: 7}},
		{"transport v6", tunnel{mode: kernel.Transport, local: "fd09::1", peer: "fd09::2", inner: "fd09::1/128", outer: "fd09::2/128", reqID: 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, na, nb := hostPair(t)
			a, b := start(t, na, Options{}), start(t, nb, Options{})
			a.policies(c.w, c.w.selector())
			b.policies(c.w.reversed(), c.w.selector().Reverse())
			wire, err := nb.Capture("eth0")
			must(t, err)

			answered := make(chan error)
			p := ping(c.w.peer)
			p.Timeout = 5 * time.Second
			go func() { answered <- na.Ping(p) }()
			acquire, ok := a.event().(kernel.Acquire)
			if !ok || acquire.Template.ReqID != 7 || acquire.Packet.Src.String() != c.w.inner || acquire.Packet.Dst.String() != c.w.outer {
				t.Fatalf("event %+v", acquire)
			}
			b.sas(c.w.reversed(), false, 1)
			a.sas(c.w, true, 1)
			must(t, <-answered)
			if n := wire.Count(netlab.Clear); n != 0 {
				t.Errorf("%d clear packets on the wire", n)
			}
			if states := a.do(kernel.DumpSA{}).SAs; len(states) != 2 || states[0].Packets != 1 || states[1].Packets != 1 {
				t.Errorf("SAs: %+v", states)
			}
		})
	}
}
