package kink

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// What this host has given up and the peer may still have is owed a DELETE: a pair
// whose CREATE, DELETE or STATUS was never answered. The peer would go on to send into
// an SA that is gone, and no message of KINK tells it (RFC 4430 §3.7: traffic proves
// nothing, and neither does STATUS). So the DELETE is sent when the peer is heard of
// again, and now and then before.

const (
	maxOwed   = 256 // SAs of one peer
	firstOwed = 30 * time.Second
	lastOwed  = 10 * time.Minute // between two tries
)

// debt is what one peer is owed.
type debt struct {
	to    target
	spis  map[owedSPI]time.Time // inbound ones of this host, with the end of the SA's life
	timer timer
	pause time.Duration
	tries bool // a DELETE is under way
}

type owedSPI struct {
	proto kernel.Protocol
	spi   kernel.SPI
}

// owe notes that the peer may still have its half of a pair.
func (sa *pair) owe() {
	e := sa.e
	if e.closing {
		return
	}
	d := e.debts[sa.target.principal]
	if d == nil {
		d = &debt{spis: make(map[owedSPI]time.Time), pause: firstOwed}
		e.debts[sa.target.principal] = d
	}
	d.to = sa.target
	life := sa.lifetime.Time
	if life <= 0 || life > 24*time.Hour {
		life = 24 * time.Hour
	}
	for _, l := range sa.layers {
		if l.spiIn != 0 && len(d.spis) < maxOwed {
			d.spis[owedSPI{l.proto, l.spiIn}] = e.now.Add(life)
		}
	}
	// One that was never heard of is not asked again and again.
	if p := e.peers[sa.target.principal]; p != nil && !p.heard.IsZero() && d.timer.index == 0 && !d.tries {
		e.start(&d.timer, d.pause, func() { e.pay(sa.target.principal) })
	}
}

// pay sends the DELETE.
func (e *Engine) pay(principal string) {
	d := e.debts[principal]
	if d == nil || d.tries || e.closing {
		return
	}
	for id, end := range d.spis {
		if !end.After(e.now) {
			delete(d.spis, id)
		}
	}
	if len(d.spis) == 0 {
		e.forgive(principal)
		return
	}
	d.tries = true
	e.stop(&d.timer)
	list := slices.SortedFunc(maps.Keys(d.spis), func(a, b owedSPI) int {
		return cmp.Or(cmp.Compare(rank(b.proto), rank(a.proto)), cmp.Compare(a.spi, b.spi))
	})
	e.begin(d.to, &owedTask{principal: principal, debt: d, list: list})
}

// forgive drops what a peer is owed: it has restarted, or has paid.
func (e *Engine) forgive(principal string) {
	if d := e.debts[principal]; d != nil {
		e.stop(&d.timer)
		delete(e.debts, principal)
	}
}

// reuse takes an SPI off the list that a new SA has: its old SA cannot be with the peer
// any more when the peer takes the new one.
func (sa *pair) reuse(l *layer) {
	if d := sa.e.debts[sa.target.principal]; d != nil {
		delete(d.spis, owedSPI{l.proto, l.spiIn})
	}
}

// owedTask is a DELETE for SAs that are gone here.
type owedTask struct {
	principal string
	debt      *debt
	list      []owedSPI
}

func (o *owedTask) kind() message.Type     { return message.DELETE }
func (o *owedTask) prepare(t *transaction) { t.send() }

func (o *owedTask) inner() []message.Payload {
	var list []isakmp.Payload
	for i, id := range o.list {
		if i == 0 || id.proto != o.list[i-1].proto {
			list = append(list, isakmp.Delete{Protocol: wireProtocol(id.proto)})
		}
		d := list[len(list)-1].(isakmp.Delete)
		d.SPIs = append(d.SPIs, spiOctets(id.proto, id.spi))
		list[len(list)-1] = d
	}
	q, err := quickMode(list...)
	if err != nil {
		return nil // Deletes of short SPIs can be encoded
	}
	return []message.Payload{q}
}

// reply: deleted or never there, either will do.
func (o *owedTask) reply(t *transaction, _ []message.Payload) {
	e, d := t.e, o.debt
	d.tries = false
	for _, id := range o.list {
		delete(d.spis, id)
	}
	d.pause = firstOwed
	t.done()
	e.trace(trace.Info, reasonChildDown, fmt.Sprintf("%s has deleted %d SAs that were given up here", o.principal, len(o.list)), t.attrs()...)
	if e.debts[o.principal] == d {
		o.later(e)
	}
}

func (o *owedTask) failed(t *transaction, _, _ string) {
	o.debt.tries = false
	if t.e.debts[o.principal] == o.debt {
		o.later(t.e)
	}
}

// later plans the next try.
func (o *owedTask) later(e *Engine) {
	if len(o.debt.spis) == 0 || e.closing {
		e.forgive(o.principal)
		return
	}
	e.start(&o.debt.timer, o.debt.pause, func() { e.pay(o.principal) })
	o.debt.pause = min(2*o.debt.pause, lastOwed)
}
