package kerberos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sampleConf = `# comment
[libdefaults]
	default_realm = EXAMPLE.COM
	dns_lookup_kdc = false
	udp_preference_limit = 1000
	ticket_lifetime = 1d 2h
	permitted_enctypes = aes256-cts

[realms]
	EXAMPLE.COM = {
		kdc = kdc1.example.com
		kdc = [2001:db8::1]:8888
		kdc = tcp/192.0.2.9:89
		kdc = 2001:db8::2
		admin_server = kdc1.example.com
		auth_to_local_names = {
			kdc = not-one
		}
	}
	OTHER.COM = {
		kdc = 192.0.2.7
	}

[domain_realm]
	.example.com = EXAMPLE.COM
	.other.example.com = OTHER.COM
	www.example.com = WEB.COM
`

func TestKrb5Conf(t *testing.T) {
	c, err := ParseKrb5Conf([]byte(sampleConf))
	if err != nil {
		t.Fatal(err)
	}
	if c.DefaultRealm != "EXAMPLE.COM" || c.LookupKDC || c.UDPLimit != 1000 || c.Lifetime != 26*time.Hour {
		t.Errorf("%+v", c)
	}
	if got := strings.Join(c.KDCs["EXAMPLE.COM"], " "); got != "kdc1.example.com [2001:db8::1]:8888 tcp/192.0.2.9:89 2001:db8::2" {
		t.Errorf("KDCs: %s", got)
	}
	for host, want := range map[string]string{
		"gw.example.com": "EXAMPLE.COM", "a.b.other.example.com.": "OTHER.COM", "WWW.example.com": "WEB.COM", "gw.elsewhere": "EXAMPLE.COM",
	} {
		if got := c.Realm(host); got != want {
			t.Errorf("realm of %s: %s, want %s", host, got, want)
		}
	}
	if p, err := c.KINKPrincipal("GW.Other.example.com."); err != nil || p != "kink/gw.other.example.com@OTHER.COM" {
		t.Errorf("%s, %v", p, err)
	}
}

func TestKrb5ConfProblems(t *testing.T) {
	for text, want := range map[string]string{
		"[realms]\nA = {\nkdc = b\n": "not closed",
		"[libdefaults\n":             "no section",
		"}\n":                        "no brace",
		"[libdefaults]\nnothing\n":   ":2:",
		"[libdefaults]\nudp_preference_limit = many\n":         "malformed",
		"include relative\n":                                   "absolute",
		"[realms]\n" + strings.Repeat("a = {\n", 20):           "deep",
		"[libdefaults]\nticket_lifetime = for ever\n":          "malformed",
		"include " + filepath.Join(t.TempDir(), "none") + "\n": "no such file",
	} {
		if _, err := ParseKrb5Conf([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestKrb5ConfIncludes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("conf.d/one", "[realms]\nA = {\n kdc = a1\n}\n")
	write("conf.d/two.conf", "[realms]\nA = {\n kdc = a2\n}\n")
	write("conf.d/three~", "[realms]\nA = {\n kdc = never\n}\n")
	main := write("krb5.conf", "includedir "+dir+"/conf.d\n[libdefaults]\n default_realm = A\n")
	c, err := LoadKrb5Conf(filepath.Join(dir, "none"), main)
	if err != nil || strings.Join(c.KDCs["A"], " ") != "a1 a2" || c.DefaultRealm != "A" || c.UDPLimit != defaultUDP {
		t.Errorf("%+v, %v", c, err)
	}
	loop := write("loop", "include "+dir+"/loop\n")
	if _, err := LoadKrb5Conf(loop); err == nil {
		t.Error("a file that includes itself is taken")
	}
	if _, err := LoadKrb5Conf(filepath.Join(dir, "none")); err == nil {
		t.Error("no file is no error")
	}
}

// names is a resolver of a test.
type names map[string][]*net.SRV

func (n names) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if r := n["_"+service+"._"+proto+"."+name]; r != nil {
		return "", r, nil
	}
	return "", nil, errors.New("no such name")
}

func (names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host == "kdc1.example.com" {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::9")}, nil
	}
	return nil, errors.New("no such host")
}

func TestLocate(t *testing.T) {
	c, _ := ParseKrb5Conf([]byte(sampleConf))
	dns := names{
		"_kerberos._udp.DNS.COM.": {{Target: "kdc1.example.com.", Port: 88}},
		"_kerberos._tcp.DNS.COM.": {{Target: "kdc1.example.com.", Port: 88}},
		"_kerberos._tcp.TCP.COM.": {{Target: "kdc1.example.com.", Port: 750}},
		"_kerberos._udp.OFF.COM.": {{Target: ".", Port: 0}},
	}
	n := &Network{Conf: c, Resolver: dns}
	look := func(realm string) string {
		addrs, err := n.locate(context.Background(), realm)
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, a := range addrs {
			out = append(out, a.String())
		}
		return strings.Join(out, " ")
	}
	if got := look("EXAMPLE.COM"); got != "192.0.2.1:88 [2001:db8::9]:88 [2001:db8::1]:8888 tcp/192.0.2.9:89 [2001:db8::2]:88" {
		t.Error(got)
	}
	if got := look("DNS.COM"); !strings.Contains(got, "DNS has none or is not asked") {
		t.Error(got)
	}
	c.LookupKDC = true
	for realm, want := range map[string]string{
		"DNS.COM": "192.0.2.1:88 [2001:db8::9]:88",
		"TCP.COM": "tcp/192.0.2.1:750 tcp/[2001:db8::9]:750",
		"OFF.COM": "no KDC of OFF.COM is found: no such name",
	} {
		if got := look(realm); got != want {
			t.Errorf("%s: %s", realm, got)
		}
	}
	for _, text := range []string{"", "a:b:c", "host:0", "host:99999", ":88", "tcp/", "[::1"} {
		if _, h, p, err := splitKDC(text); err == nil && text != "[::1" {
			t.Errorf("%q gives %s %d", text, h, p)
		}
	}
}

// bothPorts finds a port that is free for TCP and UDP.
func bothPorts(t *testing.T, network, addr string) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp"+network, addr)
		if err != nil {
			t.Skipf("no loopback address %s: %v", addr, err)
		}
		if pc, err := net.ListenPacket("udp"+network, l.Addr().String()); err == nil {
			return l, pc
		}
		l.Close()
	}
	t.Fatal("no port is free for TCP and UDP")
	return nil, nil
}

// fakeKDC answers on UDP and TCP of one loopback port.
func fakeKDC(t *testing.T, network, addr string, udp, tcp func([]byte) []byte) string {
	t.Helper()
	l, pc := bothPorts(t, network, addr)
	t.Cleanup(func() { l.Close(); pc.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if r := udp(buf[:n]); r != nil {
				pc.WriteTo([]byte("noise"), from)
				pc.WriteTo(r, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				head := make([]byte, 4)
				c.Read(head)
				body := make([]byte, binary.BigEndian.Uint32(head))
				c.Read(body)
				c.Write(tcp(body))
			}()
		}
	}()
	return l.Addr().String()
}

func TestNetwork(t *testing.T) {
	tooBig, _ := errorMessage{code: krbErrResponseTooBig, stime: testNow, service: hostB}.encode()
	busy, _ := errorMessage{code: kdcErrSvcUnavailable, stime: testNow, service: hostB}.encode()
	answer := append([]byte{byte(applicationTag(tagASRep))}, bytes.Repeat([]byte("x"), 9000)...)
	framed := append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)
	never := func([]byte) []byte { return nil }
	for _, family := range [][2]string{{"4", "127.0.0.1:0"}, {"6", "[::1]:0"}} {
		silent := fakeKDC(t, family[0], family[1], never, never)
		overloaded := fakeKDC(t, family[0], family[1], func([]byte) []byte { return busy }, never)
		good := fakeKDC(t, family[0], family[1], func([]byte) []byte { return tooBig }, func([]byte) []byte { return framed })
		huge := fakeKDC(t, family[0], family[1], func([]byte) []byte { return tooBig }, func([]byte) []byte { return []byte{0x7F, 0xFF, 0xFF, 0xFF} })
		onlyTCP := fakeKDC(t, family[0], family[1], never, func([]byte) []byte { return framed })
		n := &Network{Wait: 20 * time.Millisecond, Conf: &Krb5Conf{UDPLimit: 1465, KDCs: map[string][]string{
			"GOOD": {silent, "127.0.0.1:9", overloaded, good}, "HUGE": {huge}, "SILENT": {silent}, "TCP": {onlyTCP},
		}}}
		if got, err := n.Exchange(context.Background(), "GOOD", []byte("request")); err != nil || !bytes.Equal(got, answer) {
			t.Errorf("IPv%s: %d octets, %v", family[0], len(got), err)
		}
		if got, err := n.Exchange(context.Background(), "TCP", []byte("request")); err != nil || !bytes.Equal(got, answer) {
			t.Errorf("IPv%s without UDP: %d octets, %v", family[0], len(got), err)
		}
		if _, err := n.Exchange(context.Background(), "HUGE", []byte("request")); err == nil || !strings.Contains(err.Error(), "2147483647 octets") {
			t.Errorf("IPv%s, a huge answer: %v", family[0], err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		if _, err := n.Exchange(ctx, "SILENT", []byte("request")); err == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("IPv%s, silence: %v", family[0], err)
		}
		cancel()
	}
}

func TestPrincipalText(t *testing.T) {
	for _, text := range []string{"a@R", "kink/h.example.com@R", `a\/b\@c\\/d@R`, "host/x/y/z@R.COM"} {
		p, err := ParsePrincipal(text)
		if err != nil || p.String() != text {
			t.Errorf("%q: %q, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "a", "@R", "a@", "a@R@S", "a//b@R", `a\n@R`, `a@R\`, "a\x01@R", strings.Repeat("a/", 20) + "b@R"} {
		if p, err := ParsePrincipal(text); err == nil {
			t.Errorf("%q is read as %q", text, p)
		}
	}
}

// encodeCCache writes a version 4 cache.
func encodeCCache(client Principal, list ...cachedCredential) []byte {
	counted := func(b, v []byte) []byte { return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...) }
	principal := func(b []byte, p Principal) []byte {
		b = binary.BigEndian.AppendUint32(b, 1)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.Name)))
		b = counted(b, []byte(p.Realm))
		for _, c := range p.Name {
			b = counted(b, []byte(c))
		}
		return b
	}
	out := principal([]byte{5, 4, 0, 0}, client)
	for _, c := range list {
		out = principal(principal(out, c.client), c.server)
		out = binary.BigEndian.AppendUint16(out, uint16(c.key.etype))
		out = counted(out, c.key.value)
		for _, v := range []time.Time{c.start, c.start, c.end, c.end} {
			out = binary.BigEndian.AppendUint32(out, uint32(v.Unix()))
		}
		out = append(out, make([]byte, 5+4+4)...)
		out = counted(counted(out, c.ticket), nil)
	}
	return out
}
