package agent

import "racoon2/kernel/netlink/route"

// mainTable is the routing table whose changes say nothing about addresses.
const mainTable = 254

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
			a.addressesChanged()
		}
	})
}
