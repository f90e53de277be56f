package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"racoon2/config"
	"racoon2/kernel/trace"
	"racoon2/policy"
	"racoon2/resolver"
	"racoon2/resolver/dns"
)

const (
	areaResolver = "resolver"

	hostsFile    = "/etc/hosts"
	nsswitchFile = "/etc/nsswitch.conf"
	// hostsEvery is how often the two files are looked at.
	hostsEvery = 2 * time.Second

	setPolicy = "policy" // names of selectors
	setSpmif  = "spmif"  // names that an operator has added

	// maxAdded bounds the names that operators add.
	maxAdded = 10000
)

// resolving is the resolver with what the agent knows around it.
type resolving struct {
	a     *Agent
	proxy *dns.Proxy
	stop  chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	added []string          // canonical, by FQDN ADD
	base  resolver.Settings // without the order of nsswitch.conf
	order []resolver.Source
	stamp [2]fileStamp // of the two files
}

// fileStamp tells whether a file has changed.
type fileStamp struct {
	when time.Time
	size int64
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.ModTime(), info.Size()}
}

// startResolver starts the resolver if the configuration has it on.
func (a *Agent) startResolver(p *plan) error {
	if !p.cfg.Resolver.On {
		return nil
	}
	r := &resolving{a: a, stop: make(chan struct{})}
	r.proxy = dns.New(dns.Config{
		Notify:   r.notice,
		Panicked: func(value any, stack []byte) { a.corePanicked(areaResolver, value, stack) },
	})
	// PolicyStands finds its way back through a.names, which the policy manager's
	// goroutine reads: it is set there.
	if _, err := ask(a.ctx, a.policy, func() bool { a.names = r; return true }); err != nil {
		r.proxy.Close()
		return err
	}
	a.undo = append(a.undo, a.stopResolver)
	r.readFiles()
	r.configure(p)
	if err := r.proxy.Listen(addrPorts(p.cfg.Resolver.DNSQuery)); err != nil {
		return fmt.Errorf("%v: dns_query: %w", p.cfg.Resolver.Pos, err)
	}
	r.wg.Go(r.follow)
	return nil
}

// stopResolver ends the resolver.
func (a *Agent) stopResolver() {
	r := a.names
	if r == nil {
		return
	}
	select {
	case <-r.stop:
		return
	default:
	}
	close(r.stop)
	r.wg.Wait()
	r.proxy.Close()
}

// configure hands the configuration's names and servers to the core.
func (r *resolving) configure(p *plan) {
	r.mu.Lock()
	r.base = resolver.Settings{Upstreams: upstreams(p.cfg.Resolver.NameServers)}
	r.mu.Unlock()
	r.settle()
	r.proxy.Input(resolver.Watch{Set: setPolicy, Names: namesOf(p.compiled.Policy), Gated: true})
	select {
	case <-r.a.ctx.Done():
	default:
		if err := r.proxy.Listen(addrPorts(p.cfg.Resolver.DNSQuery)); err != nil {
			r.a.main.Warn("the DNS proxy", "error", err)
		}
	}
}

// settle hands the settings to the core.
func (r *resolving) settle() {
	r.mu.Lock()
	s := r.base
	s.Order = r.order
	r.mu.Unlock()
	r.proxy.Input(resolver.Reconfigure{Settings: &s})
}

// upstreams are the configured servers. The AD bit of one on this host
// or over TLS is believed (RFC 4035 §4.9.3). Servers given by name are left out.
func upstreams(in []config.NameServer) []resolver.Upstream {
	var out []resolver.Upstream
	for _, n := range in {
		if n.Kind == config.AddressInet {
			at := netip.AddrPortFrom(n.Addr.Unmap(), n.Port)
			out = append(out, resolver.Upstream{Addr: at, TLSName: n.TLSName, Trusted: n.TLSName != "" || at.Addr().IsLoopback()})
		}
	}
	return out
}

func addrPorts(in []config.Address) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range in {
		if a.Kind == config.AddressInet {
			out = append(out, netip.AddrPortFrom(a.Addr.Unmap(), a.Port))
		}
	}
	return out
}

// namesOf lists the names that selectors hold.
func namesOf(s *policy.Settings) []string {
	var out []string
	for _, sel := range s.Selectors {
		for _, side := range [][]policy.Address{sel.Src, sel.Dst} {
			for _, a := range side {
				if a.Name != "" {
					out = append(out, a.Name)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// notice takes what the core says to the rest of the agent.
func (r *resolving) notice(e resolver.Effect) {
	switch e := e.(type) {
	case resolver.NamesChanged:
		_ = r.a.policy.post(r.a.ctx, policy.Names{
			Name: e.Name, Watches: e.Watches, Addresses: e.Addresses, Left: e.Left, Gone: e.Gone, Generation: e.Generation,
		})
	case resolver.Trace:
		r.a.trace(areaResolver, e.Event)
	}
}

// follow reads the hosts file and the order of look-ups again when they change.
func (r *resolving) follow() {
	tick := time.NewTicker(hostsEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
			if r.readFiles() {
				r.settle()
			}
		}
	}
}

// readFiles reads what has changed of the two files. It reports whether the
// order of look-ups may be another now.
func (r *resolving) readFiles() (order bool) {
	now := [2]fileStamp{stampOf(hostsFile), stampOf(nsswitchFile)}
	before := r.stamp
	r.stamp = now
	if now[0] != before[0] {
		text, err := os.ReadFile(hostsFile)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			r.complain(hostsFile, err)
		}
		entries, findings := resolver.ParseHosts(text)
		for _, f := range findings {
			r.complain(hostsFile, f)
		}
		r.proxy.Input(resolver.Hosts{Entries: entries})
	}
	if now[1] == before[1] {
		return false
	}
	text, err := os.ReadFile(nsswitchFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.complain(nsswitchFile, err)
	}
	r.mu.Lock()
	r.order = resolver.ParseOrder(text)
	r.mu.Unlock()
	return true
}

func (r *resolving) complain(file string, err error) {
	r.a.trace(areaResolver, trace.Event{Tag: trace.InternalWarn, Text: file + ": " + err.Error()})
}
