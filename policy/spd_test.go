package policy

import (
	"net/netip"
	"strings"
	"testing"

	"racoon2/kernel"
)

func TestTunnelPair(t *testing.T) {
	r := newRig(t)
	r.run(Start{pair()})
	r.wantSPD(
		"out 10.1.0.0/16[any] 10.2.0.0/16[any] any protect esp/tunnel/require/192.0.2.1-192.0.2.2#1",
		"in 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/192.0.2.2-192.0.2.1#1",
		"fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/192.0.2.2-192.0.2.1#1",
	)
	r.wantStates("net_out installed", "net_in installed", "net_in installed")
	for id, want := range map[kernel.PolicyID]string{1: "net_out", 2: "net_in", 3: "net_in"} {
		if name, ok := r.m.SelectorOf(id); name != want || !ok {
			t.Errorf("policy %d is of selector %q", id, name)
		}
	}
	if name, ok := r.m.SelectorOf(4); ok {
		t.Errorf("policy 4 is of selector %q", name)
	}
	r.wantQuiet()
	if _, ok := r.m.Deadline(); ok || r.m.Idle() {
		t.Error("a manager at rest waits for nothing, and is not done")
	}

	// Inbound leaves before outbound.
	r.handle(Shutdown{})
	r.wantRequests(
		"delete in 10.2.0.0/16[any] 10.1.0.0/16[any] any",
		"delete fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any",
		"delete out 10.1.0.0/16[any] 10.2.0.0/16[any] any")
	r.wantStates("net_out leaving", "net_in leaving", "net_in leaving")
	r.settle()
	r.wantSPD()
	if !r.m.Idle() {
		t.Error("not idle")
	}
	for _, in := range []Input{Shutdown{}, Start{pair()}, host("192.0.2.1"), Up{"net_out"}, KernelEvent{kernel.Resync{}}} {
		r.handle(in)
	}
	r.wantRequests()
	r.wantQuiet()
}

// Each row is one outbound selector, or what it names, and the policies of it.
func TestSelectorsBecomePolicies(t *testing.T) {
	noForward := func(c *kernel.Capabilities) { c.Forward = false }
	noRanges := func(c *kernel.Capabilities) { c.PortRanges = false }
	tests := []struct {
		name   string
		sel    *Selector
		caps   func(*kernel.Capabilities)
		want   []string
		reason string // of the selector that makes none
	}{
		{name: "transport has no forward twin", sel: transport("s", "192.0.2.2", "192.0.2.1", inbound("o")),
			want: []string{"in 192.0.2.2/32[any] 192.0.2.1/32[any] any protect esp/transport/require#1"}},
		{name: "no forward direction", caps: noForward, sel: tunnel("s", "10.2.0.0/16", "10.1.0.0/16", inbound("o")),
			want: []string{"in 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/192.0.2.2-192.0.2.1#1"}},
		{name: "discard", sel: transport("s", "10.2.0.0/16", "10.1.0.0/16", inbound(""), action(kernel.Discard)),
			want: []string{"in 10.2.0.0/16[any] 10.1.0.0/16[any] any discard", "fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any discard"}},
		{name: "bypass", sel: transport("s", "10.1.0.0/16", "10.2.0.0/16", proto(6), action(kernel.Bypass)),
			want: []string{"out 10.1.0.0/16[any] 10.2.0.0/16[any] tcp bypass"}},
		{name: "several addresses of two families", sel: transport("s", "192.0.2.1 2001:db8::1", "198.51.100.0/25 198.51.100.128/25 2001:db8:2::/48"),
			want: []string{
				"out 192.0.2.1/32[any] 198.51.100.0/25[any] any protect esp/transport/require#1",
				"out 192.0.2.1/32[any] 198.51.100.128/25[any] any protect esp/transport/require#1",
				"out 2001:db8::1/128[any] 2001:db8:2::/48[any] any protect esp/transport/require#1",
			}},
		{name: "macro", sel: transport("s", "MY_IPV4%eth0", "198.51.100.7"),
			want: []string{"out 192.0.2.1/32[any] 198.51.100.7/32[any] any protect esp/transport/require#1"}},
		{name: "any", sel: transport("s", "192.0.2.1", "IP_RW", proto(17), ports(kernel.Port(1701), kernel.AnyPort)),
			want: []string{"out 192.0.2.1/32[1701] 0.0.0.0/0[any] udp protect esp/transport/require#1"}},
		{name: "any to any", sel: transport("s", "IP_ANY", "IP_ANY", action(kernel.Discard)),
			want: []string{"out 0.0.0.0/0[any] 0.0.0.0/0[any] any discard", "out ::/0[any] ::/0[any] any discard"}},
		{name: "port range", sel: transport("s", "192.0.2.1", "192.0.2.2", proto(6), ports(kernel.AnyPort, kernel.PortRange{First: 6000, Last: 6007})),
			want: []string{"out 192.0.2.1/32[any] 192.0.2.2/32[6000-6007] tcp protect esp/transport/require#1"}},
		{name: "split port range", caps: noRanges, sel: transport("s", "192.0.2.1", "192.0.2.2", proto(6), ports(kernel.Port(7), kernel.PortRange{First: 6001, Last: 6004})),
			want: []string{
				"out 192.0.2.1/32[7] 192.0.2.2/32[6001] tcp protect esp/transport/require#1",
				"out 192.0.2.1/32[7] 192.0.2.2/32[6002-6003] tcp protect esp/transport/require#1",
				"out 192.0.2.1/32[7] 192.0.2.2/32[6004] tcp protect esp/transport/require#1",
			}},
		{name: "mapped address and unmasked prefix", sel: transport("s", "::ffff:192.0.2.1", "198.51.100.7/24"),
			want: []string{"out 192.0.2.1/32[any] 198.51.100.0/24[any] any protect esp/transport/require#1"}},
		{name: "level and reqid", sel: transport("s", "192.0.2.1", "192.0.2.2", reqID(77), func(s *Selector) { s.Level = kernel.Unique }),
			want: []string{"out 192.0.2.1/32[any] 192.0.2.2/32[any] any protect esp/transport/unique#77"}},
		{name: "install off", sel: transport("s", "192.0.2.1", "192.0.2.2", func(s *Selector) { s.Install = false })},

		{name: "both sides are this host's", sel: transport("s", "MY_IP", "MY_IPV4"), reason: "src (MY_IP) and dst (MY_IPV4) both stand for this host"},
		{name: "no such address", sel: transport("s", "MY_IPV6%eth9", "2001:db8::2"), reason: "no source fits a destination: src MY_IPV6%eth9 is no address, dst 2001:db8::2/128 is 2001:db8::2/128"},
		{name: "families", sel: transport("s", "192.0.2.1", "2001:db8::2"), reason: "no source fits a destination"},
		{name: "unknown macro", sel: transport("s", "192.0.2.1", "192.0.2.2", func(s *Selector) { s.Dst = []Address{{Macro: "YOUR_IP"}} }), reason: "dst: address macro YOUR_IP: there is no macro YOUR_IP"},
		{name: "no address", sel: transport("s", "192.0.2.1", "192.0.2.2", func(s *Selector) { s.Src = []Address{{}} }), reason: "src: an address is missing"},
		{name: "backward ports", sel: transport("s", "192.0.2.1", "192.0.2.2", ports(kernel.PortRange{First: 2, Last: 1}, kernel.AnyPort)), reason: "a port range ends before it starts"},
		{name: "ICMP type", sel: transport("s", "192.0.2.1", "192.0.2.2", proto(1), ports(kernel.Port(256), kernel.AnyPort)), reason: "an ICMP type or code is above 255"},
		{name: "no end point", sel: tunnel("s", "192.0.2.1", "192.0.2.2", ends("", "")), reason: "needs my_sa_ipaddr and peers_sa_ipaddr"},
		{name: "no remote end", sel: tunnel("s", "192.0.2.1", "192.0.2.2", ends("192.0.2.1", "")), reason: "needs peers_sa_ipaddr"},
		{name: "ends of two families", sel: tunnel("s", "192.0.2.1", "192.0.2.2", ends("192.0.2.1", "2001:db8::2")), reason: "of different address families"},
		{name: "too many policies", caps: noRanges, reason: "make more than 4096 policies",
			sel: transport("s", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5", "198.51.100.1", proto(6),
				ports(kernel.PortRange{First: 1, Last: 65534}, kernel.PortRange{First: 1, Last: 65534}))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			if tt.caps != nil {
				r = newRig(t, tt.caps)
			}
			r.run(host("192.0.2.1/24"))
			r.run(Start{settings(tt.sel)})
			if tt.reason == "" {
				r.wantQuiet()
				r.wantSPD(tt.want...)
				return
			}
			r.wantSPD()
			r.wantTrace(ReasonSelectorUnused, "selector s (test.conf:1): ")
			entries := r.m.Entries()
			if len(entries) != 1 || !strings.HasPrefix(entries[0].State, "unused: ") || !strings.Contains(entries[0].State, tt.reason) {
				t.Errorf("%+v, want %q", entries, tt.reason)
			}
		})
	}
}

func ends(my, peer string) func(*Selector) {
	parse := func(s string) netip.Addr {
		if s == "" {
			return netip.Addr{}
		}
		return netip.MustParseAddr(s)
	}
	return func(s *Selector) { s.MyEnd, s.PeerEnd = End{Addr: parse(my)}, []End{{Addr: parse(peer)}} }
}
