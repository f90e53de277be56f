package sim

import (
	"fmt"

	"racoon2/ikev2"
	"racoon2/policy"
)

// stopAll ends every host in an orderly way and looks for what is left.
func (w *World) stopAll() {
	if w.scenario.StopInTurn {
		for _, h := range w.hosts {
			h.Stop()
			w.finish(h)
		}
	} else {
		for _, h := range w.hosts {
			h.Stop()
		}
		w.finish(w.hosts...)
	}
	w.runWhile(quietLimit, func() bool { return w.busy > 0 })
	for _, h := range w.hosts {
		h.checkGone()
	}
}

// finish waits for the engines and then lets the policies go, as agent does.
func (w *World) finish(hosts ...*Host) {
	for _, h := range hosts {
		w.runWhile(stopLimit, func() bool { return h.alive && !h.enginesIdle() })
		if h.alive && !h.enginesIdle() {
			w.violate(h.Name, Idle, "an engine is not idle %v after Shutdown: %s", stopLimit, h.left())
		}
		h.protecting = false
		h.policyInput(policy.Shutdown{})
	}
	for _, h := range hosts {
		w.runWhile(stopLimit, func() bool { return h.alive && !h.manager.Idle() })
		if h.alive && !h.manager.Idle() {
			w.violate(h.Name, Idle, "the policy manager is not idle %v after Shutdown", stopLimit)
		}
	}
}

func (h *Host) enginesIdle() bool {
	for _, s := range h.shards {
		if !s.engine.Idle() {
			return false
		}
	}
	return h.kink == nil || h.kink.engine.Idle()
}

// left names the states of the IKE SAs that are still there.
func (h *Host) left() string {
	text := ""
	for _, s := range h.shards {
		for _, sa := range s.engine.Status() {
			text += " " + sa.State
		}
	}
	if h.kink != nil {
		for _, p := range h.kink.engine.Status() {
			text += fmt.Sprintf("; KINK with %s: %d pairs, %d transactions", p.Principal, len(p.Children), p.Transactions)
		}
	}
	return "IKE SAs in state" + text
}

// checkGone looks for what an orderly end left behind.
func (h *Host) checkGone() {
	for _, sa := range h.dumpSAs() {
		h.w.violate(h.Name, NoLeakSA, "%v is still in the kernel", sa.SA)
	}
	for id := range h.reserved {
		h.w.violate(h.Name, NoLeakSPI, "%v is still reserved", id)
	}
	for _, p := range h.dumpPolicies() {
		h.w.violate(h.Name, NoLeakPolicy, "%v is still in the kernel", p)
	}
	if !h.alive {
		return
	}
	if n := h.shared.HalfOpen.Load(); n != 0 {
		h.w.violate(h.Name, Idle, "%d half-open IKE SAs are still counted", n)
	}
	for _, s := range h.shards {
		if t, ok := s.engine.Deadline(); ok && len(s.engine.Status()) == 0 && !h.harmless(s.engine) {
			h.w.violate(h.Name, Idle, "an engine without SAs still has a timer, at %v", t.Sub(epoch))
		}
	}
	h.checkGoneKINK()
	if _, ok := h.manager.Deadline(); ok {
		h.w.violate(h.Name, Idle, "the policy manager still has a timer")
	}
}

// harmless lets time pass until the engine's timers of dead SAs have run out.
func (h *Host) harmless(e *ikev2.Engine) bool {
	return h.w.runWhile(quietLimit, func() bool {
		_, ok := e.Deadline()
		return ok
	})
}
