package sim

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"racoon2/agent"
	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kernel/trace"
	"racoon2/policy"
)

// maxTimeouts bounds how often a core may ask to be woken at one moment.
const maxTimeouts = 50

// datagram hands a datagram to the shard it is for.
func (h *Host) datagram(local, remote netip.AddrPort, data []byte) {
	n := ikev2.ShardOf(data, remote, len(h.shards))
	h.engineInput(h.shards[n], ikev2.Datagram{Local: local, Remote: remote, Data: data})
}

// engineInput hands an input to a shard and performs the effects.
func (h *Host) engineInput(s *shard, in ikev2.Input) {
	if !h.alive || !h.tapInput(in) {
		return
	}
	var out ikev2.Outbox
	if h.guard(fmt.Sprintf("ikev2 given %T", in), func() { s.engine.Handle(h.w.Now(), in, &out) }) {
		for _, e := range out.Effects {
			h.perform(s, e)
		}
		h.wake(s, s.engine.Deadline, func() { h.engineInput(s, ikev2.Timeout{}) })
	}
}

// policyInput hands an input to the policy manager and performs the effects.
func (h *Host) policyInput(in policy.Input) {
	if !h.alive {
		return
	}
	var out policy.Outbox
	if h.guard(fmt.Sprintf("policy given %T", in), func() { h.manager.Handle(h.w.Now(), in, &out) }) {
		for _, e := range out.Effects {
			h.performPolicy(e)
		}
		h.wake(h.manager, h.manager.Deadline, func() { h.policyInput(policy.Timeout{}) })
	}
}

// guard runs a core and turns its panic into a violation; the process ends with it.
func (h *Host) guard(what string, f func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			h.w.violate(h.Name, NoPanic, "%s: %v\n%s", what, r, debug.Stack())
			h.alive = false
		}
	}()
	f()
	return true
}

// wake plans the core's next Timeout. A core whose deadline does not move when
// it is woken would never let time go on, so that is a storm.
func (h *Host) wake(core any, deadline func() (time.Time, bool), timeout func()) {
	t, ok := deadline()
	if !ok {
		delete(h.wakes, core)
		return
	}
	at := max(t.Sub(epoch), h.w.now)
	if planned, ok := h.wakes[core]; ok && planned == at {
		return
	}
	h.wakes[core] = at
	life, start := h.life, at
	h.w.queue.plan(at, func() {
		if h.life != life || h.wakes[core] != at {
			return
		}
		delete(h.wakes, core)
		if h.spins(start) {
			return
		}
		timeout()
	})
}

// spins counts wake-ups at one moment.
func (h *Host) spins(at time.Duration) bool {
	if h.spinAt != at {
		h.spinAt, h.spinCount = at, 0
	}
	h.spinCount++
	if h.spinCount == maxTimeouts {
		h.w.violate(h.Name, NoStorm, "a core asks for Timeout again and again at the same moment")
	}
	return h.spinCount >= maxTimeouts
}

func (h *Host) perform(s *shard, effect ikev2.Effect) {
	switch e := effect.(type) {
	case ikev2.Send:
		for _, one := range h.tapSend(e) {
			h.w.net.sendUDP(h, one.Local, one.Remote, one.Data, h.w.wire)
		}
	case ikev2.KernelRequest:
		h.submit(e.Request)
	case ikev2.Job:
		value, err := e.Run()
		h.later(jobTime, func() { h.engineInput(s, ikev2.JobDone{Serial: e.Serial, Value: value, Err: err}) })
	case ikev2.Route:
		local, err := h.route(e.Remote)
		h.later(0, func() { h.engineInput(s, ikev2.Routed{Serial: e.Serial, Local: local, Err: err}) })
	case ikev2.ChildUp:
		h.w.note(line{host: h.Name, text: "child " + e.Child + " is up"})
		h.homes[e.Remote] = s.number
		h.later(0, func() {
			h.policyInput(agent.ChildUp(e, h.w.Now()))
		})
	case ikev2.ChildDown:
		h.w.note(line{host: h.Name, text: "child " + e.Child + " is down"})
		h.later(0, func() { h.policyInput(policy.ChildDown{Engine: kernel.IKEv2, Child: e.Child, Reason: e.Reason}) })
	case ikev2.ChildMoved:
		h.w.note(line{host: h.Name, text: fmt.Sprintf("child %s moves to %v - %v", e.Child, e.Local, e.PeerAddress)})
		moved := policy.Moved{Child: e.Child, OldLocal: e.OldLocal, OldRemote: e.OldPeer, Local: e.Local, Remote: e.PeerAddress}
		h.later(0, func() { h.policyInput(moved) })
	case ikev2.InitiateFailed:
		h.failed(kernel.IKEv2, e.Child, e.Reason)
	case ikev2.Trace:
		h.trace(e.Event)
	}
}

// failed tells the policy manager that an engine has not brought up a child.
func (h *Host) failed(engine kernel.EngineID, child, reason string) {
	h.w.note(line{host: h.Name, text: "child " + child + " failed: " + reason})
	h.later(0, func() { h.policyInput(policy.InitiateFailed{Engine: engine, Child: child, Reason: reason}) })
}

func (h *Host) performPolicy(effect policy.Effect) {
	switch e := effect.(type) {
	case policy.KernelRequest:
		h.submit(e.Request)
	case policy.Initiate:
		h.initiate(e)
	case policy.Route:
		local, err := h.route(e.Remote)
		h.later(0, func() { h.policyInput(policy.Routed{Remote: e.Remote, Local: local, Err: err}) })
	case policy.Trace:
		if e.Event.Tag != trace.Debug { // it has a word for each packet that waits
			h.trace(e.Event)
		}
	}
}

// initiateIKE hands the policy manager's wish to the shard that is for it.
func (h *Host) initiateIKE(e policy.Initiate) {
	in := ikev2.Initiate{Remote: e.Remote, Child: e.Child, Packet: e.Packet}
	h.later(0, func() { h.engineInput(h.shardFor(e.Remote), in) })
}

// trace notes what a core counts; its words are the cores' own business.
func (h *Host) trace(e trace.Event) {
	if e.Reason != "" {
		h.w.note(line{host: h.Name, text: "[" + e.Tag.String() + "] " + e.Reason})
	}
}

// later does something for this life of the process.
func (h *Host) later(d time.Duration, f func()) {
	life := h.life
	h.w.busyAfter(d, func() {
		if h.life == life {
			f()
		}
	})
}

// route picks the first address of the right family.
func (h *Host) route(remote netip.Addr) (netip.Addr, error) {
	for _, a := range h.addrs {
		if a.Is4() == remote.Is4() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address reaches %v", remote)
}
