package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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

	// defaultEtc is where the files below are.
	defaultEtc   = "/etc"
	hostsFile    = "hosts"
	nsswitchFile = "nsswitch.conf"
	resolvFile   = "resolv.conf"
	// hostsEvery is how often the files are looked at.
	hostsEvery = 2 * time.Second

	setPolicy = "policy" // names of selectors
	setPeers  = "peers"  // names of peers, of tunnels' ends and of name servers
	setSpmif  = "spmif"  // names that an operator has added

	// maxAdded bounds the names that operators add.
	maxAdded = 10000
)

// resolving is the resolver with what the agent knows around it. It runs whether
// the configuration has the DNS proxy on or not: names of peers are looked up
// either way, and without the proxy those of selectors are, too.
type resolving struct {
	a     *Agent
	proxy *dns.Proxy
	stop  chan struct{}
	wg    sync.WaitGroup
	stamp [3]fileStamp // of the files that are followed

	mu      sync.Mutex
	cfg     *config.Config
	added   []string          // canonical, by FQDN ADD
	order   []resolver.Source // of nsswitch.conf
	servers []netip.Addr      // of resolv.conf
	known   map[string][]netip.Addr
}

// fileStamp tells whether a file has changed.
type fileStamp struct {
	when time.Time
	size int64
}

func (r *resolving) stampOf(file string) fileStamp {
	info, err := os.Stat(filepath.Join(r.a.o.Etc, file))
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.ModTime(), info.Size()}
}

// startResolver starts the resolver. What it finds out comes to the policy
// manager, which stands already.
func (a *Agent) startResolver(p *plan) error {
	r := &resolving{a: a, stop: make(chan struct{}), known: make(map[string][]netip.Addr)}
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
	if err := r.configure(p); err != nil {
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

// configure hands the configuration's names and servers to the core. Addresses
// that cannot be listened on are in the error.
func (r *resolving) configure(p *plan) error {
	r.mu.Lock()
	r.cfg = p.cfg
	r.mu.Unlock()
	on := p.cfg.Resolver.On
	r.settle()
	r.proxy.Input(resolver.Watch{Set: setPeers, Names: peerNames(p.cfg), Keep: true})
	r.proxy.Input(resolver.Watch{Set: setPolicy, Names: namesOf(p.compiled.Policy), Gated: on})
	r.tellAllPeers()
	var listen []netip.AddrPort
	if on {
		listen = addrPorts(p.cfg.Resolver.DNSQuery)
	}
	if r.a.ctx.Err() != nil {
		return nil
	}
	return r.proxy.Listen(listen)
}

// settle hands the settings to the core.
func (r *resolving) settle() {
	r.mu.Lock()
	s := resolverSettings(&r.cfg.Resolver)
	s.Order = r.order
	s.Upstreams = r.upstreams()
	r.mu.Unlock()
	r.proxy.Input(resolver.Reconfigure{Settings: &s})
}

// resolverSettings are what the configuration says of the resolver. There 0 is
// nothing, which the core writes as less than nothing.
func resolverSettings(c *config.Resolver) resolver.Settings {
	s := resolver.Settings{
		TTLFloor: orNever(c.TTLFloor), TTLCeiling: c.TTLCeiling, Grace: orNever(c.AddressGrace),
		GateBound:     orNever(c.GateTime),
		RequireDNSSEC: c.RequireDNSSEC, Forward: c.Forward,
		RateLimit: c.RateLimit, RateBurst: c.RateBurst,
		CacheSize: orNever(c.CacheSize), Prefetch: c.Prefetch, ServeStale: c.ServeStale,
	}
	if c.GateOutcome == config.GateAnswer {
		s.GateOutcome = resolver.ServeAnswer
	}
	return s
}

func orNever[T int | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// upstreams are whom the core asks: the configuration's servers, or without the
// proxy, when there are none, those of resolv.conf. mu is held.
func (r *resolving) upstreams() []resolver.Upstream {
	c := &r.cfg.Resolver
	if c.On || len(c.NameServers) > 0 {
		return upstreams(c.NameServers, r.known)
	}
	var out []resolver.Upstream
	for _, addr := range r.servers {
		out = append(out, resolver.Upstream{Addr: netip.AddrPortFrom(addr, portDNS), Trusted: addr.IsLoopback()})
	}
	return out
}

// upstreams are the configured servers, those that are given by name at the
// addresses that are known. The AD bit of one on this host or over TLS is
// believed (RFC 4035 §4.9.3).
func upstreams(in []config.NameServer, known map[string][]netip.Addr) []resolver.Upstream {
	var out []resolver.Upstream
	for _, n := range in {
		addrs := []netip.Addr{n.Addr.Unmap()}
		if n.Kind == config.AddressFQDN {
			addrs = known[canonical(n.Name)]
		}
		for _, addr := range addrs {
			out = append(out, resolver.Upstream{
				Addr: netip.AddrPortFrom(addr, n.Port), TLSName: n.TLSName, Trusted: n.TLSName != "" || addr.IsLoopback(),
			})
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
		r.note(e)
		_ = r.a.policy.post(r.a.ctx, policy.Names{
			Name: e.Name, Watches: e.Watches, Addresses: e.Addresses, Left: e.Left, Gone: e.Gone, Generation: e.Generation,
		})
		r.tellPeers(e.Name)
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

// readFiles reads what has changed of the files. It reports whether the settings
// may be others now.
func (r *resolving) readFiles() (settings bool) {
	now := [3]fileStamp{r.stampOf(hostsFile), r.stampOf(nsswitchFile), r.stampOf(resolvFile)}
	before := r.stamp
	r.stamp = now
	if now[0] != before[0] {
		entries, findings := resolver.ParseHosts(r.read(hostsFile))
		for _, f := range findings {
			r.complain(hostsFile, f)
		}
		r.proxy.Input(resolver.Hosts{Entries: entries})
	}
	if now[1] == before[1] && now[2] == before[2] {
		return false
	}
	order, servers := resolver.ParseOrder(r.read(nsswitchFile)), resolver.ParseResolvConf(r.read(resolvFile))
	r.mu.Lock()
	r.order, r.servers = order, servers
	r.mu.Unlock()
	return true
}

// read reads a file; one that does not exist is empty.
func (r *resolving) read(file string) []byte {
	text, err := os.ReadFile(filepath.Join(r.a.o.Etc, file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.complain(file, err)
	}
	return text
}

func (r *resolving) complain(file string, err error) {
	r.a.trace(areaResolver, trace.Event{Tag: trace.InternalWarn, Text: file + ": " + err.Error()})
}
