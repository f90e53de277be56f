//go:build !linux

package agent

import "racoon2/kernel"

// capabilitiesOf knows no backend here.
func capabilitiesOf(name string) (kernel.Capabilities, error) {
	return kernel.Capabilities{}, errNoKernel(name)
}

func xfrmCounters() map[string]uint64 { return nil }

// candidates are the backends for this system.
func candidates([]uint16) []candidate { return nil }

// exemptForeign has no policies to pass here.
func exemptForeign(kernel.Socket, bool) {}
