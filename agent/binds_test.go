package agent

import (
	"strings"
	"testing"

	"racoon2/config"
)

func TestBinds(t *testing.T) {
	iface := func(text string) config.Interface {
		cfg, findings := config.Load("/c", config.Options{FS: config.Files{"/c": "interface { spmd unix \"/s\"; ike { " + text + " }; };"}})
		if findings.HasErrors() {
			t.Fatal(findings)
		}
		return cfg.Interface
	}
	for _, test := range []struct {
		name     string
		i        config.Interface
		want     string
		ike, nat uint16
	}{
		{"default", config.Interface{Default: true}, "0.0.0.0:500 [::]:500 0.0.0.0:4500+ [::]:4500+", 500, 4500},
		{"macros", iface("MY_IP port 500; MY_IPV4 port 4500;"), "0.0.0.0:500 [::]:500 0.0.0.0:4500+", 500, 4500},
		{"addresses", iface("192.0.2.1 port 500; 192.0.2.1 port 4500; 192.0.2.1 port 500;"), "192.0.2.1:500 192.0.2.1:4500+", 500, 4500},
		{"covered", iface("192.0.2.1 port 500; MY_IP port 500; ::1 port 8002;"), "0.0.0.0:500 [::]:500 [::1]:8002", 500, 0},
		{"one interface", iface("MY_IPV4%eth0 port 8002;"), "192.0.2.1:8002", 8002, 0},
		{"4500 alone", iface("MY_IPV4 port 4500;"), "0.0.0.0:4500+", 4500, 4500},
		{"6", iface("MY_IPV6;"), "[::]:500", 500, 0},
	} {
		if !packetInfo && test.name != "addresses" {
			continue
		}
		var got []string
		for _, b := range binds(test.i, testHost) {
			text := b.addr.String()
			if b.nat {
				text += "+"
			}
			got = append(got, text)
		}
		ike, nat := ports(test.i)
		if strings.Join(got, " ") != test.want || ike != test.ike || nat != test.nat {
			t.Errorf("%s: %v, ports %d %d; want %s, %d %d", test.name, got, ike, nat, test.want, test.ike, test.nat)
		}
	}
}
