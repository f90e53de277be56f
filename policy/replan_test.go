package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"racoon2/kernel"
)

// However a state has come about, change by change, the policies are those of a
// manager that is given it as a whole.
func TestPlanDoesNotRemember(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		caps := kernel.Capabilities{PortRanges: true, Forward: true}
		grown, k := New(Config{Capabilities: caps, NeighborDiscovery: true}), new(yes)
		names := map[string]Names{}
		dynamic := map[string]Dynamic{}
		var set *Settings
		interfaces := host("192.0.2.1/24")
		sets := []*Settings{tangledSettings(r), tangledSettings(r)}
		set = sets[0]
		k.run(grown, interfaces)
		k.run(grown, Start{set})
		for range 40 {
			switch r.IntN(8) {
			case 0, 1, 2:
				n := fmt.Sprintf("h%d.example.", r.IntN(4))
				in := Names{Name: n, Watches: []string{n, "*.example."}, Generation: 1}
				for range r.IntN(3) {
					in.Addresses = append(in.Addresses, netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(5))}))
				}
				for range r.IntN(2) {
					in.Left = append(in.Left, netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(5))}))
				}
				names[n] = in
				k.run(grown, in)
			case 3:
				interfaces = host("192.0.2.1/24", fmt.Sprintf("192.0.2.%d/24", 2+r.IntN(3)), fmt.Sprintf("2001:db8::%d/64", r.IntN(3)))
				k.run(grown, interfaces)
			case 4:
				d := Dynamic{Selector: "net_out", Mode: kernel.Tunnel, Src: prefix("10.1.0.0/16"), Dst: prefix(fmt.Sprintf("10.2.0.%d", r.IntN(4)))}
				if r.IntN(2) == 0 {
					dynamic[d.Dst.String()] = d
					k.run(grown, AddPolicy{d})
				} else {
					delete(dynamic, d.Dst.String())
					k.run(grown, DeletePolicy{Selector: "net_out", Src: d.Src, Dst: d.Dst})
				}
			case 5:
				set = sets[r.IntN(2)]
				k.run(grown, Reconfigure{set})
			case 6, 7:
				set = edited(r, set)
				k.run(grown, Reconfigure{set})
			}
		}
		fresh := New(Config{Capabilities: caps, NeighborDiscovery: true})
		other := new(yes)
		other.run(fresh, interfaces)
		for _, n := range slices.Sorted(maps.Keys(names)) {
			other.run(fresh, names[n])
		}
		other.run(fresh, Start{set})
		for _, d := range slices.Sorted(maps.Keys(dynamic)) {
			other.run(fresh, AddPolicy{dynamic[d]})
		}
		if got, want := planned(grown), planned(fresh); !slices.Equal(got, want) {
			t.Fatalf("seed %d: grown\n%q\nfresh\n%q", seed, got, want)
		}
		if got, want := told(grown), told(fresh); !slices.Equal(got, want) {
			t.Fatalf("seed %d: explained\n%q\nfresh\n%q", seed, got, want)
		}
		if len(grown.names.wait) > 0 {
			t.Fatalf("seed %d: %d names wait for ever", seed, len(grown.names.wait))
		}
		k.run(grown, Shutdown{})
		if !grown.Idle() || grown.timers.Len() > 0 {
			t.Fatalf("seed %d: something is left", seed)
		}
	}
}

// tangledSettings are selectors that get in each other's way.
func tangledSettings(r *rand.Rand) *Settings {
	s := pair()
	sides := []string{"192.0.2.1", "MY_IPV4", "MY_IPV6", "192.0.2.0/24"}
	others := []string{"h0.example.", "h1.example.", "*.example.", "198.51.100.1", "198.51.100.2", "2001:db8::9", "h2.example. 198.51.100.3"}
	for i := range 12 {
		sel := transport("s"+strconv.Itoa(i), sides[r.IntN(len(sides))], others[r.IntN(len(others))])
		if r.IntN(3) == 0 {
			proto(6)(sel)
			sel.DstPort = kernel.Port(uint16(80 + r.IntN(2)))
		}
		if r.IntN(3) == 0 {
			order(uint32(r.IntN(4)))(sel)
		}
		if r.IntN(4) == 0 {
			action([]kernel.Action{kernel.Bypass, kernel.Discard}[r.IntN(2)])(sel)
		}
		s.Selectors = append(s.Selectors, sel)
	}
	return s
}

// edited are settings as a reload finds them after somebody has changed a little.
func edited(r *rand.Rand, s *Settings) *Settings {
	out := &Settings{LeftInClear: s.LeftInClear}
	other := tangledSettings(r).Selectors
	at := r.IntN(len(s.Selectors))
	line := 0
	for i, sel := range s.Selectors {
		same := *sel
		list := []*Selector{&same}
		if i == at {
			switch r.IntN(4) {
			case 0: // changed
				changed := *other[2+r.IntN(len(other)-2)]
				changed.Name = sel.Name
				if sel.Name == "net_out" || sel.Name == "net_in" { // dynamic policies are its
					changed = same
					changed.Order++
				}
				list[0] = &changed
			case 1: // another before it
				added := *other[2+r.IntN(len(other)-2)]
				added.Name = fmt.Sprint("a", r.IntN(1000000))
				list = []*Selector{&added, &same}
			case 2: // gone
				if sel.Name != "net_out" && sel.Name != "net_in" {
					list = nil
				}
			case 3: // a place further up
				if n := len(out.Selectors); n > 0 {
					list = []*Selector{&same, out.Selectors[n-1]}
					out.Selectors = out.Selectors[:n-1]
				}
			}
		}
		out.Selectors = append(out.Selectors, list...)
	}
	for _, sel := range out.Selectors {
		line++
		sel.Where = fmt.Sprintf("test.conf:%d", line)
	}
	return out
}

// planned lists the policies that a manager wants, with their owners.
func planned(m *Manager) []string {
	var out []string
	for _, e := range m.Entries() {
		if e.Policy.Selector.Src.IsValid() {
			e.Policy.ID = 0
			out = append(out, fmt.Sprintf("%s %v %+v %s", e.Selector, e.Policy.Priority, e.Policy, e.State))
		}
	}
	slices.Sort(out)
	return out
}

// told lists what a manager explains.
func told(m *Manager) []string {
	var out []string
	for _, p := range m.problems() {
		out = append(out, fmt.Sprint(p.unit.index, p.unit.sel.Where, p.unit.sel.Name, p.text))
	}
	slices.Sort(out)
	return out
}

// The work of a change of one name, or of one dynamic policy, is the same among
// a hundred selectors and among thousands. Allocations stand for work, as
// they do not depend on the machine's mood.
func TestWorkIsThatOfTheChange(t *testing.T) {
	work := func(n int) (name, dynamic float64) {
		m, k := newNamed(n)
		round := 0
		name = testing.AllocsPerRun(50, func() {
			round++
			k.run(m, oneName(round))
		})
		dynamic = testing.AllocsPerRun(50, func() {
			round++
			k.run(m, AddPolicy{oneDynamic(n + round)})
		})
		return name, dynamic
	}
	name, dynamic := work(100)
	names, dynamics := work(3000)
	if names > 1.5*name || dynamics > 1.5*dynamic {
		t.Errorf("among 100: %.0f and %.0f allocations, among 3000: %.0f and %.0f", name, dynamic, names, dynamics)
	}
}

// newNamed is a manager with n selectors with names and n dynamic policies.
func newNamed(n int) (*Manager, *yes) {
	s := manySelectors(n)
	for i, sel := range s.Selectors {
		sel.Dst = []Address{{Name: "h" + strconv.Itoa(i) + ".example.com."}}
	}
	s.Selectors = append(s.Selectors, pair().Selectors...)
	m, k := newBench(s)
	for i := range n {
		k.run(m, AddPolicy{oneDynamic(i)})
	}
	return m, k
}

func oneName(round int) Names {
	addr := netip.AddrFrom4([4]byte{10, 200, byte(round >> 8), byte(round)})
	return Names{Name: "h7.example.com.", Watches: []string{"h7.example.com."}, Addresses: []netip.Addr{addr}, Generation: uint64(round)}
}

func oneDynamic(i int) Dynamic {
	return Dynamic{
		Selector: "net_out", Mode: kernel.Tunnel, Src: prefix("10.1.0.0/16"), Lifetime: time.Hour,
		Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2 + byte(i>>16), byte(i >> 8), byte(i)}), 32),
	}
}

// BenchmarkName is a change of one name's address among many selectors with
// names, and many dynamic policies.
func BenchmarkName(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m, k := newNamed(n)
			before, rounds := k.ops, 0
			for b.Loop() {
				rounds++
				k.run(m, oneName(rounds))
			}
			b.ReportMetric(float64(k.ops-before)/float64(rounds), "requests/op")
		})
	}
}

// BenchmarkDynamic adds and removes one dynamic policy among many.
func BenchmarkDynamic(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m, k := newNamed(n)
			d := oneDynamic(n)
			for b.Loop() {
				k.run(m, AddPolicy{d})
				k.run(m, DeletePolicy{Selector: d.Selector, Src: d.Src, Dst: d.Dst})
			}
		})
	}
}
