package agent

import (
	"net/netip"
	"slices"
	"testing"

	"racoon2/policy"
)

func TestIKEAddresses(t *testing.T) {
	host := []policy.Interface{
		{Name: "lo", Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}},
		{Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}},
		{Name: "eth1", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}},
	}
	got := ikeAddresses(host, netip.Addr.Is4)
	want := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
