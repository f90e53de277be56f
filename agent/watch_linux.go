package agent

import (
	"time"

	"racoon2/kernel/netlink/route"
)

// noTable is no routing table's number: changes in all of them are of interest,
// for the way to a peer may be another one.
const noTable = 0

// calmTime passes between a change and the look at it, since changes come in
// swarms, and restTime between two looks.
const (
	calmTime = 200 * time.Millisecond
	restTime = 500 * time.Millisecond
)

// startWatch looks at the addresses of this host, and the ways to peers that may
// be moved, whenever the kernel says that something changed.
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
	changed := make(chan struct{}, 1)
	a.wg.Go(func() {
		for m.Wait(noTable) == nil {
			select {
			case changed <- struct{}{}:
			default: // the look that is to come sees this, too
			}
		}
	})
	a.wg.Go(func() {
		for pause(a, changed) && pause(a, time.After(calmTime)) {
			a.addressesChanged()
			if !pause(a, time.After(restTime)) {
				return
			}
		}
	})
}
