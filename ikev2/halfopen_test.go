package ikev2

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
)

// One address, and one network, get no more half-open IKE SAs than their share;
// others come in, and places are free again when the time is over.
func TestHalfOpenShares(t *testing.T) {
	w, a, b := pair(t)
	b.change(func(s *Settings, r *Remote, _ *Child) {
		s.MaxHalfOpenAddress, s.MaxHalfOpenNetwork = 3, 5
		r.AnyPeer = true
	})
	a.initiate()
	first := w.wire[0]
	w.wire = nil
	spi := uint64(0x0900000000000000)
	knock := func(from string) bool {
		before := b.e.cfg.Shared.HalfOpen.Load()
		data := slices.Clone(first.Data)
		spi++
		binary.BigEndian.PutUint64(data, spi)
		b.handle(Datagram{Local: first.Remote, Remote: netip.MustParseAddrPort(from), Data: data})
		return b.e.cfg.Shared.HalfOpen.Load() > before
	}
	for i, c := range []struct {
		from string
		want bool
	}{
		{"198.51.100.1:500", true}, {"198.51.100.1:501", true}, {"198.51.100.1:502", true}, {"198.51.100.1:503", false},
		{"198.51.100.2:500", true}, {"198.51.100.3:500", true}, {"198.51.100.4:500", false}, {"198.51.101.1:500", true},
		{"[2001:db8::1]:500", true}, {"[2001:db8::2]:500", true}, {"[2001:db8::3]:500", true}, {"[2001:db8::4]:500", false},
		{"[2001:db8:0:1::1]:500", true}, {"[2001:db8:0:2::1]:500", true}, {"[2001:db8:0:3::1]:500", false}, {"[2001:db8:1::1]:500", true},
	} {
		if got := knock(c.from); got != c.want {
			t.Errorf("%d: %s comes in: %v, want %v", i, c.from, got, c.want)
		}
	}
	b.wantReason(reasonHalfOpenLimit)
	w.wire = nil
	w.filter = func(p Send) []Send {
		if x, _ := exchangeOf(p); x == message.IKE_SA_INIT {
			return nil
		}
		return []Send{p}
	}
	a.handle(Shutdown{})
	w.advance(2 * halfOpenTime)
	if !knock("198.51.100.1:500") {
		t.Error("places are not free again")
	}
	w.advance(2 * time.Minute)
	b.wantNothing()
}
