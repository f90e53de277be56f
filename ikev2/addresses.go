package ikev2

import (
	"fmt"
	"net/netip"
	"slices"

	"racoon2/kernel/trace"
)

// Addresses of a remote and of this host come and go while the engine runs. What
// moves an IKE SA is MOBIKE (mobike.go) where it can; here is the rest.

// has says that an address is in the remote's list.
func (r *Remote) has(a netip.Addr) bool { return r.indexOf(a) >= 0 }

// indexOf finds an address among the remote's, whatever its port; -1 is none.
func (r *Remote) indexOf(a netip.Addr) int {
	return slices.IndexFunc(r.Peers, func(p netip.AddrPort) bool { return p.Addr().Unmap() == a.Unmap() })
}

// hasLocal says that this host has an address, as far as is known.
func (e *Engine) hasLocal(a netip.Addr) bool {
	return e.locals == nil || slices.Contains(e.locals, a.Unmap().WithZone(""))
}

// peerAddresses gives a remote another list. The settings are shared with other
// shards and stay as they are: this one gets its own.
func (e *Engine) peerAddresses(in PeerAddresses) {
	i := slices.IndexFunc(e.settings.Remotes, func(r *Remote) bool { return r.Name == in.Remote })
	if i < 0 {
		e.trace(trace.InternalWarn, reasonInternal, "addresses for a remote that there is not", attr("remote", in.Remote))
		return
	}
	old := e.settings.Remotes[i]
	if slices.Equal(old.Peers, in.Peers) {
		return
	}
	changed := *old
	changed.Peers = slices.Clone(in.Peers)
	settings := *e.settings
	settings.Remotes = slices.Clone(e.settings.Remotes)
	settings.Remotes[i] = &changed
	e.settings = &settings
	e.trace(trace.Info, reasonPeerAddresses, changed.place()+" has other addresses now",
		attr("remote", in.Remote), attr("was", fmt.Sprint(old.Peers)), attr("is", fmt.Sprint(changed.Peers)))
	for _, sa := range e.all() {
		if sa.remote != old && (sa.setup == nil || sa.setup.remote != old) {
			continue
		}
		sa.adopt(old, &changed)
		sa.followAddresses(old, &changed)
	}
}

// followAddresses moves an IKE SA whose address its remote has no longer. One that
// was elsewhere anyway, behind a NAT or moved by the peer, stays there.
func (sa *ikeSA) followAddresses(old, now *Remote) {
	if s := sa.setup; s != nil && sa.initiator {
		s.peerIndex = now.indexOf(sa.peer.Addr()) // -1: the first one is next
	}
	at := sa.peer.Addr()
	if now.has(at) && sa.e.hasLocal(sa.local.Addr()) {
		sa.leaves = false // the address is back
	}
	if !old.has(at) || now.has(at) || now.AnyPeer || len(now.Peers) == 0 {
		return
	}
	sa.relocate(fmt.Sprintf("%s is not an address of %s any more", at, now.place()))
}

// localAddresses takes the addresses of this host.
func (e *Engine) localAddresses(in LocalAddresses) {
	before := e.locals
	e.locals = make([]netip.Addr, 0, len(in.Addrs))
	for _, a := range in.Addrs {
		if a = a.Unmap().WithZone(""); !slices.Contains(e.locals, a) {
			e.locals = append(e.locals, a)
		}
	}
	for _, sa := range e.all() {
		if sa.mob.agreed && sa.state == stateEstablished {
			sa.reconsider()
			continue
		}
		if before == nil || slices.Equal(before, e.locals) {
			continue
		}
		if at := sa.local; at.IsValid() && !at.Addr().IsUnspecified() && !e.hasLocal(at.Addr()) {
			sa.relocate(fmt.Sprintf("%s is not an address of this host any more", at.Addr()))
		}
	}
}

// relocate gets an IKE SA away from an address that is used no longer.
func (sa *ikeSA) relocate(why string) {
	switch sa.state {
	case stateIdle, stateInitSent:
		sa.beginElsewhere(why)
	case stateEstablished:
		switch {
		case sa.mob.agreed && !sa.e.hasLocal(sa.local.Addr()):
			sa.reconsider()
		case sa.moveToward(sa.remote.Peers):
		default:
			sa.remake(why)
		}
	case stateAuthSent:
		sa.x.queue = append(sa.x.queue, &relocateTask{why}) // when its answer has come, if it comes
	}
}

// relocateTask moves an IKE SA whose set-up was too far to begin again.
type relocateTask struct{ why string }

func (t *relocateTask) start(sa *ikeSA) {
	sa.x.current = nil
	sa.relocate(t.why)
	sa.pump()
}

func (*relocateTask) failed(*ikeSA, string, string) {}

// beginElsewhere starts a set-up anew that nothing has come of yet.
func (sa *ikeSA) beginElsewhere(why string) {
	s := sa.setup
	e, r, wanted, replaces, index := sa.e, s.remote, s.wanted, s.replaces, max(0, s.peerIndex)
	if len(r.Peers) == 0 || len(wanted) == 0 {
		return
	}
	tries := s.natTries
	s.wanted = nil // nobody is told that it failed
	sa.destroy(reasonPeerMoved, why)
	if again := e.open(r, wanted, index, replaces); again.setup != nil {
		again.setup.natTries = tries
	}
}

// remake has another IKE SA made with the same children, at the addresses that
// are good now. This one goes when that one stands.
func (sa *ikeSA) remake(why string) {
	e, r := sa.e, sa.remote
	if sa.closing || e.closing || sa.heir != nil && sa.heir.state != stateDead {
		sa.leaves = !sa.closing
		return
	}
	wanted := missing(sa, nil, nil)
	switch {
	case r.Passive || len(r.Peers) == 0:
		e.trace(trace.Info, reasonPeerMoved, why+"; the peer has to begin again", sa.attrs()...)
	case len(wanted) == 0:
		sa.terminate(why)
	default:
		e.trace(trace.Info, reasonPeerMoved, why+"; making another IKE SA", sa.attrs()...)
		sa.leaves = true
		e.open(r, wanted, max(0, r.indexOf(sa.peer.Addr())), sa)
	}
}

// leaving says that another IKE SA is about to take this one's place.
func (sa *ikeSA) leaving() bool { return sa.leaves && sa.heir != nil && sa.heir.state != stateDead }
