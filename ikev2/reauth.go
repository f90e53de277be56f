package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// Authentication is repeated (RFC 4478) by making another IKE SA with the same
// children before the old one goes. The end that began does it; what limits it is
// its own configuration or the other end's AUTH_LIFETIME.
const (
	// authGrace is what an IKE SA gets beyond its authentication's lifetime
	// (RFC 4478 §2: it is deleted soon after the end).
	authGrace = 30 * time.Second
	// soonestReauth keeps a peer from making this host begin again all the time.
	soonestReauth = 30 * time.Second
	// reauthRetry is when it is tried again after a failure.
	reauthRetry = time.Minute
	// maxAuthLifetime bounds what a peer may say: more is no limit.
	maxAuthLifetime = 365 * 24 * time.Hour
)

// limitAuth starts the lifetime that this host's own configuration gives to an
// authentication.
func (sa *ikeSA) limitAuth() {
	d := sa.remote.AuthLifetime
	if d <= 0 {
		return
	}
	sa.authExpires = sa.e.now.Add(d + authGrace)
	if sa.began {
		sa.reauthAt = sa.e.now.Add(sa.e.jitter(d, true))
	}
	sa.armAuth()
}

// authLifetime is the notification of a responder that limits it; none without a limit.
func (r *Remote) authLifetime() []message.Payload {
	if r.AuthLifetime <= 0 {
		return nil
	}
	seconds := min(r.AuthLifetime, maxAuthLifetime) / time.Second
	return []message.Payload{notify(message.AUTH_LIFETIME, binary.BigEndian.AppendUint32(nil, uint32(seconds)))}
}

// noteAuthLifetime takes the original responder's word for when to repeat the
// authentication (RFC 4478 §2). It counts for whoever began.
func (sa *ikeSA) noteAuthLifetime(m *received) {
	n := m.notification(message.AUTH_LIFETIME)
	if n == nil || !sa.began {
		return
	}
	if len(n.Data) != 4 {
		sa.e.trace(trace.ProtoWarn, reasonAuthLifetime, fmt.Sprintf("AUTH_LIFETIME of %d octets, want 4", len(n.Data)), sa.attrs()...)
		return
	}
	d := time.Duration(binary.BigEndian.Uint32(n.Data)) * time.Second
	if d > maxAuthLifetime {
		return
	}
	at := sa.e.now.Add(sa.e.jitter(d, true))
	if soonest := sa.established.Add(soonestReauth); at.Before(soonest) {
		at = soonest
	}
	if sa.reauthAt.IsZero() || at.Before(sa.reauthAt) {
		sa.reauthAt = at
	}
	sa.e.trace(trace.Info, reasonAuthLifetime, fmt.Sprintf("the peer wants the authentication repeated within %v", d), sa.attrs()...)
	sa.armAuth()
}

// armAuth starts the timers of an authentication's lifetime.
func (sa *ikeSA) armAuth() {
	if at := sa.authExpires; !at.IsZero() && (sa.expires.IsZero() || at.Before(sa.expires)) {
		sa.expires = at
		sa.setTimer(timerExpire, at.Sub(sa.e.now))
	}
	if !sa.reauthAt.IsZero() {
		sa.setTimer(timerReauth, max(0, sa.reauthAt.Sub(sa.e.now)))
	}
}

// reauthenticate makes the other IKE SA. This one goes when that one has its
// children.
func (sa *ikeSA) reauthenticate() {
	e, r := sa.e, sa.remote
	sa.reauthAt = time.Time{}
	if sa.leaves {
		sa.remake("its address is still not good")
		return
	}
	if sa.state != stateEstablished || sa.closing || e.closing || sa.heir != nil && sa.heir.state != stateDead {
		return
	}
	wanted := missing(sa, nil, nil)
	switch {
	case len(r.Peers) == 0:
		sa.terminate("its authentication is to be repeated, and " + r.place() + " has no address for that")
	case len(wanted) == 0:
		sa.terminate("its authentication is to be repeated, and it has no child SA")
	default:
		e.trace(trace.Info, reasonAuthLifetime, "repeating the authentication in another IKE SA", sa.attrs()...)
		e.open(r, wanted, max(0, r.indexOf(sa.peer.Addr())), sa)
	}
}

// missing are the selectors of old's children, and pairs of addresses where each has
// SAs of its own, that the IKE SA in its place has not yet and that were not tried
// before, each once.
func missing(old, heir *ikeSA, tried []want) []want {
	var list []want
	for _, c := range old.children {
		w := c.again()
		there := heir != nil && slices.ContainsFunc(heir.children, func(o *childSA) bool { return w.is(o) && o.state == childUp })
		done := func(w want) bool { return w.is(c) }
		if c.state == childUp && !there && !slices.ContainsFunc(list, done) && !slices.ContainsFunc(tried, done) {
			list = append(list, w)
		}
	}
	return list
}

// reauthFailed leaves the old IKE SA, which tries again. It says false when there
// is none any more and whoever asked must be told.
func (e *Engine) reauthFailed(s *setup, text string) bool {
	old := s.replaces
	if old == nil || old.state != stateEstablished {
		return false
	}
	old.heir = nil
	old.reauthAt = e.now.Add(reauthRetry)
	old.armAuth()
	e.trace(trace.ProtoWarn, reasonAuthLifetime, "the authentication could not be repeated: "+text, old.attrs()...)
	return true
}

// retireTask ends the IKE SA whose place another one has taken. It waits in the
// queue behind the children, and takes those along that the old one got meanwhile.
type retireTask struct {
	old   *ikeSA
	tried []want
}

func (t *retireTask) start(sa *ikeSA) {
	old := t.old
	if old.state != stateEstablished {
		sa.taskDone()
		return
	}
	if more := missing(old, sa, t.tried); len(more) > 0 {
		next := &retireTask{old: old, tried: t.tried}
		for _, w := range more {
			next.tried = append(next.tried, w)
			sa.x.queue = append(sa.x.queue, &childTask{negotiation: negotiation{want: w}})
		}
		sa.x.queue = append(sa.x.queue, next)
		sa.taskDone()
		return
	}
	if old.leaves {
		// The peer can hardly be told over the addresses that were left. It finds
		// the IKE SA by its SPIs, wherever the deletion comes from (RFC 7296 §2.11).
		old.local, old.peer = sa.local, sa.peer
		old.terminate("another IKE SA has taken its place at another address")
	} else {
		sa.e.trace(trace.Info, reasonReauthenticated, "the authentication was repeated", sa.attrs()...)
		old.terminate("its authentication was repeated")
	}
	sa.taskDone()
}

func (t *retireTask) failed(sa *ikeSA, reason, text string) {
	sa.e.reauthFailed(&setup{replaces: t.old}, text)
}

// inheritAuth takes the time of its authentication over from the IKE SA that was
// rekeyed (RFC 4478 §2: the limit applies to the new one).
func (sa *ikeSA) inheritAuth(old *ikeSA) {
	sa.began, sa.authExpires, sa.reauthAt = old.began, old.authExpires, old.reauthAt
}

// passHeir tells the IKE SA that repeats the authentication of a rekeyed one that
// the successor is what it replaces.
func (sa *ikeSA) passHeir(next *ikeSA) {
	heir := sa.heir
	next.leaves = sa.leaves
	if heir == nil {
		return
	}
	next.heir, sa.heir = heir, nil
	if heir.setup != nil {
		heir.setup.replaces = next
	}
	for _, t := range heir.allTasks() {
		if r, ok := t.(*retireTask); ok {
			r.old = next
		}
	}
}
