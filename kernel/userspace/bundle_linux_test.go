package userspace

import (
	"testing"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest/netlab"
)

// AH and bundles pass between hosts, of all sizes, in both families and modes, and
// the wire shows the outermost protocol alone.
func TestBundlesBetweenHosts(t *testing.T) {
	for _, w := range []tunnel{
		{mode: kernel.Transport, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.9.0.1/32", outer: "10.9.0.2/32", reqID: 1},
		{mode: kernel.Transport, local: "fd09::1", peer: "fd09::2", inner: "fd09::1/128", outer: "fd09::2/128", reqID: 1},
		{mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.1.0.0/24", outer: "10.2.0.0/24", reqID: 1},
		{mode: kernel.Tunnel, local: "fd09::1", peer: "fd09::2", inner: "fd01::/64", outer: "fd02::/64", reqID: 1},
		{mode: kernel.Tunnel, local: "10.9.0.1", peer: "10.9.0.2", inner: "fd01::/64", outer: "fd02::/64", reqID: 1},
	} {
		for _, protos := range chains[1:] {
			t.Run(name(w, protos), func(t *testing.T) {
				_, na, nb := hostPair(t)
				must(t, na.Address("lo", "10.1.0.1/32", "fd01::1/128"), nb.Address("lo", "10.2.0.1/32", "fd02::1/128"))
				a, b := start(t, na, Options{}), start(t, nb, Options{})
				wire, err := nb.Capture("eth0")
				must(t, err)
				for i, h := range []*testHost{b, a} {
					side, out, in := w.reversed(), byte(2), byte(1)
					if i == 1 {
						side, out, in = w, 1, 2
					}
					for _, p := range side.bundlePolicies(protos...) {
						h.do(kernel.AddPolicy{Policy: p})
					}
					for j, proto := range protos {
						h.do(kernel.AddSA{SA: side.layer(kernel.In, in, proto, j > 0)})
						h.do(kernel.AddSA{SA: side.layer(kernel.Out, out, proto, j > 0)})
					}
				}
				to := w.selector().Dst.Addr()
				if !w.selector().Dst.IsSingleIP() {
					to = to.Next()
				}
				for _, size := range []int{16, 400, 1300, 1472, 4000} {
					p := ping(to.String())
					p.Size = size
					if err := na.Ping(p); err != nil {
						t.Fatalf("%d octets: %v; a counted %v, b counted %v", size, err, a.backend.Counters(), b.backend.Counters())
					}
				}
				want := netlab.ESP
				if protos[len(protos)-1] == kernel.AH {
					want = netlab.AH
				}
				for _, f := range wire.Frames() {
					if f.Kind != want && f.Kind != netlab.Other && f.Kind != netlab.Control {
						t.Errorf("on the wire: %v %v > %v proto %d, %d octets", f.Kind, f.Src, f.Dst, f.Proto, len(f.Octets))
					}
				}
				for _, s := range b.do(kernel.DumpSA{}).SAs {
					if s.Packets == 0 || s.AuthErr != 0 || s.ReplayErr != 0 {
						t.Errorf("%v: %d packets, %d and %d errors", s.SA, s.Packets, s.AuthErr, s.ReplayErr)
					}
				}
			})
		}
	}
}
