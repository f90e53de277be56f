package dns

import (
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"racoon2/resolver"
)

// batchSize is how many questions are taken, and answers given, at a time.
const batchSize = 32

// batch is one reader of a socket: the questions that wait there are taken
// together, looked up in the cache together, and those that it answers are
// answered together. The others go their own ways.
type batch struct {
	l     *udpListener
	in    []ipv4.Message
	out   []ipv4.Message
	names nameTable

	clients [batchSize]*client
	from    [batchSize]netip.AddrPort
	asking  []int // questions for the resolver
	rest    []int // those that the cache did not answer
	replies [batchSize]resolver.Reply
}

func newBatch(l *udpListener) *batch {
	b := &batch{l: l, in: make([]ipv4.Message, batchSize), out: make([]ipv4.Message, batchSize)}
	for i := range b.in {
		b.out[i].Buffers = make([][]byte, 1)
		b.in[i].Buffers = [][]byte{make([]byte, maxQuery)}
		if l.any {
			b.in[i].OOB = make([]byte, 128)
		}
		b.clients[i] = b.client()
	}
	return b
}

// client is one for a question.
func (b *batch) client() *client { return b.l.proxy.clients.Get().(*client) }

// run reads questions until the socket is closed. An error that is about one
// client ends nothing.
func (b *batch) run() {
	for {
		n, err := b.l.batches.ReadBatch(b.in, 0)
		switch {
		case err == nil:
			b.serve(n)
		case errors.Is(err, net.ErrClosed) || b.l.proxy.ctx.Err() != nil:
			return
		}
	}
}

// serve takes the questions that were read.
func (b *batch) serve(n int) {
	b.asking, b.rest, b.out = b.asking[:0], b.rest[:0], b.out[:0]
	for i := range n {
		m, c := &b.in[i], b.clients[i]
		addr, ok := m.Addr.(*net.UDPAddr)
		if !ok || addr.Port == 0 {
			continue // nobody can be there
		}
		at := addr.AddrPort()
		b.from[i] = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		answer, asks := c.read(b.l.proxy, m.Buffers[0][:m.N], &b.names)
		switch {
		case asks:
			b.asking = append(b.asking, i)
		case answer != nil:
			b.answer(i, answer)
		}
	}
	if len(b.asking) > 0 {
		b.lookUp()
	}
	b.send()
	for _, i := range b.rest {
		c := b.clients[i]
		b.clients[i] = b.client()
		c.udp, c.addr, c.source = b.l, b.from[i], b.source(i)
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
		b.answer(i, c.query.respond(c.buffer(), &b.replies[i], ttls, c.query.size))
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

// answer queues an answer.
func (b *batch) answer(i int, msg []byte) {
	n := len(b.out)
	b.out = b.out[:n+1]
	m := &b.out[n]
	m.Buffers[0], m.Addr, m.OOB = msg, b.in[i].Addr, b.source(i)
}

// send sends what is queued. An answer that cannot be sent holds up no other.
func (b *batch) send() {
	for left := b.out; len(left) > 0; {
		n, err := b.l.batches.WriteBatch(left, 0)
		if err != nil || n <= 0 {
			b.l.proxy.counters.unsent.Add(1)
			n = 1
		}
		left = left[min(n, len(left)):]
	}
}

// source is the control message that has an answer come from where the question
// went; nil where the socket is bound to one address.
func (b *batch) source(i int) []byte {
	if !b.l.any {
		return nil
	}
	m := &b.in[i]
	if b.l.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(m.OOB[:m.NN]) == nil && cm.Dst != nil {
			return (&ipv6.ControlMessage{Src: cm.Dst, IfIndex: cm.IfIndex}).Marshal()
		}
		return nil
	}
	var cm ipv4.ControlMessage
	if cm.Parse(m.OOB[:m.NN]) == nil && cm.Dst != nil {
		return (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
	}
	return nil
}
