package agent

import (
	"errors"
	"fmt"
	"strings"

	"racoon2/kernel"
)

// candidate is a backend that this program has.
type candidate struct {
	name  string
	proof string // what its opening has shown
	open  func() (kernel.Backend, error)
}

// The values of Options.Kernel.
const kernelAuto = "auto"

// mustBypass says that a backend cannot do without the exemption of our own
// sockets: in userspace it is what tells our packets from those to be protected.
func mustBypass(b kernel.Backend) bool { return b.Name() == "userspace" }

// kernelCounters are the backend's own, or those of the host's XFRM.
func (a *Agent) kernelCounters() map[string]uint64 {
	if k, ok := a.backend.(interface{ Counters() map[string]uint64 }); ok {
		return k.Counters()
	}
	if a.backend.Name() == "xfrm" {
		return xfrmCounters()
	}
	return nil
}

// openKernel opens the backend of a name, or with "auto" the first that works,
// and says why it is the one. ikePorts are the ports of the agent's sockets,
// which guards have to leave open.
func openKernel(name string, ikePorts []uint16) (b kernel.Backend, why string, err error) {
	return choose(name, candidates(ikePorts))
}

func choose(name string, list []candidate) (kernel.Backend, string, error) {
	if name == "" {
		name = kernelAuto
	}
	var known, failed []string
	for _, c := range list {
		known = append(known, c.name)
		if name != kernelAuto && name != c.name {
			continue
		}
		b, err := c.open()
		if err == nil {
			why := c.proof
			if len(failed) > 0 {
				why = strings.Join(failed, "; ") + "; " + why
			}
			return b, why, nil
		}
		if name == c.name {
			return nil, "", fmt.Errorf("kernel backend %s: %w", name, err)
		}
		failed = append(failed, fmt.Sprintf("%s: %v", c.name, err))
	}
	if name == "pfkey" {
		return nil, "", errors.New("kernel backend pfkey: PF_KEY is the kernel interface of the BSDs, and this version has no backend for it")
	}
	if name != kernelAuto {
		return nil, "", fmt.Errorf("kernel backend %q is none of auto, %s", name, strings.Join(known, ", "))
	}
	if len(list) == 0 {
		return nil, "", fmt.Errorf("this program has no kernel backend for this system")
	}
	return nil, "", fmt.Errorf("no kernel backend works: %s", strings.Join(failed, "; "))
}
