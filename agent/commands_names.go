package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/policy/spmif"
	"racoon2/resolver"
)

// portDNS is where name servers are asked that an operator adds.
const portDNS = 53

// look asks the resolver's core; ErrNoResolver when there is none.
func (c commands) look(f func(*resolver.Resolver, time.Time)) error {
	if c.a.names == nil {
		return spmif.ErrNoResolver
	}
	return c.a.names.proxy.Look(f)
}

// lookServers does so for those who ask for servers, which is no business of
// theirs while the DNS proxy is off.
func (c commands) lookServers(f func(*resolver.Resolver, time.Time)) error {
	if !c.a.plan.Load().cfg.Resolver.On {
		return spmif.ErrNoResolver
	}
	return c.look(f)
}

// Stats are the resolver's counters.
func (c commands) Stats() (out [9]uint64) {
	_ = c.look(func(r *resolver.Resolver, _ time.Time) { out = r.Stats().Counters() })
	return out
}

// FQDNs lists the names that are watched.
func (c commands) FQDNs() (names []string, err error) {
	err = c.look(func(r *resolver.Resolver, _ time.Time) { names = r.Watching() })
	return names, err
}

// FQDNsOf lists the names of an address.
func (c commands) FQDNsOf(addr netip.Addr) (names []string, err error) {
	err = c.look(func(r *resolver.Resolver, _ time.Time) { names = r.Names(addr) })
	return names, err
}

// AddFQDN has a name watched beyond those of the configuration.
func (c commands) AddFQDN(name string) error {
	return c.changeAdded(name, func(added []string, name string) ([]string, error) {
		switch {
		case slices.Contains(added, name):
			return nil, fmt.Errorf("%s %w", name, spmif.ErrExists)
		case len(added) >= maxAdded:
			return nil, errors.New("too many names have been added")
		}
		return append(slices.Clone(added), name), nil
	})
}

// DeleteFQDN ends that.
func (c commands) DeleteFQDN(name string) error {
	return c.changeAdded(name, func(added []string, name string) ([]string, error) {
		at := slices.Index(added, name)
		if at < 0 {
			return nil, fmt.Errorf("%s %w among the names that were added", name, spmif.ErrNotFound)
		}
		return slices.Delete(slices.Clone(added), at, at+1), nil
	})
}

func (c commands) changeAdded(name string, change func(added []string, name string) ([]string, error)) error {
	r := c.a.names
	if r == nil || !c.a.plan.Load().cfg.Resolver.On {
		return spmif.ErrNoResolver
	}
	canonical, err := resolver.Canonical(name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	added, err := change(r.added, canonical)
	if err != nil {
		return err
	}
	r.added = added
	r.proxy.Input(resolver.Watch{Set: setSpmif, Names: added})
	return nil
}

// Servers lists the upstream servers in their order.
func (c commands) Servers() (servers []netip.Addr, err error) {
	err = c.lookServers(func(r *resolver.Resolver, now time.Time) {
		for _, s := range r.Servers(now) {
			servers = append(servers, s.Addr.Addr())
		}
	})
	return servers, err
}

// AddServer adds an upstream server behind the others.
func (c commands) AddServer(addr netip.Addr) error {
	return c.changeServers(addr, true, func(r *resolver.Resolver, at netip.AddrPort) error {
		return r.AddServer(resolver.Upstream{Addr: at, Trusted: addr.IsLoopback()})
	})
}

// DeleteServer removes one, though not the last.
func (c commands) DeleteServer(addr netip.Addr) error {
	return c.changeServers(addr, false, (*resolver.Resolver).DeleteServer)
}

// ChangeServer makes one the current server.
func (c commands) ChangeServer(addr netip.Addr) error {
	return c.changeServers(addr, false, (*resolver.Resolver).ChangeServer)
}

// changeServers finds the server with an address, whatever its port.
func (c commands) changeServers(addr netip.Addr, add bool, change func(*resolver.Resolver, netip.AddrPort) error) error {
	addr = addr.Unmap()
	var failed error
	err := c.lookServers(func(r *resolver.Resolver, now time.Time) {
		at := netip.AddrPortFrom(addr, portDNS)
		for _, s := range r.Servers(now) {
			if s.Addr.Addr() != addr {
				continue
			}
			if add {
				failed = spmif.ErrExists
				return
			}
			at = s.Addr
		}
		failed = change(r, at)
	})
	switch {
	case err != nil:
		return err
	case errors.Is(failed, resolver.ErrServerExists):
		return spmif.ErrExists
	case errors.Is(failed, resolver.ErrServerNotFound):
		return spmif.ErrNotFound
	}
	return failed
}
