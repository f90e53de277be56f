package agent

import (
	"net/netip"
	"slices"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/policy"
)

// addressesChanged looks at this host's addresses. When they are others, sockets
// follow, the engines and the policy manager are told, and the macros are compiled
// anew, with the keys that were read with the configuration.
func (a *Agent) addressesChanged() {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if a.ending {
		return
	}
	host, err := interfaces()
	if err != nil {
		a.main.Warn("addresses of this host", "error", err)
		return
	}
	if sameInterfaces(host, a.host) {
		if slices.ContainsFunc(a.plan.Load().compiled.IKEv2.Remotes, func(r *ikev2.Remote) bool { return r.MOBIKE }) {
			a.tellAddresses() // the way to a peer may be another one
		}
		return
	}
	a.main.Info("addresses of this host have changed")
	a.host = host
	a.devices.set(host)
	a.rebind()
	a.moveMetrics()
	a.tellAddresses()
	if err := a.policy.post(a.ctx, policy.Addresses{Interfaces: host}); err != nil {
		return
	}
	before := a.plan.Load()
	caps := a.backend.Capabilities()
	compiled, findings := Compile(before.cfg, CompileOptions{
		Interfaces: host, ReqIDs: before.compiled.ReqIDs, Kernel: &caps, Names: a.names.addresses,
		KINK:       KINKOptions{Etc: a.o.Etc},
		ReadSecret: func(path string) ([]byte, error) { return before.secrets[path], nil },
	})
	if findings.HasErrors() {
		for _, f := range findings {
			if f.Severity == config.Error {
				a.main.Warn("with the new addresses: " + f.String())
			}
		}
		return
	}
	after := *before
	after.compiled = compiled
	a.plan.Store(&after)
	_ = a.reconfigure(a.ctx, compiled)
}

// rebind opens sockets for addresses that came, where the configuration asks for
// one for each, and closes those of addresses that went.
func (a *Agent) rebind() {
	old := a.sockets.all()
	wanted := bindsOf(a.plan.Load(), a.host)
	list := slices.DeleteFunc(slices.Clone(old), func(e *endpoint) bool { return !slices.ContainsFunc(wanted, e.is) })
	for _, b := range wanted {
		if bound(old, b) != nil {
			continue
		}
		opened, err := a.openSockets([]bind{b}, nil)
		if err != nil {
			a.main.Warn("no socket for an address of this host", "socket", b.addr, "error", err)
			continue
		}
		list = append(list, opened...)
	}
	if len(list) == 0 {
		return // the address may come back
	}
	a.sockets.set(list)
	for _, e := range list {
		if !slices.Contains(old, e) {
			a.startReader(e)
		}
	}
	for _, e := range old {
		if !slices.Contains(list, e) {
			a.main.Info("listening no more: this host does not have its address now", "socket", e.addr)
			e.conn.Close()
		}
	}
}

// tellAddresses tells every shard from which addresses IKE can be spoken.
func (a *Agent) tellAddresses() {
	addrs := ikeAddresses(a.host, func(addr netip.Addr) bool {
		return a.sockets.find(netip.AddrPortFrom(addr, a.plan.Load().compiled.IKEv2.IKEPort)) != nil
	})
	for _, d := range a.shards {
		if d.post(a.ctx, ikev2.LocalAddresses{Addrs: addrs}) != nil {
			return
		}
	}
}

// ikeAddresses are the host's addresses that a socket serves.
func ikeAddresses(host []policy.Interface, served func(netip.Addr) bool) []netip.Addr {
	var out []netip.Addr
	for _, i := range host {
		for _, p := range i.Addrs {
			a := p.Addr().Unmap()
			if !slices.Contains(out, a) && served(a) {
				out = append(out, a)
			}
		}
	}
	return out
}
