package agent

import (
	"net/netip"
	"slices"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/kink"
	"racoon2/policy"
	"racoon2/resolver"
)

// canonical is a name as the resolver spells it; "" for what is none.
func canonical(name string) string {
	c, err := resolver.Canonical(name)
	if err != nil {
		return ""
	}
	return c
}

// peerNames are the names that are looked up for this host itself: of peers, of
// tunnels' ends, and of name servers.
func peerNames(cfg *config.Config) []string {
	var out []string
	add := func(list ...config.Address) {
		for _, a := range list {
			if name := canonical(a.Name); a.Kind == config.AddressFQDN && name != "" {
				out = append(out, name)
			}
		}
	}
	for _, r := range remotes(cfg) {
		add(peersOf(r.IKEv2)...)
		add(peersOfKINK(r.KINK)...)
	}
	for _, p := range cfg.Policies {
		for _, a := range []*config.Address{p.MySAIPAddr, p.PeersSAIPAddr} {
			if a != nil {
				add(*a)
			}
		}
	}
	for _, n := range cfg.Resolver.NameServers {
		add(n.Address)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// note keeps the addresses of a name for those who compile, and for the servers.
func (r *resolving) note(e resolver.NamesChanged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(e.Addresses) == 0 {
		delete(r.known, e.Name)
		return
	}
	r.known[e.Name] = e.Addresses
}

// addresses are those of a name, none while it is not known.
func (r *resolving) addresses(name string) []netip.Addr {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[canonical(name)]
}

// holds says whether a name is among addresses.
func holds(list []config.Address, name string) bool {
	return slices.ContainsFunc(list, func(a config.Address) bool {
		return a.Kind == config.AddressFQDN && canonical(a.Name) == name
	})
}

// named says whether addresses have a name among them.
func named(list []config.Address) bool {
	return slices.ContainsFunc(list, func(a config.Address) bool { return a.Kind == config.AddressFQDN })
}

// tellPeers tells the engines where remotes are that have a name; "" is every
// one that has any. The policy manager's pauses after failures end with it. A
// name server's name changes whom the core asks.
func (r *resolving) tellPeers(name string) {
	r.mu.Lock()
	cfg := r.cfg
	r.mu.Unlock()
	for _, remote := range remotes(cfg) {
		known := false
		tell := func(list []config.Address, post func([]netip.AddrPort)) {
			if name != "" && !holds(list, name) || !named(list) {
				return
			}
			peers := r.a.peerAddresses(list)
			post(peers)
			known = known || len(peers) > 0
		}
		tell(peersOf(remote.IKEv2), func(peers []netip.AddrPort) {
			for _, d := range r.a.shards {
				_ = d.post(r.a.ctx, ikev2.PeerAddresses{Remote: remote.Name, Peers: peers})
			}
		})
		tell(peersOfKINK(remote.KINK), func(peers []netip.AddrPort) {
			_ = r.a.kink.post(r.a.ctx, kink.PeerAddresses{Remote: remote.Name, Peers: peers})
		})
		if known {
			_ = r.a.policy.post(r.a.ctx, policy.Retry{Remote: remote.Name})
		}
	}
	if slices.ContainsFunc(cfg.Resolver.NameServers, func(n config.NameServer) bool { return holds([]config.Address{n.Address}, name) }) {
		r.settle()
	}
}

// tellAllPeers does so for all: the configuration is another one.
func (r *resolving) tellAllPeers() { r.tellPeers("") }

// peerAddresses are the addresses of a peer as the engine takes them.
func (a *Agent) peerAddresses(list []config.Address) []netip.AddrPort {
	host, _ := interfaces() // for macros; without them there are the others
	c := compiler{o: CompileOptions{Names: a.names.addresses, Interfaces: host}}
	peers, _ := c.peerAddresses(list)
	return peers
}
