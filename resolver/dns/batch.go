package dns

import (
	"errors"
	"net/netip"
	"runtime/debug"
	"syscall"
	"time"

	"racoon2/resolver"
)

// batchSize is how many questions are taken, and answers given, at a time.
const batchSize = 32

// retryPause keeps a socket that fails again and again from taking a processor.
const retryPause = 10 * time.Millisecond

// batch is one reader of a socket: the questions that wait there are taken
// together, looked up in the cache together, and those that it answers are
// answered together. The others go their own ways.
type batch struct {
	l     *udpListener
	io    packets
	names nameTable

	clients [batchSize]*client
	from    [batchSize]netip.AddrPort
	asking  []int // questions for the resolver
	rest    []int // those that the cache did not answer
	replies [batchSize]resolver.Reply
}

func newBatch(l *udpListener, io packets) *batch {
	b := &batch{l: l, io: io}
	for i := range b.clients {
		b.clients[i] = b.client()
	}
	return b
}

// client is one for a question.
func (b *batch) client() *client { return b.l.proxy.clients.Get().(*client) }

// run reads questions until the listener ends. An error that is about one
// client ends nothing.
func (b *batch) run() {
	defer b.io.close()
	for {
		n, err := b.io.read()
		switch {
		case b.l.closing.Load() || b.l.proxy.ctx.Err() != nil:
			return
		case err != nil:
			if !errors.Is(err, syscall.EINTR) {
				time.Sleep(retryPause)
			}
		default:
			b.serve(n)
		}
	}
}

// serve takes the questions that were read.
func (b *batch) serve(n int) {
	b.asking, b.rest = b.asking[:0], b.rest[:0]
	for i := range n {
		msg, from := b.io.question(i)
		if !from.IsValid() {
			continue
		}
		b.from[i] = from
		answer, asks := b.clients[i].read(b.l.proxy, msg, &b.names)
		switch {
		case asks:
			b.asking = append(b.asking, i)
		case answer != nil:
			b.io.answer(i, answer)
		}
	}
	if len(b.asking) > 0 {
		b.lookUp()
	}
	if unsent := b.io.flush(); unsent > 0 {
		b.l.proxy.counters.unsent.Add(uint64(unsent))
	}
	for _, i := range b.rest {
		c := b.clients[i]
		b.clients[i] = b.client()
		c.udp, c.addr, c.source = b.l, b.from[i], b.io.source(i)
		b.l.proxy.Input(resolver.Query{Client: c, From: c.addr.Addr(), Question: c.query.question})
	}
}

// lookUp answers what the cache knows.
func (b *batch) lookUp() {
	p := b.l.proxy
	known := p.cached(b)
	ttls := *p.ttls.Load()
	for at, i := range b.asking {
		if !known[at] {
			b.rest = append(b.rest, i)
			continue
		}
		c := b.clients[i]
		b.io.answer(i, c.query.respond(c.buffer(), &b.replies[i], ttls, c.query.size))
		b.replies[i] = resolver.Reply{}
	}
}

// cached asks the core for all of a batch at once.
func (p *Proxy) cached(b *batch) (known [batchSize]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || p.closed {
		return known
	}
	defer p.caught()
	now := time.Now()
	for at, i := range b.asking {
		known[at] = p.core.Cached(now, b.from[i].Addr(), &b.clients[i].query.question, &b.replies[i])
	}
	return known
}

// caught ends the work of a core that has panicked; mu is held.
func (p *Proxy) caught() {
	if value := recover(); value != nil {
		p.dead = true
		if p.c.Panicked != nil {
			p.c.Panicked(value, debug.Stack())
		}
	}
}
