package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"racoon2/config"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/policy/spmif"
	"racoon2/resolver"
)

// nameServer is an upstream server whose one name has the addresses of now.
type nameServer struct {
	mu    sync.Mutex
	addrs []netip.Addr
	at    netip.AddrPort
}

func (n *nameServer) set(addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs = nil
	for _, a := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(a))
	}
}

func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.addrs {
		header := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 60}
		switch {
		case q.Question[0].Qtype == dns.TypeA && a.Is4():
			m.Answer = append(m.Answer, &dns.A{Hdr: header, A: a.AsSlice()})
		case q.Question[0].Qtype == dns.TypeAAAA && a.Is6():
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header, AAAA: a.AsSlice()})
		}
	}
	_ = w.WriteMsg(m)
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{at: c.LocalAddr().(*net.UDPAddr).AddrPort()}
	s := &dns.Server{PacketConn: c, Handler: n}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.ActivateAndServe()
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return n
}

// states maps the traffic of a selector's policies to their action.
func (h *host) states(selector string) map[string]string {
	h.t.Helper()
	out := map[string]string{}
	for _, p := range h.status().Policies {
		if p.Selector == selector && p.State == stateInstalled {
			_, dst, _ := strings.Cut(p.Traffic, " ")
			dst, _, _ = strings.Cut(dst, "/")
			out[dst] = p.Action
		}
	}
	return out
}

// An answer reaches the client when the policies stand; a change of the record
// changes them; the control interface tells of all that.
func TestResolver(t *testing.T) {
	a, b := newPair(t)
	up := newNameServer(t)
	up.set("127.0.0.7", "2001:db8::7")
	listen := netip.AddrPortFrom(a.addr, freePort(t, a.addr))
	a.configure(b, fmt.Sprintf(`
resolver { resolver on; nameserver %v port %d; dns_query %v port %d; };
selector web_out { direction outbound; src { %v; 2001:db8::1; }; dst www.example.com; policy_index protect; };
selector web_in { direction inbound; src www.example.com; dst { %[5]v; 2001:db8::1; }; policy_index protect; };
`, up.at.Addr(), up.at.Port(), listen.Addr(), listen.Port(), a.addr))
	a.start()
	ask := func(kind uint16) *dns.Msg {
		q := new(dns.Msg)
		q.SetQuestion("www.example.com.", kind)
		m, _, err := new(dns.Client).Exchange(q, listen.String())
		if err != nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
			t.Fatalf("%v, %v", m, err)
		}
		return m
	}
	ask(dns.TypeA)
	if got := a.states("web_out"); got["127.0.0.7"] != "protect" {
		t.Errorf("the answer came before the policy: %v", got)
	}
	ask(dns.TypeAAAA)
	if got := a.states("web_out"); got["2001:db8::7"] != "protect" {
		t.Errorf("the answer came before the policy: %v", got)
	}

	up.set("127.0.0.8", "2001:db8::7")
	a.agent.names.proxy.Input(resolver.Flush{Name: "www.example.com."})
	waitUntil(t, "the policy to follow", func() bool {
		got := a.states("web_out")
		return got["127.0.0.8"] == "protect" && got["127.0.0.7"] == "discard" && got["2001:db8::7"] == "protect"
	})
	testNames(t, a.client(), up.at.Addr())
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.states("web_out"); len(got) != 3 {
		t.Errorf("after a reload: %v", got)
	}
}

// testNames holds what FQDN, NS and STAT answer.
func testNames(t *testing.T, c *spmif.Client, up netip.Addr) {
	t.Helper()
	if err := c.FQDNAdd("Mail.example.com"); err != nil {
		t.Error(err)
	}
	if err := c.FQDNAdd("mail.example.com."); err == nil {
		t.Error("a name is added twice")
	}
	if got, err := c.FQDNList(); err != nil || !slices.Equal(got, []string{"mail.example.com.", "www.example.com."}) {
		t.Errorf("FQDN LIST: %v, %v", got, err)
	}
	if got, err := c.FQDNQuery(netip.MustParseAddr("127.0.0.8")); err != nil || !slices.Contains(got, "www.example.com.") {
		t.Errorf("FQDN QUERY: %v, %v", got, err)
	}
	if err := errors.Join(c.FQDNDelete("mail.example.com"), c.NSAdd(netip.MustParseAddr("192.0.2.53")),
		c.NSChange(netip.MustParseAddr("192.0.2.53")), c.NSChange(up)); err != nil {
		t.Error(err)
	}
	if got, err := c.NSList(); err != nil || !slices.Equal(got, []string{up.String(), "192.0.2.53"}) {
		t.Errorf("NS LIST: %v, %v", got, err)
	}
	for what, err := range map[string]error{
		"NS ADD": c.NSAdd(up), "NS CHANGE": c.NSChange(netip.MustParseAddr("192.0.2.54")),
		"FQDN DELETE": c.FQDNDelete("www.example.com"),
	} {
		if err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if err := c.NSDelete(netip.MustParseAddr("192.0.2.53")); err != nil {
		t.Error(err)
	}
	if err := c.NSDelete(up); err == nil || errors.Is(err, spmif.ErrNotFound) {
		t.Errorf("the last name server goes: %v", err)
	}
	counters, err := c.Stat()
	if err != nil || counters[0].Value < 2 || counters[8].Value == 0 {
		t.Errorf("STAT: %v, %v", counters, err)
	}
}

// Without the DNS proxy the commands say so, and names are looked up past it: in
// the hosts file, which is followed, and at the name servers.
func TestResolverOff(t *testing.T) {
	a, b := newPair(t)
	a.start()
	if err := a.client().FQDNAdd("x.example.com"); err == nil || !strings.Contains(err.Error(), "resolver is off") {
		t.Error(err)
	}
	up := newNameServer(t)
	up.set("127.0.0.7")
	a.configure(b, fmt.Sprintf(`resolver { nameserver %v port %d; };
selector web_out { direction outbound; src 127.0.0.1; dst www.example.com; policy_index protect; };
selector file_out { direction outbound; src 127.0.0.1; dst file.example.com; policy_index protect; };
`, up.at.Addr(), up.at.Port()))
	a.write("hosts", "127.0.0.9 file.example.com\n")
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the policies", func() bool {
		return a.states("web_out")["127.0.0.7"] == "protect" && a.states("file_out")["127.0.0.9"] == "protect"
	})
	a.write("hosts", "127.0.0.10 file.example.com # it has moved\n")
	waitUntil(t, "the hosts file to be followed", func() bool { return a.states("file_out")["127.0.0.10"] == "protect" })
}

// What the configuration says of the resolver is what its core gets.
func TestResolverSettings(t *testing.T) {
	load := func(text string) resolver.Settings {
		cfg, findings := config.Load("/c", config.Options{FS: config.Files{"/c": text}})
		if findings.HasErrors() || findings.Count(config.Warning) > 0 {
			t.Fatal(findings)
		}
		return resolverSettings(&cfg.Resolver)
	}
	want := resolver.Settings{
		TTLFloor: 5 * time.Second, TTLCeiling: 24 * time.Hour, Grace: time.Minute, GateBound: time.Second, CacheSize: 10000,
	}
	if got := load("resolver { resolver on; nameserver 127.0.0.1; dns_query 127.0.0.1; };"); !reflect.DeepEqual(got, want) {
		t.Errorf("by default %+v, want %+v", got, want)
	}
	want = resolver.Settings{
		TTLFloor: -1, TTLCeiling: time.Hour, Grace: -1, GateBound: -1, GateOutcome: resolver.ServeAnswer, RequireDNSSEC: true,
		Forward: []string{"corp.test"}, RateLimit: 10, RateBurst: 30, CacheSize: -1, Prefetch: true, ServeStale: time.Minute,
	}
	got := load(`resolver { resolver on; nameserver 127.0.0.1; dns_query 127.0.0.1; cache_size 0; ttl_floor 0; ttl_ceiling 1 hour;
		serve_stale 1 min; prefetch on; gate_time 0; gate_outcome answer; address_grace_period 0; rate_limit 10; rate_burst 30;
		require_dnssec on; forward corp.test; };`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The changes of the control interface, on two agents that keep talking.
func TestChangesByCommand(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	watched := make(chan spmif.Event, 1024)
	watcher := a.client()
	go func() {
		_ = watcher.Watch(func(e spmif.Event) bool { watched <- e; return true })
		close(watched)
	}()
	waitUntil(t, "a watcher", func() bool { return a.agent.watchers.count.Load() == 1 })

	c := a.client()
	add := spmif.PolicyRequest{
		Selector: "out", Lifetime: time.Hour,
		Src: netip.MustParsePrefix("127.0.0.1/32"), Dst: netip.MustParsePrefix("127.0.0.9/32"),
	}
	if said, err := c.PolicyAdd(add); err != nil || said != "Policy Added out and in" {
		t.Fatalf("%q, %v", said, err)
	}
	waitUntil(t, "the policy", func() bool { return a.states("out")["127.0.0.9"] == "protect" })
	if err := errors.Join(c.PolicyDelete(add), c.SAInitiate("out")); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "a child", func() bool { return len(a.children()) == 1 })
	first := a.children()[0]
	if raw, err := c.SAShow("out"); err != nil || !strings.Contains(string(raw), fmt.Sprintf("%08x", first)) {
		t.Errorf("%s, %v", raw, err)
	}
	if err := c.SARekey(first); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "new keys", func() bool { got := a.children(); return len(got) == 1 && got[0] != first })
	if err := c.SADelete(a.children()[0]); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the child to go", func() bool { return len(a.children()) == 0 })
	for what, err := range map[string]error{
		"SA DELETE": c.SADelete(1), "SA REKEY": c.SARekey(1), "SA INITIATE": c.SAInitiate("none"),
		"POLICY DELETE": c.PolicyDelete(add), "MIGRATE": c.Migrate(spmif.MigrateRequest{
			Selector: "out", OldSrc: a.addr, OldDst: b.addr, Src: a.addr, Dst: b.addr}),
	} {
		if err == nil {
			t.Errorf("%s is carried out", what)
		}
	}
	if _, err := c.SAShow("none"); !errors.Is(err, spmif.ErrNotFound) {
		t.Error(err)
	}
	a.stop()
	seen := false
	for e := range watched {
		seen = seen || e.Area == areaPolicy && e.Reason == "initiate" && e.Attrs["child"] == "out"
	}
	if !seen {
		t.Error("the watcher did not see the child being asked for")
	}
}

// children lists the inbound SPIs.
func (h *host) children() (spis []uint64) {
	h.t.Helper()
	for n, d := range h.agent.shards {
		infos, err := ask(h.t.Context(), d, h.agent.engines[n].Status)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, i := range infos {
			for _, c := range i.Children {
				spis = append(spis, uint64(c.SPIIn))
			}
		}
	}
	return spis
}

// A policy that the kernel refuses never stands: the answer that waits for it
// becomes SERVFAIL at the bound, and not later.
func TestGateEnds(t *testing.T) {
	for words, want := range map[string]struct {
		rcode int
		least time.Duration
	}{
		"":                                  {dns.RcodeServerFailure, 500 * time.Millisecond},
		"gate_outcome answer; gate_time 2;": {dns.RcodeSuccess, 1500 * time.Millisecond},
		"gate_time 0;":                      {dns.RcodeSuccess, 0},
	} {
		t.Run(words, func(t *testing.T) {
			a, b := newPair(t)
			up := newNameServer(t)
			listen := netip.AddrPortFrom(a.addr, freePort(t, a.addr))
			a.configure(b, fmt.Sprintf(`
resolver { resolver on; nameserver %v port %d; dns_query %v port %d; %s };
selector web_out { direction outbound; src %v; dst www.example.com; policy_index protect; };
`, up.at.Addr(), up.at.Port(), listen.Addr(), listen.Port(), words, a.addr))
			a.start()
			a.kernel.With(func(k *fake.Kernel, _ time.Time) []kernel.Event {
				k.Fail(kernel.AddPolicy{}, fmt.Errorf("policy: %w", kernel.ErrUnsupported))
				return nil
			})
			up.set("127.0.0.7")
			q := new(dns.Msg)
			q.SetQuestion("www.example.com.", dns.TypeA)
			var m *dns.Msg
			var err error
			var start time.Time
			waitUntil(t, "the answer with the address", func() bool {
				// The empty answer to the query of the start may come behind the flush.
				a.agent.names.proxy.Input(resolver.Flush{})
				start = time.Now()
				m, _, err = (&dns.Client{Timeout: 10 * time.Second}).Exchange(q, listen.String())
				return err != nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0
			})
			if err != nil || m.Rcode != want.rcode || (m.Rcode == dns.RcodeSuccess) != (len(m.Answer) == 1) {
				t.Fatalf("%v, %v", m, err)
			}
			if took := time.Since(start); took < want.least {
				t.Errorf("it took %v", took)
			}
		})
	}
}
