package policy

import (
	"maps"
	"net/netip"
	"slices"
)

// child is what is known of the SAs of one child.
type child struct {
	up    int        // pairs of SAs
	peer  netip.Addr // where they go, as said last
	using []netip.Addr
}

// stands tells whether a child has SAs.
func (m *Manager) stands(name string) bool {
	c := m.children[name]
	return c != nil && c.up > 0
}

// standUp counts a pair of SAs.
func (m *Manager) standUp(name string) {
	c := m.children[name]
	if c == nil {
		c = &child{}
		m.children[name] = c
	}
	c.up++
}

// standAt notes where the SAs of a child go.
func (m *Manager) standAt(name string, peer netip.Addr, out *Outbox) {
	c := m.children[name]
	if c == nil {
		return
	}
	if peer.IsValid() {
		c.peer = peer.Unmap()
	}
	m.use(name, c, out)
}

// standDown takes one away; it reports whether none is left.
func (m *Manager) standDown(name string, out *Outbox) (last bool) {
	c := m.children[name]
	if c == nil {
		return false
	}
	if c.up--; c.up > 0 {
		return false
	}
	delete(m.children, name)
	m.swap(c.using, nil, out)
	return true
}

// reuse looks anew at which addresses the children of units use.
func (m *Manager) reuse(users []*unit, out *Outbox) {
	for _, u := range users {
		if c := m.children[u.sel.Child]; c != nil {
			m.use(u.sel.Child, c, out)
		}
	}
}

// use notes the addresses that a child's SAs are for, or go to. A name's
// addresses are all in use: the SAs serve whichever there are.
func (m *Manager) use(name string, c *child, out *Outbox) {
	var using []netip.Addr
	for u := range m.units.byChild[name] {
		for _, watch := range u.sel.names() {
			using = append(using, m.names.of(watch)...)
		}
	}
	if len(using) > 0 && c.peer.IsValid() {
		using = append(using, c.peer)
	}
	slices.SortFunc(using, netip.Addr.Compare)
	using = slices.Compact(using)
	m.swap(c.using, using, out)
	c.using = using
}

// swap counts the users of addresses, and tells of the first and of the last.
func (m *Manager) swap(before, after []netip.Addr, out *Outbox) {
	for _, a := range after {
		if m.using[a]++; m.using[a] == 1 {
			out.Effects = append(out.Effects, InUse{a, true})
		}
	}
	for _, a := range before {
		if m.using[a]--; m.using[a] == 0 {
			delete(m.using, a)
			out.Effects = append(out.Effects, InUse{a, false})
		}
	}
}

// reuseAll does so for all children: settings are others.
func (m *Manager) reuseAll(out *Outbox) {
	for _, name := range sortedKeys(m.children) {
		m.use(name, m.children[name], out)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
