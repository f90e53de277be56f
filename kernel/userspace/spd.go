package userspace

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"racoon2/kernel"
)

const (
	// acquireInterval is the shortest time between two Acquire events for the
	// same traffic.
	acquireInterval = time.Second
	// acquireKeys bounds the destinations that a policy tells apart for that.
	acquireKeys = 256
	// queuePackets and queueTime bound what waits for an SA, for each policy.
	queuePackets = 8
	queueTime    = time.Second
)

// policy is an SPD entry with what waits for its SA.
type policy struct {
	kernel.Policy
	added time.Time

	mu       sync.Mutex
	acquired map[acquireKey]time.Time
	queue    []waiting
}

// waiting is a packet that came before its SA.
type waiting struct {
	octets []byte
	since  time.Time
}

// spd is the security policy database (RFC 4301 §4.4.1). The core's lock
// guards it.
type spd struct {
	in, out []*policy // the strongest first
	id      kernel.PolicyID
}

// add installs a policy; with replace it takes the place of the one with the
// same selector and direction.
func (d *spd) add(now time.Time, p kernel.Policy, replace bool) (*policy, error) {
	if err := capabilities.CheckPolicy(p); err != nil {
		return nil, err
	}
	if t := p.Templates; len(t) == 1 && t[0].Proto == kernel.IPComp && t[0].Mode == kernel.Tunnel {
		// What does not get smaller would have to go out as IP in IP.
		return nil, fmt.Errorf("policy %v %v: a tunnel of IPComp alone: %w", p.Direction, p.Selector, kernel.ErrUnsupported)
	}
	old := d.find(p.Selector, p.Direction)
	switch {
	case old != nil && !replace:
		return nil, fmt.Errorf("policy %v %v: %w", p.Direction, p.Selector, kernel.ErrExists)
	case old != nil:
		p.ID = old.ID
		d.remove(old)
	default:
		d.id++
		p.ID = d.id
	}
	p.Templates = slices.Clone(p.Templates)
	n := &policy{Policy: p, added: now}
	list := d.list(p.Direction)
	// Among policies of one priority the older one is the stronger.
	at, _ := slices.BinarySearchFunc(*list, n, func(a, b *policy) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), -1)
	})
	*list = slices.Insert(*list, at, n)
	return n, nil
}

func (d *spd) list(direction kernel.Direction) *[]*policy {
	if direction == kernel.In {
		return &d.in
	}
	return &d.out
}

// find returns the policy with a selector and direction, nil when there is none.
func (d *spd) find(s kernel.Selector, direction kernel.Direction) *policy {
	for _, p := range *d.list(direction) {
		if p.Selector == s && p.Direction == direction {
			return p
		}
	}
	return nil
}

func (d *spd) remove(p *policy) {
	list := d.list(p.Direction)
	*list = slices.DeleteFunc(*list, func(q *policy) bool { return q == p })
}

// match is the strongest policy for a packet, nil when there is none. For a
// fragment, hidden says that a policy for some ports, or for a protocol that cannot
// be seen, comes first that might or might not cover it: it must not pass as it is
// (RFC 4301 §7).
func (d *spd) match(direction kernel.Direction, p *packet) (found *policy, hidden bool) {
	for _, q := range *d.list(direction) {
		if p.fragment && q.looksFor(p) {
			if q.mayCover(p) {
				return nil, true
			}
			continue
		}
		if q.Selector.Matches(p.sel) {
			return q, false
		}
	}
	return nil, false
}

// looksFor says that the policy is for what not each fragment of a packet has in it.
func (p *policy) looksFor(fragment *packet) bool {
	s := &p.Selector
	return !s.SrcPort.Any() || !s.DstPort.Any() || s.Proto != 0 && fragment.hidesProto()
}

// mayCover says whether the policy covers a fragment, but for what it hides.
func (p *policy) mayCover(packet *packet) bool {
	s, of := p.Selector, packet.sel
	if packet.hidesProto() {
		s.Proto, of.Proto = 0, 0
	}
	s.SrcPort, s.DstPort = kernel.AnyPort, kernel.AnyPort
	of.SrcPort, of.DstPort = kernel.AnyPort, kernel.AnyPort
	return s.Matches(of)
}

// acquireKey tells apart what is asked for: in transport mode by destination,
// and in a bundle by protocol.
type acquireKey struct {
	dst   netip.Addr
	proto kernel.Protocol
}

// acquire says whether an Acquire event is due for a packet.
func (p *policy) acquire(now time.Time, dst netip.Addr, proto kernel.Protocol) bool {
	key := acquireKey{dst, proto}
	if p.Templates[0].Mode == kernel.Tunnel {
		key.dst = netip.Addr{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, known := p.acquired[key]; known && now.Sub(last) < acquireInterval {
		return false
	}
	if p.acquired == nil || len(p.acquired) >= acquireKeys {
		p.acquired = make(map[acquireKey]time.Time)
	}
	p.acquired[key] = now
	return true
}

// hold keeps a packet until its SA is there; the oldest gives way.
func (p *policy) hold(now time.Time, octets []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == queuePackets {
		p.queue = slices.Delete(p.queue, 0, 1)
	}
	p.queue = append(p.queue, waiting{slices.Clone(octets), now})
}

// release gives back what was held and is not too old, because an SA has come:
// the acquires are answered, and the loss of that SA asks anew at once.
func (p *policy) release(now time.Time) []waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := p.queue
	p.queue, p.acquired = nil, nil
	return slices.DeleteFunc(ready, func(w waiting) bool { return now.Sub(w.since) > queueTime })
}

// policies is a copy of all policies, inbound first, the strongest first.
func (d *spd) policies() []kernel.Policy {
	all := make([]kernel.Policy, 0, len(d.in)+len(d.out))
	for _, list := range [][]*policy{d.in, d.out} {
		for _, p := range list {
			copied := p.Policy
			copied.Templates = slices.Clone(p.Templates)
			all = append(all, copied)
		}
	}
	return all
}
