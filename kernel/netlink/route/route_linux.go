package route

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Kind is what a route does with packets (linux/rtnetlink.h, RTN_*).
type Kind uint8

// The kinds.
const (
	Unicast     Kind = unix.RTN_UNICAST
	Local       Kind = unix.RTN_LOCAL
	Unreachable Kind = unix.RTN_UNREACHABLE // refuses with an ICMP error
	Throw       Kind = unix.RTN_THROW       // ends the look-up in this table
)

// Main is the table that a host's own routes are in.
const Main uint32 = unix.RT_TABLE_MAIN

// Route is an entry of a routing table. A zero field but Dst and Kind is "not given".
type Route struct {
	Dst     netip.Prefix
	Kind    Kind // 0 is Unicast
	Link    int  // index of the outgoing interface
	Gateway netip.Addr
	Source  netip.Addr // the address that local traffic gets
	Table   uint32     // 0 is Main
	Metric  uint32     // lower is stronger
	MTU     uint32     // octets of a packet
}

const rtMsgLen = unix.SizeofRtMsg

// AddRoute adds a route; one with the same destination, table and metric is
// unix.EEXIST.
func (c *Conn) AddRoute(r Route) error {
	return c.do("add route "+r.String(), unix.RTM_NEWROUTE, netlink.FlagCreate|netlink.FlagExcl, r.request())
}

// ReplaceRoute adds a route or replaces the one with the same destination,
// table and metric.
func (c *Conn) ReplaceRoute(r Route) error {
	return c.do("replace route "+r.String(), unix.RTM_NEWROUTE, netlink.FlagCreate|netlink.FlagReplace, r.request())
}

// DeleteRoute removes a route; unix.ESRCH says that there is none.
func (c *Conn) DeleteRoute(r Route) error {
	return c.do("delete route "+r.String(), unix.RTM_DELROUTE, 0, r.request())
}

// String is the route in the words of the ip command.
func (r Route) String() string {
	s := r.Dst.String()
	switch r.Kind {
	case Unreachable:
		s = "unreachable " + s
	case Throw:
		s = "throw " + s
	}
	if r.Gateway.IsValid() {
		s += " via " + r.Gateway.String()
	}
	if r.Link != 0 {
		s += fmt.Sprintf(" dev #%d", r.Link)
	}
	if r.Table != 0 {
		s += fmt.Sprintf(" table %d", r.Table)
	}
	if r.Metric != 0 {
		s += fmt.Sprintf(" metric %d", r.Metric)
	}
	return s
}

// routeHeader is struct rtmsg.
func routeHeader(family uint8, dstBits int, kind Kind) []byte {
	h := make([]byte, rtMsgLen)
	h[0], h[1] = family, uint8(dstBits)
	h[4] = unix.RT_TABLE_UNSPEC // RTA_TABLE has the table, which may be over 255
	h[5], h[6], h[7] = unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, uint8(kind)
	return h
}

func (r Route) request() *netlink.Builder {
	kind, table := r.Kind, r.Table
	if kind == 0 {
		kind = Unicast
	}
	if table == 0 {
		table = Main
	}
	h := routeHeader(family(r.Dst.Addr()), r.Dst.Bits(), kind)
	if kind == Unicast && !r.Gateway.IsValid() && r.Dst.Addr().Is4() {
		h[6] = unix.RT_SCOPE_LINK
	}
	var b netlink.Builder
	b.Raw(h)
	b.U32(unix.RTA_TABLE, table)
	b.Octets(unix.RTA_DST, r.Dst.Masked().Addr().AsSlice())
	if r.Gateway.IsValid() {
		b.Octets(unix.RTA_GATEWAY, r.Gateway.AsSlice())
	}
	if r.Link != 0 {
		b.U32(unix.RTA_OIF, uint32(r.Link))
	}
	if r.Source.IsValid() {
		b.Octets(unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	if r.Metric != 0 {
		b.U32(unix.RTA_PRIORITY, r.Metric)
	}
	if r.MTU != 0 {
		b.Nested(unix.RTA_METRICS, func(b *netlink.Builder) { b.U32(unix.RTAX_MTU, r.MTU) })
	}
	return &b
}

// Routes returns the routes of one table, of both families.
func (c *Conn) Routes(table uint32) ([]Route, error) {
	var routes []Route
	for _, f := range []uint8{unix.AF_INET, unix.AF_INET6} {
		replies, err := c.dump("routes", unix.RTM_GETROUTE, routeHeader(f, 0, 0))
		if err != nil {
			return nil, err
		}
		for _, m := range replies {
			if r, ok := parseRoute(m); ok && r.Table == table {
				routes = append(routes, r)
			}
		}
	}
	return routes, nil
}

func parseRoute(m netlink.Message) (Route, bool) {
	if m.Type != unix.RTM_NEWROUTE || len(m.Body) < rtMsgLen {
		return Route{}, false
	}
	f, bits := m.Body[0], m.Body[1]
	r := Route{Dst: unspecified(f), Table: uint32(m.Body[4]), Kind: Kind(m.Body[7])}
	a := netlink.ParseAttributes(m.Body[rtMsgLen:])
	for a.Next() {
		switch a.Type() {
		case unix.RTA_DST:
			r.Dst = prefix(address(a.Octets()), bits)
		case unix.RTA_GATEWAY:
			r.Gateway = address(a.Octets())
		case unix.RTA_OIF:
			r.Link = int(a.U32())
		case unix.RTA_PREFSRC:
			r.Source = address(a.Octets())
		case unix.RTA_TABLE:
			r.Table = a.U32()
		case unix.RTA_PRIORITY:
			r.Metric = a.U32()
		case unix.RTA_METRICS:
			for metric := a.Nested(); metric.Next(); {
				if metric.Type() == unix.RTAX_MTU {
					r.MTU = metric.U32()
				}
			}
		}
	}
	return r, a.Err() == nil && r.Dst.IsValid() && (f == unix.AF_INET) == r.Dst.Addr().Is4()
}

// Lookup asks which route packets to dst with a mark take: its Source, Link,
// Gateway, and MTU where the route or path discovery knows one. No route is
// unix.ENETUNREACH or unix.EHOSTUNREACH.
func (c *Conn) Lookup(dst netip.Addr, mark uint32) (Route, error) {
	var b netlink.Builder
	b.Raw(routeHeader(family(dst), dst.BitLen(), 0))
	b.Octets(unix.RTA_DST, dst.AsSlice())
	if mark != 0 {
		b.U32(unix.RTA_MARK, mark)
	}
	replies, err := c.nl.Execute(netlink.Message{Type: unix.RTM_GETROUTE, Body: b.Body()})
	if err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", dst, err)
	}
	for _, m := range replies {
		if r, ok := parseRoute(m); ok {
			return r, nil
		}
	}
	return Route{}, fmt.Errorf("route to %s: %w", dst, unix.ENETUNREACH)
}
