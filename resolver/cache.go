package resolver

import (
	"net/netip"
	"time"
)

// entry is one answer.
type entry struct {
	question   Question
	rcode      RCode
	octets     []byte
	authentic  bool
	since      time.Time
	expires    time.Time
	life       time.Duration
	recheck    time.Time    // stale, the upstreams are not asked again before
	names      []*name      // the watched names on its chain
	known      []netip.Addr // what it says of them
	local      bool         // made here: no octets
	yields     bool         // local, unless the name is watched
	addresses  []netip.Addr // of a local answer
	ptr        []string     // of a local answer
	prev, next *entry
}

// live says whether all watched names that the answer has addresses of still
// have those: a policy stands for them, or they are in their grace.
func (e *entry) live() bool {
	for _, n := range e.names {
		if n.dead {
			return false
		}
		for _, a := range e.known {
			if n.addrs[a] == nil {
				return false
			}
		}
	}
	return true
}

// good says that it is an answer and no failure.
func (e *entry) good() bool { return e.rcode == NoError || e.rcode == NXDomain }

// The bounds of the cache beside the number of answers.
const (
	maxCached    = 16 << 10 // octets of one answer
	octetsEach   = 1 << 10  // octets of all, for each answer that may be there
	keysForAName = 8        // A and AAAA, with and without DO and CD
)

// cache keeps answers, the least recently used of which goes first.
type cache struct {
	size    int
	entries map[Question]*entry
	octets  int
	ring    entry // ring.next is the newest
}

// resize sets the number of answers, and drops those beyond it.
func (c *cache) resize(size int) {
	c.size = size
	if c.entries == nil {
		c.clear()
	}
	c.shrink()
}

// clear forgets everything.
func (c *cache) clear() {
	c.entries = make(map[Question]*entry)
	c.octets = 0
	c.ring.next, c.ring.prev = &c.ring, &c.ring
}

// get finds an answer, whatever its age, and counts it as used.
func (c *cache) get(q Question) *entry {
	e := c.entries[q]
	if e != nil {
		c.use(e)
	}
	return e
}

// use counts an answer as used.
func (c *cache) use(e *entry) {
	if c.ring.next != e {
		e.unlink()
		c.link(e)
	}
}

// put keeps an answer in place of the one before.
func (c *cache) put(e *entry) {
	if old := c.entries[e.question]; old != nil {
		c.remove(old)
	}
	if c.size == 0 || len(e.octets) > maxCached {
		return
	}
	c.entries[e.question] = e
	c.octets += len(e.octets)
	c.link(e)
	c.shrink()
}

// forget drops every answer about a name's addresses.
func (c *cache) forget(name string) {
	q := Question{Name: name}
	for i := range keysForAName {
		q.Type, q.DNSSECOK, q.CheckingDisabled = TypeA, i&1 != 0, i&2 != 0
		if i&4 != 0 {
			q.Type = TypeAAAA
		}
		if e := c.entries[q]; e != nil {
			c.remove(e)
		}
	}
}

func (c *cache) shrink() {
	for len(c.entries) > c.size || c.octets > c.size*octetsEach && len(c.entries) > 0 {
		c.remove(c.ring.prev)
	}
}

func (c *cache) remove(e *entry) {
	delete(c.entries, e.question)
	c.octets -= len(e.octets)
	e.unlink()
}

func (c *cache) link(e *entry) {
	e.prev, e.next = &c.ring, c.ring.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}
