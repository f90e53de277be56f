package agent

import (
	"errors"
	"fmt"
)

// startSockets opens the UDP sockets. A host without one of the families does
// without its sockets, unless the configuration names an address.
func (a *Agent) startSockets() error {
	a.undo = append(a.undo, a.sockets.close)
	list, err := a.openSockets(bindsOf(a.plan.Load(), a.host), nil)
	a.sockets.set(list)
	return err
}

// openSockets opens what is not among those open already.
func (a *Agent) openSockets(wanted []bind, have []*endpoint) ([]*endpoint, error) {
	var list []*endpoint
	for _, b := range wanted {
		if e := bound(have, b); e != nil {
			list = append(list, e)
			continue
		}
		e, err := open(b, a.backend, a.bypass)
		if noFamily(err) && b.addr.Addr().IsUnspecified() {
			a.main.Warn("this host has no such address family; going on without", "socket", b.addr)
			continue
		}
		if err != nil {
			return list, inTheWay(have, b, err)
		}
		list = append(list, e)
		a.main.Info("listening", "socket", e.addr, "nat_traversal", e.nat, "kink", e.kink)
	}
	if len(list) == 0 && len(wanted) > 0 {
		return nil, errors.New("no socket could be opened: this host has neither IPv4 nor IPv6")
	}
	return list, nil
}

// inTheWay blames our own socket where a reload asks for one that overlaps it.
func inTheWay(have []*endpoint, b bind, err error) error {
	for _, e := range have {
		if e.addr.Port() == b.addr.Port() && e.IPv6() == b.addr.Addr().Is6() {
			return fmt.Errorf("the agent's own socket %v is in the way of %v: restart the agent for this change", e.addr, b.addr)
		}
	}
	return err
}

func bound(list []*endpoint, b bind) *endpoint {
	for _, e := range list {
		if e.is(b) {
			return e
		}
	}
	return nil
}

// is says whether the socket is what a bind asks for.
func (e *endpoint) is(b bind) bool { return e.addr == b.addr && e.nat == b.nat && e.kink == b.kink }
