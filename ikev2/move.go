package ikev2

import (
	"fmt"
	"net/netip"
	"slices"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// Child SAs follow their IKE SA to other addresses, whoever moved it: MOBIKE
// (RFC 4555 §3.5), or a NAT that gives the peer another address (RFC 7296 §2.23).
// Their keys and counters go on; the kernel is told the new addresses.

// movePeer follows the peer to another address or port, with its child SAs.
func (sa *ikeSA) movePeer(to netip.AddrPort) {
	to = plain(to)
	if to == sa.peer {
		return
	}
	from := sa.peer
	sa.peer = to
	sa.e.trace(trace.Info, reasonPeerMoved, "the peer behind the NAT is now at another address", sa.attrs(attr("from", from.String()))...)
	sa.moveChildren()
}

// moveChildren has all child SAs follow to where the IKE SA is.
func (sa *ikeSA) moveChildren() {
	sa.tellMove()
	for _, c := range slices.Clone(sa.children) {
		c.follow()
	}
}

// ends are the outer addresses that a child belongs to now. One that was given
// other end points than its IKE SA's by configuration keeps them.
func (c *childSA) ends() (local, remote netip.Addr, encap *kernel.Encap) {
	sa := c.sa
	if sa.natLocal || sa.natPeer {
		return sa.local.Addr(), sa.peer.Addr(), &kernel.Encap{Local: sa.local.Port(), Remote: sa.peer.Port()}
	}
	local, remote = c.local, c.remote
	if c.withLocal {
		local = sa.local.Addr()
	}
	if c.withPeer {
		remote = sa.peer.Addr()
	}
	return local, remote, nil
}

func sameEncap(a, b *kernel.Encap) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// follow moves a child that stands to where it belongs. One that is being made
// follows when it stands, and one that is moved when the kernel is through with
// that: however often the peer moves, no more operations wait than for one move.
func (c *childSA) follow() {
	if c.moving > 0 {
		return
	}
	switch c.state {
	case childUp, childReplaced, childDeleting:
	default:
		return
	}
	local, remote, encap := c.ends()
	moves := local != c.local || remote != c.remote
	switch {
	case !moves && sameEncap(encap, c.encap):
	case moves && c.conf.Mode == kernel.Transport:
		c.cannotFollow()
	default:
		c.moveTo(local, remote, encap)
	}
}

// moveTo gives the child's SAs in the kernel other addresses. A destination is
// part of an SA's name.
func (c *childSA) moveTo(local, remote netip.Addr, encap *kernel.Encap) {
	e := c.sa.e
	was := ChildMoved{Remote: c.sa.remoteName(), Child: c.conf.Name, OldLocal: c.local, OldPeer: c.remote, Local: local, PeerAddress: remote}
	for _, out := range []bool{false, true} {
		if out && c.outWaits {
			continue
		}
		for _, id := range c.saids(out) {
			c.unlist(id)
		}
	}
	c.local, c.remote, c.encap, c.movedAt = local, remote, encap, e.now
	for _, out := range []bool{false, true} {
		if out && c.outWaits {
			continue
		}
		for _, k := range c.kernelSAs(out) {
			c.list(k.SAID)
			old := k.SAID
			if old.Dst = was.OldLocal; out {
				old.Dst = was.OldPeer
			}
			k.EncrKey, k.IntegKey = nil, nil
			c.moving++
			e.kernelOp(kernel.UpdateSA{SA: k, OldDst: old.Dst}, func(r kernel.Result) { c.moved(old, k, r.Err) })
		}
	}
	if was.OldLocal != local || was.OldPeer != remote {
		e.trace(trace.Info, reasonChildMoved, fmt.Sprintf("child SA %s moves from %s - %s to %s - %s",
			c.conf.Name, was.OldLocal, was.OldPeer, local, remote), c.attrs()...)
		if c.state == childUp {
			e.do(was)
		}
	}
}

// moveChild moves the children that are meant, in tunnel mode.
func (e *Engine) moveChild(in MoveChild) {
	for _, sa := range e.all() {
		for _, c := range slices.Clone(sa.children) {
			if c.conf.Name != in.Child || c.conf.Mode != kernel.Tunnel || c.state != childUp && c.state != childReplaced ||
				c.local != in.OldLocal || c.remote != in.OldRemote {
				continue
			}
			c.withLocal, c.withPeer = false, false
			c.moveTo(in.Local, in.Remote, c.encap)
		}
	}
}

// moved takes the kernel's answer. An SA that it cannot move is of no use where
// it is: it goes, and the child is made anew.
func (c *childSA) moved(old kernel.SAID, k kernel.SA, err error) {
	c.moving--
	gone := c.state == childGone
	switch {
	case err == nil && gone:
		c.deleteSA(k.SAID)
	case err == nil && k.Direction == kernel.Out:
		c.taken = append(slices.DeleteFunc(c.taken, func(id kernel.SAID) bool { return id == old }), k.SAID)
	case err != nil && gone:
		c.deleteSA(old)
	case err != nil:
		c.sa.e.trace(trace.InternalWarn, reasonKernel, "the kernel does not move an SA: "+err.Error(), c.attrs()...)
		if old != k.SAID {
			c.taken = slices.DeleteFunc(c.taken, func(id kernel.SAID) bool { return id == old })
			c.deleteSA(old)
		}
		c.rekey()
	}
	if c.moving == 0 {
		c.follow() // it may belong elsewhere by now
	}
}

// cannotFollow ends a child whose addresses are its traffic: RFC 4555 §1.2 leaves
// transport mode out, for its traffic selectors have the old ones. The end that
// moves the IKE SA asks for another one between the new addresses.
func (c *childSA) cannotFollow() {
	sa := c.sa
	sa.e.trace(trace.Info, reasonChildMoved, "a child SA in transport mode cannot move to other addresses; "+c.conf.place()+" needs another one", c.attrs()...)
	again := c.state == childUp && !c.rekeying && !(sa.mob.agreed && !sa.began)
	c.close("the addresses are others, and it is in transport mode")
	if again {
		sa.x.queue = append(sa.x.queue, &childTask{negotiation: negotiation{want: c.again()}})
	}
	sa.pump()
}
