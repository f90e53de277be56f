package dns

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"racoon2/resolver"
)

// Config is what a Proxy is made of.
type Config struct {
	// Rand is where IDs, ports, letters and jitter come from; nil: the system's.
	// It has to be unpredictable, and safe for concurrent use.
	Rand io.Reader
	// Notify gets the core's NamesChanged and Trace, in order, from one goroutine.
	// It may call Input.
	Notify func(resolver.Effect)
	// Control is called with every socket before it is bound, so that it can be
	// kept out of IPsec policies; nil: nothing is done.
	Control func(network, address string, c syscall.RawConn) error
	// RootCAs vouch for upstreams over TLS; nil: the system's.
	RootCAs *x509.CertPool
	// Panicked is told once, when the core panics; clients get no more answers.
	Panicked func(value any, stack []byte)
}

// Proxy drives one resolver core: its sockets, its clock and its upstreams. All
// methods are safe for concurrent use.
type Proxy struct {
	c        Config
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
	upstream *upstreams
	clients  sync.Pool
	counters counters
	ttls     atomic.Pointer[ttlRange]

	mu     sync.Mutex // guards what follows
	core   *resolver.Resolver
	out    resolver.Outbox
	timer  *time.Timer
	armed  time.Time
	asks   map[uint64]context.CancelFunc
	dead   bool
	closed bool

	notices notices

	listening sync.Mutex // guards what follows
	udp       map[netip.AddrPort]*udpListener
	tcp       map[netip.AddrPort]*tcpListener
	slots     tcpSlots
}

// New makes a proxy that listens nowhere and knows no upstream. Close ends it.
func New(c Config) *Proxy {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	p := &Proxy{
		c:       c,
		core:    resolver.New(resolver.Config{Rand: c.Rand}),
		asks:    make(map[uint64]context.CancelFunc),
		udp:     make(map[netip.AddrPort]*udpListener),
		tcp:     make(map[netip.AddrPort]*tcpListener),
		clients: sync.Pool{New: func() any { return new(client) }},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.noteTTLs()
	p.upstream = newUpstreams(p)
	p.notices.ready = make(chan struct{}, 1)
	p.timer = time.AfterFunc(time.Hour, func() { p.Input(resolver.Timeout{}) })
	p.timer.Stop()
	p.work.Go(p.notify)
	return p
}

// Close ends all work and waits for it. Clients that wait get no answer.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.timer.Stop()
	p.mu.Unlock()
	p.cancel()
	_ = p.Listen(nil)
	p.upstream.close()
	p.work.Wait()
}

// Input hands the core an input and does its effects.
func (p *Proxy) Input(in resolver.Input) {
	var replies [4]resolver.Effect
	for _, e := range p.handle(in, replies[:0]) {
		p.perform(e)
	}
}

// Look runs a question about the core, or a change of its servers, while
// nothing else touches it. The core must not be kept.
func (p *Proxy) Look(f func(r *resolver.Resolver, now time.Time)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || p.closed {
		return errClosed
	}
	f(p.core, time.Now())
	return nil
}

var errClosed = errors.New("the resolver has stopped")

// handle runs the core. What starts and ends at upstreams is done at once, so
// that no Cancel overtakes its Ask; replies, whose order does not matter, are
// returned, to be sent without the lock.
func (p *Proxy) handle(in resolver.Input, replies []resolver.Effect) []resolver.Effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || p.closed {
		return nil
	}
	defer p.caught()
	p.core.Handle(time.Now(), in, &p.out)
	if _, ok := in.(resolver.Reconfigure); ok {
		p.noteTTLs()
	}
	for i, e := range p.out.Effects {
		p.out.Effects[i] = nil
		switch e := e.(type) {
		case resolver.Reply, resolver.Drop:
			replies = append(replies, e)
		case resolver.Ask:
			p.startAsk(e)
		case resolver.Cancel:
			p.endAsk(e.ID)
		default:
			p.notices.add(e)
		}
	}
	p.out.Effects = p.out.Effects[:0]
	p.arm()
	return replies
}

// noteTTLs keeps the range of TTLs for those who write answers.
func (p *Proxy) noteTTLs() {
	floor, ceiling := p.core.CacheTTL()
	p.ttls.Store(&ttlRange{floor, ceiling})
}

// arm sets the timer for the core's deadline.
func (p *Proxy) arm() {
	at, ok := p.core.Deadline()
	if !ok {
		at = time.Time{}
	}
	if at.Equal(p.armed) && (!ok || at.After(time.Now())) {
		return
	}
	p.armed = at
	if !ok {
		p.timer.Stop()
		return
	}
	// A core whose deadline does not move must not spin.
	p.timer.Reset(max(time.Until(at), time.Millisecond))
}

// startAsk puts a question to an upstream, beside everything else.
func (p *Proxy) startAsk(a resolver.Ask) {
	ctx, cancel := context.WithTimeout(p.ctx, askTime)
	p.asks[a.ID] = cancel
	p.work.Go(func() {
		answer, err := p.upstream.ask(ctx, a.Upstream, a.Question)
		ended := ctx.Err() != nil
		cancel()
		p.mu.Lock()
		delete(p.asks, a.ID)
		p.mu.Unlock()
		switch {
		case err == nil:
			answer.Ask = a.ID
			p.Input(answer)
		case !ended:
			p.Input(resolver.AskFailed{Ask: a.ID, Reason: err.Error()})
		}
	})
}

func (p *Proxy) endAsk(id uint64) {
	if cancel := p.asks[id]; cancel != nil {
		cancel()
		delete(p.asks, id)
	}
}

// perform answers a client.
func (p *Proxy) perform(e resolver.Effect) {
	switch e := e.(type) {
	case resolver.Reply:
		e.Client.(*client).reply(p, &e)
	case resolver.Drop:
		e.Client.(*client).done(p)
	}
}

// ---- notices ----

// maxNotices bounds the trace events that wait; what changes names always does.
const maxNotices = 4096

// notices are the effects for Config.Notify.
type notices struct {
	mu      sync.Mutex
	waiting []resolver.Effect
	lost    uint64
	ready   chan struct{}
}

func (n *notices) add(e resolver.Effect) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, isTrace := e.(resolver.Trace); isTrace && len(n.waiting) >= maxNotices {
		n.lost++
		return
	}
	n.waiting = append(n.waiting, e)
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// notify hands notices over until the proxy ends.
func (p *Proxy) notify() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.notices.ready:
		}
		p.notices.mu.Lock()
		batch := p.notices.waiting
		p.notices.waiting = nil
		p.notices.mu.Unlock()
		for _, e := range batch {
			if p.c.Notify != nil {
				p.c.Notify(e)
			}
		}
	}
}

// ---- counters ----

// counters are raised without the lock.
type counters struct {
	malformed, forged, overTCP, unsent, refusedTCP atomic.Uint64
}

// Counters says what happened on the sockets since New, by reason.
func (p *Proxy) Counters() map[string]uint64 {
	p.notices.mu.Lock()
	lost := p.notices.lost
	p.notices.mu.Unlock()
	return map[string]uint64{
		"dns_query_malformed": p.counters.malformed.Load(),
		"dns_answer_forged":   p.counters.forged.Load(),
		"dns_ask_over_tcp":    p.counters.overTCP.Load(),
		"dns_reply_unsent":    p.counters.unsent.Load(),
		"dns_tcp_refused":     p.counters.refusedTCP.Load(),
		"dns_trace_lost":      lost,
	}
}

// Listen serves clients on these addresses from now on, UDP and TCP, and on no
// others. Addresses that stay are not touched. Those that cannot be bound are
// in the error; the others serve.
func (p *Proxy) Listen(addrs []netip.AddrPort) error {
	p.listening.Lock()
	defer p.listening.Unlock()
	wanted := make(map[netip.AddrPort]bool, len(addrs))
	for _, a := range addrs {
		wanted[a] = true
	}
	for a, l := range p.udp {
		if !wanted[a] {
			l.close()
			delete(p.udp, a)
		}
	}
	for a, l := range p.tcp {
		if !wanted[a] {
			l.close()
			delete(p.tcp, a)
		}
	}
	var errs []error
	for _, a := range addrs {
		if err := p.ctx.Err(); err != nil {
			return errClosed
		}
		if err := p.listen(a); err != nil {
			errs = append(errs, fmt.Errorf("DNS clients are not served on %v: %w", a, err))
		}
	}
	return errors.Join(errs...)
}

// listen opens what is missing for one address.
func (p *Proxy) listen(a netip.AddrPort) error {
	if p.udp[a] == nil {
		l, err := p.listenUDP(a)
		if err != nil {
			return err
		}
		p.udp[a] = l
	}
	if p.tcp[a] == nil {
		l, err := p.listenTCP(a)
		if err != nil {
			return err
		}
		p.tcp[a] = l
	}
	return nil
}
