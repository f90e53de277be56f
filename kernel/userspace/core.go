package userspace

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"racoon2/kernel"
)

// core is SAD, SPD and the packet path between them, without any I/O: what
// goes where is decided here, and done by who calls it. Its methods may be
// called from several goroutines.
type core struct {
	emit   func(...kernel.Event)
	counts counters

	fragments      reassembly // leaving
	arrived        reassembly // out of tunnels
	codecs         codecs
	identification atomic.Uint32 // of IPv4 packets that AH covers

	mu  sync.RWMutex // the packet path reads; operations and Tick write
	sad sad
	spd spd
}

func newCore(emit func(...kernel.Event)) *core {
	c := &core{emit: emit, sad: newSAD()}
	c.identification.Store(rand.Uint32())
	return c
}

// apply carries out one operation. pathMTU says how large packets to a peer may be.
func (c *core) apply(now time.Time, r kernel.Request, pathMTU func(netip.Addr) int) kernel.Result {
	result := kernel.Result{Request: r}
	switch op := r.Op.(type) {
	case kernel.AddSA:
		mtu := defaultPathMTU
		if peer := peerOf(op.SA); peer.IsValid() {
			mtu = pathMTU(peer) // asks the host: not under the lock
		}
		c.locked(func() { _, result.Err = c.sad.add(now, op.SA, mtu) })
		// The owner has its own copy; a request that comes back must not carry keys.
		op.SA.EncrKey, op.SA.IntegKey = nil, nil
		result.Request.Op = op
	case kernel.UpdateSA:
		mtu := defaultPathMTU
		if peer := peerOf(op.SA); peer.IsValid() {
			mtu = pathMTU(peer)
		}
		c.locked(func() {
			x, err := c.sad.update(op)
			if err == nil {
				x.pathMTU = mtu
			}
			result.Err = err
		})
	case kernel.GetSPI:
		c.locked(func() { result.SPI, result.Err = c.sad.reserve(now, op) })
	case kernel.DeleteSA:
		c.locked(func() { result.Err = c.deleteSA(op.ID) })
	case kernel.FlushSA:
		c.locked(func() { c.flushSA(op.Proto) })
	case kernel.GetSA, kernel.DumpSA, kernel.DumpPolicy:
		c.report(op, &result)
	case kernel.AddPolicy:
		c.locked(func() { result.Policy, result.Err = c.addPolicy(now, op.Policy, false) })
	case kernel.UpdatePolicy:
		c.locked(func() { result.Policy, result.Err = c.addPolicy(now, op.Policy, true) })
	case kernel.DeletePolicy:
		c.locked(func() { result.Policy, result.Err = c.deletePolicy(op) })
	case kernel.Migrate:
		result.Policy, result.Err = c.migrate(op, pathMTU)
	default:
		result.Err = fmt.Errorf("operation %T: %w", r.Op, kernel.ErrUnsupported)
	}
	return result
}

func (c *core) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *core) deleteSA(id kernel.SAID) error {
	x := c.sad.find(id)
	if x == nil {
		return fmt.Errorf("%v: %w", id, kernel.ErrNotFound)
	}
	c.sad.remove(x)
	return nil
}

func (c *core) flushSA(proto kernel.Protocol) {
	for _, x := range c.sad.all() {
		if proto == 0 || x.Proto == proto {
			c.sad.remove(x)
		}
	}
	for id := range c.sad.in { // reservations too
		if proto == 0 || id.Proto == proto {
			delete(c.sad.in, id)
		}
	}
}

func (c *core) addPolicy(now time.Time, p kernel.Policy, replace bool) (kernel.PolicyID, error) {
	added, err := c.spd.add(now, p, replace)
	if err != nil {
		return 0, err
	}
	return added.ID, nil
}

func (c *core) deletePolicy(op kernel.DeletePolicy) (kernel.PolicyID, error) {
	p := c.spd.find(op.Selector, op.Direction)
	if p == nil {
		return 0, fmt.Errorf("policy %v %v: %w", op.Direction, op.Selector, kernel.ErrNotFound)
	}
	c.spd.remove(p)
	return p.ID, nil
}

// report answers the operations that only look.
func (c *core) report(op kernel.Op, result *kernel.Result) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch op := op.(type) {
	case kernel.GetSA:
		x := c.sad.find(op.ID)
		if x == nil || x.reserved {
			result.Err = fmt.Errorf("%v: %w", op.ID, kernel.ErrNotFound)
			return
		}
		result.SAs = []kernel.SAState{x.state()}
	case kernel.DumpSA:
		for _, x := range c.sad.all() {
			result.SAs = append(result.SAs, x.state())
		}
	case kernel.DumpPolicy:
		result.Policies = c.spd.policies()
	}
}

// policies is a copy of the SPD, inbound first.
func (c *core) policies() []kernel.Policy {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.spd.policies()
}

// tick lets time pass: it tells limits that were reached, ends what is over,
// and says when to come back.
func (c *core) tick(now time.Time) (next time.Time) {
	var events []kernel.Event
	sooner := func(since time.Time, bound time.Duration) {
		if t := since.Add(bound); bound > 0 && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	c.locked(func() {
		for id, x := range c.sad.in {
			if x.reserved && now.Sub(x.added) >= x.Hard.Time {
				delete(c.sad.in, id)
			}
		}
		for _, x := range c.sad.all() {
			if e, told := c.age(now, x); told {
				events = append(events, e)
			}
			if !x.dying {
				sooner(x.added, x.Soft.Time)
			}
			if !x.dead {
				sooner(x.added, x.Hard.Time)
			}
		}
		events = append(events, c.agePolicies(now, sooner)...)
	})
	c.emit(events...)
	return next
}

// age tells an SA's limits; a hard one ends it. The caller holds the lock.
func (c *core) age(now time.Time, x *sa) (kernel.Event, bool) {
	x.mu.Lock()
	soft, hard := x.limits(now)
	dead := x.dead
	x.mu.Unlock()
	if dead {
		c.sad.remove(x)
	}
	return x.expire(hard), soft || hard
}

func (c *core) agePolicies(now time.Time, sooner func(time.Time, time.Duration)) (events []kernel.Event) {
	for _, list := range [][]*policy{c.spd.in, c.spd.out} {
		for _, p := range append([]*policy(nil), list...) {
			if p.Lifetime.Time > 0 && now.Sub(p.added) >= p.Lifetime.Time {
				c.spd.remove(p)
				events = append(events, kernel.PolicyDeleted{ID: p.ID, Selector: p.Selector, Direction: p.Direction})
				continue
			}
			sooner(p.added, p.Lifetime.Time)
		}
	}
	return events
}

// expire is the event about a limit.
func (s *sa) expire(hard bool) kernel.Event {
	return kernel.Expire{ID: s.SAID, ReqID: s.ReqID, Hard: hard}
}

// setPathMTU notes what packets to a peer may measure from now on.
func (c *core) setPathMTU(mtu func(netip.Addr) int) {
	peers := make(map[netip.Addr]int)
	c.mu.RLock()
	for _, x := range c.sad.all() {
		peers[x.peer()] = 0
	}
	c.mu.RUnlock()
	for peer := range peers {
		peers[peer] = mtu(peer)
	}
	c.locked(func() {
		for _, x := range c.sad.all() {
			if m, known := peers[x.peer()]; known {
				x.pathMTU = m
			}
		}
	})
}

// waiting gives back the packets that waited for an SA of a request ID, unless
// another one of their bundle is still missing.
func (c *core) waiting(now time.Time, reqID uint32) (ready [][]byte) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.spd.out {
		if !slices.ContainsFunc(p.Templates, func(t kernel.Template) bool { return t.ReqID == reqID || t.ReqID == 0 }) ||
			slices.ContainsFunc(p.Templates, c.sad.lacks) {
			continue
		}
		for _, w := range p.release(now) {
			ready = append(ready, w.octets)
		}
	}
	return ready
}
