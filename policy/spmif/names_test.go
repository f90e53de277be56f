package spmif

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// Without a resolver the replies are the original's with its resolver off.
func TestResolverOff(t *testing.T) {
	a := newToyAgent()
	a.fqdns, a.servers, a.noResolver = nil, nil, ErrNoResolver
	s := loggedIn(t, a, Options{})
	for command, want := range map[string]string{
		"FQDN LIST":                   "251 No FQDN Registered",
		"FQDN QUERY 10.9.0.3":         "501 Not Cached",
		"FQDN ADD host.example":       "550 Operation Failed, the resolver is off",
		"FQDN DELETE www.example.com": "550 Operation Failed, the resolver is off",
		"NS LIST":                     "251 No Name Server(resolver off?)",
		"NS ADD 192.0.2.53":           "550 Operation Failed(resolver off?)",
		"NS CHANGE 192.0.2.53":        "550 Operation Failed(resolver off?)",
		"NS DELETE 192.0.2.53":        "550 Operation Failed(resolver off?)",
	} {
		if out, _ := s.Input(epoch(), []byte(command+"\r\n")); string(out) != want+"\r\n" {
			t.Errorf("%s: %q, want %q", command, out, want)
		}
	}
}

// What a client asks for is what the agent gets.
func TestClientChanges(t *testing.T) {
	a := newToyAgent()
	c := NewClient(newLine(newTestSession(t, a, Options{})))
	if err := c.Login(unhex(t, passwordHex)); err != nil {
		t.Fatal(err)
	}
	add := PolicyRequest{
		Selector: "s_out", Lifetime: time.Hour, Tunnel: true,
		Src: netip.MustParsePrefix("10.1.0.0/16"), Dst: netip.MustParsePrefix("::/0"),
		SASrc: netip.MustParseAddr("192.0.2.1"), SADst: netip.MustParseAddr("192.0.2.2"),
	}
	if said, err := c.PolicyAdd(add); err != nil || said != "Policy Added s_out and s_in" || a.policyRequest != add {
		t.Errorf("%q, %v: %+v", said, err, a.policyRequest)
	}
	add.Lifetime, add.Tunnel, add.SASrc, add.SADst = 0, false, netip.Addr{}, netip.Addr{}
	if err := c.PolicyDelete(add); err != nil || a.policyRequest != add {
		t.Errorf("%v: %+v", err, a.policyRequest)
	}
	if err := c.PolicyDelete(PolicyRequest{Selector: "s_in"}); err != nil || a.policyRequest != (PolicyRequest{Selector: "s_in"}) {
		t.Errorf("%v: %+v", err, a.policyRequest)
	}
	move := MigrateRequest{Selector: "s_out"}
	for i, at := range []*netip.Addr{&move.OldSrc, &move.OldDst, &move.Src, &move.Dst} {
		*at = netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
	}
	if err := c.Migrate(move); err != nil || a.migrateRequest != move {
		t.Errorf("%v: %+v", err, a.migrateRequest)
	}
	if raw, err := c.SAShow("peer"); err != nil || string(raw) != `[{"remote":"peer"}]` {
		t.Errorf("%s, %v", raw, err)
	}
	ns := netip.MustParseAddr("192.0.2.53")
	for what, err := range map[string]error{
		"SA DOWN":   func() error { _, err := c.SADown("s_out"); return err }(),
		"SA DELETE": c.SADelete(0xc0000001), "SA REKEY": c.SARekey(0xc0000001), "SA INITIATE": c.SAInitiate("s_out"),
		"FQDN ADD": c.FQDNAdd("x.example"), "FQDN DELETE": c.FQDNDelete("www.example.com"),
		"NS ADD": c.NSAdd(netip.MustParseAddr("192.0.2.99")), "NS DELETE": c.NSDelete(ns), "NS CHANGE": c.NSChange(ns),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if names, err := c.FQDNQuery(netip.MustParseAddr("10.9.0.3")); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
	if names, err := c.FQDNQuery(netip.MustParseAddr("10.9.0.4")); err != nil || names != nil {
		t.Errorf("%v, %v", names, err)
	}
	if names, err := c.FQDNList(); err != nil || !slices.Equal(names, a.fqdns) {
		t.Errorf("%v, %v", names, err)
	}
	if servers, err := c.NSList(); err != nil || len(servers) != 2 {
		t.Errorf("%v, %v", servers, err)
	}
}

func TestHostPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"10.9.0.1": "10.9.0.1/32", "10.9.0.1/0": "10.9.0.1/32", "10.9.0.1/16": "10.9.0.0/16", "0.0.0.0": "0.0.0.0/0",
		"0.0.0.0/0": "0.0.0.0/0", "::": "::/0", "2001:db8::1": "2001:db8::1/128", "0.0.0.0/8": "0.0.0.0/8",
	} {
		if got, err := hostPrefix(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/8", "x", "10.9.0.1/33", "10.9.0.1/x", "fe80::1%eth0", "10.9.0.1/-1"} {
		if got, err := hostPrefix(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

// Events go on one line each, however long, and only while they are wanted.
func TestWatch(t *testing.T) {
	s := loggedIn(t, newToyAgent(), Options{IdleTime: time.Minute})
	e := Event{Time: epoch(), Area: "policy", Tag: "info", Text: "policy\nadded", Attrs: map[string]string{"selector": "s_out"}}
	if out := s.Event(e); out != nil || s.Watching() {
		t.Fatalf("%q before WATCH", out)
	}
	out, _ := s.Input(epoch(), []byte("watch\r\n"))
	if string(out) != "250-Watching\r\n" || !s.Watching() {
		t.Fatalf("%q", out)
	}
	if _, ok := s.Deadline(); ok {
		t.Error("a watch ends by its silence")
	}
	for _, long := range []int{0, 600, 5000} {
		e.Text = strings.Repeat("é\n\x01", long) + "end"
		e.Attrs = map[string]string{"more": strings.Repeat("y", long)}
		line := string(s.Event(e))
		if len(line) > maxText+8 || strings.Count(line, "\n") != 1 {
			t.Fatalf("line of %d octets: %q", len(line), line)
		}
		_, more, text, err := parseLine([]byte(strings.TrimRight(line, "\r\n")))
		var got Event
		if err != nil || !more || json.Unmarshal([]byte(text), &got) != nil || got.Area != "policy" {
			t.Errorf("%q: %v", line, err)
		}
	}
	huge := Event{Area: strings.Repeat("a", 2000), Tag: strings.Repeat("é", 2000), Reason: strings.Repeat("\xff", 2000), Time: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if line := huge.line(); len(line) > maxText || !json.Valid([]byte(line)) {
		t.Errorf("%q", line)
	}
	s.Missed(3)
	out, _ = s.Input(epoch(), []byte("SLID 1\r\n"))
	if string(out) != "250 Watched, missed 3\r\n250 s_out\r\n" || s.Watching() {
		t.Errorf("%q", out)
	}
	if _, ok := s.Deadline(); !ok {
		t.Error("the session never ends")
	}
}

// scripted is a server that says what a test wants.
type scripted struct{ strings.Reader }

func (*scripted) Write(p []byte) (int, error) { return len(p), nil }

func TestClientWatch(t *testing.T) {
	for _, test := range []struct {
		name, said string
		events     int
		fails      string
	}{
		{"until it ends", "220 AB\r\n250-Watching\r\n250-{\"text\":\"one\"}\r\n250-{\"text\":\"two\"}\r\n250 Watched, missed 0\r\n", 2, ""},
		{"until enough", "220 AB\r\n250-Watching\r\n" + strings.Repeat("250-{\"text\":\"one\"}\r\n", 5), 3, ""},
		{"refused", "220 AB\r\n550 need login\r\n", 0, "need login"},
		{"not JSON", "220 AB\r\n250-Watching\r\n250-{\r\n", 0, "is no event"},
		{"cut off", "220 AB\r\n250-Watching\r\n", 0, "closed the connection"},
		{"no reply", "220 AB\r\nx\r\n", 0, "no line of a reply"},
		{"no greeting", "", 0, "closed the connection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			err := NewClient(&scripted{*strings.NewReader(test.said)}).Watch(func(Event) bool { n++; return n < 3 })
			if n != test.events || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%d events, %v", n, err)
			}
		})
	}
}
