package resolver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func hosts(t *testing.T, text string) Hosts {
	t.Helper()
	entries, findings := ParseHosts([]byte(text))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return Hosts{entries}
}

func TestHostsBeforeDNS(t *testing.T) {
	l := newLadder(t, Settings{})
	l.do(hosts(t, "192.0.2.1 www.example.com www # the web\n2001:db8::1 www.example.com\n"))
	l.watch(www)
	none[Ask](l)
	l.stands(l.changed(www, "[192.0.2.1 2001:db8::1] | [] | []"))
	l.query("c", www, TypeAAAA)
	l.replied("c", "[2001:db8::1]")
	l.query("c", "www.", TypeAAAA) // an alias, of the other family
	l.replied("c", "NOERROR")
	l.query("c", "1.2.0.192.in-addr.arpa.", TypePTR)
	l.replied("c", "[www.example.com. www.]")
	if got := l.r.Names(netip.MustParseAddr("192.0.2.1")); !slices.Equal(got, []string{www, "www."}) {
		t.Errorf("names %v", got)
	}
	// The file changes; then it loses the name, and DNS has its say.
	l.do(hosts(t, "192.0.2.2 www.example.com\n"))
	l.changed(www, "[192.0.2.2] | [192.0.2.1 2001:db8::1] | []")
	l.pass(time.Minute)
	l.changed(www, "[192.0.2.2] | [] | [192.0.2.1 2001:db8::1]")
	l.do(Hosts{})
	l.both(www, 60, "192.0.2.3")
	l.changed(www, "[192.0.2.3] | [192.0.2.2] | []")
}

func TestHostsBelowWildcard(t *testing.T) {
	l := newLadder(t, Settings{})
	l.watch("*.corp.example.com")
	l.do(hosts(t, "192.0.2.1 a.corp.example.com\n192.0.2.2 b.example.com\n"))
	l.changed("a.corp.example.com.", "[192.0.2.1] | [] | []")
	if got := l.r.List(); len(got) != 1 || !got[0].FromFiles {
		t.Errorf("%+v", got)
	}
}

func TestHostsBehindDNS(t *testing.T) {
	l := newLadder(t, Settings{Order: []Source{DNS, Files}, Upstreams: []Upstream{serverA}})
	l.do(hosts(t, "192.0.2.1 www.example.com\n"))
	l.watch(www)
	l.both(www, 60) // DNS knows the name, without addresses
	l.stands(l.changed(www, "[192.0.2.1] | [] | []"))
	l.pass(54 * time.Second)
	l.both(www, 60, "192.0.2.2") // now DNS has one
	l.changed(www, "[192.0.2.2] | [192.0.2.1] | []")
	// A name that DNS cannot be asked about.
	l.do(hosts(t, "192.0.2.7 other.example.com\n"))
	l.query("c", "other.example.com.", TypeA)
	l.do(Answer{Ask: l.asked("other.example.com.", TypeA).ID, RCode: Refused})
	l.replied("c", "[192.0.2.7]")
}

func TestFilesAlone(t *testing.T) {
	l := newLadder(t, Settings{Order: []Source{Files}})
	l.do(hosts(t, "192.0.2.1 www.example.com\n"))
	l.query("c", www, TypeA)
	l.replied("c", "[192.0.2.1]")
	l.query("c", "other.example.com.", TypeA)
	l.replied("c", "REFUSED")
}

func TestSpecialNames(t *testing.T) {
	l := newLadder(t, Settings{Forward: []string{"corp.test", "10.in-addr.arpa."}})
	for name, want := range map[string]string{
		"localhost.":                "[127.0.0.1]",
		"a.localhost.":              "[127.0.0.1]",
		"x.invalid.":                "NXDOMAIN",
		"x.test.":                   "NXDOMAIN",
		"x.onion.":                  "NXDOMAIN",
		"x.local.":                  "NXDOMAIN",
		"x.alt.":                    "NXDOMAIN",
		"home.arpa.":                "NXDOMAIN",
		"1.1.168.192.in-addr.arpa.": "NXDOMAIN",
		"8.b.d.0.1.0.0.2.ip6.arpa.": "NXDOMAIN",
	} {
		l.query("c", name, TypeA)
		l.replied("c", want)
	}
	l.query("c", "localhost.", TypeAAAA)
	l.replied("c", "[::1]")
	l.query("c", "localhost.", TypePTR)
	l.replied("c", "NOERROR")
	l.query("c", "1.0.0.127.in-addr.arpa.", TypePTR)
	l.replied("c", "[localhost.]")
	none[Ask](l)
	for _, name := range []string{"a.corp.test.", "1.0.0.10.in-addr.arpa.", "example.", "contest.", "8.8.8.8.in-addr.arpa."} {
		l.query("c", name, TypeA)
		l.asked(name, TypeA)
	}
	// A name that the configuration watches is meant.
	l.watch("gw.test")
	l.asked("gw.test.", TypeA)
	l.query("c", "gw.test.", TypeA)
	none[Reply](l)
}

func TestCanonical(t *testing.T) {
	long := "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for in, want := range map[string]string{
		"Example.COM": "example.com.", "example.com.": "example.com.", ".": ".", `a\.b.c`: `a\.b.c.`, `\032x.c`: `\032x.c.`,
		"*.corp": "*.corp.", long: long + ".", "_sip._tcp.a": "_sip._tcp.a.", `a\ b`: `a\ b.`,
		"": "", "a..b": "", ".a": "", "a b": "", long + "a": "", `a\`: "", "..": "",
		long + "." + long + "." + long + "." + long: "",
	} {
		got, err := Canonical(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Canonical(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseOrder(t *testing.T) {
	for in, want := range map[string][]Source{
		"passwd: files\nhosts: files dns # both\n":                   {Files, DNS},
		"hosts:\tdns [!UNAVAIL=return] files myhostname":             {DNS, Files},
		"hosts: mymachines resolve [!UNAVAIL=return] files dns mdns": {DNS, Files},
		"hosts: files":  {Files},
		"passwd: files": nil,
		"":              nil,
	} {
		if got := ParseOrder([]byte(in)); !slices.Equal(got, want) {
			t.Errorf("%q gives %v, want %v", in, got, want)
		}
	}
}

func TestParseHostsFindings(t *testing.T) {
	entries, findings := ParseHosts([]byte("# comment\n\nnonsense a\n192.0.2.1\n::1%lo ip6-localhost A..b LOCAL\n::ffff:192.0.2.3 four"))
	if len(findings) != 2 || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, findings)
	}
	if e := entries[0]; e.Addr != netip.IPv6Loopback() || !slices.Equal(e.Names, []string{"ip6-localhost.", "local."}) {
		t.Errorf("%v", e)
	}
	if e := entries[1]; e.Addr != netip.MustParseAddr("192.0.2.3") {
		t.Errorf("%v", e)
	}
}

func TestReverseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"1.2.0.192.in-addr.arpa.": "192.0.2.1",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": "2001:db8::1",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0x2.ip6.arpa.": "",
		"1.2.3.in-addr.arpa.": "", "256.1.1.1.in-addr.arpa.": "", "www.example.com.": "",
	} {
		got, ok := reverseAddr(in)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s is %v, %v", in, got, ok)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"example.com", `a\.b.`, `\255\000.x`, "..", "*.x", "ä.de"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Canonical(s)
		if err != nil {
			return
		}
		if again, err := Canonical(c); err != nil || again != c {
			t.Errorf("%q → %q → %q, %v", s, c, again, err)
		}
		steps := 0
		for n := c; n != ""; n = parent(n) {
			if steps++; steps > 256 {
				t.Fatalf("%q has no end", c)
			}
		}
		reverseAddr(c)
	})
}

func FuzzHosts(f *testing.F) {
	f.Add([]byte("127.0.0.1 localhost\n::1 localhost ip6-localhost\n# x\nbad line\n"))
	f.Add([]byte("192.0.2.1 a b c\n192.0.2.1\n"))
	f.Add([]byte("hosts: files [NOTFOUND=return] dns\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, findings := ParseHosts(data)
		if len(findings) > maxFindings || len(entries) > maxHostLines {
			t.Errorf("%d entries, %d findings", len(entries), len(findings))
		}
		if o := ParseOrder(data); len(o) > 2 {
			t.Errorf("%v", o)
		}
	})
}

func TestParseResolvConf(t *testing.T) {
	got := ParseResolvConf([]byte("# made by hand\ndomain example.org\nnameserver 192.0.2.53\nnameserver fe80::1%eth0 # router\n" +
		"nameserver 192.0.2.53\nnameserver\nnameserver nobody\n nameserver 2001:db8::53\noptions edns0\n"))
	want := []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("2001:db8::53")}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ParseResolvConf([]byte(strings.Repeat("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", 50))); len(got) != 2 {
		t.Errorf("%v", got)
	}
}
