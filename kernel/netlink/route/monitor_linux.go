package route

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Monitor notices changes of a namespace's addresses, links and main routes.
type Monitor struct {
	nl *netlink.Conn
}

// Watch opens a Monitor for the network namespace of the calling thread.
func Watch() (*Monitor, error) {
	nl, err := netlink.Dial(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("route monitor: %w", err)
	}
	return &Monitor{nl: nl}, nil
}

// Wait returns when something changed, or when changes were lost, which the
// caller treats alike: it looks again. Changes of routes in the table given by
// ignore are passed over, so that a caller does not wake itself. After Close
// the error is os.ErrClosed.
func (m *Monitor) Wait(ignore uint32) error {
	for {
		messages, err := m.nl.Receive()
		if errors.Is(err, netlink.ErrOverrun) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, message := range messages {
			if table, isRoute := routeTable(message); !isRoute || table != ignore {
				return nil
			}
		}
	}
}

// routeTable says which table a message about a route is about.
func routeTable(m netlink.Message) (table uint32, isRoute bool) {
	if m.Type != unix.RTM_NEWROUTE && m.Type != unix.RTM_DELROUTE || len(m.Body) < rtMsgLen {
		return 0, false
	}
	table = uint32(m.Body[4])
	for a := netlink.ParseAttributes(m.Body[rtMsgLen:]); a.Next(); {
		if a.Type() == unix.RTA_TABLE {
			table = a.U32()
		}
	}
	return table, true
}

// Close ends the Monitor.
func (m *Monitor) Close() error { return m.nl.Close() }
