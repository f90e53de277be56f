package ikev2

import (
	"reflect"
	"time"

	"racoon2/kernel"
)

const (
	// shutdownInterval and shutdownTime bound the farewell: a DELETE and one
	// retransmission of it.
	shutdownInterval = time.Second
	shutdownTime     = 2 * time.Second
)

// terminate deletes what an operator names.
func (e *Engine) terminate(in Terminate) {
	why := in.Reason
	if why == "" {
		why = "an operator asked for it"
	}
	for _, sa := range e.all() {
		switch {
		case in.IKE != 0 && sa.serial != in.IKE:
		case in.IKE == 0 && in.Remote != "" && sa.remoteName() != in.Remote:
		case in.Child != 0:
			sa.terminateChild(in.Child, why)
		default:
			sa.terminate(why)
		}
	}
}

func (sa *ikeSA) terminateChild(spi kernel.SPI, why string) {
	for _, c := range sa.children {
		if c.spiIn == spi {
			c.close(why)
			sa.pump()
			return
		}
	}
}

// rekey has the IKE SA that an operator names take new keys, unless it is about to.
func (e *Engine) rekey(in Rekey) {
	sa := e.sas[in.IKE]
	if sa == nil || sa.state != stateEstablished || sa.closing {
		return
	}
	for _, t := range sa.allTasks() {
		if _, rekeys := t.(*rekeyTask); rekeys {
			return
		}
	}
	sa.enqueue(&rekeyTask{})
}

// reconfigure takes new settings. What is the same stays; what changed goes; what
// has only other addresses moves there.
func (e *Engine) reconfigure(s *Settings) {
	next := map[string]*Remote{}
	for _, r := range s.Remotes {
		if _, double := next[r.Name]; !double {
			next[r.Name] = r
		}
	}
	e.settings = s
	for _, sa := range e.all() {
		old := sa.remote
		if old == nil && sa.setup != nil {
			old = sa.setup.remote
		}
		if old == nil {
			continue
		}
		same := next[old.Name]
		if same == nil || !old.sameBut(same) {
			sa.terminate("its remote was changed or removed")
			continue
		}
		sa.adopt(old, same)
		sa.followAddresses(old, same)
	}
}

// sameBut says that two remotes differ in nothing but their addresses.
func (r *Remote) sameBut(other *Remote) bool {
	a, b := *r, *other
	a.Peers, a.AnyPeer, b.Peers, b.AnyPeer = nil, false, nil, false
	return reflect.DeepEqual(&a, &b)
}

// adopt replaces pointers into the old settings by their equals in the new ones.
func (sa *ikeSA) adopt(old, same *Remote) {
	if sa.remote != nil {
		sa.remote = same
	}
	child := func(c *Child) *Child {
		for i, o := range old.Children {
			if o == c {
				return same.Children[i]
			}
		}
		return c
	}
	if s := sa.setup; s != nil {
		s.remote = same
		for i := range s.wanted {
			s.wanted[i].child = child(s.wanted[i].child)
		}
		if s.first != nil {
			s.first.want.child = child(s.first.want.child)
		}
	}
	for _, c := range sa.children {
		c.conf = child(c.conf)
	}
	for _, t := range sa.allTasks() {
		if ct, ok := t.(*childTask); ok {
			ct.want.child = child(ct.want.child)
		}
	}
}

// shutdown deletes everything, telling the peers, for a short time.
func (e *Engine) shutdown() {
	e.closing = true
	for _, sa := range e.all() {
		if sa.state == stateDeleting {
			sa.setTimer(timerGiveUp, shutdownTime)
			continue
		}
		sa.terminate("this agent shuts down")
		if sa.state != stateDead {
			// The window may be taken by a request that is never answered.
			sa.setTimer(timerGiveUp, shutdownTime)
		}
	}
}
