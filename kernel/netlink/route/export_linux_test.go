package route

import "racoon2/kernel/netlink"

// ParseAny gives a message to every decoder.
func ParseAny(typ uint16, body []byte) {
	m := netlink.Message{Type: typ, Body: body}
	parseLink(m)
	parseAddress(m)
	parseRoute(m)
	parseRule(m)
	routeTable(m)
}
