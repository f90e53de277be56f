package kernel

import (
	"net/netip"
	"testing"
)

func checkSplit(t *testing.T, r PortRange) {
	t.Helper()
	masks := r.Split()
	if len(masks) > 30 {
		t.Errorf("%v: %d masks", r, len(masks))
	}
	next := uint32(r.First)
	for _, m := range masks {
		part := m.Range()
		if m.Value&^m.Mask != 0 || uint32(part.First) != next || part.Last < part.First {
			t.Fatalf("%v: mask %#x/%#x after port %d", r, m.Value, m.Mask, next)
		}
		next = uint32(part.Last) + 1
	}
	if next != uint32(r.Last)+1 && r.First <= r.Last {
		t.Errorf("%v: ends at %d", r, next)
	}
}

func TestPortSplit(t *testing.T) {
	for _, c := range []struct {
		r    PortRange
		want int
	}{
		{AnyPort, 1}, {Port(0), 1}, {Port(500), 1}, {Port(65535), 1}, {PortRange{1024, 65535}, 6},
		{PortRange{1, 65534}, 30}, {PortRange{80, 90}, 3}, {PortRange{0, 255}, 1}, {PortRange{2, 1}, 0},
	} {
		if got := len(c.r.Split()); got != c.want {
			t.Errorf("%v splits into %d masks, want %d", c.r, got, c.want)
		}
		checkSplit(t, c.r)
	}
	if got := (PortRange{2, 1}).String(); got != "2-1" {
		t.Error(got)
	}
}

func FuzzPortSplit(f *testing.F) {
	f.Add(uint16(0), uint16(65535))
	f.Add(uint16(1), uint16(65534))
	f.Add(uint16(9), uint16(3))
	f.Fuzz(func(t *testing.T, first, last uint16) { checkSplit(t, PortRange{first, last}) })
}

func checkPrefixes(t *testing.T, from, to netip.Addr) {
	t.Helper()
	prefixes := RangeToPrefixes(from, to)
	if len(prefixes) == 0 || len(prefixes) > 2*from.BitLen()-2 && len(prefixes) > 1 {
		t.Fatalf("%v-%v: %d prefixes", from, to, len(prefixes))
	}
	next := from
	for i, p := range prefixes {
		first, last := PrefixRange(p)
		if p != p.Masked() || first != next {
			t.Fatalf("%v-%v: prefix %v where %v is next", from, to, p, next)
		}
		if wide := netip.PrefixFrom(first, p.Bits()-1); p.Bits() > 0 && wide == wide.Masked() {
			if _, end := PrefixRange(wide); !to.Less(end) {
				t.Fatalf("%v-%v: %v where %v fits", from, to, p, wide)
			}
		}
		if i == len(prefixes)-1 && last != to {
			t.Fatalf("%v-%v: ends at %v", from, to, last)
		}
		next = last.Next()
	}
}

func TestRangeToPrefixes(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     int
	}{
		{"10.0.0.0", "10.0.0.255", 1}, {"0.0.0.0", "255.255.255.255", 1}, {"10.0.0.1", "10.0.0.1", 1},
		{"0.0.0.1", "255.255.255.254", 62}, {"10.0.0.10", "10.0.0.20", 4},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1}, {"fd00::1", "fd00::2", 2},
		{"::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 254},
	} {
		from, to := netip.MustParseAddr(c.from), netip.MustParseAddr(c.to)
		if got := len(RangeToPrefixes(from, to)); got != c.want {
			t.Errorf("%v-%v: %d prefixes, want %d", from, to, got, c.want)
		}
		checkPrefixes(t, from, to)
	}
	for from := range 33 {
		for to := range 33 - from {
			at := netip.AddrFrom4([4]byte{0, 0, 0, byte(from)})
			checkPrefixes(t, at, netip.AddrFrom4([4]byte{0, 0, 0, byte(from + to)}))
		}
	}
	for _, c := range [][2]string{{"10.0.0.2", "10.0.0.1"}, {"10.0.0.1", "fd00::1"}, {"fe80::1%a", "fe80::2%a"}} {
		if got := RangeToPrefixes(netip.MustParseAddr(c[0]), netip.MustParseAddr(c[1])); got != nil {
			t.Errorf("%v: %v", c, got)
		}
	}
	if got := RangeToPrefixes(netip.Addr{}, netip.Addr{}); got != nil {
		t.Error(got)
	}
	if first, last := PrefixRange(netip.Prefix{}); first.IsValid() || last.IsValid() {
		t.Error("an invalid prefix has a range")
	}
}

func FuzzRangeToPrefixes(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1}, []byte{10, 0, 0, 77})
	f.Add(make([]byte, 16), []byte{15: 9})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		from, ok := netip.AddrFromSlice(a)
		to, ok2 := netip.AddrFromSlice(b)
		if !ok || !ok2 || from.BitLen() != to.BitLen() {
			return
		}
		if to.Less(from) {
			from, to = to, from
		}
		checkPrefixes(t, from, to)
	})
}
