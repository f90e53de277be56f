package dns

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestSlotsOfANetwork: a client that changes its address within its /64 has no more
// connections than others.
func TestSlotsOfANetwork(t *testing.T) {
	var s tcpSlots
	taken := 0
	for i := range 2 * maxConns {
		if s.take(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))) {
			taken++
		}
	}
	if taken != maxConnsClient {
		t.Errorf("one network has %d connections", taken)
	}
	for _, other := range []string{"2001:db8:0:1::1", "192.0.2.1", "192.0.2.2", "fe80::1%eth0", "fe80::2%eth0"} {
		if !s.take(netip.MustParseAddr(other)) {
			t.Errorf("%s is kept out", other)
		}
	}
	for range taken {
		s.give(netip.MustParseAddr("2001:db8::ffff"))
	}
	if len(s.conns) != 5 || s.all != 5 {
		t.Errorf("%d clients, %d connections", len(s.conns), s.all)
	}
}
