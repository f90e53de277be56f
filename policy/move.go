package policy

import (
	"fmt"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// move is where a selector's tunnel is, when that is not where its selector
// says, and what the selector said.
type move struct {
	my   End
	peer []End
	to   tunnelEnds
}

// of tells whether a move is one from what a selector says now.
func (mv move) of(sel *Selector) bool {
	return mv.my == sel.MyEnd && slices.Equal(mv.peer, sel.PeerEnd)
}

// moveTo notes that a unit's tunnel is elsewhere now.
func (m *Manager) moveTo(sel *Selector, to tunnelEnds) {
	m.moves[sel.Name] = move{sel.MyEnd, sel.PeerEnd, to}
}

// forgetMoves drops the moves of selectors that are gone or have other ends now.
func (m *Manager) forgetMoves() {
	for name, mv := range m.moves {
		if sel := m.selectors[name]; sel == nil || !mv.of(sel) {
			delete(m.moves, name)
		}
	}
}

// CheckMigrate tells whether Migrate would be carried out.
func (m *Manager) CheckMigrate(in Migrate) (sel, reverse *Selector, err error) {
	if sel, reverse, err = m.Pair(in.Selector); err != nil {
		return nil, nil, err
	}
	if sel.Mode != kernel.Tunnel {
		return nil, nil, fmt.Errorf("selector %s is in transport mode: it has no tunnel to move", sel.Name)
	}
	ends, _ := m.ends(&unit{sel: sel, phantom: true}, nil)
	src, dst := ends.my, ends.peer
	if sel.Direction != kernel.Out {
		src, dst = dst, src
	}
	switch {
	case src.IsValid() && src != in.OldSrc.Unmap() || dst != in.OldDst.Unmap():
		return nil, nil, fmt.Errorf("selector %s: its tunnel is from %v to %v, not from %v to %v", sel.Name, src, dst, in.OldSrc, in.OldDst)
	case !isEnd(in.Src) || !isEnd(in.Dst) || in.Src.Unmap().Is4() != in.Dst.Unmap().Is4():
		return nil, nil, fmt.Errorf("%v and %v are no ends of a tunnel", in.Src, in.Dst)
	}
	return sel, reverse, nil
}

// migrate moves the tunnels between two end points to others (MIGRATE). The
// engine moves their SAs, and static ones follow by themselves.
func (m *Manager) migrate(now time.Time, in Migrate, out *Outbox) {
	if m.closing || !m.started {
		return
	}
	sel, reverse, err := m.CheckMigrate(in)
	if err != nil {
		out.trace(trace.InternalWarn, ReasonDynamicRefused, []string{"selector", in.Selector}, "a tunnel cannot be moved: %v", err)
		return
	}
	from, to := tunnelEnds{in.OldSrc, in.OldDst}.unmap(), tunnelEnds{in.Src, in.Dst}.unmap()
	if sel.Direction != kernel.Out {
		from, to = tunnelEnds{from.peer, from.my}, tunnelEnds{to.peer, to.my}
	}
	var moved []*unit
	for _, s := range []*Selector{sel, reverse} {
		m.moveTo(s, to)
		moved = append(moved, inOrderOf(m.units.byName[s.Name])...)
	}
	m.replan(now, out, moved...)
	for _, s := range []*Selector{sel, reverse} {
		if s.Direction == kernel.Out && m.stands(s.Child) {
			out.Effects = append(out.Effects, MoveSAs{Child: s.Child, OldLocal: from.my, OldRemote: from.peer, Local: to.my, Remote: to.peer})
		}
	}
}

// childMoved has the policies of a child's tunnels follow its SAs: those of the
// configuration that ended where the SAs did, and those that were made for them.
func (m *Manager) childMoved(now time.Time, in Moved, out *Outbox) {
	from, to := tunnelEnds{in.OldLocal, in.OldRemote}.unmap(), tunnelEnds{in.Local, in.Remote}.unmap()
	if m.closing || !m.started || !to.valid() {
		return
	}
	var moved []*unit
	for _, u := range inOrderOf(m.units.byChild[in.Child], m.units.made[in.Child]) {
		if u.sel.Mode != kernel.Tunnel || u.sel.Action != kernel.Protect || !u.sel.knowsPeer() {
			continue
		}
		if ends, err := m.ends(u, out); err != nil || ends == from {
			moved = append(moved, u)
		}
	}
	for _, u := range moved {
		if u.dynamic != nil {
			u.dynamic.moveTo(to)
			u.sel = u.dynamic.sel
		} else {
			m.moveTo(u.sel, to)
		}
	}
	m.standAt(in.Child, to.peer, out)
	if len(moved) > 0 {
		out.trace(trace.Info, "", []string{"child", in.Child}, "the tunnel of child %s moves from %v - %v to %v - %v",
			in.Child, from.my, from.peer, to.my, to.peer)
		m.replan(now, out, moved...)
	}
}

// follow has the policies of a child's tunnels end where its SAs do: the peer may
// have more addresses than one, and this host may.
func (m *Manager) follow(now time.Time, child string, to tunnelEnds, out *Outbox) {
	to = to.unmap()
	if m.closing || !m.started || !to.valid() {
		return
	}
	var moved []*unit
	for _, u := range inOrderOf(m.units.byChild[child]) {
		if u.sel.Mode != kernel.Tunnel || u.sel.Action != kernel.Protect || !u.sel.knowsPeer() {
			continue
		}
		ends, err := m.ends(u, out)
		m.moveTo(u.sel, to) // where it stays even when its name or the way leads elsewhere
		if err != nil || ends != to {
			moved = append(moved, u)
		}
	}
	if len(moved) > 0 {
		out.trace(trace.Info, "", []string{"child", child}, "the tunnel of child %s is between %v and %v", child, to.my, to.peer)
		m.replan(now, out, moved...)
	}
}

// leaveAddress ends the staying of a unit's tunnel with a peer's address that its
// names do not have any more, unless SAs are there.
func (m *Manager) leaveAddress(u *unit) {
	mv, ok := m.moves[u.sel.Name]
	if !ok || m.stands(u.sel.Child) {
		return
	}
	if !slices.Contains(m.peerEnds(u.sel), mv.to.peer) {
		delete(m.moves, u.sel.Name)
	}
}

// moveTo gives a dynamic policy other ends.
func (d *dynamic) moveTo(to tunnelEnds) {
	d.SASrc, d.SADst = to.my, to.peer
	if d.sel.Direction != kernel.Out {
		d.SASrc, d.SADst = to.peer, to.my
	}
	sel := *d.sel
	sel.MyEnd, sel.PeerEnd = End{Addr: to.my}, []End{{Addr: to.peer}}
	d.sel = &sel
}
