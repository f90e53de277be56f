package dns

import (
	"fmt"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

func TestConvert(t *testing.T) {
	want := []string{
		"NOERROR 300 [www.example.com.] [192.0.2.1 192.0.2.2]",
		"NOERROR 30 [www.example.com. a.example.com.] [192.0.2.1]",
		"NOERROR 9 [www.example.com. a.b.net. a.c.net.] [192.0.2.1]",
		"its CNAMEs go round",
		"two CNAMEs",
		"NOERROR 60 [www.example.com.] []",
		"NXDOMAIN 60 [www.example.com.] []",
		"NXDOMAIN 0 [www.example.com.] []",
		"SERVFAIL 0 [] []",
		"NOERROR 0 [www.example.com.] [192.0.2.1]",
		"NOERROR 0 [www.example.com.] []",
		"NOERROR 0 [www.example.com.] []",
		"SERVFAIL 0 [] []",
		"cut short",
		"NOERROR 300 [www.example.com.] [192.0.2.1]",
		"malformed", "NOERROR 0 [www.example.com.] []", "malformed",
	}
	q := resolver.Question{Name: "www.example.com.", Type: mdns.TypeA, DNSSECOK: true}
	msgs := answersOf(t)
	if len(msgs) != len(want) {
		t.Fatalf("%d messages, %d results", len(msgs), len(want))
	}
	for i, msg := range msgs {
		a, err := convert(msg, q)
		got := fmt.Sprint(a.RCode, " ", a.TTL, " ", a.Chain, " ", a.Addresses)
		if err != nil {
			if !strings.Contains(err.Error(), want[i]) {
				t.Errorf("%d: %v, want %s", i, err, want[i])
			}
			continue
		}
		if got != want[i] {
			t.Errorf("%d: %s, want %s", i, got, want[i])
		}
	}
	https, err := convert(msgs[10], resolver.Question{Name: "www.example.com.", Type: mdns.TypeHTTPS})
	if err != nil || !https.Hints || https.TTL != 300 {
		t.Errorf("%+v, %v", https, err)
	}
}

func TestAge(t *testing.T) {
	m := new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA)
	m.Compress = true
	for _, ttl := range []string{"1", "60", "1000"} {
		m.Answer = append(m.Answer, rr(t, "www.example.com. "+ttl+" IN A 192.0.2.1"))
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seconds uint32
		stale   bool
		want    string
	}{{0, false, "[10 60 600]"}, {20, false, "[0 40 580]"}, {999, false, "[0 0 0]"}, {999, true, "[30 30 30]"}} {
		octets := append([]byte{}, packed...)
		age(octets, c.seconds, c.stale, ttlRange{10, 600})
		var got mdns.Msg
		if err := got.Unpack(octets); err != nil {
			t.Fatal(err)
		}
		var ttls []uint32
		for _, r := range got.Answer {
			ttls = append(ttls, r.Header().Ttl)
		}
		if fmt.Sprint(ttls) != c.want {
			t.Errorf("%d, %v: %v, want %s", c.seconds, c.stale, ttls, c.want)
		}
	}
	for n := range packed { // whatever is cut off, nothing breaks
		age(packed[:n], 1, false, ttlRange{0, 600})
	}
}

// TestRecordsThatLeadElsewhere: an SVCB or HTTPS record that names another host has clients
// go to its addresses, past the policies of the name.
func TestRecordsThatLeadElsewhere(t *testing.T) {
	for text, want := range map[string]bool{
		"www.example.com. 60 IN HTTPS 1 . alpn=h2":                     false,
		"www.example.com. 60 IN HTTPS 1 WWW.example.com. alpn=h2":      false,
		"www.example.com. 60 IN HTTPS 0 cdn.example.net.":              true,
		"www.example.com. 60 IN HTTPS 1 cdn.example.net. alpn=h2":      true,
		"www.example.com. 60 IN HTTPS 1 . ipv4hint=192.0.2.1":          true,
		"_dns.www.example.com. 60 IN SVCB 1 dns.example.net. alpn=dot": true,
		"www.example.com. 60 IN SVCB 1 . ipv6hint=2001:db8::1":         true,
		"www.example.com. 60 IN TXT \"cdn.example.net.\"":              false,
	} {
		if got := hasHints(rr(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
