package dns

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

func TestForward(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		z := newZone(t, host,
			"www.example.com. 300 IN A 192.0.2.1",
			"www.example.com. 300 IN AAAA 2001:db8::1",
			"alias.example.com. 300 IN CNAME www.example.com.",
			"text.example.com. 300 IN TXT hello")
		r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, host)
		for _, network := range []string{"udp", "tcp"} {
			if got := answers(r.ask(network, "www.example.com.", mdns.TypeA)); got != "[192.0.2.1]" {
				t.Errorf("%s %s: A is %s", host, network, got)
			}
			if got := answers(r.ask(network, "alias.example.com.", mdns.TypeAAAA)); got != "[www.example.com. 2001:db8::1]" {
				t.Errorf("%s %s: alias is %s", host, network, got)
			}
			m := r.ask(network, "none.example.com.", mdns.TypeA)
			if m.Rcode != mdns.RcodeNameError || len(m.Ns) != 1 {
				t.Errorf("%s %s: %v", host, network, m)
			}
			if m := r.ask(network, "text.example.com.", mdns.TypeTXT); len(m.Answer) != 1 {
				t.Errorf("%s %s: %v", host, network, m)
			}
		}
		if n := z.count("www.example.com.", mdns.TypeA); n != 1 {
			t.Errorf("the server was asked %d times; the second answer should have come from the cache", n)
		}
	}
}

func TestHeaderAndEDNS(t *testing.T) {
	z := newZone(t, "127.0.0.1", "www.example.com. 300 IN A 192.0.2.1")
	z.handle(func(w mdns.ResponseWriter, q *mdns.Msg) bool {
		m := new(mdns.Msg).SetReply(q)
		m.AuthenticatedData = true
		m.Answer = []mdns.RR{rr(t, "www.example.com. 300 IN A 192.0.2.1")}
		if opt := q.IsEdns0(); opt != nil && opt.Do() {
			m.Answer = append(m.Answer, rr(t, "www.example.com. 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 example.com. AAAA"))
			m.SetEdns0(1232, true)
		}
		m.Extra = append(m.Extra, rr(t, "evil.example.com. 300 IN A 192.0.2.66"))
		_ = w.WriteMsg(m)
		return true
	})
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, "127.0.0.1")

	plain := r.ask("udp", "wWw.ExAmPlE.cOm.", mdns.TypeA)
	if plain.Question[0].Name != "wWw.ExAmPlE.cOm." || plain.IsEdns0() != nil || plain.AuthenticatedData || !plain.RecursionAvailable {
		t.Errorf("plain: %v", plain)
	}
	if len(plain.Extra) != 0 {
		t.Errorf("the additional section was passed on: %v", plain.Extra)
	}
	if ad := r.ask("udp", "www.example.com.", mdns.TypeA, func(m *mdns.Msg) { m.AuthenticatedData = true }); !ad.AuthenticatedData {
		t.Error("AD was asked for and given, and did not arrive")
	}
	do := r.ask("udp", "www.example.com.", mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(1232, true) })
	if !do.AuthenticatedData || len(do.Answer) != 2 || do.IsEdns0() == nil || !do.IsEdns0().Do() {
		t.Errorf("DO: %v", do)
	}
	cd := r.ask("udp", "www.example.com.", mdns.TypeA, func(m *mdns.Msg) { m.CheckingDisabled = true })
	if !cd.CheckingDisabled {
		t.Error("CD is not copied")
	}
	z.mu.Lock()
	last := z.asked[len(z.asked)-1]
	z.mu.Unlock()
	if !last.CheckingDisabled || !last.AuthenticatedData || last.IsEdns0() == nil {
		t.Errorf("upstream: %v", last)
	}
}

func TestTruncation(t *testing.T) {
	var records []string
	for i := range 60 {
		records = append(records, "big.example.com. 300 IN A 192.0.2."+itoa(i))
	}
	z := newZone(t, "127.0.0.1", records...)
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, "127.0.0.1")
	if m := r.ask("udp", "big.example.com.", mdns.TypeA); !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("512 octets: TC %v with %d records", m.Truncated, len(m.Answer))
	}
	if m := r.ask("udp", "big.example.com.", mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(4096, false) }); m.Truncated || len(m.Answer) != 60 {
		t.Errorf("EDNS(0): TC %v with %d records", m.Truncated, len(m.Answer))
	}
	if m := r.ask("tcp", "big.example.com.", mdns.TypeA); m.Truncated || len(m.Answer) != 60 {
		t.Errorf("TCP: TC %v with %d records", m.Truncated, len(m.Answer))
	}
	// An answer too large for the proxy's own socket comes over TCP.
	records = nil
	for i := range 200 {
		records = append(records, "huge.example.com. 300 IN TXT "+strings.Repeat("x", 100)+itoa(i))
	}
	z.set(t, records...)
	if m := r.ask("tcp", "huge.example.com.", mdns.TypeTXT); len(m.Answer) != 200 {
		t.Errorf("huge: %d records", len(m.Answer))
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.tcp == 0 {
		t.Error("the server was not asked over TCP")
	}
}

func itoa(i int) string { return netip.AddrFrom4([4]byte{0, 0, 0, byte(i)}).String()[6:] }

func TestRefusals(t *testing.T) {
	z := newZone(t, "127.0.0.1", "www.example.com. 300 IN A 192.0.2.1")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z)}, "127.0.0.1")
	for name, c := range map[string]struct {
		kind uint16
		edit func(*mdns.Msg)
		want int
	}{
		"no RD":       {mdns.TypeA, func(m *mdns.Msg) { m.RecursionDesired = false }, mdns.RcodeRefused},
		"chaos":       {mdns.TypeTXT, func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }, mdns.RcodeRefused},
		"transfer":    {mdns.TypeAXFR, func(*mdns.Msg) {}, mdns.RcodeRefused},
		"update":      {mdns.TypeA, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeUpdate }, mdns.RcodeNotImplemented},
		"two OPTs":    {mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(512, false); m.Extra = append(m.Extra, m.Extra[0]) }, mdns.RcodeFormatError},
		"EDNS 1":      {mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(512, false); m.IsEdns0().SetVersion(1) }, mdns.RcodeBadVers},
		"two answers": {mdns.TypeA, func(m *mdns.Msg) { m.Answer = []mdns.RR{rr(t, "a. 1 IN A 192.0.2.1")} }, mdns.RcodeFormatError},
		"type 0":      {0, func(*mdns.Msg) {}, mdns.RcodeFormatError},
	} {
		m := r.ask("udp", "www.example.com.", c.kind, c.edit)
		if m.Rcode != c.want {
			t.Errorf("%s: %s, want %s", name, mdns.RcodeToString[m.Rcode], mdns.RcodeToString[c.want])
		}
	}
	if m := r.ask("udp", "www.example.com.", mdns.TypeANY); len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != mdns.TypeHINFO {
		t.Errorf("ANY: %v", m)
	}
	for name, want := range map[string]string{
		"localhost.": "[127.0.0.1]", "x.localhost.": "[127.0.0.1]", "a.invalid.": "[]", "x.onion.": "[]",
	} {
		if got := answers(r.ask("udp", name, mdns.TypeA)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if m := r.ask("udp", "1.2.168.192.in-addr.arpa.", mdns.TypePTR); m.Rcode != mdns.RcodeNameError {
		t.Errorf("a private reverse name went out: %v", m)
	}
	if len(z.asked) != 0 {
		t.Errorf("the server was asked: %v", z.asked)
	}
}

// TestAnswerWaitsForPolicy is the gate over real sockets.
func TestAnswerWaitsForPolicy(t *testing.T) {
	z := newZone(t, "127.0.0.1",
		"www.example.com. 300 IN A 192.0.2.1",
		"www.example.com. 300 IN AAAA 2001:db8::1",
		"x.corp.example.com. 300 IN A 192.0.2.7")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(z), GateBound: 5 * time.Second},
		"127.0.0.1", "www.example.com", "*.corp.example.com")
	c := r.change("192.0.2.1", "2001:db8::1")
	got := make(chan string)
	go func() {
		m, err := r.exchange("udp", "www.example.com.", mdns.TypeA)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- answers(m)
	}()
	select {
	case early := <-got:
		t.Fatalf("the answer %s did not wait", early)
	case <-time.After(50 * time.Millisecond):
	}
	r.proxy.Input(resolver.PolicyStands{Name: c.Name, Generation: c.Generation})
	if a := <-got; a != "[192.0.2.1]" {
		t.Errorf("got %s", a)
	}

	go func() {
		c := r.change("192.0.2.7")
		r.proxy.Input(resolver.PolicyStands{Name: c.Name, Generation: c.Generation})
	}()
	if a := answers(r.ask("tcp", "x.corp.example.com.", mdns.TypeA)); a != "[192.0.2.7]" {
		t.Errorf("got %s", a)
	}
	if err := r.proxy.Look(func(core *resolver.Resolver, _ time.Time) {
		if names := core.Names(netip.MustParseAddr("192.0.2.7")); len(names) != 1 || names[0] != "x.corp.example.com." {
			t.Errorf("names %v", names)
		}
	}); err != nil {
		t.Error(err)
	}
}

func TestFailOver(t *testing.T) {
	dead := newZone(t, "127.0.0.1")
	dead.handle(func(mdns.ResponseWriter, *mdns.Msg) bool { return true })
	z := newZone(t, "127.0.0.1", "www.example.com. 300 IN A 192.0.2.1")
	r := newRig(t, Config{}, resolver.Settings{Upstreams: upstreamsOf(dead, z), AttemptTimeout: 50 * time.Millisecond}, "127.0.0.1")
	if got := answers(r.ask("udp", "www.example.com.", mdns.TypeA)); got != "[192.0.2.1]" {
		t.Errorf("got %s", got)
	}
	// A port where nobody listens fails at once.
	pc, l := bindBoth(t, "127.0.0.1")
	closed := netip.MustParseAddrPort(pc.LocalAddr().String())
	pc.Close()
	l.Close()
	r = newRig(t, Config{}, resolver.Settings{
		Upstreams: []resolver.Upstream{{Addr: closed}, {Addr: z.addr}}, AttemptTimeout: 20 * time.Second,
	}, "127.0.0.1")
	if got := answers(r.ask("udp", "www.example.com.", mdns.TypeA)); got != "[192.0.2.1]" {
		t.Errorf("got %s", got)
	}
}
