package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"racoon2/kernel/trace"
	"racoon2/kink"
	"racoon2/kink/kerberos"
)

const (
	// ticketWorkers wait for KDCs, apart from those that compute: a KDC that is
	// down would hold up IKE's key exchanges.
	ticketWorkers = 8
	// ticketQueue is how many may wait: those beyond would hold up in the driver's outbox
	// what the engine has to say to others.
	ticketQueue = 1 << 14
	// retireTime is how long transactions under way may still use what a
	// reload has replaced.
	retireTime = 2 * time.Minute
	// maintainLeast keeps a KDC's odd clock from making the agent ask all the time.
	maintainLeast = time.Second
)

// tickets are this host's principals with their keys, tickets and replay
// caches, in as many kerberos.Hosts as there are keytabs. It is the engine's
// kink.Kerberos.
type tickets struct {
	a      *Agent
	pool   *pool
	realms atomic.Pointer[[]*realm] // replaced, never changed

	mu      sync.Mutex               // of configure and close
	retired atomic.Pointer[[]*realm] // replaced, never changed: not configured any more, newest last
	wg      sync.WaitGroup           // those that maintain
}

// realm is one kerberos.Host.
type realm struct {
	*kerberos.Host
	settings Realm
	names    map[string]bool
	cancel   context.CancelFunc // ends its maintenance
}

var _ kink.Kerberos = (*tickets)(nil)

func newTickets(a *Agent) *tickets {
	t := &tickets{a: a, pool: newPoolOf(a.ctx, ticketWorkers, ticketQueue)}
	t.realms.Store(new([]*realm))
	t.retired.Store(new([]*realm))
	return t
}

func (t *tickets) all() []*realm { return *t.realms.Load() }

// configure makes the hosts that are wanted. What did not change stays, with
// its tickets; the replay caches of what goes are handed on.
func (t *tickets) configure(wanted []*Realm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.a.o.Now()
	before := t.all()
	list := make([]*realm, 0, len(wanted))
	kept := make(map[*realm]bool)
	for _, w := range wanted {
		r := find(before, w)
		if r == nil {
			if r = t.open(*w, now); r == nil {
				continue
			}
		}
		kept[r] = true
		list = append(list, r)
	}
	var saved [][]byte
	for _, r := range before {
		if !kept[r] {
			r.cancel()
			saved = append(saved, r.SaveReplays(now))
			t.retire(r)
		}
	}
	if len(before) == 0 && len(list) > 0 {
		saved = append(saved, t.readReplays()...)
	}
	for _, r := range list {
		if find(before, &r.settings) != nil {
			continue
		}
		for _, octets := range saved {
			if err := r.LoadReplays(now, octets); err != nil {
				t.warn("a replay cache is not taken over: older authenticators are refused", err)
			}
		}
	}
	t.realms.Store(&list)
	for _, r := range list {
		if find(before, &r.settings) == nil {
			t.maintain(r)
		}
	}
}

func find(list []*realm, w *Realm) *realm {
	for _, r := range list {
		if reflect.DeepEqual(r.settings, *w) {
			return r
		}
	}
	return nil
}

// open makes one host. It does not talk to a KDC yet.
func (t *tickets) open(w Realm, now time.Time) *realm {
	host, err := kerberos.New(kerberos.Config{
		Principals: w.Principals, Keytab: w.Keytab, CCache: w.CCache, ETypes: w.ETypes, PRF16: w.PRF16,
		Start: now, Rand: rand.Reader, Lifetime: w.Conf.Lifetime, KDC: t.network(w.Conf),
	})
	if err != nil { // compiling has checked what can be wrong
		t.warn("Kerberos cannot start", err)
		return nil
	}
	r := &realm{Host: host, settings: w, names: make(map[string]bool), cancel: func() {}}
	for _, p := range w.Principals {
		r.names[p] = true
	}
	return r
}

// network reaches KDCs past the policies: with them no key could be had for the
// way to a KDC that a policy protects, and Kerberos protects itself.
func (t *tickets) network(conf *kerberos.Krb5Conf) *kerberos.Network {
	n := &kerberos.Network{Conf: conf}
	n.Dialer.Control = func(network, _ string, c syscall.RawConn) error {
		if !t.a.bypass {
			return nil
		}
		return t.a.backend.Bypass(probe{c, network == "udp6" || network == "tcp6"})
	}
	return n
}

// retire closes a host when nothing can need it any more. t.mu is held.
func (t *tickets) retire(r *realm) {
	list := append(slices.Clone(*t.retired.Load()), r)
	t.retired.Store(&list)
	time.AfterFunc(retireTime, func() { t.bury(r) })
}

// bury closes a host whose time is over; nothing finds it any more.
func (t *tickets) bury(r *realm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*t.retired.Load()), func(old *realm) bool { return old == r })
	t.retired.Store(&list)
	r.Close()
}

// close ends maintenance and wipes keys. The replay caches go to the run
// directory: the driver has ended, so that nothing is accepted after it.
func (t *tickets) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.all() {
		r.cancel()
	}
	t.wg.Wait()
	t.pool.wait()
	t.saveReplays()
	for _, r := range append(slices.Clone(t.all()), *t.retired.Load()...) {
		r.Close()
	}
	t.realms.Store(new([]*realm))
}

// of finds the host of one of this host's principals.
func (t *tickets) of(principal string) *realm {
	for _, r := range t.all() {
		if r.names[principal] {
			return r
		}
	}
	return nil
}

// confOf is the krb5.conf of a principal; nil for one that is not this host's.
func (t *tickets) confOf(principal string) *kerberos.Krb5Conf {
	if r := t.of(principal); r != nil {
		return r.settings.Conf
	}
	return nil
}

func notUs(principal string) error {
	return &kink.KRBError{Code: kink.KRB_AP_ERR_NOT_US, Reason: principal + " is not a principal of this host"}
}

// fetch gets a ticket, from a cache or a KDC. It waits for the network. A
// principal that is not configured any more may still have SAs to delete.
func (t *tickets) fetch(ctx context.Context, f kink.FetchTicket) (kink.Ticket, error) {
	r := t.holder(f.Local)
	if r == nil {
		return nil, notUs(f.Local)
	}
	return r.Fetch(ctx, t.a.o.Now(), rand.Reader, f)
}

// cached is a ticket that is at hand, nil for none: it does not wait behind those that a
// KDC is asked for, which may be down.
func (t *tickets) cached(f kink.FetchTicket) kink.Ticket {
	if r := t.holder(f.Local); r != nil {
		return r.Cached(t.a.o.Now(), f)
	}
	return nil
}

// holder is the host that has the tickets of a principal, a retired one where no other has.
func (t *tickets) holder(principal string) *realm {
	r := t.of(principal)
	for _, old := range slices.Backward(*t.retired.Load()) {
		if r == nil && old.names[principal] {
			r = old
		}
	}
	return r
}

// Accept is part of kink.Kerberos: the host whose principal the ticket names.
func (t *tickets) Accept(now time.Time, apReq []byte, source netip.Addr) (kink.ServerSession, error) {
	last := notUs("nobody")
	for _, r := range t.all() {
		s, err := r.Accept(now, apReq, source)
		var refused *kink.KRBError
		if !errors.As(err, &refused) || refused.Code != kink.KRB_AP_ERR_NOT_US {
			return s, err
		}
		last = err
	}
	return nil, last
}

// TGT is part of kink.Kerberos.
func (t *tickets) TGT(now time.Time, principal string) ([]byte, error) {
	if r := t.of(principal); r != nil {
		return r.TGT(now, principal)
	}
	return nil, notUs(principal)
}

// Error is part of kink.Kerberos.
func (t *tickets) Error(now time.Time, code kink.KRBCode, local string, s kink.ServerSession) ([]byte, error) {
	r := t.of(local)
	if r == nil && len(t.all()) > 0 {
		r = t.all()[0]
	}
	if r == nil {
		return nil, notUs(local)
	}
	return r.Error(now, code, local, s)
}

// ParseError is part of kink.Kerberos.
func (t *tickets) ParseError(octets []byte) (kink.KRBErrorMessage, error) {
	for _, r := range t.all() {
		return r.ParseError(octets)
	}
	return kink.KRBErrorMessage{}, notUs("nobody")
}

// maintain keeps a host's keys and TGTs fresh until it is replaced.
func (t *tickets) maintain(r *realm) {
	ctx, cancel := context.WithCancel(t.a.ctx)
	r.cancel = cancel
	t.wg.Go(func() {
		defer lastWords(t.a.main)
		said := ""
		for ctx.Err() == nil {
			now := t.a.o.Now()
			next, err := r.Maintain(ctx, now, rand.Reader)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && err.Error() != said:
				said = err.Error()
				t.warn("a ticket-granting ticket is missing, and tried for again", err)
			case err == nil && said != "":
				said = ""
				t.a.trace(areaKINK, trace.Event{Tag: trace.Info, Text: "all ticket-granting tickets are there again"})
			}
			select {
			case <-ctx.Done():
			case <-time.After(max(next.Sub(now), maintainLeast)):
			}
		}
	})
}

func (t *tickets) warn(text string, err error) {
	t.a.trace(areaKINK, trace.Event{Tag: trace.InternalWarn, Text: text, Attrs: []trace.Attr{{Key: "error", Value: err.Error()}}})
}
