package agent

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"

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

// exemptForeign takes a socket past the policies of an agent that runs beside this
// process, on whatever backend. One that may not do so does without.
func exemptForeign(s kernel.Socket, applicationBypass bool) {
	_ = userspace.Exempt(s)
	if applicationBypass {
		_ = xfrm.Exempt(s)
	}
}

// xfrmCounters are what the host has dropped, by the kernel's own names
// ("XfrmInNoStates"). A kernel without CONFIG_XFRM_STATISTICS does not say.
func xfrmCounters() map[string]uint64 {
	text, err := os.ReadFile("/proc/self/net/xfrm_stat")
	if err != nil {
		return nil
	}
	out := make(map[string]uint64)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 2 {
			continue
		}
		if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
			out[f[0]] = n
		}
	}
	return out
}
