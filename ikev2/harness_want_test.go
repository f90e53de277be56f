package ikev2

import (
	"fmt"
	"strings"

	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// wantReason says that the host has counted and traced a reason.
func (n *node) wantReason(reason string) trace.Event {
	n.w.t.Helper()
	if n.e.Counters()[reason] == 0 {
		n.w.t.Errorf("%s: counter %s is 0, want more", n.name, reason)
	}
	for _, ev := range n.traces {
		if ev.Reason == reason {
			return ev
		}
	}
	n.w.t.Fatalf("%s: no trace with reason %s; traces:\n%s", n.name, reason, n.log())
	return trace.Event{}
}

func (n *node) wantNoReason(reason string) {
	n.w.t.Helper()
	if c := n.e.Counters()[reason]; c != 0 {
		n.w.t.Errorf("%s: counter %s is %d, want 0; traces:\n%s", n.name, reason, c, n.log())
	}
}

func (n *node) log() string {
	var b strings.Builder
	for _, ev := range n.traces {
		fmt.Fprintf(&b, "  [%s] %s: %s", ev.Tag, ev.Reason, ev.Text)
		for _, a := range ev.Attrs {
			fmt.Fprintf(&b, " %s=%q", a.Key, a.Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wantUp says that both hosts have this many established IKE SAs and child
// pairs, and that their kernels agree on SPIs and keys.
func (w *world) wantUp(a, b *node, ikeSAs, children int) {
	w.t.Helper()
	for _, n := range []*node{a, b} {
		var up, kids int
		for _, i := range n.e.Status() {
			if i.State == "ESTABLISHED" {
				up++
			}
			kids += len(i.Children)
		}
		if up != ikeSAs || kids != children {
			w.t.Errorf("%s: %d IKE SAs and %d children, want %d and %d\n%s", n.name, up, kids, ikeSAs, children, n.log())
		}
		compressing := 0
		for id := range n.kernel.sas {
			if id.Proto == kernel.IPComp {
				compressing++
			}
		}
		if got := len(n.kernel.sas) - compressing; got != 2*children || compressing != 0 && compressing != got {
			w.t.Errorf("%s: %d SAs in the kernel and %d of IPComp, want %d", n.name, got, compressing, 2*children)
		}
	}
	a.wantPaired(b)
	b.wantPaired(a)
}

// wantPaired says that every outbound SA of n has its twin at the peer.
func (n *node) wantPaired(peer *node) {
	n.w.t.Helper()
	for _, sa := range n.kernel.sas {
		if sa.Direction != kernel.Out {
			continue
		}
		twin, ok := peer.kernel.byPeerSPI(sa.Proto, sa.SPI)
		switch {
		case !ok:
			n.w.t.Errorf("%s: outbound SA %08x has no inbound twin at %s", n.name, sa.SPI, peer.name)
		case string(twin.EncrKey) != string(sa.EncrKey) || string(twin.IntegKey) != string(sa.IntegKey):
			n.w.t.Errorf("%s: the keys of SA %08x differ", n.name, sa.SPI)
		case twin.Encr != sa.Encr || twin.Integ != sa.Integ || twin.Mode != sa.Mode || twin.ESN != sa.ESN || twin.Comp != sa.Comp:
			n.w.t.Errorf("%s: the transforms of SA %08x differ", n.name, sa.SPI)
		}
	}
}

// wantNothing says that no SA is left on a host, nor anything of one.
func (n *node) wantNothing() {
	n.w.t.Helper()
	e := n.e
	if !e.Idle() || len(e.Status()) != 0 {
		n.w.t.Errorf("%s is not idle: %+v\n%s", n.name, e.Status(), n.log())
	}
	if len(e.crowd)+len(e.bySPI)+len(e.byRemote)+len(e.initial)+len(e.bySAID)+len(e.jobs)+len(e.kernelOps)+len(e.timers) != 0 {
		n.w.t.Errorf("%s leaks: %d SPIs, %d remotes, %d initial, %d SAIDs, %d jobs, %d requests, %d timers", n.name,
			len(e.bySPI), len(e.byRemote), len(e.initial), len(e.bySAID), len(e.jobs), len(e.kernelOps), len(e.timers))
	}
	if e.reassembling != 0 {
		n.w.t.Errorf("%s: %d octets of fragments are left", n.name, e.reassembling)
	}
	if h := e.cfg.Shared.HalfOpen.Load(); h != 0 {
		n.w.t.Errorf("%s: %d half-open IKE SAs, want 0", n.name, h)
	}
	if len(n.kernel.sas)+len(n.kernel.reserved) != 0 {
		n.w.t.Errorf("%s: the kernel still has %d SAs and %d reservations", n.name, len(n.kernel.sas), len(n.kernel.reserved))
	}
}

func attrOf(ev trace.Event, key string) string {
	for _, a := range ev.Attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// exchangeOf is the exchange and direction of a datagram.
func exchangeOf(p Send) (message.ExchangeType, bool) {
	h, err := message.DecodeHeader(p.Data)
	if err != nil {
		return 0, false
	}
	return h.Exchange, h.Flags&message.FlagResponse != 0
}
