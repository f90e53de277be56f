package kernel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func selector(src, dst string, proto uint8, ports ...PortRange) Selector {
	s := Selector{
		Src: netip.MustParsePrefix(src), Dst: netip.MustParsePrefix(dst),
		Proto: proto, SrcPort: AnyPort, DstPort: AnyPort,
	}
	if len(ports) == 2 {
		s.SrcPort, s.DstPort = ports[0], ports[1]
	}
	return s
}

func TestSelectorString(t *testing.T) {
	for _, c := range []struct {
		s    Selector
		want string
	}{
		{selector("10.0.0.0/24", "10.0.1.0/24", 0), "10.0.0.0/24[any] 10.0.1.0/24[any] any"},
		{selector("fd00::/64", "fd01::1/128", 6, AnyPort, Port(443)), "fd00::/64[any] fd01::1/128[443] tcp"},
		{selector("10.0.0.1/32", "10.0.0.2/32", 17, PortRange{1024, 65535}, Port(53)), "10.0.0.1/32[1024-65535] 10.0.0.2/32[53] udp"},
		{selector("10.0.0.1/32", "10.0.0.2/32", 1, Port(8), Port(0)), "10.0.0.1/32[8] 10.0.0.2/32[0] icmp"},
		{selector("10.0.0.1/32", "10.0.0.2/32", 99), "10.0.0.1/32[any] 10.0.0.2/32[any] 99"},
	} {
		if got := c.s.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestSelectorValid(t *testing.T) {
	for _, c := range []struct {
		s    Selector
		want string
	}{
		{selector("10.0.0.0/24", "0.0.0.0/0", 6, Port(1), AnyPort), ""},
		{selector("::/0", "::/0", 58, Port(128), Port(0)), ""},
		{Selector{}, "needs a source"},
		{selector("10.0.0.0/24", "::/0", 0), "different address families"},
		{selector("10.0.0.1/24", "10.0.1.0/24", 0), "bits set"},
		{selector("::ffff:10.0.0.1/128", "::/0", 0), "IPv4 address"},
		{selector("10.0.0.0/24", "10.0.1.0/24", 6, PortRange{2, 1}, AnyPort), "ends before"},
		{selector("10.0.0.0/24", "10.0.1.0/24", 1, Port(256), AnyPort), "above 255"},
	} {
		err := c.s.Valid()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.s, err, c.want)
		}
	}
}

func TestSelectorContainsAndIntersect(t *testing.T) {
	wide := selector("10.0.0.0/8", "0.0.0.0/0", 0)
	tcp := selector("10.1.0.0/16", "192.0.2.0/24", 6, AnyPort, PortRange{80, 90})
	for _, c := range []struct {
		name     string
		s, t     Selector
		contains bool
		both     string
	}{
		{"wider", wide, tcp, true, tcp.String()},
		{"narrower", tcp, wide, false, tcp.String()},
		{"itself", tcp, tcp, true, tcp.String()},
		{"other protocol", tcp, selector("10.1.0.0/16", "192.0.2.0/24", 17), false, ""},
		{"ports overlap", tcp, selector("10.1.2.0/24", "192.0.2.0/24", 6, AnyPort, PortRange{85, 95}), false,
			"10.1.2.0/24[any] 192.0.2.0/24[85-90] tcp"},
		{"ports apart", tcp, selector("10.1.0.0/16", "192.0.2.0/24", 6, AnyPort, Port(91)), false, ""},
		{"source apart", wide, selector("11.0.0.0/8", "0.0.0.0/0", 0), false, ""},
		{"destination apart", tcp, selector("10.1.0.0/16", "192.0.3.0/24", 6), false, ""},
		{"other family", wide, selector("::/0", "::/0", 0), false, ""},
		{"zero", wide, Selector{}, false, ""},
	} {
		if got := c.s.Contains(c.t); got != c.contains {
			t.Errorf("%s: Contains is %v", c.name, got)
		}
		both, ok := c.s.Intersect(c.t)
		if ok != (c.both != "") || ok && both.String() != c.both {
			t.Errorf("%s: Intersect is %v, %v", c.name, both, ok)
		}
		other, ok2 := c.t.Intersect(c.s)
		if ok != ok2 || other != both {
			t.Errorf("%s: Intersect the other way is %v, %v", c.name, other, ok2)
		}
	}
	packet := selector("10.1.2.3/32", "192.0.2.9/32", 6, Port(4000), Port(80))
	if !tcp.Matches(packet) || tcp.Matches(packet.Reverse()) {
		t.Error("Matches is wrong")
	}
}

func TestSelectorReverse(t *testing.T) {
	s := selector("10.0.0.0/24", "10.0.1.0/24", 6, Port(1), Port(2))
	if got := s.Reverse().String(); got != "10.0.1.0/24[2] 10.0.0.0/24[1] tcp" {
		t.Error(got)
	}
	if s.Reverse().Reverse() != s {
		t.Error("twice reversed is not the same")
	}
	echo := selector("10.0.0.0/24", "10.0.1.0/24", 1, Port(8), Port(0))
	if got := echo.Reverse().String(); got != "10.0.1.0/24[8] 10.0.0.0/24[0] icmp" {
		t.Error(got)
	}
}

func TestNamesAndSecrets(t *testing.T) {
	sa := SA{
		SAID: SAID{netip.MustParseAddr("192.0.2.2"), ESP, 0x100a}, Src: netip.MustParseAddr("192.0.2.1"),
		Mode: Tunnel, ReqID: 3, EncrKey: []byte("secret-secret"), IntegKey: []byte("secret-secret"),
	}
	policy := Policy{ID: 7, Selector: selector("10.0.0.0/24", "10.0.1.0/24", 0), Direction: Out, Action: Protect}
	for _, c := range []struct {
		value any
		want  string
	}{
		{sa, "esp 0x0000100a from 192.0.2.1 to 192.0.2.2, tunnel mode, reqid 3"},
		{sa.SAID, "esp 0x0000100a to 192.0.2.2"},
		{policy, "spid 7 out 10.0.0.0/24[any] 10.0.1.0/24[any] any protect"},
		{[]Protocol{AH, IPComp, 1}, "[ah ipcomp Protocol(1)]"},
		{[]Mode{Transport, 9}, "[transport Mode(9)]"},
		{[]Direction{In, Forward, 0}, "[in fwd Direction(0)]"},
		{[]Action{Discard, Bypass, 0}, "[discard bypass Action(0)]"},
		{[]Level{Require, Use, Unique, 0}, "[require use unique Level(0)]"},
		{[]EngineID{NoEngine, PolicyManager, IKEv2, KINK, 9}, "[none policy ikev2 kink EngineID(9)]"},
	} {
		if got := fmt.Sprint(c.value); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	hex := fmt.Sprintf("%x", sa.EncrKey)
	request := Request{Op: AddSA{sa}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(format, request) + fmt.Sprintf(format, &sa)
		if strings.Contains(got, "secret") || strings.Contains(got, "115 101") || strings.Contains(got, hex) || strings.Contains(got, "0x73") {
			t.Errorf("%s shows a key: %s", format, got)
		}
	}
}
