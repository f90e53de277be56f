package agent

import (
	"net/netip"
	"reflect"
	"testing"

	"racoon2/config"
	"racoon2/resolver"
)

// Over TLS and on this host a server's AD counts; elsewhere anybody may have set it.
func TestUpstreams(t *testing.T) {
	cfg, findings := config.Load("/c", config.Options{FS: config.Files{"/c": `resolver {
		resolver on; nameserver { 127.0.0.1; 192.0.2.53 port 5353; 2001:db8::53 tls dns.example.org; dns.example.net tls; }; };`}})
	if findings.HasErrors() {
		t.Fatal(findings)
	}
	want := []resolver.Upstream{
		{Addr: netip.MustParseAddrPort("127.0.0.1:53"), Trusted: true},
		{Addr: netip.MustParseAddrPort("192.0.2.53:5353")},
		{Addr: netip.MustParseAddrPort("[2001:db8::53]:853"), TLSName: "dns.example.org", Trusted: true},
		{Addr: netip.MustParseAddrPort("192.0.2.99:853"), TLSName: "dns.example.net", Trusted: true},
	}
	known := map[string][]netip.Addr{"dns.example.net.": {netip.MustParseAddr("192.0.2.99")}}
	if got := upstreams(cfg.Resolver.NameServers, known); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
