package agent

import (
	"context"
	"errors"
	"maps"
	"sync"

	"racoon2/kernel"
)

// errKernelClosed says that the backend was closed while somebody asked it.
var errKernelClosed = errors.New("the kernel backend is closed")

// pump carries a backend's results and events to their owners. It knows who
// owns which SA from the operations that succeeded, since a kernel's events
// name the SA and nobody else.
type pump struct {
	backend kernel.Backend
	result  func(kernel.Result)                // to the owner in the request
	policy  func(kernel.Event)                 // Acquire, PolicyDeleted, Resync
	owned   func(kernel.Owner, kernel.Event)   // Expire, Mapping, Deleted
	all     func(kernel.Event)                 // Flushed
	stray   func(what string, ev kernel.Event) // events that nobody owns
	lost    func()                             // after a Resync: events may have been lost

	// owners is the pump goroutine's own, with mu for those who read along.
	mu     sync.Mutex
	owners map[kernel.SAID]kernel.Owner

	asking map[uint64]chan<- kernel.Result // the agent's own questions, by serial
	serial uint64
	closed bool
}

func newPump(b kernel.Backend) *pump {
	return &pump{
		backend: b,
		owners:  make(map[kernel.SAID]kernel.Owner),
		asking:  make(map[uint64]chan<- kernel.Result),
	}
}

// run pumps until the backend is closed.
func (p *pump) run() {
	results, events := p.backend.Results(), p.backend.Events()
	for results != nil || events != nil {
		select {
		case r, ok := <-results:
			if !ok {
				results = nil
				continue
			}
			p.takeResult(r)
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			p.takeEvent(ev)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for serial, c := range p.asking {
		close(c)
		delete(p.asking, serial)
	}
}

// takeResult notes owners and passes the result on.
func (p *pump) takeResult(r kernel.Result) {
	if r.Err == nil {
		p.note(r.Request)
	}
	if r.Request.Owner.Engine != kernel.NoEngine {
		p.result(r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.asking[r.Request.Owner.Serial]; c != nil {
		delete(p.asking, r.Request.Owner.Serial)
		c <- r
	}
}

// note keeps the map of owners.
func (p *pump) note(r kernel.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch op := r.Op.(type) {
	case kernel.AddSA:
		p.owners[op.SA.SAID] = r.Owner
	case kernel.UpdateSA:
		if old := op.Old(); old != op.SA.SAID {
			delete(p.owners, old)
			p.owners[op.SA.SAID] = r.Owner
		}
	case kernel.DeleteSA:
		delete(p.owners, op.ID)
	case kernel.FlushSA:
		p.forget(op.Proto)
	}
}

// forget drops the owners of all SAs of a protocol; mu is held.
func (p *pump) forget(proto kernel.Protocol) {
	for id := range p.owners {
		if proto == 0 || id.Proto == proto {
			delete(p.owners, id)
		}
	}
}

// takeEvent finds out whom an event concerns.
func (p *pump) takeEvent(ev kernel.Event) {
	switch e := ev.(type) {
	case kernel.Acquire, kernel.PolicyDeleted:
		p.policy(ev)
	case kernel.Resync:
		p.policy(ev)
		p.lost()
	case kernel.Expire:
		p.toOwner(e.ID, ev, e.Hard)
	case kernel.Mapping:
		p.toOwner(e.ID, ev, false)
	case kernel.Deleted:
		p.toOwner(e.ID, ev, true)
	case kernel.Flushed:
		p.mu.Lock()
		p.forget(e.Proto)
		p.mu.Unlock()
		p.all(ev)
	}
}

// toOwner passes an event to the owner of an SA; gone says that the SA is no more.
func (p *pump) toOwner(id kernel.SAID, ev kernel.Event, gone bool) {
	p.mu.Lock()
	owner, ok := p.owners[id]
	if gone {
		delete(p.owners, id)
	}
	p.mu.Unlock()
	if !ok {
		p.stray("an SA that is not ours", ev)
		return
	}
	p.owned(owner, ev)
}

// missing lists the SAs that were ours before a dump was made and are not in it.
func missing(before map[kernel.SAID]kernel.Owner, dump []kernel.SAState) map[kernel.SAID]kernel.Owner {
	for _, sa := range dump {
		delete(before, sa.SAID)
	}
	return before
}

// gone tells an SA's owner that it is no more.
func (p *pump) gone(id kernel.SAID) { p.toOwner(id, kernel.Deleted{ID: id}, true) }

// snapshot copies the map of owners.
func (p *pump) snapshot() map[kernel.SAID]kernel.Owner {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.owners)
}

// ask submits an operation of the agent's own and waits for its result.
func (p *pump) ask(ctx context.Context, op kernel.Op) (kernel.Result, error) {
	answer := make(chan kernel.Result, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return kernel.Result{}, errKernelClosed
	}
	p.serial++
	serial := p.serial
	p.asking[serial] = answer
	p.mu.Unlock()

	p.backend.Submit(kernel.Request{Owner: kernel.Owner{Engine: kernel.NoEngine, Serial: serial}, Op: op})
	select {
	case r, ok := <-answer:
		if !ok {
			return kernel.Result{}, errKernelClosed
		}
		return r, r.Err
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.asking, serial)
		p.mu.Unlock()
		return kernel.Result{}, ctx.Err()
	}
}
