package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/kink"
	"racoon2/policy"
)

// Reload reads the configuration again. One with errors changes nothing. What
// did not change is not touched: IKE SAs of remotes that are the same stay, and
// so do their policies and sockets.
func (a *Agent) Reload(ctx context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if a.ending {
		return errStopped
	}
	if err := a.reload(ctx); err != nil {
		a.counters.add(reasonReloadFailed)
		if e := (*ConfigError)(nil); errors.As(err, &e) {
			for _, f := range e.Findings {
				a.main.Error("configuration: " + f.String())
			}
		}
		a.main.Error("the configuration stays as it was", "error", err)
		return err
	}
	a.counters.add(reasonReload)
	c := a.plan.Load().compiled
	a.main.Info("configuration taken over", "remotes", len(c.IKEv2.Remotes), "selectors", len(c.Policy.Selectors))
	return nil
}

func (a *Agent) reload(ctx context.Context) error {
	before := a.plan.Load()
	caps := a.backend.Capabilities()
	p, err := a.prepare(&caps, before.compiled.ReqIDs)
	if err != nil {
		return err
	}
	if err := a.makeLinks(p.cfg); err != nil {
		return err
	}
	old := a.sockets.all()
	takeMetrics, dropMetrics, err := a.metrics.prepare(metricsAddresses(p.cfg.Interface, a.host))
	if err != nil {
		return err
	}
	list, err := a.openSockets(bindsOf(p, a.host), old)
	if err != nil {
		dropMetrics()
		closeAll(list, old)
		return err
	}
	takeMetrics()
	a.keepsUntilRestart(before.cfg.Interface, p.cfg.Interface)
	if a.confined && len(p.scripts) > 0 {
		a.main.Warn("scripts run with the few privileges that the agent has kept; restart it to give them those of its user")
	}
	a.report(p.findings)
	a.configureLog(p)
	leaving := slices.DeleteFunc(slices.Clone(old), func(e *endpoint) bool { return slices.Contains(list, e) })
	a.sockets.set(append(list, leaving...))
	for _, e := range list {
		if !slices.Contains(old, e) {
			a.startReader(e)
		}
	}
	a.plan.Store(p)
	a.tellAddresses()
	if err := a.reconfigure(ctx, p.compiled); err != nil {
		return err
	}
	a.removeLinks(xfrmLinks(p.cfg))
	// Names come behind the selectors that hold them, so that no answer passes
	// before the policy manager knows what it has to wait for.
	if err := a.names.configure(p); err != nil {
		a.main.Warn("the DNS proxy", "error", err)
	}
	if len(leaving) == 0 {
		return nil
	}
	time.AfterFunc(leaveTime, a.closeLeaving)
	return a.leave(ctx, leaving)
}

// keepsUntilRestart says what a changed interface section does not change now.
func (a *Agent) keepsUntilRestart(before, after config.Interface) {
	if !controlOf(after, a.o.RunDir).equal(controlOf(before, a.o.RunDir)) {
		a.main.Warn("the control socket does not change while the agent runs; restart it for that")
	}
	if after.Kernel != before.Kernel && a.o.Kernel == "" {
		a.main.Warn("the kernel backend does not change while the agent runs; restart it for that")
	}
	if after.ApplicationBypass != before.ApplicationBypass && !mustBypass(a.backend) {
		a.main.Warn("application_bypass does not change while the agent runs; restart it for that")
	}
}

// leave deletes the IKE SAs that go over sockets which are not configured any more.
func (a *Agent) leave(ctx context.Context, sockets []*endpoint) error {
	for n, d := range a.shards {
		infos, err := ask(ctx, d, a.engines[n].Status)
		if err != nil {
			return err
		}
		for _, i := range infos {
			if !slices.Contains(sockets, a.sockets.find(i.LocalAddr)) {
				continue
			}
			if err := d.post(ctx, ikev2.Terminate{IKE: i.Serial, Reason: "its socket is not configured any more"}); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaveTime is how long a socket that is not configured any more stays, so that
// IKE SAs on it can be deleted in order.
const leaveTime = 4 * time.Second

// closeLeaving closes the sockets that the configuration does not ask for now.
func (a *Agent) closeLeaving() {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	wanted := bindsOf(a.plan.Load(), a.host)
	var list []*endpoint
	for _, e := range a.sockets.all() {
		if slices.ContainsFunc(wanted, e.is) {
			list = append(list, e)
			continue
		}
		a.main.Info("listening no more", "socket", e.addr)
		e.conn.Close()
	}
	a.sockets.set(list)
}

// closeAll closes the sockets of one list that are not in the other.
func closeAll(list, but []*endpoint) {
	for _, e := range list {
		if !slices.Contains(but, e) {
			e.conn.Close()
		}
	}
}

// reconfigure hands new settings to the cores: to the engines first, so that
// they know every child that a new policy may ask for.
func (a *Agent) reconfigure(ctx context.Context, c *Compiled) error {
	for _, d := range a.shards {
		if err := d.post(ctx, ikev2.Reconfigure{Settings: c.IKEv2}); err != nil {
			return err
		}
	}
	a.tickets.configure(c.Realms)
	if err := a.kink.post(ctx, kink.Reconfigure{Settings: c.KINK}); err != nil {
		return err
	}
	return a.policy.post(ctx, policy.Reconfigure{Settings: c.Policy})
}
