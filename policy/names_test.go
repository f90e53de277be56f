package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
)

func addrs(words ...string) []netip.Addr {
	var out []netip.Addr
	for _, w := range words {
		out = append(out, netip.MustParseAddr(w))
	}
	return out
}

// webPair is a pair of transport mode selectors towards a host name.
func webPair() *Settings {
	return settings(
		transport("web_out", "10.0.0.1 2001:db8::1", "www.example.com."),
		transport("web_in", "www.example.com.", "10.0.0.1 2001:db8::1", inbound("web_out")))
}

func www(generation uint64, present, left []netip.Addr) Names {
	return Names{Name: "www.example.com.", Watches: []string{"www.example.com."}, Addresses: present, Left: left, Generation: generation}
}

func (r *rig) wantStands(want ...uint64) {
	r.Helper()
	var got []uint64
	for _, s := range r.stands {
		got = append(got, s.Generation)
	}
	r.stands = nil
	if !slices.Equal(got, want) {
		r.Errorf("stands for generations %v, want %v", got, want)
	}
}

// A name's addresses become policies in both families; an address that leaves
// is discarded until it is gone.
func TestNamesFollow(t *testing.T) {
	r := newRig(t)
	r.run(Start{webPair()})
	r.wantStates("web_out unused: no address of www.example.com is known yet: nothing is installed before it is resolved",
		"web_in unused: no address of www.example.com is known yet: nothing is installed before it is resolved")

	r.handle(www(1, addrs("10.0.0.2", "2001:db8::2"), nil))
	r.wantStands() // the kernel has not answered
	r.settle()
	r.wantStands(1)
	r.wantStates("web_out installed", "web_out installed", "web_in installed", "web_in installed")

	r.run(www(2, addrs("10.0.0.3", "2001:db8::2"), addrs("10.0.0.2")))
	r.wantStands(2)
	r.wantPolicies(
		"out 10.0.0.1/32[any] 10.0.0.2/32[any] any discard",
		"out 10.0.0.1/32[any] 10.0.0.3/32[any] any protect esp/transport/require#1",
		"out 2001:db8::1/128[any] 2001:db8::2/128[any] any protect esp/transport/require#1",
		"in 10.0.0.2/32[any] 10.0.0.1/32[any] any discard",
		"in 10.0.0.3/32[any] 10.0.0.1/32[any] any protect esp/transport/require#1",
		"in 2001:db8::2/128[any] 2001:db8::1/128[any] any protect esp/transport/require#1",
	)
	before := r.spd()
	r.handle(www(3, addrs("10.0.0.3", "2001:db8::2"), nil))
	r.wantRequests("delete in 10.0.0.2/32[any] 10.0.0.1/32[any] any", "delete out 10.0.0.1/32[any] 10.0.0.2/32[any] any")
	r.settle()
	r.wantStands(3)
	if len(r.spd()) != len(before)-2 {
		t.Errorf("SPD %q", r.spd())
	}
}

// The gate stays shut while the kernel refuses a policy of the name.
func TestNamesStandOnlyWhenInstalled(t *testing.T) {
	r := newRig(t)
	r.run(Start{webPair()})
	r.handle(www(1, addrs("10.0.0.2"), nil))
	refused := r.requests[0]
	r.requests = r.requests[1:]
	r.handle(KernelResult{kernel.Result{Request: refused, Err: errors.New("no memory")}})
	r.settle()
	r.wantStands()
	r.advance(5 * time.Second)
	r.settle()
	r.wantStands(1)
}

// A newer change of a name takes the place of one that has not been told.
func TestNamesTellNewest(t *testing.T) {
	r := newRig(t)
	r.run(Start{webPair()})
	r.handle(www(1, addrs("10.0.0.2"), nil))
	r.handle(www(2, addrs("10.0.0.3"), addrs("10.0.0.2")))
	r.settle()
	r.wantStands(2)
	r.run(Names{Name: "other.example.", Watches: []string{"other.example."}, Addresses: addrs("10.9.9.9"), Generation: 7})
	r.wantStands(7) // no selector holds it
}

func TestNamesWildcard(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(transport("corp", "10.0.0.1", "*.corp.example."))})
	for i, host := range []string{"a.corp.example.", "b.corp.example."} {
		r.run(Names{Name: host, Watches: []string{"*.corp.example."}, Addresses: addrs("10.0.1.1", "10.0.2."+string(rune('1'+i))), Generation: uint64(i + 1)})
	}
	r.wantStands(1, 2)
	r.wantStates("corp installed", "corp installed", "corp installed")
	// The address that both share stays when one leaves it.
	r.run(Names{Name: "a.corp.example.", Watches: []string{"*.corp.example."}, Left: addrs("10.0.1.1", "10.0.2.1"), Generation: 3})
	r.wantPolicies(
		"out 10.0.0.1/32[any] 10.0.1.1/32[any] any protect esp/transport/require#1",
		"out 10.0.0.1/32[any] 10.0.2.1/32[any] any discard",
		"out 10.0.0.1/32[any] 10.0.2.2/32[any] any protect esp/transport/require#1",
	)
	r.run(Names{Name: "a.corp.example.", Generation: 4})
	r.run(Names{Name: "b.corp.example.", Generation: 5})
	r.wantPolicies()
}

// What a selector lets pass, or protects only where it can, is not discarded.
func TestNamesLeftInClear(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(
		transport("none", "10.0.0.1", "www.example.com.", action(kernel.Bypass)),
		transport("use", "10.0.0.4", "www.example.com.", func(s *Selector) { s.Level = kernel.Use }))})
	r.run(www(1, addrs("10.0.0.2"), nil))
	r.run(www(2, nil, addrs("10.0.0.2")))
	r.wantPolicies()
	r.wantStands(1, 2)
}

// add asks for a dynamic policy as POLICY ADD does.
func (r *rig) add(d Dynamic) {
	r.Helper()
	if _, _, err := r.m.CheckDynamic(d); err != nil {
		r.Fatal(err)
	}
	r.run(AddPolicy{d})
}

func TestDynamic(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(
		transport("s_out", "10.9.0.1", "10.9.0.2", func(s *Selector) { s.Install = false }),
		transport("s_in", "10.9.0.2", "10.9.0.1", inbound("s_out"), func(s *Selector) { s.Install = false }))})
	r.wantPolicies()
	d := Dynamic{Selector: "s_in", Mode: kernel.Transport, Src: prefix("10.9.0.7"), Dst: prefix("10.9.0.1"), Lifetime: time.Hour}
	r.add(d)
	want := []string{
		"out 10.9.0.1/32[any] 10.9.0.7/32[any] any protect esp/transport/require#1",
		"in 10.9.0.7/32[any] 10.9.0.1/32[any] any protect esp/transport/require#1",
	}
	r.wantPolicies(want...)
	if name, ok := r.m.SelectorOf(r.m.Entries()[0].ID); !ok || name != "s_out" {
		t.Errorf("selector %q", name)
	}
	r.advance(50 * time.Minute)
	r.handle(AddPolicy{d}) // a new lifetime changes nothing in the kernel
	r.wantRequests()
	r.run(Reconfigure{r.m.settings})
	r.advance(50 * time.Minute)
	r.settle()
	r.wantPolicies(want...)
	r.advance(11 * time.Minute)
	r.settle()
	r.wantPolicies()

	d.Lifetime = 0
	r.add(d)
	r.wantPolicies(want...)
	for _, wrong := range []DeletePolicy{{Selector: "x"}, {Selector: "s_in", Src: prefix("10.9.0.8")}} {
		if err := r.m.HasDynamic(wrong); !errors.Is(err, ErrNoDynamic) {
			t.Errorf("%v: %v", wrong, err)
		}
		r.run(wrong)
	}
	r.wantPolicies(want...)
	r.run(DeletePolicy{Selector: "s_out", Src: prefix("10.9.0.1"), Dst: prefix("10.9.0.7")})
	r.wantPolicies()

	r.add(d)
	r.run(Reconfigure{settings()})
	r.wantPolicies()
}

func TestDynamicRefused(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(
		transport("lone", "10.9.0.1", "10.9.0.2"),
		transport("clear", "10.9.0.1", "10.9.0.3", action(kernel.Bypass)),
		transport("a", "10.8.0.1", "10.8.0.2", func(s *Selector) { s.Remote = "other" }),
		transport("b", "10.8.0.2", "10.8.0.1", inbound(""), func(s *Selector) { s.Remote = "other" }))})
	src, dst := prefix("10.9.0.1"), prefix("10.9.0.2")
	for _, test := range []struct {
		d    Dynamic
		want error
	}{
		{Dynamic{Selector: "x", Src: src, Dst: dst, Mode: kernel.Transport}, ErrNoSelector},
		{Dynamic{Selector: "clear", Src: src, Dst: dst, Mode: kernel.Transport}, ErrNotProtected},
		{Dynamic{Selector: "lone", Src: src, Dst: dst, Mode: kernel.Transport}, ErrNoReverse},
		{Dynamic{Selector: "a", Src: src, Dst: prefix("2001:db8::1"), Mode: kernel.Transport}, errDynamicFamily},
		{Dynamic{Selector: "a", Src: src, Dst: dst, Mode: kernel.Transport}, nil}, // its reverse is found by its addresses
	} {
		if _, _, err := r.m.CheckDynamic(test.d); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v, want %v", test.d, err, test.want)
		}
	}
	before := r.spd()
	r.run(AddPolicy{Dynamic{Selector: "x"}})
	r.wantPolicies(before...)
	r.wantTrace(ReasonDynamicRefused, "there is no such selector")
	if _, _, err := r.m.CheckDynamic(Dynamic{Selector: "a", Src: src, Dst: dst, Mode: kernel.Tunnel}); err == nil {
		t.Error("a tunnel without ends is taken")
	}
}

// The far end of a road warrior's tunnel becomes known when its child stands.
func TestRoadWarrior(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(
		tunnel("rw_out", "10.1.0.0/16", "0.0.0.0/0", ends("192.0.2.1", "")),
		tunnel("rw_in", "0.0.0.0/0", "10.1.0.0/16", ends("192.0.2.1", ""), inbound("rw_out")))})
	r.wantPolicies()
	r.run(ChildUp{
		Child: "rw_out", Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("198.51.100.7"),
		TSLocal: []netip.Prefix{prefix("10.1.0.0/16")}, TSRemote: []netip.Prefix{prefix("10.7.0.7")}, Lifetime: time.Hour,
	})
	r.wantPolicies(
		"out 10.1.0.0/16[any] 10.7.0.7/32[any] any protect esp/tunnel/require/192.0.2.1-198.51.100.7#1",
		"in 10.7.0.7/32[any] 10.1.0.0/16[any] any protect esp/tunnel/require/198.51.100.7-192.0.2.1#1",
		"fwd 10.7.0.7/32[any] 10.1.0.0/16[any] any protect esp/tunnel/require/198.51.100.7-192.0.2.1#1",
	)
	r.advance(61 * time.Minute)
	r.settle()
	r.wantPolicies()
}

// A road warrior chooses its traffic selectors, and with them how many prefixes.
func TestRoadWarriorWithManyPrefixes(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(
		tunnel("rw_out", "10.1.0.0/16", "0.0.0.0/0", ends("192.0.2.1", "")),
		tunnel("rw_in", "0.0.0.0/0", "10.1.0.0/16", ends("192.0.2.1", ""), inbound("rw_out")))})
	up := ChildUp{Child: "rw_out", Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("198.51.100.7"), Lifetime: time.Hour}
	up.TSLocal = kernel.RangeToPrefixes(netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.255.254"))
	up.TSRemote = kernel.RangeToPrefixes(netip.MustParseAddr("10.7.0.1"), netip.MustParseAddr("10.7.255.254"))
	r.run(up)
	r.wantPolicies()
	r.wantTrace(ReasonDynamicRefused, "its traffic selectors take 900 pairs of prefixes, 256 at most are made")
}

func TestMigrate(t *testing.T) {
	r := newRig(t)
	r.run(Start{pair()})
	a := netip.MustParseAddr
	move := Migrate{Selector: "net_out", OldSrc: a("192.0.2.1"), OldDst: a("192.0.2.2"), Src: a("192.0.2.1"), Dst: a("203.0.113.9")}
	r.run(move)
	want := []string{
		"out 10.1.0.0/16[any] 10.2.0.0/16[any] any protect esp/tunnel/require/192.0.2.1-203.0.113.9#1",
		"in 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/203.0.113.9-192.0.2.1#1",
		"fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/203.0.113.9-192.0.2.1#1",
	}
	r.wantPolicies(want...)
	if len(r.moves) > 0 {
		t.Errorf("there are no SAs to move: %v", r.moves)
	}
	r.run(move) // it is not from there any more
	r.wantTrace(ReasonDynamicRefused, "its tunnel is from 192.0.2.1 to 203.0.113.9")
	r.run(Reconfigure{pair()})
	r.wantPolicies(want...)
	r.run(ChildUp{Child: "net_out", Local: a("192.0.2.1"), Remote: a("203.0.113.9")})
	r.run(Migrate{Selector: "net_in", OldSrc: a("203.0.113.9"), OldDst: a("192.0.2.1"), Src: a("192.0.2.2"), Dst: a("192.0.2.1")})
	if want := (MoveSAs{"net_out", a("192.0.2.1"), a("203.0.113.9"), a("192.0.2.1"), a("192.0.2.2")}); len(r.moves) != 1 || r.moves[0] != want {
		t.Errorf("%v, want %v", r.moves, want)
	}
	r.run(Reconfigure{settings(
		tunnel("net_out", "10.1.0.0/16", "10.2.0.0/16", ends("192.0.2.1", "192.0.2.77")),
		tunnel("net_in", "10.2.0.0/16", "10.1.0.0/16", ends("192.0.2.1", "192.0.2.77"), inbound("net_out")))})
	if got := r.spd()[0]; !strings.Contains(got, "192.0.2.1-192.0.2.77") {
		t.Errorf("%s", got)
	}
}

// The policies follow SAs that an engine has moved, those of the configuration
// and those that were made for a child.
func TestMoved(t *testing.T) {
	r := newRig(t)
	s := pair()
	s.Selectors = append(s.Selectors,
		tunnel("rw_out", "10.1.0.0/16", "0.0.0.0/0", ends("192.0.2.1", "")),
		tunnel("rw_in", "0.0.0.0/0", "10.1.0.0/16", ends("192.0.2.1", ""), inbound("rw_out")))
	r.run(Start{s})
	a := netip.MustParseAddr
	r.run(ChildUp{
		Child: "rw_out", Local: a("192.0.2.1"), Remote: a("198.51.100.7"),
		TSLocal: []netip.Prefix{prefix("10.1.0.0/16")}, TSRemote: []netip.Prefix{prefix("10.7.0.7")}, Lifetime: time.Hour,
	})
	r.handle(Moved{"net_out", a("192.0.2.1"), a("192.0.2.2"), a("192.0.2.1"), a("203.0.113.9")})
	r.wantRequests("update out 10.1.0.0/16[any] 10.2.0.0/16[any] any",
		"update in 10.2.0.0/16[any] 10.1.0.0/16[any] any", "update fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any")
	r.settle()
	r.run(Moved{"rw_out", a("192.0.2.1"), a("198.51.100.7"), a("192.0.2.1"), a("198.51.100.8")})
	r.run(Moved{"net_out", a("192.0.2.1"), a("192.0.2.2"), a("192.0.2.1"), a("203.0.113.66")}) // it is not from there
	r.wantPolicies(
		"out 10.1.0.0/16[any] 10.2.0.0/16[any] any protect esp/tunnel/require/192.0.2.1-203.0.113.9#1",
		"in 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/203.0.113.9-192.0.2.1#1",
		"fwd 10.2.0.0/16[any] 10.1.0.0/16[any] any protect esp/tunnel/require/203.0.113.9-192.0.2.1#1",
		"out 10.1.0.0/16[any] 10.7.0.7/32[any] any protect esp/tunnel/require/192.0.2.1-198.51.100.8#1",
		"in 10.7.0.7/32[any] 10.1.0.0/16[any] any protect esp/tunnel/require/198.51.100.8-192.0.2.1#1",
		"fwd 10.7.0.7/32[any] 10.1.0.0/16[any] any protect esp/tunnel/require/198.51.100.8-192.0.2.1#1",
	)
}

// wantPolicies compares the SPD without its order.
func (r *rig) wantPolicies(want ...string) {
	r.Helper()
	if got := r.spd(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		r.Errorf("SPD %q, want %q", got, want)
	}
}
