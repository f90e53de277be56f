package policy

import (
	"net/netip"
	"slices"
	"time"
)

// path is the way to a peer: the address of this host that leads there.
type path struct {
	peer     netip.Addr
	local    netip.Addr // zero: not known
	why      string     // it could not be found, with ": " before it
	users    map[*unit]struct{}
	failures int
	timer    timer
}

// route says which address of this host leads to a peer, and asks for it when
// that is not known.
func (m *Manager) route(u *unit, peer netip.Addr, out *Outbox) (local netip.Addr, why string) {
	p := m.paths[peer]
	if u.phantom && p == nil {
		return netip.Addr{}, ""
	}
	if p == nil {
		p = &path{peer: peer, users: make(map[*unit]struct{})}
		p.timer.Of = p
		m.paths[peer] = p
		out.Effects = append(out.Effects, Route{Remote: peer})
	}
	if _, known := p.users[u]; !known && !u.phantom {
		p.users[u] = struct{}{}
		u.paths = append(u.paths, p)
	}
	return p.local, p.why
}

// routed takes the answer.
func (m *Manager) routed(now time.Time, in Routed, out *Outbox) {
	p := m.paths[in.Remote]
	if p == nil || m.closing {
		return
	}
	before := *p
	m.timers.Stop(&p.timer)
	if in.Err != nil {
		p.failures++
		p.why = ": " + in.Err.Error()
		m.timers.Set(&p.timer, now.Add(m.backoff(p.failures, retryFirst, restLimit)))
	} else {
		p.local, p.why, p.failures = in.Local.Unmap().WithZone(""), "", 0
	}
	if p.local != before.local || p.why != before.why {
		m.replan(now, out, inOrderOf(p.users)...)
	}
}

// ring asks once more for a way that was not found.
func (p *path) ring(_ *Manager, _ time.Time, out *Outbox) {
	out.Effects = append(out.Effects, Route{Remote: p.peer})
}

// reroute asks for all ways again: addresses are others now.
func (m *Manager) reroute(out *Outbox) {
	peers := make([]netip.Addr, 0, len(m.paths))
	for peer := range m.paths {
		peers = append(peers, peer)
	}
	slices.SortFunc(peers, netip.Addr.Compare)
	for _, peer := range peers {
		out.Effects = append(out.Effects, Route{Remote: peer})
	}
}

// forgetPaths drops what nobody uses; before a plan is made anew, nobody does.
func (m *Manager) forgetPaths() {
	for _, p := range m.paths {
		m.forgetPath(p)
	}
}

func (m *Manager) forgetPath(p *path) {
	if len(p.users) == 0 && m.paths[p.peer] == p {
		m.timers.Stop(&p.timer)
		delete(m.paths, p.peer)
	}
}
