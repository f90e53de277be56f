package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"racoon2/kernel"
)

// dropLeftovers deletes the SAs that an agent which did not end in order left
// in the kernel. The peer gives its halves up in time; ours would go on to
// swallow the traffic, because an SA that matches keeps the kernel from asking
// for another. What is ours shows by the request identifier and an address of
// this host.
func (a *Agent) dropLeftovers(ctx context.Context) error {
	dump, err := a.pump.ask(ctx, kernel.DumpSA{})
	if err != nil {
		return err
	}
	if dump.Err != nil {
		return dump.Err
	}
	reqIDs := make(map[uint32]bool)
	for _, id := range a.plan.Load().compiled.ReqIDs {
		reqIDs[id] = true
	}
	owners, dropped := a.pump.snapshot(), 0
	for _, sa := range dump.SAs {
		if _, known := owners[sa.SAID]; known || !reqIDs[sa.ReqID] || !a.isLocal(sa.SA) {
			continue
		}
		r, err := a.pump.ask(ctx, kernel.DeleteSA{ID: sa.SAID})
		if err != nil {
			return err
		}
		if r.Err != nil && !errors.Is(r.Err, kernel.ErrNotFound) {
			return r.Err
		}
		dropped++
	}
	if dropped > 0 {
		a.main.Warn("SAs of an agent that did not end in order are deleted", "sas", dropped)
	}
	return nil
}

// isLocal says that an SA starts or ends at this host.
func (a *Agent) isLocal(sa kernel.SA) bool {
	for _, i := range a.host {
		if slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr() == sa.Src || p.Addr() == sa.Dst }) {
			return true
		}
	}
	return false
}
