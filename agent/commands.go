package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/policy/spmif"
)

// commands answers the control interface by asking the cores.
type commands struct{ a *Agent }

var _ spmif.Handler = commands{}

func (c commands) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.a.ctx, statusTime)
}

// SelectorOf finds the selector behind a kernel policy: ours, or one of others
// with the reqid of a selector that is only declared (install off).
func (c commands) SelectorOf(spid uint32) (string, bool) {
	ctx, cancel := c.context()
	defer cancel()
	type answer struct {
		name  string
		ok    bool
		adopt bool
	}
	r, err := ask(ctx, c.a.policy, func() answer {
		name, ok := c.a.manager.SelectorOf(kernel.PolicyID(spid))
		return answer{name, ok, !ok && c.a.manager.Adopts()}
	})
	if err != nil || !r.adopt {
		return r.name, err == nil && r.ok
	}
	dump, err := c.a.pump.ask(ctx, kernel.DumpPolicy{})
	if err != nil {
		return "", false
	}
	for _, p := range dump.Policies {
		if p.ID == kernel.PolicyID(spid) && len(p.Templates) > 0 {
			r, err = ask(ctx, c.a.policy, func() answer {
				name, ok := c.a.manager.Adopted(&p)
				return answer{name: name, ok: ok}
			})
			return r.name, err == nil && r.ok
		}
	}
	return "", false
}

// Policies lists the installed policies with their selectors.
func (c commands) Policies() []spmif.PolicyEntry {
	ctx, cancel := c.context()
	defer cancel()
	entries, err := ask(ctx, c.a.policy, c.a.manager.Entries)
	if err != nil {
		return nil
	}
	var out []spmif.PolicyEntry
	for _, e := range entries {
		if e.State == stateInstalled {
			out = append(out, spmif.PolicyEntry{Selector: e.Selector, SPID: uint32(e.ID)})
		}
	}
	return out
}

// stateInstalled and the others are policy.Entry's states.
const (
	stateInstalled = "installed"
	statePending   = "pending"
	stateFailed    = "failed"
)

// Status is the whole state as JSON.
func (c commands) Status() (json.RawMessage, error) {
	s, err := c.a.Status(c.a.ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// SAs lists the IKE SAs, each followed by its children.
func (c commands) SAs() ([]spmif.SAEntry, error) {
	ctx, cancel := c.context()
	defer cancel()
	infos, err := c.a.ikeSAs(ctx)
	if err != nil {
		return nil, err
	}
	var out []spmif.SAEntry
	for _, i := range infos {
		out = append(out, spmif.SAEntry{
			Name: i.Remote, State: i.State, Local: i.LocalAddr, Remote: i.RemoteAddr, SPIs: [2]uint64{i.SPIi, i.SPIr},
		})
		for _, ch := range i.Children {
			var local, remote uint16
			if ch.Encap {
				local, remote = i.LocalAddr.Port(), i.RemoteAddr.Port()
			}
			out = append(out, spmif.SAEntry{
				Child: true, Name: ch.Name, State: ch.Mode.String(),
				Local: netip.AddrPortFrom(ch.Local, local), Remote: netip.AddrPortFrom(ch.Remote, remote),
				SPIs: [2]uint64{uint64(ch.SPIIn), uint64(ch.SPIOut)},
			})
		}
	}
	peers, err := c.a.kinkPeers(ctx)
	if err != nil {
		return nil, err
	}
	return append(out, kinkSAs(peers)...), nil
}

// FlushSA has the engines delete SAs; the peers are told. It does not wait for
// their answers.
func (c commands) FlushSA(remote string) (ike, children int, err error) {
	ctx, cancel := c.context()
	defer cancel()
	compiled := c.a.plan.Load().compiled
	known := slices.ContainsFunc(compiled.IKEv2.Remotes, func(r *ikev2.Remote) bool { return r.Name == remote }) ||
		slices.ContainsFunc(compiled.KINK.Remotes, func(r *kink.Remote) bool { return r.Name == remote })
	if remote != "" && !known {
		return 0, 0, fmt.Errorf("remote %q %w", remote, spmif.ErrNotFound)
	}
	infos, err := c.a.ikeSAs(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, i := range infos {
		if remote == "" || i.Remote == remote {
			ike++
			children += len(i.Children)
		}
	}
	peers, err := c.a.kinkPeers(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, p := range peers {
		if remote == "" || p.Remote == remote {
			children += len(p.Children)
		}
	}
	if err := c.a.kink.post(ctx, kink.Terminate{Remote: remote, Reason: "flushed by command"}); err != nil {
		return 0, 0, err
	}
	for _, d := range c.a.shards {
		if err := d.post(ctx, ikev2.Terminate{Remote: remote, Reason: "flushed by command"}); err != nil {
			return 0, 0, err
		}
	}
	return ike, children, nil
}

// addrPort is an address without a port.
func addrPort(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 0) }
