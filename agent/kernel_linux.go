package agent

import (
	"racoon2/kernel"
	"racoon2/kernel/userspace"
	"racoon2/kernel/xfrm"
)

// candidates are Linux's backends in the order of preference.
func candidates(ikePorts []uint16) []candidate {
	return []candidate{
		{"xfrm", "the kernel added and deleted an ESP SA", func() (kernel.Backend, error) {
			if err := xfrm.Probe(); err != nil {
				return nil, err
			}
			return xfrm.New()
		}},
		{"userspace", "ESP runs in this process over a TUN device", func() (kernel.Backend, error) {
			return userspace.New(userspace.Options{IKEPorts: ikePorts})
		}},
	}
}
