package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// tunnelEnds are the end points of a tunnel in the outbound direction.
type tunnelEnds struct{ my, peer netip.Addr }

// migrate moves the tunnels between two end points to others (MIGRATE). The
// configuration's next change is held to it until that names other ends.
func (m *Manager) migrate(now time.Time, in Migrate, out *Outbox) {
	if m.closing || !m.started {
		return
	}
	sel, reverse, err := m.CheckMigrate(in)
	if err != nil {
		out.trace(trace.InternalWarn, ReasonDynamicRefused, []string{"selector", in.Selector}, "a tunnel cannot be moved: %v", err)
		return
	}
	to := tunnelEnds{in.Src, in.Dst}
	if sel.Direction != kernel.Out {
		to = tunnelEnds{in.Dst, in.Src}
	}
	for _, name := range []string{sel.Name, reverse.Name} {
		if old := m.given(name); old != nil {
			m.moves[name] = move{from: tunnelEnds{old.MyEnd, old.PeerEnd}, to: to}
		}
	}
	m.configure(now, m.configured, out)
}

// CheckMigrate tells whether Migrate would be carried out.
func (m *Manager) CheckMigrate(in Migrate) (sel, reverse *Selector, err error) {
	if sel, reverse, err = m.Pair(in.Selector); err != nil {
		return nil, nil, err
	}
	src, dst := sel.MyEnd, sel.PeerEnd
	if sel.Direction != kernel.Out {
		src, dst = dst, src
	}
	switch {
	case sel.Mode != kernel.Tunnel:
		return nil, nil, fmt.Errorf("selector %s is in transport mode: it has no tunnel to move", sel.Name)
	case src.IsValid() && src.Unmap() != in.OldSrc.Unmap() || dst.Unmap() != in.OldDst.Unmap():
		return nil, nil, fmt.Errorf("selector %s: its tunnel is from %v to %v, not from %v to %v", sel.Name, src, dst, in.OldSrc, in.OldDst)
	case !isEnd(in.Src) || !isEnd(in.Dst) || in.Src.Unmap().Is4() != in.Dst.Unmap().Is4():
		return nil, nil, fmt.Errorf("%v and %v are no ends of a tunnel", in.Src, in.Dst)
	}
	return sel, reverse, nil
}

// move is where a selector's tunnel was moved, and from where.
type move struct{ from, to tunnelEnds }

// given finds a selector as the configuration has it.
func (m *Manager) given(name string) *Selector {
	for _, sel := range m.configured.Selectors {
		if sel.Name == name {
			return sel
		}
	}
	return nil
}

// moved are the settings with the tunnels where they were moved to. A move
// whose selector is gone, or has other ends now, is forgotten.
func (m *Manager) moved(s *Settings) *Settings {
	if len(m.moves) == 0 {
		return s
	}
	out := &Settings{Selectors: slices.Clone(s.Selectors)}
	kept := make(map[string]move, len(m.moves))
	for i, sel := range out.Selectors {
		mv, ok := m.moves[sel.Name]
		if !ok || mv.from != (tunnelEnds{sel.MyEnd, sel.PeerEnd}) {
			continue
		}
		kept[sel.Name] = mv
		changed := *sel
		changed.MyEnd, changed.PeerEnd = mv.to.my, mv.to.peer
		out.Selectors[i] = &changed
	}
	m.moves = kept
	return out
}

// childMoved has the policies of a child's tunnels follow its SAs: those of the
// configuration that ended where the SAs did, and those that were made for them.
func (m *Manager) childMoved(now time.Time, in Moved, out *Outbox) {
	if m.closing || !m.started || !isEnd(in.Local) || !isEnd(in.Remote) {
		return
	}
	from := tunnelEnds{in.OldLocal.Unmap(), in.OldRemote.Unmap()}
	to := tunnelEnds{in.Local.Unmap(), in.Remote.Unmap()}
	changed := false
	for _, sel := range m.settings.Selectors {
		if sel.Child != in.Child || sel.Mode != kernel.Tunnel || from != (tunnelEnds{sel.MyEnd.Unmap(), sel.PeerEnd.Unmap()}) {
			continue
		}
		if old := m.given(sel.Name); old != nil {
			m.moves[sel.Name] = move{from: tunnelEnds{old.MyEnd, old.PeerEnd}, to: to}
			changed = true
		}
	}
	for _, d := range m.dynamic.order {
		if d.sel != nil && d.sel.Child == in.Child && d.moved(from, to) {
			changed = true
		}
	}
	if changed {
		out.trace(trace.Info, "", []string{"child", in.Child}, "the tunnel of child %s moves from %v - %v to %v - %v",
			in.Child, in.OldLocal, in.OldRemote, in.Local, in.Remote)
		m.configure(now, m.configured, out)
	}
}

// moved gives a dynamic policy other ends if it has these.
func (d *dynamic) moved(from, to tunnelEnds) bool {
	if d.Mode != kernel.Tunnel {
		return false
	}
	switch {
	case from == tunnelEnds{d.SASrc.Unmap(), d.SADst.Unmap()}:
		d.SASrc, d.SADst = to.my, to.peer
	case from == tunnelEnds{d.SADst.Unmap(), d.SASrc.Unmap()}:
		d.SASrc, d.SADst = to.peer, to.my
	default:
		return false
	}
	return true
}
