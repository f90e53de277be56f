package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
)

// Selectors of one host pair each, as "add" and "delete" show them.
func hostPair(n int) *Selector {
	return transport(fmt.Sprint("s", n), "192.0.2.1", fmt.Sprintf("198.51.100.%d", n))
}

func line(n int) string { return fmt.Sprintf("out 192.0.2.1/32[any] 198.51.100.%d/32[any] any", n) }

func TestReconfigureTouchesOnlyWhatChanged(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1), hostPair(2), hostPair(3), hostPair(4))})

	// 1 goes, 2 is the same in another place of the file, 3 has another reqid,
	// 4 becomes a bypass, 5 is new.
	moved := hostPair(2)
	moved.Where = "test.conf:99"
	changed := hostPair(3)
	reqID(9)(changed)
	bypass := hostPair(4)
	action(kernel.Bypass)(bypass)
	r.handle(Reconfigure{settings(hostPair(5), changed, bypass, moved)})
	r.wantRequests("add "+line(5), "update "+line(3), "update "+line(4)) // equally strong: in the configuration's order
	r.wantStates("s5 pending", "s3 pending", "s4 pending", "s2 installed", "s1 leaving")
	r.answer()
	r.answer()
	r.wantRequests("update " + line(4)) // what leaves waits for the last of them
	r.answer()
	r.wantRequests("delete " + line(1))
	r.settle()
	r.wantStates("s5 installed", "s3 installed", "s4 installed", "s2 installed")
	r.wantSPD(
		line(2)+" protect esp/transport/require#1",
		line(5)+" protect esp/transport/require#1",
		line(3)+" protect esp/transport/require#9",
		line(4)+" bypass")
	r.wantQuiet()

	r.handle(Reconfigure{settings(hostPair(5), changed, bypass, moved)})
	r.wantRequests()
	r.run(Reconfigure{})
	r.wantSPD()
}

func TestStrongestGoesInFirstAndOutLast(t *testing.T) {
	r := newRig(t)
	r.handle(Start{settings(
		transport("all", "192.0.2.1", "0.0.0.0/0", action(kernel.Discard)),
		transport("net", "192.0.2.1", "198.51.100.0/24"),
		transport("ssh", "192.0.2.1", "198.51.100.7", proto(6), action(kernel.Bypass)),
	)})
	r.wantRequests(
		"add out 192.0.2.1/32[any] 198.51.100.7/32[any] tcp",
		"add out 192.0.2.1/32[any] 198.51.100.0/24[any] any",
		"add out 192.0.2.1/32[any] 0.0.0.0/0[any] any")
	r.settle()
	r.handle(Shutdown{})
	r.wantRequests(
		"delete out 192.0.2.1/32[any] 0.0.0.0/0[any] any",
		"delete out 192.0.2.1/32[any] 198.51.100.0/24[any] any",
		"delete out 192.0.2.1/32[any] 198.51.100.7/32[any] tcp")
}

func TestAddressesMoveMacros(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(transport("mine", "MY_IPV4%eth0", "198.51.100.1"), hostPair(2))})
	r.wantTrace(ReasonSelectorUnused, "no source fits a destination: src MY_IPV4%eth0 is no address")
	r.run(host("192.0.2.1/24"))
	r.wantQuiet()
	r.wantStates("mine installed", "s2 installed")

	r.handle(host("192.0.2.1/24", "192.0.2.9/24"))
	r.wantRequests("add out 192.0.2.9/32[any] 198.51.100.1/32[any] any")
	r.settle()
	r.handle(host("192.0.2.1/24", "192.0.2.9/24")) // nothing new
	r.wantRequests()
	r.handle(host("192.0.2.9/24"))
	r.wantRequests("delete " + line(1))
	r.settle()
	r.run(host())
	r.wantTrace(ReasonSelectorUnused, "no source fits")
	r.run(host("2001:db8::1/64"))
	r.wantQuiet() // the reason is the same and has been told
	r.wantSPD(line(2) + " protect esp/transport/require#1")
}

func TestOnePolicyForTheSameTraffic(t *testing.T) {
	first := transport("first", "192.0.2.1", "198.51.100.1", where("a.conf:3"))
	second := transport("second", "192.0.2.1", "198.51.100.1", reqID(2), where("b.conf:7"))
	r := newRig(t)
	r.run(Start{settings(first, second)})
	r.wantTrace(ReasonSelectorUnused, "selector second (b.conf:7): the policy for 192.0.2.1/32[any] 198.51.100.1/32[any] any is that of selector first (a.conf:3)")
	r.wantSPD(line(1) + " protect esp/transport/require#1")

	stronger := *second // settings are immutable
	order(4)(&stronger)
	r.run(Reconfigure{settings(first, &stronger)})
	r.wantTrace(ReasonSelectorUnused, "selector first (a.conf:3): the policy")
	r.wantSPD(line(1) + " protect esp/transport/require#2")
	if name, _ := r.m.SelectorOf(1); name != "second" {
		t.Errorf("policy 1 is of %q", name)
	}
}

func TestLeftoverIsTakenOver(t *testing.T) {
	r := newRig(t)
	left := kernel.Policy{Selector: kernel.Selector{Src: prefix("192.0.2.1"), Dst: prefix("198.51.100.1"), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort},
		Direction: kernel.Out, Action: kernel.Discard, Priority: 7}
	other := left
	other.Selector.Dst = prefix("203.0.113.1")
	r.foreign(kernel.AddPolicy{Policy: left})
	r.foreign(kernel.AddPolicy{Policy: other})
	r.run(Start{settings(hostPair(1))})
	r.wantTrace(ReasonPolicyTakenOver, "selector s1 (test.conf:1): the kernel has a policy for "+line(1)+" already")
	r.wantStates("s1 installed")
	if name, _ := r.m.SelectorOf(1); name != "s1" {
		t.Errorf("policy 1 is of %q", name)
	}
	r.run(Shutdown{})
	r.wantSPD("out 192.0.2.1/32[any] 203.0.113.1/32[any] any discard") // not ours
}

func TestKernelRefuses(t *testing.T) {
	r := newRig(t)
	busy := errors.New("no memory")
	r.k.Fail(kernel.AddPolicy{}, busy)
	r.run(Start{settings(hostPair(1), hostPair(2))})
	r.wantTrace(ReasonPolicyFailed, "selector s1 (test.conf:1): the kernel refuses the policy for "+line(1)+": no memory; its traffic is not protected by it, next try in")
	r.wantStates("s1 failed: no memory", "s2 installed")
	due, ok := r.m.Deadline()
	if wait := due.Sub(r.now); !ok || wait < 750*time.Millisecond || wait > 1250*time.Millisecond {
		t.Fatalf("next try in %v", wait)
	}
	r.k.Fail(kernel.AddPolicy{}, busy)
	r.advance(1250 * time.Millisecond)
	due, _ = r.m.Deadline()
	if wait := due.Sub(r.now); wait < 250*time.Millisecond || wait > 2500*time.Millisecond {
		t.Fatalf("the try after that in %v", wait)
	}
	r.advance(3 * time.Second)
	r.wantStates("s1 installed", "s2 installed")
	if _, ok := r.m.Deadline(); ok {
		t.Error("a timer is left")
	}
}

func TestKernelCannot(t *testing.T) {
	r := newRig(t)
	bundle := transport("both", "192.0.2.1", "198.51.100.1", func(s *Selector) { s.Bundle = []kernel.Protocol{kernel.ESP, kernel.AH} })
	r.k.Capabilities.Bundles = false
	r.run(Start{settings(bundle)})
	r.wantTrace(ReasonPolicyFailed, "not tried again before the configuration changes")
	if _, ok := r.m.Deadline(); ok {
		t.Error("it will be tried again")
	}
	r.run(Reconfigure{settings(bundle)})
	r.wantTrace(ReasonPolicyFailed, "not supported by this kernel")
	bundle = transport("both", "192.0.2.1", "198.51.100.1")
	r.run(Reconfigure{settings(bundle)})
	r.wantStates("both installed")
}

// Until a new policy stands, the old one that covers its traffic stays.
func TestOldPolicyStaysForTheRefused(t *testing.T) {
	r := newRig(t)
	wide := transport("net", "192.0.2.1", "198.51.100.0/24")
	r.run(Start{settings(wide, hostPair(1))})
	r.k.Fail(kernel.AddPolicy{}, errors.New("no memory"))
	r.run(Reconfigure{settings(transport("half", "192.0.2.1", "198.51.100.0/25"))})
	r.wantSPD("out 192.0.2.1/32[any] 198.51.100.1/32[any] any protect esp/transport/require#1",
		"out 192.0.2.1/32[any] 198.51.100.0/24[any] any protect esp/transport/require#1")
	r.wantStates("half failed: no memory", "net leaving", "s1 leaving")
	r.advance(2 * time.Second)
	r.wantSPD("out 192.0.2.1/32[any] 198.51.100.0/25[any] any protect esp/transport/require#1")
}

func TestRefusedUpdateKeepsTheOld(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1))})
	changed := hostPair(1)
	reqID(5)(changed)
	r.k.Fail(kernel.UpdatePolicy{}, errors.New("no memory"))
	r.run(Reconfigure{settings(changed)})
	r.wantTrace(ReasonPolicyFailed, "the policy from before stays")
	r.advance(2 * time.Second)
	r.wantSPD(line(1) + " protect esp/transport/require#5")
	r.k.Fail(kernel.UpdatePolicy{}, fmt.Errorf("policy: %w", kernel.ErrNotFound))
	r.run(Reconfigure{settings(hostPair(1))})
	r.advance(2 * time.Second)
	r.wantTrace(ReasonPolicyTakenOver, "") // it had been there all the time
	r.wantStates("s1 installed")
}

func TestKernelDoesNotRemove(t *testing.T) {
	stuck := errors.New("device busy")
	r := newRig(t)
	r.run(Start{settings(hostPair(1), hostPair(2))})
	for range 3 {
		r.k.Fail(kernel.DeletePolicy{}, stuck)
	}
	r.run(Reconfigure{settings(hostPair(2))})
	r.wantStates("s2 installed", "s1 leaving")
	r.advance(10 * time.Second)
	r.wantTrace(ReasonPolicyFailed, "the kernel does not remove the policy for "+line(1)+", which is left behind: device busy")
	r.wantStates("s2 installed")

	// What is gone already is gone.
	r.k.Fail(kernel.DeletePolicy{}, fmt.Errorf("policy: %w", kernel.ErrNotFound))
	r.run(Shutdown{})
	if !r.m.Idle() {
		t.Error("not idle")
	}
}

func TestWantedAgainWhileLeaving(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1))})
	r.handle(Reconfigure{settings()})
	r.wantRequests("delete " + line(1))
	r.handle(Reconfigure{settings(hostPair(1))}) // while the kernel is at it
	r.settle()
	r.wantSPD(line(1) + " protect esp/transport/require#1")

	r.k.Fail(kernel.DeletePolicy{}, errors.New("busy"))
	r.handle(Reconfigure{settings()})
	r.handle(Reconfigure{settings(hostPair(1))})
	r.settle()
	r.wantStates("s1 installed")

	r.handle(Reconfigure{settings(hostPair(2))}) // add 2, then delete 1
	r.handle(Reconfigure{settings(hostPair(1))}) // 2 is on its way in, and to leave at once
	r.wantRequests("add " + line(2))
	r.answer()
	r.wantRequests("delete " + line(2))
	r.settle()
	r.wantSPD(line(1) + " protect esp/transport/require#1")
	r.wantStates("s1 installed")
}

func TestShutdownWhileInstalling(t *testing.T) {
	r := newRig(t)
	r.handle(Start{settings(hostPair(1), hostPair(2))})
	r.answer()
	r.handle(Shutdown{})
	r.wantRequests("add "+line(2), "delete "+line(1))
	r.k.Fail(kernel.AddPolicy{}, errors.New("no memory"))
	r.settle()
	r.wantSPD()
	if !r.m.Idle() {
		t.Error("not idle")
	}
	if _, ok := r.m.Deadline(); ok {
		t.Error("a timer is left")
	}
}

func (r *rig) deletes(n int) {
	r.Helper()
	s := hostPair(n)
	r.foreign(kernel.DeletePolicy{Selector: kernel.Selector{Src: s.Src[0].Prefix, Dst: s.Dst[0].Prefix, SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}, Direction: kernel.Out})
}

func TestOthersRemovePolicies(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1), hostPair(2))})
	there := line(1) + " protect esp/transport/require#1"
	r.deletes(1)
	r.wantTrace(ReasonPolicyLost, "selector s1 (test.conf:1): somebody removed the policy for "+line(1)+" (removals since the last such line: 1)")
	r.wantSPD(line(2)+" protect esp/transport/require#1", there)

	r.deletes(1) // at once again: it comes back a second after the last time
	r.wantQuiet()
	r.wantSPD(line(2) + " protect esp/transport/require#1")
	r.advance(time.Second)
	r.wantSPD(line(2)+" protect esp/transport/require#1", there)
	if name, _ := r.m.SelectorOf(4); name != "s1" {
		t.Errorf("policy 4 is of %q", name)
	}
	r.advance(2 * time.Minute)
	r.deletes(1)
	r.wantTrace(ReasonPolicyLost, "removals since the last such line: 2")

	// Policies of others, by number or by traffic.
	r.run(KernelEvent{kernel.PolicyDeleted{ID: 77}})
	r.run(KernelEvent{kernel.PolicyDeleted{ID: 77, Selector: r.m.byID[2].selector, Direction: kernel.Out}})
	r.wantQuiet()
	r.wantRequests()
}

func TestRemovedWhileARequestIsUnderWay(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1))})
	changed := hostPair(1)
	reqID(5)(changed)
	r.handle(Reconfigure{settings(changed)})
	r.handle(KernelEvent{kernel.PolicyDeleted{ID: 1, Selector: r.m.byID[1].selector, Direction: kernel.Out}})
	r.wantRequests("update " + line(1))
	r.answer()
	r.wantRequests("update " + line(1)) // to be sure
	r.settle()
	r.wantStates("s1 installed")

	r.handle(Reconfigure{settings()})
	r.handle(KernelEvent{kernel.PolicyDeleted{ID: 1, Selector: r.requests[0].Op.(kernel.DeletePolicy).Selector, Direction: kernel.Out}})
	r.settle()
	r.wantSPD()
	r.wantStates()
}

func TestResync(t *testing.T) {
	r := newRig(t)
	r.run(Start{settings(hostPair(1), hostPair(2), hostPair(3))})
	r.k.LoseEvents(1)
	s := hostPair(1)
	sel := kernel.Selector{Src: s.Src[0].Prefix, Dst: s.Dst[0].Prefix, SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}
	changed := kernel.Policy{Selector: sel, Direction: kernel.Out, Action: kernel.Bypass, Priority: 1}
	changed.Selector.Dst = prefix("198.51.100.2")
	r.foreign(kernel.UpdatePolicy{Policy: changed})
	r.foreign(kernel.DeletePolicy{Selector: sel, Direction: kernel.Out}) // its event is lost
	r.wantTrace(ReasonResync, "events of the kernel were lost")
	want := []string{
		line(3) + " protect esp/transport/require#1",
		line(1) + " protect esp/transport/require#1",
		line(2) + " protect esp/transport/require#1",
	}
	r.sameSPD(want)

	// Lost again while the dump is under way, and a change at the same time.
	r.handle(KernelEvent{kernel.Resync{}})
	r.handle(KernelEvent{kernel.Resync{}})
	r.handle(Reconfigure{settings(hostPair(1), hostPair(2), hostPair(3), hostPair(4))})
	r.wantRequests("dump", "add "+line(4))
	r.answer()
	r.wantRequests("add "+line(4), "dump")
	r.settle()
	r.traces = nil

	// The dump itself fails.
	r.k.Fail(kernel.DumpPolicy{}, errors.New("interrupted"))
	r.run(KernelEvent{kernel.Resync{}})
	r.wantTrace("", "the kernel's policies cannot be listed: interrupted")
	due, _ := r.m.Deadline()
	r.now = due
	r.handle(Timeout{})
	r.wantRequests("dump")
	r.handle(Shutdown{})
	r.settle()
	r.wantSPD()
}

// sameSPD compares in any order.
func (r *rig) sameSPD(want []string) {
	r.Helper()
	got := strings.Join(r.spd(), "\n")
	for _, w := range want {
		if !strings.Contains(got, w) {
			r.Errorf("%q is missing in\n%s", w, got)
		}
	}
	if n := len(r.spd()); n != len(want) {
		r.Errorf("%d policies, want %d", n, len(want))
	}
}

func TestNeighborDiscoveryPasses(t *testing.T) {
	r := newRig(t)
	r.m = New(Config{Capabilities: r.k.Capabilities, NeighborDiscovery: true})
	r.run(Start{settings(transport("v4", "192.0.2.1", "192.0.2.2"), transport("tcp", "2001:db8::1", "2001:db8::2", proto(6)))})
	if n := len(r.spd()); n != 2 {
		t.Errorf("neighbour discovery has policies without need: %q", r.spd())
	}
	all := transport("all", "2001:db8::1", "2001:db8::2", order(1))
	r.run(Reconfigure{settings(all)})
	r.wantSPD(
		"in ::/0[133-136] ::/0[any] ipv6-icmp bypass",
		"out ::/0[133-136] ::/0[any] ipv6-icmp bypass",
		"out 2001:db8::1/128[any] 2001:db8::2/128[any] any protect esp/transport/require#1")
	r.wantStates("neighbor_discovery installed", "neighbor_discovery installed", "all installed")
	r.handle(Reconfigure{settings(all)})
	r.wantRequests()

	r.m = New(Config{NeighborDiscovery: true})
	r.handle(Start{settings(all)})
	r.wantRequests(
		"add in ::/0[133] ::/0[any] ipv6-icmp", "add in ::/0[134-135] ::/0[any] ipv6-icmp", "add in ::/0[136] ::/0[any] ipv6-icmp",
		"add out ::/0[133] ::/0[any] ipv6-icmp", "add out ::/0[134-135] ::/0[any] ipv6-icmp", "add out ::/0[136] ::/0[any] ipv6-icmp",
		"add out 2001:db8::1/128[any] 2001:db8::2/128[any] any")
}

func TestBundles(t *testing.T) {
	bundle := func(s *Selector) { s.Bundle = []kernel.Protocol{kernel.ESP, kernel.IPComp, kernel.AH} }
	got := planOf(settings(tunnel("s", "10.1.0.0/16", "10.2.0.0/16", bundle))).units.static[0].wishes[0].policy.Templates
	if len(got) != 3 || got[0].Mode != kernel.Tunnel || !got[0].Src.IsValid() || got[0].Proto != kernel.ESP {
		t.Fatalf("%+v", got)
	}
	for i, proto := range []kernel.Protocol{kernel.IPComp, kernel.AH} {
		if tmpl := got[i+1]; tmpl.Proto != proto || tmpl.Mode != kernel.Transport || tmpl.Src.IsValid() || tmpl.ReqID != 1 {
			t.Errorf("%+v", tmpl)
		}
	}
}

func TestResultsOfOthersAreIgnored(t *testing.T) {
	r := newRig(t)
	r.handle(KernelResult{kernel.Result{}})
	r.handle(KernelResult{kernel.Result{Request: kernel.Request{Owner: kernel.Owner{Serial: 99}}}})
	r.run(Start{settings(hostPair(1))})
	r.handle(KernelResult{kernel.Result{Request: kernel.Request{Owner: kernel.Owner{Serial: 1}}, Err: errors.New("twice")}})
	r.wantStates("s1 installed")
	r.wantQuiet()
}
