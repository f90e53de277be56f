//go:build !linux

package agent

// startWatch looks at the addresses of this host from time to time.
func (a *Agent) startWatch() { a.wg.Go(a.pollAddresses) }
