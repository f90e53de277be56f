package agent

import (
	"context"
	"time"

	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/policy"
)

// The time that each step of an orderly end may take.
const (
	enginesTime  = 5 * time.Second
	sweepTime    = 2 * time.Second
	policiesTime = 3 * time.Second
)

// Shutdown ends the agent in order: the peers are told, SAs and policies leave
// the kernel, and what the backend had put on the host is removed. ctx can make
// it hurry.
func (a *Agent) Shutdown(ctx context.Context) {
	a.main.Info("ending")
	a.end()
	a.control.close()
	a.metrics.close()
	a.stopResolver()
	a.stopEngines(ctx)
	a.hooks.end(ctx, hookEndTime)
	a.sweep(ctx)
	a.stopPolicies()
	a.removeLinks(nil)
	a.stopMoving()
	if err := a.backend.Close(); err != nil {
		a.main.Error("closing the kernel backend", "error", err)
	}
	<-a.pumped
	a.wipe()
	a.main.Info("ended")
}

// Abandon ends the agent after a core has failed. Peers are told where that is
// still possible; policies and the backend's guards stay, so that what was
// protected is blocked.
func (a *Agent) Abandon() {
	a.end()
	a.control.close()
	a.metrics.close()
	a.stopResolver()
	a.stopEngines(a.ctx)
	a.hooks.end(a.ctx, hookEndTime)
	a.stopMoving()
	a.wipe()
}

// stopEngines has the engines delete their SAs and waits for it.
func (a *Agent) stopEngines(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, enginesTime)
	defer cancel()
	var idle []<-chan struct{}
	for _, d := range a.shards {
		if d.post(ctx, ikev2.Shutdown{}) != nil {
			continue
		}
		if c, err := d.whenIdle(ctx); err == nil {
			idle = append(idle, c)
		}
	}
	if a.kink.post(ctx, kink.Shutdown{}) == nil {
		if c, err := a.kink.whenIdle(ctx); err == nil {
			idle = append(idle, c)
		}
	}
	for _, c := range idle {
		select {
		case <-c:
		case <-ctx.Done():
			a.main.Warn("some SAs did not end in time; their peers may not know")
			return
		}
	}
}

// sweep removes the SAs of ours that the engines have left in the kernel.
func (a *Agent) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	for id, owner := range a.pump.snapshot() {
		if owner.Engine == kernel.PolicyManager {
			continue // static ones go with the policies
		}
		if _, err := a.pump.ask(ctx, kernel.DeleteSA{ID: id}); err != nil {
			a.main.Warn("an SA stays in the kernel", "sa", id.String(), "error", err)
		}
	}
}

// stopPolicies removes our policies. It does not hurry: a policy that stays
// blocks traffic for ever.
func (a *Agent) stopPolicies() {
	ctx, cancel := context.WithTimeout(a.ctx, policiesTime)
	defer cancel()
	if a.policy.post(ctx, policy.Shutdown{}) != nil {
		return
	}
	idle, err := a.policy.whenIdle(ctx)
	if err != nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
		a.main.Warn("some policies did not leave the kernel in time")
	}
}

// stopMoving ends drivers, workers and readers.
func (a *Agent) stopMoving() {
	a.cancel()
	a.wg.Wait()
	a.pool.wait()
	a.tickets.close()
	a.sockets.close()
	a.rd.Wait()
}

// wipe clears the keys that were read from files, and closes the one that keys are written to.
func (a *Agent) wipe() {
	a.keyLog.close()
	p := a.plan.Load()
	for _, key := range p.secrets {
		clear(key)
	}
	for _, sel := range p.compiled.Policy.Selectors {
		for _, sa := range sel.Manual {
			clear(sa.EncrKey)
			clear(sa.IntegKey)
		}
	}
}

// end has no reload begin from now on, and waits for one that goes on.
func (a *Agent) end() {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	a.ending = true
}
