package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel/trace"
)

// What AddServer and its like can find wrong.
var (
	ErrServerExists   = errors.New("the name server exists")
	ErrServerNotFound = errors.New("the name server does not exist")
	ErrLastServer     = errors.New("it is the last name server")
	ErrTooManyServers = errors.New("there are too many name servers")
)

// maxUpstreams bounds what an operator can add.
const maxUpstreams = 64

// silences in a row after which an upstream is passed over.
const silences = 2

// upstream is one server and its health.
type upstream struct {
	Upstream
	failures int
	until    time.Time // passed over until then
	rtt      time.Duration
}

// setUpstreams takes the servers of the settings, with the health of those that
// stay. What an operator has changed at run time lasts until the settings name
// others.
func (r *Resolver) setUpstreams(list []Upstream) {
	if r.configured != nil && slices.Equal(r.configured, list) {
		return
	}
	r.configured = append([]Upstream{}, list...)
	var ups []*upstream
	for _, u := range list {
		if slices.ContainsFunc(ups, func(o *upstream) bool { return o.Addr == u.Addr }) || len(ups) == maxUpstreams {
			continue
		}
		up := &upstream{Upstream: u}
		if i := slices.IndexFunc(r.upstreams, func(o *upstream) bool { return o.Upstream == u }); i >= 0 {
			up = r.upstreams[i]
		}
		ups = append(ups, up)
	}
	r.upstreams = ups
}

// AddServer adds an upstream behind the others (spmif's NS ADD).
func (r *Resolver) AddServer(u Upstream) error {
	if r.find(u.Addr) >= 0 {
		return fmt.Errorf("%v: %w", u.Addr, ErrServerExists)
	}
	if len(r.upstreams) >= maxUpstreams {
		return ErrTooManyServers
	}
	r.upstreams = append(r.upstreams, &upstream{Upstream: u})
	return nil
}

// DeleteServer removes an upstream, though not the last (spmif's NS DELETE).
func (r *Resolver) DeleteServer(addr netip.AddrPort) error {
	i := r.find(addr)
	if i < 0 {
		return fmt.Errorf("%v: %w", addr, ErrServerNotFound)
	}
	if len(r.upstreams) == 1 {
		return fmt.Errorf("%v: %w", addr, ErrLastServer)
	}
	r.upstreams = slices.Delete(r.upstreams, i, i+1)
	return nil
}

// ChangeServer makes an upstream the one that is asked first (spmif's NS CHANGE).
func (r *Resolver) ChangeServer(addr netip.AddrPort) error {
	i := r.find(addr)
	if i < 0 {
		return fmt.Errorf("%v: %w", addr, ErrServerNotFound)
	}
	u := r.upstreams[i]
	u.failures, u.until = 0, time.Time{}
	r.upstreams = slices.Insert(slices.Delete(r.upstreams, i, i+1), 0, u)
	return nil
}

func (r *Resolver) find(addr netip.AddrPort) int {
	return slices.IndexFunc(r.upstreams, func(u *upstream) bool { return u.Addr == addr })
}

// Servers lists the upstreams in their order (spmif's NS LIST).
func (r *Resolver) Servers(now time.Time) []ServerStatus {
	out := make([]ServerStatus, len(r.upstreams))
	current := false
	for i, u := range r.upstreams {
		out[i] = ServerStatus{Upstream: u.Upstream, Down: u.down(now), Failures: u.failures, RTT: u.rtt}
		out[i].Current = !current && !out[i].Down
		current = current || out[i].Current
	}
	return out
}

func (u *upstream) down(now time.Time) bool { return now.Before(u.until) }

// choose picks whom to ask: the first that is well and has not been asked yet;
// else one that is well; else the one whose pause ends first.
func (r *Resolver) choose(now time.Time, tried []*upstream) *upstream {
	var again, ill *upstream
	for _, u := range r.upstreams {
		switch {
		case u.down(now):
			if ill == nil || u.until.Before(ill.until) {
				ill = u
			}
		case !slices.Contains(tried, u):
			return u
		case again == nil:
			again = u
		}
	}
	// Better one that seems ill than the same again, as long as it is new.
	if ill != nil && (again == nil || !slices.Contains(tried, ill)) {
		return ill
	}
	return again
}

// good counts an answer.
func (u *upstream) good(took time.Duration, out *Outbox) {
	if u.rtt == 0 {
		u.rtt = took
	}
	u.rtt += (took - u.rtt) / 8
	if !u.until.IsZero() {
		out.trace(trace.Info, ReasonUpstreamUp, []string{"server", u.Addr.String()}, "name server %v answers again", u.Addr)
	}
	u.failures, u.until = 0, time.Time{}
}

// bad counts a silence or, at once enough, a failure.
func (u *upstream) bad(r *Resolver, now time.Time, failed bool, why string, out *Outbox) {
	u.failures++
	if u.down(now) || !failed && u.failures < silences {
		return
	}
	pause := r.backoff(u.failures)
	if u.until.IsZero() {
		out.trace(trace.InternalWarn, ReasonUpstreamDown, []string{"server", u.Addr.String(), "why", clip(why)},
			"name server %v: %s; the others are asked before it", u.Addr, clip(why))
	}
	u.until = now.Add(pause)
}
