package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	interfaces := []Interface{
		{Name: "eth0", Addrs: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.1/32"), // twice
			netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("fe80::1/64"), {},
		}},
		{Name: "lo", Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}},
		{Name: "eth1", Addrs: []netip.Prefix{
			netip.MustParsePrefix("fec0::1/64"), netip.MustParsePrefix("fd00::1/64"), netip.MustParsePrefix("::192.0.2.9/96"),
			netip.PrefixFrom(netip.MustParseAddr("::ffff:198.51.100.1"), 128),
		}},
	}
	tests := []struct{ macro, want string }{
		{"MY_IP", "127.0.0.1/32 192.0.2.1/32 198.51.100.1/32 ::1/128 ::c000:209/128 2001:db8::1/128 fd00::1/128 fe80::1/128 fec0::1/128"},
		{"MY_HOA%lo", "127.0.0.1/32 ::1/128"},
		{"MY_IPV4", "127.0.0.1/32 192.0.2.1/32 198.51.100.1/32"},
		{"MY_IPV6%eth0", "2001:db8::1/128 fe80::1/128"},
		{"MY_IPV6_GLOBAL", "2001:db8::1/128 fd00::1/128"},
		{"MY_IPV6_LINKLOCAL", "fe80::1/128"},
		{"MY_IPV4%eth0/24", "192.0.2.0/24"},
		{"MY_IP%eth0/64", "192.0.2.1/32 2001:db8::/64 fe80::/64"},
		{"MY_IP/0", "0.0.0.0/0 ::/0"},
		{"MY_IP%eth7", ""},
		{"IP_ANY", "0.0.0.0/0 ::/0"},
		{"IP_RW", "0.0.0.0/0 ::/0"},
		{"IP_UNSPECIFIED/0", "0.0.0.0/0 ::/0"},
	}
	for _, tt := range tests {
		got, err := Expand(tt.macro, interfaces)
		if s := strings.Trim(fmt.Sprint(got), "[]"); err != nil || s != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.macro, s, err, tt.want)
		}
		if !IsMacro(tt.macro) {
			t.Errorf("%s is no macro", tt.macro)
		}
	}
	for _, macro := range []string{"", "MY_IPV5", "my_ip", "10.0.0.1", "MY_IP%", "MY_IP/x", "MY_IP/129", "MY_IP/-1", "IP_ANY%eth0", "IP_ANY/8", "MY_IP/24%eth0"} {
		if got, err := Expand(macro, interfaces); err == nil || IsMacro(macro) {
			t.Errorf("%q: %v", macro, got)
		}
	}
}
