package agent

import "time"

// pollTime is how often addresses are looked at where the system does not tell.
const pollTime = 10 * time.Second

func (a *Agent) pollAddresses() {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-tick.C:
			a.addressesChanged()
		}
	}
}

// pause waits; it says false when the agent ends.
func pause[T any](a *Agent, c <-chan T) bool {
	select {
	case <-a.ctx.Done():
		return false
	case <-c:
		return true
	}
}
