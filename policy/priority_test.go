package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"racoon2/kernel"
)

// Breadth is a bijection: no two pairs of lengths share a number, there are no
// gaps, and the order is that of the free bits, the remote's first.
func TestBreadthIsExact(t *testing.T) {
	six := netip.IPv6Unspecified()
	seen := make([]bool, 129*129)
	for r := range 129 {
		for l := range 129 {
			n := breadth(netip.PrefixFrom(six, 128-r), netip.PrefixFrom(six, 128-l))
			if n < 0 || n >= len(seen) || seen[n] {
				t.Fatalf("free bits %d, %d: %d is out of range or taken", r, l, n)
			}
			seen[n] = true
			if l > 0 && r < 128 {
				wider := breadth(netip.PrefixFrom(six, 128-r-1), netip.PrefixFrom(six, 128-l+1))
				if wider != n+1 {
					t.Fatalf("free bits %d, %d: %d; with one bit moved to the remote %d", r, l, n, wider)
				}
			}
		}
	}
}

func TestBreadthOfIPv4(t *testing.T) {
	tests := []struct {
		remote, local string
		want          int
	}{
		{"192.0.2.2", "192.0.2.1", 0},
		{"2001:db8::2", "2001:db8::1", 0},
		{"192.0.2.0/24", "192.0.2.1", 44},
		{"0.0.0.0/0", "0.0.0.0/0", 16640},
		{"::/0", "::/0", 16640},
	}
	for _, tt := range tests {
		if got := breadth(prefix(tt.remote), prefix(tt.local)); got != tt.want {
			t.Errorf("%s, %s: %d, want %d", tt.remote, tt.local, got, tt.want)
		}
	}
}

// Each selector is stronger than those below it.
func TestStrength(t *testing.T) {
	tcp, udp := proto(6), proto(17)
	port := func(p uint16) kernel.PortRange { return kernel.PortRange{First: p, Last: p} }
	ranked := []*Selector{
		transport("order_1", "10.0.0.0/8", "0.0.0.0/0", order(1)),
		transport("order_2", "10.3.0.0/16", "10.4.0.0/16", order(2)),
		transport("order_5000", "10.0.0.0/8", "10.0.0.0/8", order(5000)),
		transport("one_port", "10.1.1.1", "10.2.2.2", tcp, ports(kernel.AnyPort, port(80))),
		transport("some_ports", "10.1.1.1", "10.2.2.2", tcp, ports(kernel.AnyPort, kernel.PortRange{First: 80, Last: 90})),
		transport("same_width", "10.1.1.1", "10.2.2.2", tcp, ports(kernel.AnyPort, kernel.PortRange{First: 85, Last: 95})),
		transport("protocol", "10.1.1.1", "10.2.2.2", tcp),
		transport("hosts", "10.1.1.1", "10.2.2.2"),
		transport("remote_host", "10.1.1.0/24", "10.2.2.2"),
		transport("local_host", "10.1.1.1", "10.2.2.0/24"),
		transport("nets", "10.1.0.0/16", "10.2.0.0/16"),
		transport("any", "0.0.0.0/0", "0.0.0.0/0"),
	}
	apart := transport("other_protocol", "10.1.1.1", "10.2.2.2", udp)
	reversed := settings(apart)
	for i := range ranked {
		reversed.Selectors = append(reversed.Selectors, ranked[len(ranked)-1-i])
	}
	for name, s := range map[string]*Settings{"in order": settings(append(ranked, apart)...), "reversed": reversed} {
		priorities := make(map[string]uint32)
		for _, slot := range planOf(s).plan.slots {
			priorities[slot.winner.unit.sel.Name] = slot.winner.policy.Priority
		}
		for i, sel := range ranked[1:] {
			before := ranked[i]
			if name == "reversed" && sel.Name == "same_width" {
				continue // equal but for the configuration's order, which is the other way round
			}
			if priorities[before.Name] >= priorities[sel.Name] {
				t.Errorf("%s: %s has %d, %s %d", name, before.Name, priorities[before.Name], sel.Name, priorities[sel.Name])
			}
		}
		if got, want := priorities["other_protocol"], priorities["one_port"]; got != want {
			t.Errorf("%s: what does not overlap needs no level: %d, want %d", name, got, want)
		}
		if first, last := priorities["some_ports"], priorities["same_width"]; name == "reversed" && first <= last {
			t.Errorf("the configuration's order does not decide: %d, %d", first, last)
		}
		for n, p := range priorities {
			if p < 1<<30 || p >= 3<<30 {
				t.Errorf("%s has %d, which is not in the room for ours", n, p)
			}
		}
	}
}

// A change moves no other priority.
func TestPrioritiesAreIndependent(t *testing.T) {
	var sel []*Selector
	for i := range 50 {
		sel = append(sel, transport(fmt.Sprint(i), "10.0.0.1", fmt.Sprintf("10.1.%d.0/24", i)))
	}
	before := planOf(settings(sel...)).plan
	after := planOf(settings(append([]*Selector{transport("new", "10.0.0.1", "10.1.7.0/25")}, sel[:40]...)...)).plan
	for k, s := range after.slots {
		if old := before.slots[k]; old != nil && old.winner.policy.Priority != s.winner.policy.Priority {
			t.Errorf("%s moved from %d to %d", s.winner.unit.sel.Name, old.winner.policy.Priority, s.winner.policy.Priority)
		}
	}
}

func TestTooManyLevels(t *testing.T) {
	var sel []*Selector
	for i := range uint16(20) {
		sel = append(sel, transport(fmt.Sprint(i), "10.0.0.1", "10.0.0.2", proto(6),
			ports(kernel.AnyPort, kernel.PortRange{First: i, Last: 100 + i})))
	}
	if p := planOf(settings(sel...)).problems(); len(p) != 4 || p[0].unit.sel.Name != "16" {
		t.Errorf("%+v", p)
	}
}

// planOf plans settings for a kernel that is never asked.
func planOf(s *Settings) *Manager {
	m := New(Config{Capabilities: kernel.Capabilities{PortRanges: true}})
	m.Handle(time.Time{}, Start{s}, &Outbox{})
	return m
}
