package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The values that the resolver section alone has.
var (
	nameServerList = value{"ADDRESS [port PORT] [tls NAME] | { …; }", readNameServers}
	domainList     = value{`"NAME" | { "NAME"; … }`, readDomains}
)

func readNameServers(r *resolver, e *entry) (any, bool) {
	return eachElement(r, e, func(items []Item) (NameServer, bool) { return r.nameServer(e, items) })
}

// nameServer reads ADDRESS [port PORT] [tls NAME]. A server that is given by
// name shows a certificate for that name where none is written.
func (r *resolver) nameServer(e *entry, items []Item) (NameServer, bool) {
	at := slices.IndexFunc(items, func(it Item) bool { return it.Kind == ItemWord && it.Text == "tls" })
	if at < 1 {
		a, ok := r.address(e, items)
		return NameServer{Address: a}, ok
	}
	a, ok := r.address(e, items[:at])
	if !ok {
		return NameServer{}, false
	}
	n := NameServer{Address: a}
	switch rest := items[at+1:]; {
	case len(rest) == 0 && a.Kind == AddressFQDN:
		n.TLSName = strings.TrimSuffix(a.Name, ".")
	case len(rest) == 0:
		r.wants(e, items[at], "tls needs the name that the server's certificate shows (RFC 8310 §8.1)")
		return NameServer{}, false
	default:
		it, s, ok := r.singleOf(e, rest)
		if !ok {
			return NameServer{}, false
		}
		if !isHostName(s) {
			r.wants(e, it, "%s is not the name of a server", clip(strconv.Quote(s)))
			return NameServer{}, false
		}
		n.TLSName = strings.TrimSuffix(s, ".")
	}
	return n, true
}

func readDomains(r *resolver, e *entry) (any, bool) {
	return eachElement(r, e, func(items []Item) (string, bool) {
		it, s, ok := r.singleOf(e, items)
		if ok && !isHostName(s) {
			r.wants(e, it, "%s is not a domain name", clip(strconv.Quote(s)))
			ok = false
		}
		return s, ok
	})
}

// buildResolver fills the resolver section.
func (r *resolver) buildResolver() {
	v := view{own: r.dns}
	d := &r.config.Resolver
	d.Pos = v.pos()
	d.On = get(v, "resolver", false)
	d.DNSQuery = withPorts(get[[]Address](v, "dns_query", nil), defaultDNSPort)
	for _, a := range d.DNSQuery {
		if a.Kind != AddressInet || !a.IsHost() {
			r.errorf("bad-address", at(a.Pos, a.String()), "write an address in numbers", "dns_query must be an address in numbers")
		}
	}
	d.NameServers = slices.Clone(get[[]NameServer](v, "nameserver", nil))
	for i := range d.NameServers {
		n := &d.NameServers[i]
		switch {
		case n.Port != 0:
		case n.TLSName != "":
			n.Port = defaultTLSPort
		default:
			n.Port = defaultDNSPort
		}
	}
	d.ResolverOptions = r.resolverOptions(v)
	r.checkNameServers(d, v)
}

func (r *resolver) resolverOptions(v view) ResolverOptions {
	o := ResolverOptions{
		CacheSize:     get(v, "cache_size", defaultCacheSize),
		TTLFloor:      get(v, "ttl_floor", defaultTTLFloor),
		TTLCeiling:    get(v, "ttl_ceiling", defaultTTLCeiling),
		ServeStale:    get(v, "serve_stale", time.Duration(0)),
		Prefetch:      get(v, "prefetch", false),
		GateTime:      get(v, "gate_time", defaultGateTime),
		GateOutcome:   GateOutcome(get(v, "gate_outcome", uint8(GateServFail))),
		AddressGrace:  get(v, "address_grace_period", defaultAddressGrace),
		AddressAction: Action(get(v, "address_grace_action", uint8(ActionDiscard))),
		RateLimit:     get(v, "rate_limit", 0),
		RequireDNSSEC: get(v, "require_dnssec", false),
		Forward:       get[[]string](v, "forward", nil),
	}
	o.RateBurst = get(v, "rate_burst", 2*o.RateLimit)
	inSeconds := func(d time.Duration) int { return int(d / time.Second) }
	r.withinBounds(v, []bound{
		{"cache_size", o.CacheSize, 0, 1000000, "answers", ""},
		{"ttl_floor", inSeconds(o.TTLFloor), 0, 3600, "seconds", ""},
		{"ttl_ceiling", inSeconds(o.TTLCeiling), 1, 7 * 86400, "seconds", " (RFC 8767 §4)"},
		{"serve_stale", inSeconds(o.ServeStale), 0, 7 * 86400, "seconds", ""},
		{"gate_time", inSeconds(o.GateTime), 0, 30, "seconds", ": clients give up after a few"},
		{"address_grace_period", inSeconds(o.AddressGrace), 0, 86400, "seconds", ""},
		{"rate_limit", o.RateLimit, 0, 1000000, "questions a second", ""},
		{"rate_burst", o.RateBurst, 0, 2000000, "questions", ""},
	})
	if o.TTLFloor > o.TTLCeiling {
		r.errorf("out-of-range", at(v.posOf("ttl_floor"), "ttl_floor"), "make ttl_floor the smaller one",
			"ttl_floor %s is above ttl_ceiling %s", o.TTLFloor, o.TTLCeiling)
	}
	if e := v.get("rate_burst"); e != nil && o.RateLimit == 0 {
		r.warnf("no-effect", e.nameItem(), "add: rate_limit NUMBER;", "rate_burst has no effect: there is no rate_limit")
	}
	return o
}

// checkNameServers looks at whom the proxy asks.
func (r *resolver) checkNameServers(d *Resolver, v view) {
	named := 0
	for _, n := range d.NameServers {
		switch {
		case n.Kind == AddressFQDN:
			if r.oneName("a nameserver", n.Address) {
				named++
			}
		case n.Kind != AddressInet || !n.IsHost():
			r.errorf("bad-address", at(n.Pos, n.String()), "write the address of one server, or its name",
				"nameserver must be one address, or a name")
		}
	}
	if !d.On {
		return
	}
	if named > 0 && named == len(d.NameServers) {
		r.warnf("nameserver-by-name", at(d.NameServers[0].Pos, d.NameServers[0].Name), "add a nameserver with its address",
			"every nameserver is given by name, and nobody is left to ask for the addresses: they must stand in the hosts file")
	}
	trusted := func(n NameServer) bool {
		return n.TLSName != "" || n.Kind == AddressInet && n.Addr.IsLoopback()
	}
	if d.RequireDNSSEC && !slices.ContainsFunc(d.NameServers, trusted) {
		r.warnf("untrusted-nameserver", at(v.posOf("require_dnssec"), "require_dnssec"), "write: nameserver ADDRESS tls NAME;, or run a validating server on this host",
			"require_dnssec believes a nameserver on this host or over TLS (RFC 4035 §4.9.3), and there is none: no name would have addresses")
	}
}

// checkNames looks at the resolver in the light of the selectors.
func (r *resolver) checkNames() {
	d := &r.config.Resolver
	if !d.On {
		return
	}
	v := view{own: r.dns}
	if len(d.NameServers) == 0 && v.lacks("nameserver") {
		r.warnf("no-nameserver", at(d.Pos, "resolver"), "add: nameserver ADDRESS;",
			"the resolver is on and has no nameserver: it knows what the hosts file says alone")
	}
	named := func(s *Selector) bool {
		isName := func(a Address) bool { return a.Kind == AddressFQDN }
		return slices.ContainsFunc(s.Src, isName) || slices.ContainsFunc(s.Dst, isName)
	}
	if len(d.DNSQuery) == 0 && v.lacks("dns_query") && slices.ContainsFunc(r.config.Selectors, named) {
		r.advise("no-dns-query", at(d.Pos, "resolver"), "add: dns_query 127.0.0.1;, and name it in resolv.conf",
			"selectors have host names, and the proxy answers nobody: applications may be told addresses before their policy stands")
	}
}
