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
