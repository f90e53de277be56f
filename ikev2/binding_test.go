package ikev2

import (
	"testing"

	"racoon2/kernel"
)

// Both SAs of a child have its binding; the inbound one gives the mark to what
// it opens, for packets come without one from the network.
func TestBinding(t *testing.T) {
	w, a, b := pair(t)
	bound := kernel.Binding{IfID: 7, Mark: kernel.Mark{Value: 0x10, Mask: 0xff}, Offload: kernel.OffloadCrypto, Device: "eth0"}
	a.e.settings.Remotes[0].Children[0].Binding = bound
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if got := a.kernel.one(t, kernel.Out).Binding; got != bound {
		t.Errorf("outbound %+v", got)
	}
	arriving := bound
	arriving.Mark, arriving.Set = kernel.Mark{}, bound.Mark
	if got := a.kernel.one(t, kernel.In).Binding; got != arriving {
		t.Errorf("inbound %+v", got)
	}
	if got := b.kernel.one(t, kernel.In).Binding; got != (kernel.Binding{}) {
		t.Errorf("the peer's %+v", got)
	}
}
