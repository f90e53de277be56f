package userspace

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/netlink/route"
)

// What leads packets to the device. Rules of priority capturePriority send
// what policies cover to the table; the agent's own packets, by their mark, go
// past them. (A single rule "not this mark, but that destination" would not do:
// Linux negates a rule as a whole.)
const (
	table           = 4950
	markPriority    = 999  // fwmark Mark goto passPriority
	capturePriority = 1000 // … lookup table
	passPriority    = 1001 // nop

	// blockMetric makes the unreachable twin of a route weaker than the route,
	// so that it blocks when the device, and its routes with it, are gone.
	blockMetric = 4278198272

	// overhead is the most that ESP takes of a path's MTU: IPv4 or IPv6 header,
	// UDP, ESP header, IV, padding, trailer and ICV.
	overhead4 = ipv4HeaderLen + udpHeaderLen + espHeaderLen + maxIVLen + maxIVLen - 1 + espTrailerLen + maxICVLen
	overhead6 = overhead4 - ipv4HeaderLen + ipv6HeaderLen
)

// captured is what should be installed, or is.
type captured struct {
	rules  map[route.Rule]struct{}
	routes map[routeKey]route.Route
	order  []route.Rule // of rules, for the order of adding
}

// routeKey tells routes of the table apart as the kernel does.
type routeKey struct {
	dst   netip.Prefix
	block bool
}

func newCaptured() captured {
	return captured{rules: make(map[route.Rule]struct{}), routes: make(map[routeKey]route.Route)}
}

func (c *captured) addRule(r route.Rule) {
	if _, known := c.rules[r]; !known {
		c.rules[r] = struct{}{}
		c.order = append(c.order, r)
	}
}

// desired says what the policies want captured.
func (h *linuxHost) desired(policies []kernel.Policy) (captured, error) {
	want := newCaptured()
	addresses, err := h.route.Addresses()
	if err != nil {
		return want, err
	}
	for _, p := range policies {
		if p.Direction != kernel.Out || p.Action == kernel.Bypass {
			continue
		}
		for _, r := range captureRules(p.Selector) {
			want.addRule(r)
		}
		peer := p.Selector.Dst.Addr()
		if len(p.Templates) > 0 && p.Templates[0].Mode == kernel.Tunnel {
			peer = p.Templates[0].Dst
		}
		h.addRoutes(&want, p, peer, addresses)
	}
	return want, nil
}

// captureRules lead a selector's packets to the table. This host's own packets
// are looked up before they have a source address, so one rule leaves it out,
// and the source port, which comes later too; the other rule is for forwarded
// packets and for sockets that are bound to their address.
func captureRules(s kernel.Selector) []route.Rule {
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if s.Dst.Addr().Is6() {
		everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	own := route.Rule{Priority: capturePriority, To: s.Dst, In: "lo", Proto: s.Proto, Table: table}
	forwarded := route.Rule{Priority: capturePriority, To: s.Dst, Proto: s.Proto, Table: table}
	if s.Src.Bits() > 0 {
		forwarded.From = s.Src
	}
	if hasPorts(s.Proto) {
		own.DstPorts = rulePorts(s.DstPort)
		forwarded.SrcPorts, forwarded.DstPorts = rulePorts(s.SrcPort), rulePorts(s.DstPort)
	}
	return []route.Rule{
		// The target stands before the rule that goes to it.
		{Priority: passPriority, To: everything, Action: route.Nop},
		{Priority: markPriority, To: everything, Mark: Mark, Action: route.Goto, Target: passPriority},
		own, forwarded,
	}
}

// hasPorts says that rules and guards can look at a protocol's ports.
func hasPorts(proto uint8) bool {
	switch proto {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		return true
	}
	return false
}

// rulePorts is a range for a rule. Rules have no port 0; a range that begins
// with it captures all ports, and the policy sorts out the rest.
func rulePorts(p kernel.PortRange) route.Ports {
	if p.Any() || p.First == 0 || p.Last == 65535 {
		return route.Ports{}
	}
	return route.Ports{First: p.First, Last: p.Last}
}

// addRoutes adds the route of a destination to the device, and its twin that
// blocks. Where several policies have the same destination, the strongest one
// that has an address for it gives the source.
func (h *linuxHost) addRoutes(want *captured, p kernel.Policy, to netip.Addr, addresses []route.Address) {
	s, dst := p.Selector, p.Selector.Dst
	r, known := want.routes[routeKey{dst: dst}]
	if !known {
		mtu := h.known(to).mtu - overhead4
		if to.Is6() {
			mtu += overhead4 - overhead6
		}
		if slices.ContainsFunc(p.Templates, func(t kernel.Template) bool { return t.Proto == kernel.AH }) {
			mtu -= maxAHLen
		}
		if dst.Addr().Is6() {
			mtu = max(mtu, minMTU6)
		}
		r = route.Route{
			Dst: dst, Kind: route.Unicast, Link: h.tunIndex, Table: table,
			MTU: uint32(min(max(mtu, minMTU4), h.options.MTU)),
		}
	}
	if !r.Source.IsValid() {
		r.Source = sourceFor(s.Src, h.known(to).source, addresses)
	}
	want.routes[routeKey{dst: dst}] = r
	want.routes[routeKey{dst: dst, block: true}] = route.Route{
		Dst: dst, Kind: route.Unreachable, Metric: blockMetric, Table: table,
	}
}

// sourceFor picks the address of this host inside a policy's source prefix:
// the one that the host would use anyway, or the first.
func sourceFor(src netip.Prefix, usual netip.Addr, addresses []route.Address) netip.Addr {
	var first netip.Addr
	for _, a := range addresses {
		own := a.Prefix.Addr()
		if !a.Usable || !src.Contains(own) || own.IsLoopback() || own.IsLinkLocalUnicast() {
			continue
		}
		if own == usual {
			return own
		}
		if !first.IsValid() {
			first = own
		}
	}
	return first
}

// capture is what is installed, and what of it is an earlier instance's.
type capture struct {
	installed captured
	wanted    captured
	settled   bool // what is installed and not wanted may go
}

// open reads what an earlier instance left.
func (c *capture) open(conn *route.Conn) error {
	c.wanted = newCaptured()
	return c.reread(conn)
}

// reread reads what is installed.
func (c *capture) reread(conn *route.Conn) error {
	c.installed = newCaptured()
	rules, err := conn.Rules()
	if err != nil {
		return err
	}
	for _, r := range rules {
		if ours(r) {
			c.installed.addRule(r)
		}
	}
	routes, err := conn.Routes(table)
	if err != nil {
		return err
	}
	for _, r := range routes {
		c.installed.routes[routeKey{r.Dst, r.Kind == route.Unreachable}] = r
	}
	return nil
}

// ours recognizes the rules of this package.
func ours(r route.Rule) bool {
	switch r.Priority {
	case markPriority:
		return r.Action == route.Goto && r.Target == passPriority && r.Mark == Mark
	case capturePriority:
		return r.Action == route.Lookup && r.Table == table
	case passPriority:
		return r.Action == route.Nop
	}
	return false
}

// set installs what is wanted, then removes what is not wanted any more. What
// an earlier instance left goes only when all is settled.
func (c *capture) set(conn *route.Conn, want captured) error {
	before := c.wanted
	c.wanted = want
	for key, r := range want.routes {
		if c.installed.routes[key] == r {
			continue
		}
		if err := replaceRoute(conn, c.installed.routes, key, r); err != nil {
			return err
		}
	}
	for _, r := range want.order {
		if _, known := c.installed.rules[r]; known {
			continue
		}
		if err := conn.AddRule(r); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		c.installed.addRule(r)
	}
	if c.settled {
		before = c.installed
	}
	return c.prune(conn, before)
}

// replaceRoute installs a route in place of the one with the same key. In
// IPv6 a replace keeps no old metrics, and the unreachable twin fills the gap.
func replaceRoute(conn *route.Conn, installed map[routeKey]route.Route, key routeKey, r route.Route) error {
	if err := conn.ReplaceRoute(r); err != nil {
		return err
	}
	installed[key] = r
	return nil
}

// prune removes those of the given rules and routes that are installed and not wanted.
func (c *capture) prune(conn *route.Conn, from captured) error {
	var errs []error
	for r := range maps.Clone(from.rules) {
		_, wanted := c.wanted.rules[r]
		if _, here := c.installed.rules[r]; wanted || !here {
			continue
		}
		if err := conn.DeleteRule(r); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
			continue
		}
		c.installed.removeRule(r)
	}
	for key := range maps.Clone(from.routes) {
		_, wanted := c.wanted.routes[key]
		r, here := c.installed.routes[key]
		if wanted || !here {
			continue
		}
		if err := conn.DeleteRoute(r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
			continue
		}
		delete(c.installed.routes, key)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what policies captured: %w", err)
	}
	return nil
}

func (c *captured) removeRule(r route.Rule) {
	delete(c.rules, r)
	for i, o := range c.order {
		if o == r {
			c.order = append(c.order[:i:i], c.order[i+1:]...)
			return
		}
	}
}

// settle removes what an earlier instance left.
func (c *capture) settle(conn *route.Conn) error {
	c.settled = true
	return c.prune(conn, c.installed)
}

// clear removes everything.
func (c *capture) clear(conn *route.Conn) error {
	c.wanted = newCaptured()
	return errors.Join(c.reread(conn), c.prune(conn, c.installed))
}
