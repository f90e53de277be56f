package kerneltest

import (
	"net/netip"
	"testing"

	"racoon2/kernel"
)

// testAcquire: traffic without an SA raises Acquire and does not leave; after
// the SA it flows.
func testAcquire(t *testing.T, a, b *end) {
	for _, mode := range []kernel.Mode{kernel.Transport, kernel.Tunnel} {
		a.must(kernel.AddPolicy{Policy: policy(a.Addr, b.Addr, kernel.Out, mode)})
		a.Send(Port, "too early")
		got := event[kernel.Acquire](a)
		if got.Policy == 0 || got.Template.ReqID != reqID || got.Template.Mode != mode || got.Template.Proto != kernel.ESP {
			t.Errorf("%v: Acquire is for policy %d, template %+v", mode, got.Policy, got.Template)
		}
		want := selector(a.Addr, b.Addr)
		if p := got.Packet; p.Src != want.Src || p.Dst != want.Dst || p.Proto != 17 || p.DstPort != kernel.Port(Port) {
			t.Errorf("%v: Acquire names the packet %v", mode, p)
		}
		a.Send(OpenPort, "open "+mode.String())
		b.receive("open "+mode.String(), "too early")
		a.must(kernel.DeletePolicy{Selector: want, Direction: kernel.Out, Priority: 1000})
		a.must(kernel.FlushSA{}) // some kernels keep a larval SA
	}
}

func testFlow(t *testing.T, a, b *end) {
	for _, mode := range []kernel.Mode{kernel.Transport, kernel.Tunnel} {
		protect(a, b, mode)
		for _, s := range suites {
			if !a.supports(s) {
				continue
			}
			t.Run(mode.String()+" "+s.name, func(t *testing.T) {
				a, b := &end{t, a.Host}, &end{t, b.Host}
				testCounted(t, a, b, mode, s, nil)
			})
		}
		c := a.Backend.Capabilities()
		if c.ESN {
			t.Run(mode.String()+" ESN", func(t *testing.T) {
				a, b := &end{t, a.Host}, &end{t, b.Host}
				testCounted(t, a, b, mode, suites[0], func(x *kernel.SA) {
					x.ESN, x.Replay = true, min(c.MaxReplay, 1024)
				})
			})
		}
		unprotect(a, b)
	}
}

// testCounted sends packets through a new SA and looks at both ends' counters.
func testCounted(t *testing.T, a, b *end, mode kernel.Mode, s suite, change func(*kernel.SA)) {
	id := join(a, b, mode, s, change)
	for _, text := range []string{"one", "two", "three"} {
		a.Send(Port, s.name+text)
		b.receive(s.name + text)
	}
	for _, e := range []*end{a, b} {
		got := e.must(kernel.GetSA{ID: id}).SAs[0]
		if got.Packets != 3 || got.Bytes < 3*uint64(len(s.name)) || got.AuthErr != 0 || got.ReplayErr != 0 {
			t.Errorf("counters: %d packets, %d octets, %d and %d errors", got.Packets, got.Bytes, got.AuthErr, got.ReplayErr)
		}
		if got.LastUsed.IsZero() {
			t.Error("the SA was used and does not say so")
		}
	}
	part(a, b, id)
}

// testWrongKey: what fails the integrity check is dropped and counted.
func testWrongKey(t *testing.T, a, b *end) {
	protect(a, b, kernel.Tunnel)
	defer unprotect(a, b)
	first := true
	id := join(a, b, kernel.Tunnel, suites[0], func(x *kernel.SA) {
		if first { // the receiver's
			x.EncrKey[0] ^= 1
		}
		first = false
	})
	a.Send(Port, "wrong key")
	a.Send(OpenPort, "open")
	b.receive("open", "wrong key")
	if got := b.must(kernel.GetSA{ID: id}).SAs[0]; got.AuthErr != 1 {
		t.Errorf("%d integrity errors are counted", got.AuthErr)
	}
	part(a, b, id)
}

// testClearInbound: a packet in clear that a policy protects is dropped (RFC
// 4301 §5.2 step 3), and packets that none protects are not.
func testClearInbound(t *testing.T, a, b *end) {
	if why := b.Backend.Capabilities().ClearInbound; why != "" {
		t.Logf("clear packets are not dropped here: %s", why)
		return
	}
	for _, mode := range []kernel.Mode{kernel.Transport, kernel.Tunnel} {
		in := policy(a.Addr, b.Addr, kernel.In, mode)
		b.must(kernel.AddPolicy{Policy: in})
		a.Send(Port, "clear")
		a.Send(OpenPort, "open "+mode.String())
		b.receive("open "+mode.String(), "clear")
		b.must(kernel.DeletePolicy{Selector: in.Selector, Direction: kernel.In, Priority: in.Priority})
		a.Send(Port, "after "+mode.String())
		b.receive("after " + mode.String())
	}
	discard := kernel.Policy{
		Selector: selector(a.Addr, b.Addr), Direction: kernel.Out, Action: kernel.Discard, Priority: 5,
	}
	discard.Selector.Src = netip.PrefixFrom(a.Addr, 8).Masked()
	a.must(kernel.AddPolicy{Policy: discard})
	a.Send(Port, "discarded")
	a.Send(OpenPort, "open")
	b.receive("open", "discarded")
	bypass := discard
	bypass.Action, bypass.Priority, bypass.Selector = kernel.Bypass, 1, selector(a.Addr, b.Addr)
	a.must(kernel.AddPolicy{Policy: bypass})
	a.Send(Port, "bypassed")
	b.receive("bypassed", "discarded")
	for _, p := range []kernel.Policy{discard, bypass} {
		a.must(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority})
	}
}
