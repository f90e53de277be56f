package agent

import (
	"racoon2/kernel"
	"racoon2/kernel/userspace"
	"racoon2/kernel/xfrm"
)

// capabilitiesOf says what a backend can do on this host, "auto" the first that
// works.
func capabilitiesOf(name string) (kernel.Capabilities, error) {
	err := xfrm.Probe()
	switch {
	case name == "userspace" || name == kernelAuto && err != nil:
		return userspace.Capabilities(), nil
	case name != "xfrm" && name != kernelAuto:
		return kernel.Capabilities{}, errNoKernel(name)
	case err != nil:
		return kernel.Capabilities{}, err
	}
	b, err := xfrm.New()
	if err != nil {
		return kernel.Capabilities{}, err
	}
	defer b.Close()
	return b.Capabilities(), nil
}

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
