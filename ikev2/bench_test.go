package ikev2

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// BenchmarkTunnel sets a tunnel up and takes it down again, both ends counted,
// asymmetric cryptography included.
func BenchmarkTunnel(b *testing.B) {
	b.ReportAllocs()
	t := new(testing.T)
	w, x, y := pair(t)
	for b.Loop() {
		x.initiate()
		w.settle()
		x.handle(Terminate{})
		w.settle()
		w.sent, x.traces, y.traces = nil, nil, nil
	}
	if t.Failed() || len(x.ups) == 0 {
		b.Fatal("no tunnel came up")
	}
}

// BenchmarkCookie is what a request of a flood costs that has no cookie yet.
func BenchmarkCookie(b *testing.B) {
	t := new(testing.T)
	_, _, n := pair(t)
	n.change(func(_ *Settings, r *Remote, _ *Child) { r.CookieRequired, r.AnyPeer = true, true })
	data := initOf(t, 1)
	var out Outbox
	b.ReportAllocs()
	now := time.Unix(1e9, 0)
	local := netip.AddrPortFrom(n.addr, 500)
	for i := uint64(1); b.Loop(); i++ {
		binary.BigEndian.PutUint64(data, i)
		out.Effects = out.Effects[:0]
		n.e.Handle(now, Datagram{Local: local, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 500), Data: slices.Clone(data)}, &out)
	}
	if len(n.e.Status()) != 0 {
		b.Fatal("a request without a cookie left an IKE SA")
	}
}
