package ikev2

import (
	"net/netip"
	"reflect"
	"testing"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// ts makes a traffic selector out of a prefix, a protocol and a port range.
func ts(p string, proto uint8, ports ...uint16) message.TrafficSelector {
	first, last := prefixRange(prefix(p))
	t := message.TrafficSelector{Protocol: proto, EndPort: 65535, Start: first, End: last}
	if len(ports) == 2 {
		t.StartPort, t.EndPort = ports[0], ports[1]
	}
	return t
}

func addrRange(from, to string) message.TrafficSelector {
	return message.TrafficSelector{EndPort: 65535, Start: netip.MustParseAddr(from), End: netip.MustParseAddr(to)}
}

func TestIntersect(t *testing.T) {
	unknown := ts("10.0.0.0/8", 0)
	unknown.UnknownType = 9
	cases := []struct {
		name       string
		a, b, want message.TrafficSelector
		none       bool
	}{
		{name: "same", a: ts("10.0.0.0/8", 0), b: ts("10.0.0.0/8", 0), want: ts("10.0.0.0/8", 0)},
		{name: "inside", a: ts("10.0.0.0/8", 0), b: ts("10.1.0.0/16", 6, 80, 80), want: ts("10.1.0.0/16", 6, 80, 80)},
		{name: "overlap", a: addrRange("10.0.0.10", "10.0.0.20"), b: addrRange("10.0.0.15", "10.0.0.30"), want: addrRange("10.0.0.15", "10.0.0.20")},
		{name: "ports", a: ts("10.0.0.0/8", 6, 10, 100), b: ts("10.0.0.0/8", 6, 50, 200), want: ts("10.0.0.0/8", 6, 50, 100)},
		{name: "apart", a: ts("10.0.0.0/8", 0), b: ts("11.0.0.0/8", 0), none: true},
		{name: "protocols", a: ts("10.0.0.0/8", 6), b: ts("10.0.0.0/8", 17), none: true},
		{name: "ports apart", a: ts("10.0.0.0/8", 6, 1, 2), b: ts("10.0.0.0/8", 6, 3, 4), none: true},
		{name: "families", a: ts("10.0.0.0/8", 0), b: ts("2001:db8::/32", 0), none: true},
		{name: "v6", a: ts("2001:db8::/32", 0), b: ts("2001:db8:1::/48", 0), want: ts("2001:db8:1::/48", 0)},
		{name: "unknown type", a: ts("10.0.0.0/8", 0), b: unknown, none: true},
		{name: "backwards", a: ts("10.0.0.0/8", 0), b: addrRange("10.0.0.2", "10.0.0.1"), none: true},
		{name: "OPAQUE in any", a: ts("10.0.0.0/8", 0), b: ts("10.0.0.0/8", 6, 65535, 0), want: ts("10.0.0.0/8", 6, 65535, 0)},
		{name: "OPAQUE in ports", a: ts("10.0.0.0/8", 6, 1, 65535), b: ts("10.0.0.0/8", 6, 65535, 0), none: true},
		{name: "no address", a: ts("10.0.0.0/8", 0), b: message.TrafficSelector{EndPort: 65535}, none: true},
	}
	for _, c := range cases {
		for _, turned := range []bool{false, true} {
			a, b := c.a, c.b
			if turned {
				a, b = b, a
			}
			got, ok := intersect(a, b)
			if ok == c.none || ok && got != c.want {
				t.Errorf("%s (turned %v): %v %v, want %v", c.name, turned, tsName(got), ok, tsName(c.want))
			}
		}
	}
}

func TestNarrow(t *testing.T) {
	list := func(l ...message.TrafficSelector) []message.TrafficSelector { return l }
	cases := []struct {
		name                string
		asked, policy, want []message.TrafficSelector
	}{
		{"all", list(ts("10.1.0.0/16", 0)), list(ts("10.0.0.0/8", 0)), list(ts("10.1.0.0/16", 0))},
		{"part", list(ts("0.0.0.0/0", 0)), list(ts("10.0.0.0/8", 0), ts("192.168.0.0/16", 0)), list(ts("10.0.0.0/8", 0), ts("192.168.0.0/16", 0))},
		{"packet and net", list(ts("10.0.0.1/32", 6, 80, 80), ts("10.0.0.0/24", 0)), list(ts("10.0.0.0/8", 0)), list(ts("10.0.0.0/24", 0))},
		{"packet only", list(ts("10.0.0.1/32", 6, 80, 80), ts("10.0.0.0/24", 0)), list(ts("10.0.0.0/8", 6, 80, 80)), list(ts("10.0.0.0/24", 6, 80, 80))},
		{"nothing", list(ts("10.0.0.0/8", 0)), list(ts("11.0.0.0/8", 0)), nil},
		{"empty", nil, list(ts("11.0.0.0/8", 0)), nil},
		{"doubles", list(ts("10.0.0.0/8", 0), ts("10.0.0.0/8", 0)), list(ts("10.0.0.0/8", 0)), list(ts("10.0.0.0/8", 0))},
	}
	for _, c := range cases {
		got := narrow(c.asked, c.policy)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, tsList(got), tsList(c.want))
		}
		if !coversAll(c.policy, got) {
			t.Errorf("%s: more than the policy allows", c.name)
		}
	}
	// A hostile request of many selectors against a policy of many stays bounded.
	var many, policy []message.TrafficSelector
	for i := range 255 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i), 0})
		many = append(many, message.TrafficSelector{EndPort: 65535, Start: a, End: netip.MustParseAddr("10.255.0.0")})
		policy = append(policy, message.TrafficSelector{EndPort: 65535, Start: netip.MustParseAddr("10.0.0.0"), End: netip.AddrFrom4([4]byte{10, 1, byte(i), 1})})
	}
	if got := narrow(many, policy); len(got) > maxSelectors {
		t.Errorf("%d selectors", len(got))
	}
}

// ICMP type and code go into the ports and come back (RFC 7296 §3.13.1).
func TestICMPSelectors(t *testing.T) {
	icmp := func(kind, code kernel.PortRange) kernel.Selector {
		return kernel.Selector{Src: prefix("10.0.0.0/24"), Dst: prefix("10.1.0.0/24"), Proto: 1, SrcPort: kind, DstPort: code}
	}
	one := func(n uint16) kernel.PortRange { return kernel.PortRange{First: n, Last: n} }
	cases := []struct {
		sel        kernel.Selector
		start, end uint16
	}{
		{icmp(kernel.AnyPort, kernel.AnyPort), 0, 65535},
		{icmp(one(8), one(0)), 0x0800, 0x0800},
		{icmp(one(8), kernel.AnyPort), 0x0800, 0x08ff},
		{icmp(one(3), kernel.PortRange{First: 1, Last: 4}), 0x0301, 0x0304},
		{icmp(kernel.PortRange{First: 8, Last: 11}, kernel.AnyPort), 0x0800, 0x0bff},
	}
	for _, c := range cases {
		l, r := selectorTS(c.sel)
		if l.StartPort != c.start || l.EndPort != c.end || r.StartPort != c.start || r.EndPort != c.end {
			t.Errorf("%+v: %x-%x", c.sel, l.StartPort, l.EndPort)
		}
		back := trafficSet{[]message.TrafficSelector{l}, []message.TrafficSelector{r}}.kernelSelector()
		if back != c.sel {
			t.Errorf("%+v came back as %+v", c.sel, back)
		}
		if turned := reverse(back); turned.SrcPort != back.SrcPort || turned.Src != back.Dst {
			t.Errorf("reversed %+v", turned)
		}
	}
}

// Selectors share a child only where their whole product is configured.
func TestSets(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.2")
	child := func(list ...kernel.Selector) *Child { return &Child{Mode: kernel.Tunnel, Outbound: list} }
	cases := []struct {
		name string
		c    *Child
		want []string
	}{
		{"one", child(selector("10.0.1.0/24", "10.0.2.0/24")), []string{"10.0.1.0/24[any] any to 10.0.2.0/24[any] any"}},
		{"product", child(selector("10.0.1.0/24", "10.0.2.0/24"), selector("10.0.1.0/24", "10.0.3.0/24")),
			[]string{"10.0.1.0/24[any] any to 10.0.2.0/24[any] any, 10.0.3.0/24[any] any"}},
		{"no product", child(selector("10.0.1.0/24", "10.0.2.0/24"), selector("10.0.4.0/24", "10.0.3.0/24")),
			[]string{"10.0.1.0/24[any] any to 10.0.2.0/24[any] any", "10.0.4.0/24[any] any to 10.0.3.0/24[any] any"}},
		{"two families", child(selector("10.0.1.0/24", "10.0.2.0/24"), selector("2001:db8:1::/48", "2001:db8:2::/48")),
			[]string{"10.0.1.0/24[any] any to 10.0.2.0/24[any] any", "2001:db8:1::/48[any] any to 2001:db8:2::/48[any] any"}},
		{"dynamic", &Child{Mode: kernel.Tunnel, Dynamic: true, Outbound: []kernel.Selector{selector("10.0.1.0/24", "0.0.0.0/0")}},
			[]string{"10.0.1.0/24[any] any to 192.0.2.2/32[any] any"}},
	}
	for _, c := range cases {
		var got []string
		for _, s := range c.c.sets(peer) {
			got = append(got, tsList(s.local)+" to "+tsList(s.remote))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// The kernel's one selector holds everything of the set.
func TestHull(t *testing.T) {
	s := trafficSet{
		[]message.TrafficSelector{ts("10.0.1.0/24", 6, 80, 80), ts("10.0.3.0/24", 6, 443, 443)},
		[]message.TrafficSelector{ts("10.9.0.0/24", 6, 1000, 2000)},
	}
	want := kernel.Selector{Src: prefix("10.0.0.0/22"), Dst: prefix("10.9.0.0/24"), Proto: 6,
		SrcPort: kernel.PortRange{First: 80, Last: 443}, DstPort: kernel.PortRange{First: 1000, Last: 2000}}
	if got := s.kernelSelector(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.local[1].Protocol = 17
	want.Proto, want.SrcPort, want.DstPort = 0, kernel.AnyPort, kernel.AnyPort
	if got := s.kernelSelector(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	odd := trafficSet{[]message.TrafficSelector{addrRange("10.0.0.1", "10.0.0.6")}, []message.TrafficSelector{ts("::/0", 0)}}
	if got := odd.kernelSelector(); got.Src != prefix("10.0.0.0/29") || got.Dst != prefix("::/0") {
		t.Errorf("%+v", got)
	}
}

func TestSelectorNames(t *testing.T) {
	for want, s := range map[string]message.TrafficSelector{
		"10.0.0.0/24[any] any":        ts("10.0.0.0/24", 0),
		"10.0.0.0/24[80] 6":           ts("10.0.0.0/24", 6, 80, 80),
		"10.0.0.0/24[80-90] 17":       ts("10.0.0.0/24", 17, 80, 90),
		"10.0.0.1-10.0.0.6[any] any":  addrRange("10.0.0.1", "10.0.0.6"),
		"2001:db8::/32[OPAQUE] 6":     ts("2001:db8::/32", 6, 65535, 0),
		"traffic selector type 9":     {UnknownType: 9},
		"10.0.0.1-2001:db8::[any] 17": {Protocol: 17, EndPort: 65535, Start: netip.MustParseAddr("10.0.0.1"), End: netip.MustParseAddr("2001:db8::")},
	} {
		if got := tsName(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
