package ikev2

import (
	"bytes"
	"fmt"

	"racoon2/kernel/trace"
)

// rekey asks for the successor of a child that nears its end.
func (c *childSA) rekey() {
	if !c.standing() || c.rekeying || c.sa.state != stateEstablished || c.sa.closing {
		return
	}
	c.rekeying = true
	c.sa.enqueue(&childTask{negotiation: negotiation{want: want{child: c.conf}, replace: c}})
}

// lowest is the lower one of two nonces, octet by octet (RFC 7296 §2.8.1).
func lowest(a, b []byte) []byte {
	if bytes.Compare(a, b) <= 0 {
		return bytes.Clone(a)
	}
	return bytes.Clone(b)
}

// replacedByPeer notes that the peer's request made the successor. The peer
// deletes the old one, unless this host's own request crosses it.
func (c *childSA) replacedByPeer(successor *childSA, low []byte) {
	sa := c.sa
	sa.e.trace(trace.Info, reasonChildRekeyed, "the peer has rekeyed a child SA", successor.attrs()...)
	c.peers, c.peersLow = successor, low
	if c.state == childGone {
		successor.takeOver()
	}
	if c.state == childUp && !sa.rekeyUnderWay(c) {
		c.state = childReplaced
	}
}

// rekeyUnderWay says that this host's request to rekey c was sent.
func (sa *ikeSA) rekeyUnderWay(c *childSA) bool {
	_, ok := exchangeUnderWay(sa, func(t *childTask) bool { return t.replace == c })
	return ok
}

// settle follows a successful rekey by this host. Without a collision the old
// child goes. With one, the child whose exchange has the lowest of the four
// nonces is closed by the end that made it, and the end that made the other one
// deletes the old child (RFC 7296 §2.8.1).
func (t *childTask) settle(sa *ikeSA, low []byte) {
	old := t.replace
	sa.e.trace(trace.Info, reasonChildRekeyed, "child SA rekeyed", t.child.attrs()...)
	gone := old.state == childGone // the peer was through with its own rekey
	if t.loses(low) {
		if !gone {
			old.state = childReplaced // the peer deletes it
		}
		t.child.close("both ends rekeyed at once, and the other child stays")
		return
	}
	t.child.takeOver() // where it seemed to lose before it was installed
	if gone {
		return
	}
	old.peers = nil // which the peer deletes, if there is one
	old.close("it was rekeyed")
}

// sayNarrowed tells that the successor carries less. RFC 7296 §2.9.2: it must not, unless
// a policy has changed. Part of the traffic is more than none of it.
func (c *childSA) sayNarrowed(next *childSA) {
	was, is := c.traffic, next.traffic
	if was.within(is) {
		return
	}
	c.sa.e.trace(trace.ProtoWarn, reasonNarrowed, fmt.Sprintf("the peer narrows a child SA that is rekeyed to %s to %s", tsList(is.local), tsList(is.remote)),
		next.attrs(attr("was", tsList(was.local)+" to "+tsList(was.remote)))...)
}

// loses says that the peer's rekeying of the same child stands, and this host's had the
// lowest of the four nonces, of which low is the lower one.
func (t *childTask) loses(low []byte) bool {
	old := t.replace
	return old != nil && old.peers != nil && (old.peers.state == childUp || old.state == childGone) && bytes.Compare(low, old.peersLow) < 0
}

// close deletes a child and tells the peer. Its SAs stay until the peer has
// answered, so that nothing in flight is lost.
func (c *childSA) close(why string) {
	if c.state != childUp && c.state != childReplaced {
		return
	}
	c.state = childDeleting
	c.sa.x.queue = append(c.sa.x.queue, &deleteChildTask{proto: c.conf.wireProtocol(), spi: c.spiIn, child: c, why: why})
}
