package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kink"
	"racoon2/policy"
)

// installedSA is an SA as it was given to a kernel.
type installedSA struct {
	sa  kernel.SA // without keys
	key [sha256.Size]byte
}

// maxTwins bounds the SAs of one direction and reqid: two IKE SAs may each have
// a child, each child a successor, and a few may be on their way out.
const maxTwins = 12

// submit gives an operation to the kernel, which does one after the other.
func (h *Host) submit(r kernel.Request) {
	h.kernelFree = max(h.kernelFree, h.w.now) + kernelTime
	life := h.life
	h.w.busyAfter(h.kernelFree-h.w.now, func() {
		if h.life != life && !h.kernelRuns {
			return
		}
		result := kernel.Result{Request: r}
		for i, one := range h.tapRequest(r) {
			got := h.apply(one)
			if i == 0 {
				result.Err, result.SPI, result.Policy = got.Err, got.SPI, got.Policy
				result.SAs, result.Policies = got.SAs, got.Policies
			}
		}
		h.kernelTimer()
		if h.life != life {
			return
		}
		switch r.Owner.Engine {
		case kernel.PolicyManager:
			h.policyInput(policy.KernelResult{Result: result})
		case kernel.IKEv2:
			if n := int(r.Owner.Shard); n < len(h.shards) {
				h.engineInput(h.shards[n], ikev2.KernelResult{Result: result})
			}
		case kernel.KINK:
			h.kinkInput(kink.KernelResult{Result: result})
		}
		h.watchPolicies()
	})
}

// apply does one operation and notes what the kernel holds after it.
func (h *Host) apply(r kernel.Request) kernel.Result {
	var key [sha256.Size]byte
	if op, ok := r.Op.(kernel.AddSA); ok {
		key = keyOfSA(op.SA)
		h.ordered(op.SA)
	}
	result := h.kernel.Apply(h.w.Now(), r)
	if op, ok := r.Op.(kernel.DeleteSA); ok {
		// A reservation that the kernel has given up itself is gone as well.
		delete(h.reserved, op.ID)
	}
	if result.Err != nil {
		h.w.note(line{host: h.Name, text: "kernel refuses: " + result.Err.Error()})
		return result
	}
	switch op := r.Op.(type) {
	case kernel.GetSPI:
		h.reserved[kernel.SAID{Dst: op.Dst, Proto: op.Proto, SPI: result.SPI}] = true
	case kernel.AddSA:
		h.added(op.SA, key)
		h.owners[op.SA.SAID] = r.Owner
	case kernel.UpdateSA:
		h.updated(op, r.Owner)
	case kernel.DeleteSA:
		delete(h.installed, op.ID)
		delete(h.owners, op.ID)
	case kernel.FlushSA:
		clear(h.reserved)
		clear(h.installed)
		clear(h.owners)
	}
	return result
}

// added notes a new SA and checks its key.
func (h *Host) added(sa kernel.SA, key [sha256.Size]byte) {
	delete(h.reserved, sa.SAID)
	if sa.Proto != kernel.IPComp { // it has none
		h.w.keyUsed(h, sa, key)
	}
	sa.EncrKey, sa.IntegKey = nil, nil
	h.installed[sa.SAID] = &installedSA{sa: sa, key: key}
	twins := 0
	for _, other := range h.installed {
		if other.sa.ReqID == sa.ReqID && other.sa.Direction == sa.Direction && other.sa.Proto == sa.Proto {
			twins++
		}
	}
	if twins > maxTwins {
		h.w.violate(h.Name, NoPileUp, "%v is number %d with its reqid", sa, twins)
	}
}

// ordered holds that the inbound SA of a pair is asked for before the outbound
// one. It counts over the kernel's life, for one SA of a pair may end, or be
// refused, before the other.
func (h *Host) ordered(sa kernel.SA) {
	id := transformID{sa.ReqID, sa.Proto}
	n := h.ever[id]
	if sa.Direction == kernel.In {
		n.in++
	} else {
		n.out++
	}
	h.ever[id] = n
	if n.in < n.out {
		h.w.violate(h.Name, InboundFirst, "%v comes without one to receive with", sa)
	}
}

// transformID names what a template asks for.
type transformID struct {
	reqID uint32
	proto kernel.Protocol
}

// inOut counts SAs of each direction.
type inOut struct{ in, out int }

// keyUse is one end of an SA.
type keyUse struct {
	host      *Host
	direction kernel.Direction
	spi       kernel.SPI
}

// keyUsed holds that a key serves one SA: one host that sends and one that
// receives, with the same SPI, once each.
func (w *World) keyUsed(h *Host, sa kernel.SA, key [sha256.Size]byte) {
	for _, u := range w.keys[key] {
		if u.host == h || u.direction == sa.Direction || u.spi != sa.SPI {
			w.violate(h.Name, NoKeyReuse, "%v has the key of SA %v of %s", sa, u.spi, u.host.Name)
		}
	}
	w.keys[key] = append(w.keys[key], keyUse{h, sa.Direction, sa.SPI})
}

// updated notes a change of addresses; the destination may be among them.
func (h *Host) updated(op kernel.UpdateSA, owner kernel.Owner) {
	id := op.Old()
	one := h.installed[id]
	if one == nil {
		return
	}
	delete(h.installed, id)
	delete(h.owners, id)
	one.sa.SAID, one.sa.Src, one.sa.Encap = op.SA.SAID, op.SA.Src, op.SA.Encap
	h.installed[op.SA.SAID] = one
	h.owners[op.SA.SAID] = owner
}

// keyOfSA is a digest of algorithms and keys.
func keyOfSA(sa kernel.SA) [sha256.Size]byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(sa.Encr))
	b = binary.BigEndian.AppendUint16(b, uint16(sa.Integ))
	b = append(b, sa.EncrKey...)
	b = append(b, sa.IntegKey...)
	sum := sha256.Sum256(b)
	clear(b)
	return sum
}

// kernelEvents routes what a kernel noticed, as agent's pump does.
func (h *Host) kernelEvents(events []kernel.Event) {
	for _, event := range events {
		switch e := event.(type) {
		case kernel.Acquire, kernel.PolicyDeleted:
			h.later(0, func() { h.policyInput(policy.KernelEvent{Event: e}) })
		case kernel.Resync:
			h.later(0, func() { h.policyInput(policy.KernelEvent{Event: e}) })
			h.reconcile()
		case kernel.Expire:
			h.ownedEvent(e.ID, e, e.Hard)
		case kernel.Mapping:
			h.ownedEvent(e.ID, e, false)
		case kernel.Deleted:
			h.ownedEvent(e.ID, e, true)
		case kernel.Flushed:
			clear(h.owners)
			for _, s := range h.shards {
				h.later(0, func() { h.engineInput(s, ikev2.KernelEvent{Event: e}) })
			}
			h.later(0, func() { h.kinkInput(kink.KernelEvent{Event: e}) })
		}
	}
}

// reconcile tells the owners of SAs that have gone while events were lost.
func (h *Host) reconcile() {
	held := make(map[kernel.SAID]bool)
	for _, sa := range h.dumpSAs() {
		held[sa.SAID] = true
	}
	var gone []kernel.SAID
	for id := range h.owners {
		if !held[id] {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(gone, func(a, b kernel.SAID) int { return cmp.Compare(a.SPI, b.SPI) })
	for _, id := range gone {
		h.ownedEvent(id, kernel.Deleted{ID: id}, true)
	}
}

// ownedEvent hands an event to the engine that owns the SA; gone says that the
// SA is no more.
func (h *Host) ownedEvent(id kernel.SAID, ev kernel.Event, gone bool) {
	owner, ok := h.owners[id]
	if gone {
		delete(h.owners, id)
		delete(h.installed, id)
	}
	if ok && h.alive && owner.Engine == kernel.KINK {
		h.later(0, func() { h.kinkInput(kink.KernelEvent{Event: ev}) })
		return
	}
	if n := int(owner.Shard); ok && h.alive && n < len(h.shards) {
		h.later(0, func() { h.engineInput(h.shards[n], ikev2.KernelEvent{Event: ev}) })
	}
}

// output lets the host's kernel send a packet.
func (h *Host) output(p fake.Packet) {
	d, events := h.kernel.Output(h.w.Now(), p)
	h.kernelEvents(events)
	h.kernelTimer()
	if d = h.tapOutput(p, d); d != nil {
		h.w.traffic.left(h, d)
		h.w.net.sendKernel(h, d)
	}
}

// receive takes a datagram of another kernel from the wire.
func (h *Host) receive(d *fake.Datagram) {
	if !h.kernelRuns {
		return
	}
	if d.Protected() && d.DstPort != 0 && (!h.alive || !h.listens(d.DstPort)) {
		return // the socket that carries it is the process's
	}
	p, events := h.kernel.Input(h.w.Now(), d)
	h.kernelEvents(events)
	h.kernelTimer()
	if p = h.tapDeliver(d, p); p != nil {
		h.w.traffic.delivered(h, d, *p)
	}
}

// kernelTimer plans the kernel's next Tick.
func (h *Host) kernelTimer() {
	t, ok := h.kernel.Deadline()
	if !ok {
		return
	}
	at := max(t.Sub(epoch), h.w.now)
	if h.kernelWake == at && at > h.w.now {
		return
	}
	h.kernelWake = at
	k := h.kernel
	h.w.queue.plan(at, func() {
		if h.kernel != k || h.kernelWake != at {
			return
		}
		h.kernelWake = 0
		h.kernelEvents(k.Tick(h.w.Now()))
		h.kernelTimer()
	})
}
