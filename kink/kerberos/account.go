package kerberos

import (
	"context"
	"sync"
	"time"
)

// tgtState is a ticket-granting ticket with its session key. start and end are by
// the KDC's clock.
type tgtState struct {
	raw        []byte
	service    Principal
	key        *Key
	start, end time.Time
	got        time.Time // by this host's clock
}

// stale says that it is time for a new one: a tenth of the life is left, or five
// minutes of a short one, or half of a very short one.
func (t *tgtState) stale(now time.Time) bool { return t.refreshIn(now) <= 0 }

func (t *tgtState) refreshIn(now time.Time) time.Duration {
	life := t.end.Sub(t.start)
	margin := min(max(life/10, 5*time.Minute), life/2)
	return t.end.Add(-margin).Sub(now)
}

// account is one principal of this host with its TGT and its tickets.
type account struct {
	principal Principal
	name      string
	most      int
	login     chan struct{} // holds one token: one AS exchange at a time

	mu       sync.Mutex
	tgt      *tgtState
	previous *tgtState // user-to-user tickets may still be under it
	cross    map[string]*tgtState
	tickets  map[ticketKey]*cachedTicket
	attempts int   // AS exchanges that ended
	failure  error // of the last of them
	failedAt time.Time
}

type ticketKey struct {
	peer       string // the realm is in it
	userToUser bool
}

// cachedTicket is a ticket in the cache; refused ones are not given out again.
type cachedTicket struct {
	*ticket
	refused bool
}

func newAccount(p Principal, most int) *account {
	a := &account{principal: p, name: p.String(), most: most, login: make(chan struct{}, 1)}
	a.reset()
	return a
}

func (a *account) reset() {
	a.cross = make(map[string]*tgtState)
	a.tickets = make(map[ticketKey]*cachedTicket)
}

func (a *account) current() *tgtState {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tgt
}

// tgts are those that a user-to-user ticket of a peer may be under.
func (a *account) tgts() []*tgtState {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*tgtState
	for _, t := range []*tgtState{a.tgt, a.previous} {
		if t != nil {
			out = append(out, t)
		}
	}
	return out
}

func (a *account) setTGT(t *tgtState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tgt != nil && string(a.tgt.raw) != string(t.raw) {
		a.previous = a.tgt
	}
	a.tgt = t
	clear(a.cross)
}

// lock waits for the AS exchange that is under way, if there is one.
func (a *account) lock(ctx context.Context) error {
	select {
	case a.login <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *account) unlock() { <-a.login }

func (a *account) outcome() (attempts int, failure error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.attempts, a.failure
}

func (a *account) setOutcome(now time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attempts++
	a.failure, a.failedAt = err, now
}

// crossTGT is the cached TGT for another realm, nil if it is not there or stale.
func (a *account) crossTGT(now time.Time, realm string) *tgtState {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.cross[realm]; t != nil && !t.stale(now) {
		return t
	}
	return nil
}

func (a *account) setCross(now time.Time, realm string, t *tgtState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r, old := range a.cross {
		if old.stale(now) {
			delete(a.cross, r)
		}
	}
	if len(a.cross) < a.most {
		a.cross[realm] = t
	}
}

// cached is a ticket for peer that lasts until then, nil if there is none. A
// user-to-user ticket never serves as a plain one; with a TGT it is one that is under it.
func (a *account) cached(peer string, until time.Time, userToUser bool, tgt []byte) *ticket {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tickets[ticketKey{peer, userToUser}]
	if t == nil || t.refused || t.end.Before(until) || tgt != nil && !t.isUnder(tgt) {
		return nil
	}
	return t.ticket
}

// refuse marks a ticket: it stays until another takes its place, but is not given out.
func (a *account) refuse(peer string, userToUser bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tickets[ticketKey{peer, userToUser}]; t != nil {
		t.refused = true
	}
}

// keep puts a ticket into the cache. Where it is full, expired ones go, then the one
// that ends first.
func (a *account) keep(now time.Time, t *ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := ticketKey{t.session.peer, t.userToUser}
	if a.tickets[key] == nil && len(a.tickets) >= a.most {
		var first ticketKey
		var end time.Time
		for k, old := range a.tickets {
			if old.end.Before(now) {
				delete(a.tickets, k)
			} else if end.IsZero() || old.end.Before(end) {
				first, end = k, old.end
			}
		}
		if len(a.tickets) >= a.most {
			delete(a.tickets, first)
		}
	}
	a.tickets[key] = &cachedTicket{ticket: t}
}

func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range []*tgtState{a.tgt, a.previous} {
		if t != nil {
			t.key.wipe()
		}
	}
	for _, t := range a.cross {
		t.key.wipe()
	}
	for _, t := range a.tickets {
		t.key.wipe()
	}
	a.tgt, a.previous = nil, nil
	a.reset()
}
