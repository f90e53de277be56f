package ikev2

import (
	"fmt"
	"slices"
	"strings"

	"racoon2/kernel/trace"
)

// Announcements come in pairs: a peer is up with its first IKE SA and down with
// its last, and so is the traffic of a child. What comes in between, by rekeying
// or by repeating the authentication, is announced as up again.

// announce reports a new IKE SA.
func (sa *ikeSA) announce() {
	sa.e.trace(trace.Info, reasonEstablished, fmt.Sprintf("IKE SA established with %s: %s", sa.peerID, sa.suite.summary()),
		sa.attrs(attr("nat_local", fmt.Sprint(sa.natLocal)), attr("nat_peer", fmt.Sprint(sa.natPeer)), attr("extensions", strings.Join(sa.extensions(), ", ")))...)
	sa.up(sa.peerStands())
}

// succeed takes the place of an IKE SA that was rekeyed.
func (sa *ikeSA) succeed(old *ikeSA) {
	old.announced = false
	sa.up(true)
}

func (sa *ikeSA) up(again bool) {
	sa.announced, sa.told = true, sa.here()
	sa.e.do(IKEUp{Remote: sa.remoteName(), Peer: sa.peerID.String(), Local: sa.local, PeerAt: sa.peer, Again: again})
}

// tellMove reports that an IKE SA is elsewhere.
func (sa *ikeSA) tellMove() {
	was, is := sa.told, sa.here()
	if !sa.announced || was.local.Addr() == is.local.Addr() && was.peer.Addr() == is.peer.Addr() {
		return
	}
	sa.told = is
	sa.e.do(IKEMoved{
		Remote: sa.remoteName(), Peer: sa.peerID.String(),
		OldLocal: was.local.Addr(), OldPeer: was.peer.Addr(), Local: is.local.Addr(), PeerAddress: is.peer.Addr(),
	})
}

// down reports the end of the last IKE SA with a peer.
func (sa *ikeSA) down(why string) {
	if !sa.announced || sa.peerStands() {
		return
	}
	sa.e.do(IKEDown{Remote: sa.remoteName(), Peer: sa.peerID.String(), Local: sa.local, PeerAt: sa.peer, Reason: why})
}

// peerStands says that another IKE SA with the same peer is announced.
func (sa *ikeSA) peerStands() bool {
	return slices.ContainsFunc(sa.e.byRemote[sa.remoteName()], func(other *ikeSA) bool {
		return other != sa && other.announced && other.state != stateDead && sameIdentity(other.peerID, sa.peerID)
	})
}

// up announces a child that stands.
func (c *childSA) up() {
	c.announced = true
	sa := c.sa
	sa.stopTimer(timerGrace)
	e := sa.e
	text := fmt.Sprintf("child SA %s is up: %s %s, local %s, remote %s",
		c.conf.Name, modeName(c.conf.Mode), c.suite.summary(), tsList(c.traffic.local), tsList(c.traffic.remote))
	if c.fragments {
		text += ", non-first fragments too"
	}
	e.trace(trace.Info, reasonChildUp, text, c.attrs()...)
	e.do(ChildUp{Remote: sa.remoteName(), Child: c.conf.Name, Peer: sa.peerID.String(), Info: c.info(), Again: c.carriedOn()})
}

// down announces that a child has gone.
func (c *childSA) down(why string) {
	sa := c.sa
	sa.e.trace(trace.Info, reasonChildDown, fmt.Sprintf("child SA %s is down: %s", c.conf.Name, why), c.attrs()...)
	sa.e.do(ChildDown{Remote: sa.remoteName(), Child: c.conf.Name, Peer: sa.peerID.String(), Info: c.info(), Reason: why})
}

// carriedOn says that another child does what this one does, in this IKE SA or in
// another one with the same peer, such as the one that repeats its authentication.
func (c *childSA) carriedOn() bool {
	sa := c.sa
	does := func(other *childSA) bool {
		return other != c && other.conf == c.conf && other.announced && other.state == childUp && other.traffic.equal(c.traffic)
	}
	return slices.ContainsFunc(sa.children, does) || slices.ContainsFunc(sa.e.byRemote[sa.remoteName()], func(other *ikeSA) bool {
		return sameIdentity(other.peerID, sa.peerID) && slices.ContainsFunc(other.children, does)
	})
}

func (s trafficSet) equal(o trafficSet) bool {
	return slices.Equal(s.local, o.local) && slices.Equal(s.remote, o.remote)
}
