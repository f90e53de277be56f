package kerberos

import (
	"context"
	"errors"
	"io"
	"time"

	"racoon2/kink"
)

// Fetch answers kink.FetchTicket: a ticket from the cache, or from a KDC. It waits for
// the network and is to be run as a job. A KDC's error is a *kink.KRBError.
func (h *Host) Fetch(ctx context.Context, now time.Time, rand io.Reader, f kink.FetchTicket) (kink.Ticket, error) {
	a := h.account(f.Local)
	if a == nil {
		return nil, krbErrorf(kink.KRB_AP_ERR_NOT_US, "%s is not a principal of this host", f.Local)
	}
	peer, err := ParsePrincipal(f.Peer)
	if err != nil {
		return nil, krbErrorf(kink.KDC_ERR_S_PRINCIPAL_UNKNOWN, "%v", err)
	}
	if f.TGT != nil {
		if err := checkPeerTGT(f.TGT, peer); err != nil {
			return nil, err
		}
	}
	until := latest(f.Until, now)
	name, userToUser := peer.String(), f.UserToUser || f.TGT != nil
	if f.Evict {
		a.refuse(name, userToUser)
	} else if t := a.cached(name, until, userToUser, f.TGT); t != nil {
		return t, nil
	}
	if userToUser && f.TGT == nil {
		return nil, krbErrorf(kink.KDC_ERR_MUST_USE_USER2USER, "a user-to-user ticket for %s is wanted, and none is at hand: its TGT is needed", peer)
	}
	t, err := h.serviceTicket(ctx, now, rand, a, peer, f.TGT)
	// A ticket ends no later than the TGT it was had by, and a KDC may have changed its
	// own key: try a new TGT.
	if err == nil && t.end.Before(until) || refusesTGT(err) {
		if fresh, again := h.withNewTGT(ctx, now, rand, a, peer, f.TGT); fresh != nil || again != nil {
			t, err = fresh, again
		}
		if err == nil && t.end.Before(until) {
			err = krbErrorf(kink.KRB_AP_ERR_TKT_EXPIRED, "the KDC of %s gives tickets for %s until %s, and %s is needed", peer.Realm, peer, stamp(t.end), stamp(until))
		}
	}
	if err != nil {
		return nil, err
	}
	a.keep(now, t)
	return t, nil
}

// Cached is what Fetch would take from the cache, nil where it would ask a KDC. It does
// not wait, neither for a KDC nor for those who wait for one.
func (h *Host) Cached(now time.Time, f kink.FetchTicket) kink.Ticket {
	a := h.account(f.Local)
	peer, err := ParsePrincipal(f.Peer)
	if a == nil || err != nil || f.Evict {
		return nil
	}
	if t := a.cached(peer.String(), latest(f.Until, now), f.UserToUser || f.TGT != nil, f.TGT); t != nil {
		return t
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// refusesTGT says that a KDC does not like the TGT, so that another may help.
func refusesTGT(err error) bool {
	var k *kink.KRBError
	if !errors.As(err, &k) {
		return false
	}
	switch k.Code {
	case kink.KRB_AP_ERR_BAD_INTEGRITY, kink.KRB_AP_ERR_TKT_EXPIRED, kink.KRB_AP_ERR_TKT_NYV, kink.KRB_AP_ERR_SKEW,
		kink.KRB_AP_ERR_MODIFIED, kink.KRB_AP_ERR_BADKEYVER, kink.KRB_AP_ERR_NOKEY, kdcErrTGTRevoked,
		kink.KRB_ERR_GENERIC: // MIT's for a TGT under a key version that it forgot
		return true
	}
	return false
}

// withNewTGT tries once more after an AS exchange; both results are nil when the TGT is
// too young for that. A peer's TGT is nothing to trust, and may be why the KDC refuses.
func (h *Host) withNewTGT(ctx context.Context, now time.Time, rand io.Reader, a *account, peer Principal, under []byte) (*ticket, error) {
	old := a.current()
	if old == nil || now.Sub(old.got).Abs() < youngTGT {
		return nil, nil
	}
	if _, err := h.renew(ctx, now, rand, a, old); err != nil {
		return nil, err
	}
	return h.serviceTicket(ctx, now, rand, a, peer, under)
}

// youngTGT is the age at which a TGT that does not serve is replaced.
const youngTGT = time.Minute

// login gives a TGT that lasts a while yet. When there is one that has not ended, the
// KDC's silence does no harm.
func (h *Host) login(ctx context.Context, now time.Time, rand io.Reader, a *account) (*tgtState, error) {
	clock := now.Add(h.offset(a.principal.Realm))
	t := a.current()
	if t != nil && !t.stale(clock) {
		return t, nil
	}
	fresh, err := h.renew(ctx, now, rand, a, t)
	if err != nil && t != nil && clock.Before(t.end) {
		return t, nil
	}
	return fresh, err
}

// renew replaces the TGT old. Of several callers one asks the KDC, and the others
// take its result, good or bad.
func (h *Host) renew(ctx context.Context, now time.Time, rand io.Reader, a *account, old *tgtState) (*tgtState, error) {
	before, _ := a.outcome()
	if err := a.lock(ctx); err != nil {
		return nil, err
	}
	defer a.unlock()
	if t := a.current(); t != nil && t != old {
		return t, nil
	}
	if attempts, failure := a.outcome(); attempts != before && failure != nil {
		return nil, failure
	}
	_ = h.file.refresh(now) // what is wrong with it is said by noKey
	t, err := h.initial(ctx, now, rand, a)
	a.setOutcome(now, err)
	if err == nil {
		t.got = now
		a.setTGT(t)
	}
	return t, err
}

// initial is an AS exchange, or the credential cache for a principal without key.
func (h *Host) initial(ctx context.Context, now time.Time, rand io.Reader, a *account) (*tgtState, error) {
	if h.conf.CCache == "" || len(h.file.get(now).etypes(a.principal, h.conf.ETypes)) > 0 {
		return h.asExchange(ctx, now, rand, a)
	}
	octets, err := readBounded(h.conf.CCache, maxCCache)
	if err != nil {
		return nil, krbErrorf(kink.KRB_AP_ERR_NOKEY, "the credential cache cannot be read: %v", err)
	}
	defer clear(octets)
	c, err := decodeCCache(octets)
	if err != nil {
		return nil, krbErrorf(kink.KRB_AP_ERR_NOKEY, "%s: %v", h.conf.CCache, err)
	}
	if !c.client.Equal(a.principal) {
		return nil, krbErrorf(kink.KRB_AP_ERR_NOKEY, "the credential cache is of %s, not of %s, and the keytab has no key", c.client, a.principal)
	}
	t, ok := c.tgt()
	if !ok || !t.end.After(now.Add(h.offset(a.principal.Realm))) {
		return nil, krbErrorf(kink.KRB_AP_ERR_TKT_EXPIRED, "the credential cache has no TGT of %s that is still good", a.principal)
	}
	return &tgtState{raw: append([]byte(nil), t.ticket...), service: t.server, key: t.key, start: t.start, end: t.end}, nil
}

// Maintain reads a changed keytab again and gets new TGTs before the old ones end. It
// is to be run as a job, at start and at the time that it returns. The error joins what
// went wrong with single principals; the others are served all the same.
func (h *Host) Maintain(ctx context.Context, now time.Time, rand io.Reader) (next time.Time, err error) {
	next = now.Add(maintainAtMost)
	errs := []error{h.file.refresh(now)}
	for _, name := range h.names {
		a := h.accounts[name]
		t, err := h.login(ctx, now, rand, a)
		errs = append(errs, err)
		clock := now.Add(h.offset(a.principal.Realm))
		if err != nil || t.stale(clock) {
			next = earlier(next, now.Add(retryLogin))
			continue
		}
		next = earlier(next, now.Add(t.refreshIn(clock)))
	}
	return next, errors.Join(errs...)
}

const (
	maintainAtMost = 10 * time.Second // a changed keytab is noticed within this
	retryLogin     = 5 * time.Second
)

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
