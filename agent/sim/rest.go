package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// established are the states in which both ends must know of an IKE SA.
const established = "ESTABLISHED"

// rest checks a world that nothing has disturbed for a while.
func (w *World) rest() {
	w.probe()
	w.traffic.gaps()
	w.flowsEnded = true
	if !w.runWhile(quietLimit, func() bool { return w.busy > 0 }) {
		w.violate("", NoStorm, "%d things are still under way after %v without a cause", w.busy, quietLimit)
	}
	for _, h := range w.hosts {
		if h.alive {
			h.checkKernel()
			h.checkPolicies()
		}
	}
	for i, a := range w.hosts {
		for _, b := range w.hosts[i+1:] {
			if a.alive && b.alive {
				w.agree(a, b)
				w.agreeKINK(a, b)
			}
		}
	}
}

// probes is how many packets of each flow must pass at rest.
const probes = 3

// probe sends packets of every flow and sees whether they arrive. The packets
// before the last ones may be the price of setting an SA up.
func (w *World) probe() {
	for i, f := range w.scenario.Flows {
		if f.Must != Either {
			w.traffic.send(packet{selector: f.selector(), flow: i})
		}
	}
	w.runUntil(w.now + probeTime)
	since, until := w.now, w.now
	for range probes {
		until = w.now
		for i, f := range w.scenario.Flows {
			if f.Must != Either {
				w.traffic.send(packet{selector: f.selector(), flow: i})
			}
		}
		w.runUntil(w.now + time.Second)
	}
	for i, f := range w.scenario.Flows {
		sent, delivered, replies := w.traffic.arrived(i, since, until)
		name := packetText(f.selector())
		switch {
		case f.Must == Pass && delivered < sent:
			w.violate("", Flows, "%s: %d of %d packets arrived", name, delivered, sent)
		case f.Must == Pass && f.Proto == 0 && replies < sent:
			w.violate("", Flows, "%s: %d of %d packets were answered", name, replies, sent)
		case f.Must == Blocked && delivered > 0:
			w.violate("", Flows, "%s: %d packets arrived, and none should", name, delivered)
		}
	}
}

// ikeSAs are the host's established IKE SAs with a peer.
func (h *Host) ikeSAs() []ikev2.IKEInfo {
	var all []ikev2.IKEInfo
	for _, s := range h.shards {
		for _, sa := range s.engine.Status() {
			if sa.State == established {
				all = append(all, sa)
			}
		}
	}
	slices.SortFunc(all, func(a, b ikev2.IKEInfo) int {
		return cmp.Or(cmp.Compare(a.SPIi, b.SPIi), cmp.Compare(a.SPIr, b.SPIr))
	})
	return all
}

// agree compares what two hosts believe about each other.
func (w *World) agree(a, b *Host) {
	for _, pair := range [2][2]*Host{{a, b}, {b, a}} {
		here, there := pair[0], pair[1]
		for _, sa := range here.ikeSAs() {
			if w.behind(sa) != there {
				continue
			}
			i := slices.IndexFunc(there.ikeSAs(), func(o ikev2.IKEInfo) bool { return o.SPIi == sa.SPIi && o.SPIr == sa.SPIr })
			if i < 0 {
				w.violate(here.Name, IKEAgree, "IKE SA %016x:%016x is unknown to %s", sa.SPIi, sa.SPIr, there.Name)
				continue
			}
			if here == a { // each pair once
				w.agreeIKE(a, b, sa, there.ikeSAs()[i])
			}
		}
	}
}

// behind finds the host that an IKE SA is with, through the NATs.
func (w *World) behind(sa ikev2.IKEInfo) *Host {
	addr := sa.RemoteAddr
	for _, n := range w.net.nats {
		if addr.Addr() == n.Outside {
			if back, ok := n.in[addr.Port()]; ok {
				addr = back
			}
		}
	}
	return w.hostAt(addr.Addr())
}

func (w *World) agreeIKE(a, b *Host, x, y ikev2.IKEInfo) {
	name := fmt.Sprintf("IKE SA %016x:%016x of %s and %s", x.SPIi, x.SPIr, a.Name, b.Name)
	mine := []any{x.Initiator, x.NATLocal, x.NATRemote, x.Encr, x.PRF, x.Integ, x.KE, x.LocalID, x.RemoteID}
	theirs := []any{!y.Initiator, y.NATRemote, y.NATLocal, y.Encr, y.PRF, y.Integ, y.KE, y.RemoteID, y.LocalID}
	if !slices.Equal(mine, theirs) {
		w.violate("", IKEAgree, "%s: %v and %v", name, mine, theirs)
	}
	if len(x.Children) != len(y.Children) {
		w.violate("", ChildrenAgree, "%s: %d and %d children", name, len(x.Children), len(y.Children))
	}
	for _, c := range x.Children {
		i := slices.IndexFunc(y.Children, func(d ikev2.ChildInfo) bool { return d.SPIIn == c.SPIOut && d.SPIOut == c.SPIIn })
		if i < 0 {
			w.violate("", ChildrenAgree, "%s: %s has child %s with SPIs %v in and %v out, and %s has not",
				name, a.Name, c.Name, c.SPIIn, c.SPIOut, b.Name)
			continue
		}
		w.agreeChild(a, b, name, c, y.Children[i])
	}
}

func (w *World) agreeChild(a, b *Host, name string, c, d ikev2.ChildInfo) {
	mine := []any{c.Protocol, c.Mode, c.Encr, c.Integ, c.Encap}
	theirs := []any{d.Protocol, d.Mode, d.Encr, d.Integ, d.Encap}
	if !slices.Equal(mine, theirs) {
		w.violate("", ChildrenAgree, "%s, child %s: %v and %v", name, c.Name, mine, theirs)
	}
	if !sameSelectors(c.TSLocal, d.TSRemote) || !sameSelectors(c.TSRemote, d.TSLocal) {
		w.violate("", SelectorsAgree, "%s, child %s: %v, %v and %v, %v", name, c.Name, c.TSLocal, c.TSRemote, d.TSRemote, d.TSLocal)
	}
	w.agreeKernels(a, b, c.SPIOut)
	w.agreeKernels(b, a, c.SPIIn)
}

// sameSelectors compares sets of traffic selectors.
func sameSelectors(a, b []message.TrafficSelector) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(t message.TrafficSelector) bool { return !slices.Contains(b, t) })
}

// agreeKernels compares the two ends of one SA where it counts: in the kernels.
func (w *World) agreeKernels(from, to *Host, spi kernel.SPI) {
	out, in := from.find(spi, kernel.Out), to.find(spi, kernel.In)
	if out == nil || in == nil {
		return // checkKernel has said so
	}
	if out.key != in.key {
		w.violate("", KeysAgree, "SA %v: %s sends and %s receives with different keys", spi, from.Name, to.Name)
	}
	if out.sa.Selector != in.sa.Selector && out.sa.Mode == kernel.Tunnel {
		w.violate("", SelectorsAgree, "SA %v: %s sends %v and %s expects %v", spi, from.Name, out.sa.Selector, to.Name, in.sa.Selector)
	}
}

func (h *Host) find(spi kernel.SPI, dir kernel.Direction) *installedSA {
	for id, one := range h.installed {
		if id.SPI == spi && one.sa.Direction == dir {
			return one
		}
	}
	return nil
}

// checkKernel compares the SAs in the kernel with those in the engines' status.
func (h *Host) checkKernel() {
	held := make(map[kernel.SPI]kernel.Direction)
	for _, sa := range h.dumpSAs() {
		held[sa.SPI] = sa.Direction
	}
	for _, s := range h.shards {
		for _, sa := range s.engine.Status() {
			for _, c := range sa.Children {
				h.checkHeld(held, c.Name, c.SPIIn, kernel.In)
				h.checkHeld(held, c.Name, c.SPIOut, kernel.Out)
			}
		}
	}
	h.checkKINK(held)
	for _, spi := range sortedKeys(held) {
		h.w.violate(h.Name, KernelAgrees, "SA %v (%v) stands in the kernel, and no engine knows it", spi, held[spi])
	}
	for id := range h.reserved {
		h.w.violate(h.Name, NoLeakSPI, "%v is still reserved at rest", id)
	}
}

// checkHeld takes an SA off the list of what the kernel holds.
func (h *Host) checkHeld(held map[kernel.SPI]kernel.Direction, child string, spi kernel.SPI, dir kernel.Direction) {
	if held[spi] != dir {
		h.w.violate(h.Name, KernelAgrees, "child %s: SA %v (%v) is not in the kernel", child, spi, dir)
	}
	delete(held, spi)
}

func (h *Host) dumpSAs() []kernel.SAState {
	return h.kernel.Apply(h.w.Now(), kernel.Request{Op: kernel.DumpSA{}}).SAs
}

func (h *Host) dumpPolicies() []kernel.Policy {
	return h.kernel.Apply(h.w.Now(), kernel.Request{Op: kernel.DumpPolicy{}}).Policies
}

// checkPolicies compares the kernel's policies with those that the manager says
// it has installed.
func (h *Host) checkPolicies() {
	held := h.dumpPolicies()
	for _, e := range h.manager.Entries() {
		if strings.HasPrefix(e.State, "unused") {
			continue // a peer that comes from anywhere is not there
		}
		if e.State != installedState {
			h.w.violate(h.Name, PolicyAgrees, "policy of selector %s is %s", e.Selector, e.State)
			continue
		}
		i := slices.IndexFunc(held, func(p kernel.Policy) bool {
			return p.Selector == e.Policy.Selector && p.Direction == e.Policy.Direction
		})
		if i < 0 || held[i].Action != e.Policy.Action || held[i].Priority != e.Policy.Priority {
			h.w.violate(h.Name, PolicyAgrees, "policy of selector %s (%v) is not in the kernel", e.Selector, e.Policy.Direction)
			continue
		}
		held = slices.Delete(held, i, i+1)
	}
	for _, p := range held {
		h.w.violate(h.Name, PolicyAgrees, "the kernel has a policy that nobody wants: %v", p)
	}
}

// installedState is how the policy manager calls an entry that stands.
const installedState = "installed"

// watchPolicies notes when every policy stands for the first time.
func (h *Host) watchPolicies() {
	if h.protecting || !h.alive || h.stopping {
		return
	}
	entries := h.manager.Entries()
	for _, e := range entries {
		if e.State != installedState {
			return
		}
	}
	h.protecting = len(entries) > 0
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
