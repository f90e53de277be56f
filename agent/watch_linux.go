package agent

import (
	"time"

	"racoon2/kernel/netlink/route"
)

// mainTable is the routing table whose changes say nothing about addresses.
const mainTable = 254

// calmTime passes between a change and the look at it, since changes come in
// swarms.
const calmTime = 200 * time.Millisecond

// startWatch looks at the addresses of this host whenever the kernel says that
// something changed.
func (a *Agent) startWatch() {
	m, err := route.Watch()
	if err != nil {
		a.main.Warn("changes of addresses are looked for from time to time only", "error", err)
		a.wg.Go(a.pollAddresses)
		return
	}
	a.wg.Go(func() {
		<-a.ctx.Done()
		m.Close()
	})
	a.wg.Go(func() {
		for a.ctx.Err() == nil {
			if m.Wait(mainTable) != nil {
				return
			}
			select {
			case <-a.ctx.Done():
				return
			case <-time.After(calmTime):
				a.addressesChanged()
			}
		}
	})
}
