package ikev2

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel/trace"
)

// probeAfter is how many retransmissions the pair of addresses in use gets before
// a request is tried on all others, too (RFC 4555 §3.10).
const probeAfter = 2

// reconsider asks for the way to the peer, because addresses or routes of this
// host may have changed.
func (sa *ikeSA) reconsider() { sa.ask(sa.peer) }

// ask asks which address of this host reaches an address of the peer.
func (sa *ikeSA) ask(peer netip.AddrPort) {
	sa.mob.toward = peer
	sa.e.do(Route{Serial: sa.serial, Remote: peer.Addr()})
}

// rerouted has the answer.
func (sa *ikeSA) rerouted(in Routed) {
	peer := sa.mob.toward
	sa.mob.toward = netip.AddrPort{}
	if !peer.IsValid() || sa.state != stateEstablished || sa.closing {
		return
	}
	local, gone := in.Local.Unmap().WithZone(""), !sa.e.hasLocal(sa.local.Addr())
	switch {
	case in.Err != nil || !in.Local.IsValid() || local.Is4() != peer.Addr().Is4():
		if gone || peer != sa.peer {
			sa.moveAnywhere("no address of this host reaches " + peer.Addr().String())
		}
	case peer != sa.peer:
		sa.move(path{sa.localAt(local), peer}, "the peer's address is another one")
	case local == sa.local.Addr():
		sa.tellAddresses()
	case gone:
		sa.move(path{sa.localAt(local), peer}, "the address of this host is gone")
	case sa.began && !sa.mob.pinned:
		sa.move(path{sa.localAt(local), peer}, "another address of this host is on the way to the peer")
	default:
		sa.tellAddresses()
	}
}

func (sa *ikeSA) localAt(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, sa.local.Port()) }

// moveAnywhere takes the first pair that may be possible at all, when the one in
// use is not any more. Which of them works is found out by asking on all.
func (sa *ikeSA) moveAnywhere(why string) {
	for _, p := range sa.paths() {
		if p != sa.here() && sa.e.hasLocal(p.local.Addr()) {
			sa.move(p, why)
			return
		}
	}
	if !sa.mob.strayed {
		sa.mob.strayed = true
		sa.e.trace(trace.ProtoWarn, reasonNoRoute, why+"; waiting for an address", sa.attrs()...)
	}
}

// paths are the pairs of addresses that may reach the peer, the one in use first.
func (sa *ikeSA) paths() []path {
	list := []path{sa.here()}
	locals := []netip.Addr{sa.local.Addr()}
	for _, a := range sa.e.locals {
		if elsewhere(a) && !sa.remote.tunnels(a) {
			locals = append(locals, a)
		}
	}
	for _, peer := range sa.peerAddresses() {
		for _, a := range locals {
			p := path{sa.localAt(a), peer}
			if a.Is4() == peer.Addr().Is4() && sa.e.hasLocal(a) && !slices.Contains(list, p) && len(list) < maxPaths {
				list = append(list, p)
			}
		}
	}
	return slices.DeleteFunc(list, func(p path) bool { return slices.Contains(sa.mob.refused, p) })
}

// peerAddresses are those where the peer may be: here, where it says that it is,
// too, and, for the end that began, where the configuration has it.
func (sa *ikeSA) peerAddresses() []netip.AddrPort {
	port := sa.peer.Port()
	if sa.natPeer {
		port = natPort // the one in use is the NAT's
	}
	list := []netip.AddrPort{sa.peer}
	for _, a := range sa.mob.peers {
		list = append(list, netip.AddrPortFrom(a, port))
	}
	if sa.began {
		for _, p := range sa.remote.Peers {
			list = append(list, netip.AddrPortFrom(p.Addr().Unmap(), port))
		}
	}
	return list
}

// moveToward begins the move of an IKE SA whose peer has another address now. It
// says false where MOBIKE cannot.
func (sa *ikeSA) moveToward(addrs []netip.AddrPort) bool {
	if !sa.mob.agreed || !sa.began || len(addrs) == 0 {
		return false
	}
	best := addrs[0]
	for _, a := range addrs {
		if a.Addr().Unmap().Is4() == sa.peer.Addr().Is4() {
			best = a
			break
		}
	}
	port := sa.peer.Port()
	if sa.natPeer {
		port = natPort
	}
	sa.ask(netip.AddrPortFrom(best.Addr().Unmap(), port))
	return true
}

// move has the IKE SA use another pair of addresses (RFC 4555 §3.5). What is
// outstanding is asked again from there, at once.
func (sa *ikeSA) move(to path, why string) {
	from := sa.here()
	if to == from {
		return
	}
	sa.mob.leave(from.local.Addr(), from.peer.Addr())
	sa.local, sa.peer = to.local, to.peer
	sa.mob.moves++
	sa.mob.strayed = false
	sa.frag.size = 0 // of another path
	sa.e.trace(trace.Info, reasonPeerMoved, fmt.Sprintf("the IKE SA moves from %s to %s: %s", from, to, why), sa.attrs()...)
	// RFC 4555 §3.7: the tunnels follow when the peer is known to be there. An
	// address that it has answered from, or that is configured, is good.
	if sa.mob.hasChecked(to.peer.Addr()) || sa.remote.has(to.peer.Addr()) {
		sa.moveChildren()
	}
	for _, r := range sa.x.flights {
		r.resent, r.base, r.due = 0, 0, sa.e.now.Add(r.first)
		sa.sendOn(r, to)
	}
	sa.armRetransmit()
	if sa.began {
		sa.tellUpdate()
	} else {
		sa.mob.untold = true
		sa.tellAddresses()
	}
}

// sendOn sends a request on a pair of addresses, and remembers it: the last ones, for
// the peer may say often that it is elsewhere.
func (sa *ikeSA) sendOn(r *request, p path) {
	if !slices.Contains(r.paths, p) {
		r.paths = append(r.paths, p)
		r.paths = r.paths[max(0, len(r.paths)-maxPaths):]
	}
	sa.send(p.local, p.peer, r.data)
}

// searches says that a request may be asked on other pairs, and move the IKE SA to
// the one that answers. RFC 4555 §3.5, §3.6: the end that did not begin does so only
// when its address is gone, to tell what it has instead. Where it is not gone, the
// other end would not follow.
func (sa *ikeSA) searches(r *request) bool {
	_, telling := r.task.(*addressTask)
	return sa.mob.agreed && sa.state == stateEstablished && (sa.began || telling && sa.mob.untold)
}

// resend retransmits a request: on all pairs when the one in use does not answer.
func (sa *ikeSA) resend(r *request) {
	if !sa.searches(r) || r.resent <= probeAfter {
		sa.sendOn(r, sa.here())
		return
	}
	for _, p := range sa.paths() {
		sa.sendOn(r, p)
	}
}

// answeredOn takes note of where an answer came from. The first that comes shows
// a pair that works.
func (sa *ikeSA) answeredOn(r *request, in Datagram) {
	p := path{in.Local, in.Remote}
	if !sa.searches(r) || p == sa.here() || !slices.Contains(r.paths, p) {
		return
	}
	if sa.began {
		sa.mob.check(p.peer.Addr())
		sa.move(p, "this is the path that answers")
	} else {
		sa.move(path{p.local, sa.peer}, "this is the address from which the peer is reached")
	}
}

// refusedPath takes another pair when the peer does not accept this one.
func (sa *ikeSA) refusedPath() {
	sa.mob.refused = append(sa.mob.refused, sa.here())
	for _, p := range sa.paths() {
		if sa.e.hasLocal(p.local.Addr()) {
			sa.move(p, "the peer does not accept the addresses")
			return
		}
	}
	sa.mob.refused = nil
	sa.e.trace(trace.ProtoErr, reasonAddresses, "the peer accepts no pair of addresses that there is", sa.attrs()...)
}

// patience is the schedule of an IKE SA with MOBIKE at the end that did not begin:
// RFC 4555 §3.11, it gives the other end five minutes to find a way.
func (sa *ikeSA) patience(r Retransmission) Retransmission {
	if !sa.mob.agreed || sa.began || sa.e.closing {
		return r
	}
	const least = 5 * time.Minute
	total := time.Duration(0)
	for n := 0; ; n++ {
		total += r.First * time.Duration(min(1<<min(n, 6), maxBackoff))
		if n >= r.Tries && total >= least {
			r.Tries = n
			return r
		}
	}
}
