package ikev2

import (
	"container/heap"
	"time"
)

// timerKind is one of the timers that every IKE SA has.
type timerKind uint8

const (
	timerRetransmit timerKind = iota // the outstanding request was not answered
	timerGiveUp                      // setting up, closing or being replaced takes too long
	timerLiveness                    // the peer was silent for DPDDelay
	timerKeepalive                   // the NAT in front of this host may forget its mapping
	timerRekey                       // the IKE SA's soft lifetime
	timerExpire                      // the IKE SA's hard lifetime
	timerGrace                       // no child SA for Grace
	timerRetry                       // postponed exchanges may be tried again
	timerChildren                    // a child's lifetime is over, and the kernel does not say so
	timerChildLimit                  // setting up a child takes too long
	timerOctets                      // the kernel is to be asked what children have carried
	timerReauth                      // the authentication is to be repeated
	timerFragments                   // the missing fragments of a message are waited for no longer
	timerCount
)

// timerTable holds the deadlines of one IKE SA; a zero time does not run.
type timerTable [timerCount]time.Time

// earliest is the timer that fires next.
func (t *timerTable) earliest() (kind timerKind, at time.Time, ok bool) {
	for k, d := range t {
		if !d.IsZero() && (!ok || d.Before(at)) {
			kind, at, ok = timerKind(k), d, true
		}
	}
	return kind, at, ok
}

// timerHeap orders the IKE SAs with a running timer by their earliest one,
// and by serial among equals so that runs repeat.
type timerHeap []*ikeSA

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].deadline.Equal(h[j].deadline) {
		return h[i].serial < h[j].serial
	}
	return h[i].deadline.Before(h[j].deadline)
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}
func (h *timerHeap) Push(x any) {
	sa := x.(*ikeSA)
	sa.heapIndex = len(*h)
	*h = append(*h, sa)
}
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	sa := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	sa.heapIndex = -1
	return sa
}

// setTimer starts or moves a timer; d counts from now.
func (sa *ikeSA) setTimer(kind timerKind, d time.Duration) {
	sa.timers[kind] = sa.e.now.Add(d)
	sa.reschedule()
}

// stopTimer stops a timer, whether it runs or not.
func (sa *ikeSA) stopTimer(kind timerKind) {
	if !sa.timers[kind].IsZero() {
		sa.timers[kind] = time.Time{}
		sa.reschedule()
	}
}

// reschedule puts the IKE SA at its place in the heap.
func (sa *ikeSA) reschedule() {
	h := &sa.e.timers
	_, at, ok := sa.timers.earliest()
	sa.deadline = at
	switch {
	case ok && sa.heapIndex < 0:
		heap.Push(h, sa)
	case ok:
		heap.Fix(h, sa.heapIndex)
	case sa.heapIndex >= 0:
		heap.Remove(h, sa.heapIndex)
	}
}

// expireTimers runs everything that is due.
func (e *Engine) expireTimers() {
	for len(e.timers) > 0 && !e.timers[0].deadline.After(e.now) {
		sa := e.timers[0]
		kind, _, _ := sa.timers.earliest()
		sa.stopTimer(kind)
		sa.fire(kind)
	}
	e.lingering.expire(e.now)
}

// fire runs one timer of an IKE SA.
func (sa *ikeSA) fire(kind timerKind) {
	switch kind {
	case timerRetransmit:
		sa.retransmit()
	case timerGiveUp:
		sa.giveUp()
	case timerLiveness:
		sa.checkLiveness()
	case timerKeepalive:
		sa.keepalive()
	case timerRekey:
		sa.enqueue(&rekeyTask{})
	case timerExpire:
		sa.terminate("its lifetime is over")
	case timerGrace:
		sa.graceOver()
	case timerRetry:
		sa.retryPostponed()
	case timerChildren:
		sa.checkChildren()
	case timerOctets:
		sa.askOctets()
	case timerChildLimit:
		sa.checkChildLimit()
	case timerReauth:
		sa.reauthenticate()
	case timerFragments:
		sa.forgetAllFragments()
	}
}
