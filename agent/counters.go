package agent

import (
	"maps"
	"sync"

	"racoon2/kernel/trace"
)

// counters counts events by reason. Reasons come from closed sets, so the map
// stays small.
type counters struct {
	mu sync.Mutex
	by map[string]uint64
}

func (c *counters) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[string]uint64)
	}
	c.by[reason]++
}

func (c *counters) snapshot() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.by)
}

// trace counts an event under its area and reason and logs it. The engines
// count their own.
func (a *Agent) trace(area string, e trace.Event) {
	switch {
	case e.Reason == "" || area == areaIKEv2 || area == areaKINK:
	case area == "agent":
		a.counters.add(e.Reason)
	default:
		a.counters.add(area + "." + e.Reason)
	}
	a.watchers.publish(area, e)
	a.log.Trace(area, e)
}
