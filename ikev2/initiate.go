package ikev2

import (
	"fmt"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// freshChild is how long a child that is new, or at another place, answers acquires
// that were raised before and arrive after.
const freshChild = 5 * time.Second

// initiate asks for a child SA, in the IKE SA that stands or in a new one.
func (e *Engine) initiate(in Initiate) {
	r, c, why := e.findChild(in.Remote, in.Child)
	if why != "" {
		e.trace(trace.InternalWarn, reasonInternal, "cannot initiate: "+why, attr("remote", in.Remote), attr("child", in.Child))
		e.do(InitiateFailed{Remote: in.Remote, Child: in.Child, Reason: why})
		return
	}
	if why := c.needsPacket(in.Packet); why != "" {
		e.trace(trace.InternalWarn, reasonSinglePair, "cannot initiate: "+why, attr("remote", in.Remote), attr("child", in.Child))
		e.do(InitiateFailed{Remote: in.Remote, Child: in.Child, Reason: why})
		return
	}
	if e.underWay(r, c) || e.alreadyUp(r, c, in.Packet) {
		return
	}
	w := want{child: c, packet: in.Packet}
	var starting *ikeSA
	for _, sa := range e.byRemote[r.Name] {
		if sa.state == stateEstablished && !sa.closing && !sa.full && !sa.leaving() {
			sa.enqueue(&childTask{negotiation: negotiation{want: w}})
			return
		}
		if sa.setup != nil && sa.initiator && !sa.closing {
			starting = sa
		}
	}
	switch {
	case starting != nil:
		starting.setup.wanted = append(starting.setup.wanted, w)
	case len(r.Peers) == 0:
		text := r.place() + " has no address to initiate to"
		e.trace(trace.InternalWarn, reasonNoRemote, text)
		e.do(InitiateFailed{Remote: in.Remote, Child: in.Child, Reason: text})
	default:
		e.open(r, []want{w}, 0, nil)
	}
}

// findChild finds what an Initiate names; why says what is wrong with it.
func (e *Engine) findChild(remote, child string) (*Remote, *Child, string) {
	if e.closing {
		return nil, nil, "this agent shuts down"
	}
	for _, r := range e.settings.Remotes {
		if r.Name != remote {
			continue
		}
		if r.Passive {
			return nil, nil, r.place() + " is passive"
		}
		for _, c := range r.Children {
			if c.Name == child {
				return r, c, ""
			}
		}
		return nil, nil, fmt.Sprintf("%s has no selector %s", r.place(), child)
	}
	return nil, nil, "there is no remote " + remote
}

// underWay says that the child is being negotiated by this host already.
func (e *Engine) underWay(r *Remote, c *Child) bool {
	for _, sa := range e.byRemote[r.Name] {
		if sa.setup != nil {
			for _, w := range sa.setup.wanted {
				if w.child == c {
					return true
				}
			}
		}
		for _, t := range sa.allTasks() {
			if ct, ok := t.(*childTask); ok && ct.want.child == c {
				return true
			}
		}
		for _, ch := range sa.children {
			if ch.conf == c && ch.state == childAdding {
				return true
			}
		}
	}
	return false
}

// alreadyUp says that a child stands that carries what is asked for. A packet
// that asks although one stands tells that the kernel's SAs are gone, unless
// the child is so new that the two crossed.
func (e *Engine) alreadyUp(r *Remote, c *Child, packet *kernel.Selector) bool {
	for _, sa := range e.byRemote[r.Name] {
		if sa.closing {
			continue
		}
		for _, ch := range sa.children {
			if ch.conf != c || ch.state != childUp {
				continue
			}
			if packet == nil {
				return true
			}
			l, rem := selectorTS(*packet)
			fresh := e.now.Sub(ch.established) < freshChild || e.now.Sub(ch.movedAt) < freshChild
			if fresh && coversAll(ch.traffic.local, []message.TrafficSelector{l}) && coversAll(ch.traffic.remote, []message.TrafficSelector{rem}) {
				return true
			}
		}
	}
	return false
}

// setupFailed deals with an IKE SA that was not established: the remote's next
// address is tried when this one did not answer, otherwise whoever asked is told.
func (e *Engine) setupFailed(r *Remote, s *setup, reason, text string) {
	if len(s.wanted) == 0 {
		return
	}
	silent := reason == reasonRetransmitLimit || reason == reasonNoRoute || reason == reasonPeerRefused && s.refusal != ""
	if silent && !e.closing && e.current(r) && s.peerIndex+1 < len(r.Peers) {
		e.trace(trace.Info, "", fmt.Sprintf("trying the next address of %s", r.place()), attr("peer", r.Peers[s.peerIndex+1].String()))
		e.open(r, s.wanted, s.peerIndex+1, s.replaces)
		return
	}
	if s.replaces != nil && e.reauthFailed(s, text) {
		return
	}
	for _, w := range s.wanted {
		e.do(InitiateFailed{Remote: r.Name, Child: w.child.Name, Reason: text})
	}
}

// current says that a remote is of the settings in force.
func (e *Engine) current(r *Remote) bool {
	for _, other := range e.settings.Remotes {
		if other == r {
			return true
		}
	}
	return false
}
