package ikev2

import (
	"net/netip"
	"testing"

	"racoon2/kernel"
)

// An SPI that a peer chooses is unique at its address. Where another peer has the
// same address, behind one NAT, its SA is not taken, and not deleted either.
func TestSPIOfAnotherPeer(t *testing.T) {
	w := newWorld(t)
	s := newSite("203.0.113.7")
	one := w.add("kyoto", "10.9.9.9", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
	two := w.add("osaka", "10.9.9.8", testSettings("osaka", "tokyo", "192.0.2.2", "10.0.3.0/24", "10.0.2.0/24"))
	b := w.add("tokyo", "192.0.2.2", testSettings("tokyo", "kyoto", "203.0.113.7", "10.0.2.0/24", "10.0.1.0/24"))
	one.site, two.site = s, s
	b.change(func(set *Settings, r *Remote, _ *Child) {
		set.Remotes = append(set.Remotes, testSettings("tokyo", "osaka", "203.0.113.7", "10.0.2.0/24", "10.0.3.0/24").Remotes[0])
	})
	one.initiate()
	w.settle()
	spi := one.kernel.one(t, kernel.In).SPI
	id := b.kernel.one(t, kernel.Out).SAID
	if id.SPI != spi {
		t.Fatalf("SPI %v, want %v", id.SPI, spi)
	}
	first := b.e.bySAID[id]

	two.kernel.next = spi - 1
	two.initiate()
	w.settle()
	if got := b.kernel.one(t, kernel.Out).SAID; got != id {
		t.Errorf("the kernel has %v", got)
	}
	if b.e.bySAID[id] != first {
		t.Error("events of the first peer's SA go to another child")
	}
	b.wantReason(reasonKernel)
	two.handle(Terminate{})
	w.settle()
	if b.kernel.one(t, kernel.Out).SAID != id || b.e.bySAID[id] != first {
		t.Error("the first peer's SA has gone with the second one's IKE SA")
	}
	two.kernel.next = spi + 1<<20
	two.initiate()
	w.settle()
	if n := len(two.e.Status()[0].Children); n != 1 {
		t.Errorf("%d children with another SPI, want 1", n)
	}
}

// A peer behind a NAT that changes its port with every packet makes no work for the
// kernel beyond what that has not done yet, and ends where it was seen last.
func TestMovesAreNotQueued(t *testing.T) {
	w, a, b, _ := natted(t)
	a.initiate()
	w.settle()
	id := b.kernel.one(t, kernel.In).SAID
	var out Outbox
	for port := range uint16(100) {
		b.e.Handle(w.now, KernelEvent{kernel.Mapping{ID: id, New: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), 20000+port)}}, &out)
	}
	updates := 0
	for _, f := range out.Effects {
		if r, ok := f.(KernelRequest); ok {
			updates++
			b.handle(KernelResult{Result: b.kernel.apply(r.Request)})
		}
	}
	if updates > 2 {
		t.Errorf("%d operations wait for the kernel, want 2", updates)
	}
	if in, sent := b.kernel.one(t, kernel.In), b.kernel.one(t, kernel.Out); in.Encap.Remote != 20099 || sent.Encap.Remote != 20099 {
		t.Errorf("the SAs are at ports %d and %d", in.Encap.Remote, sent.Encap.Remote)
	}
}

// A child that ends while the kernel has not answered for its SAs takes with it what
// the kernel has taken by then, and nothing of another peer's by the same name.
func TestChildEndsWhileItIsInstalled(t *testing.T) {
	for _, exists := range []bool{false, true} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		id := b.kernel.one(t, kernel.Out).SAID
		c := b.e.bySAID[id]
		k := c.kernelSA(true)
		c.taken, c.state = nil, childAdding // as before the kernel's answer
		b.act(func(*Engine) { c.remove("its IKE SA is gone") })
		if exists {
			b.act(func(*Engine) { c.answered(k, kernel.ErrExists) })
			if b.kernel.one(t, kernel.Out).SAID != id {
				t.Error("another peer's SA is deleted")
			}
			continue
		}
		b.act(func(*Engine) { c.answered(k, nil) })
		for left, sa := range b.kernel.sas {
			if sa.Direction == kernel.Out {
				t.Errorf("%v is left", left)
			}
		}
	}
}
