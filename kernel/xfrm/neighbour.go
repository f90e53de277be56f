package xfrm

import (
	"errors"
	"net/netip"
	"syscall"

	"racoon2/kernel"
)

// Neighbour discovery (RFC 4861 §4) is found by policies like other traffic. A
// policy for all traffic between two hosts on one link would hold back the
// advertisement that the first IKE message waits for. So these messages, which
// no router forwards, are exempt as long as a Backend is open.
var neighbourTypes = kernel.PortRange{First: 133, Last: 136}

// neighbourPriority is stronger than any that a policy manager uses.
const neighbourPriority = 1

// neighbourPolicies are the exemptions.
func neighbourPolicies() []kernel.Policy {
	anywhere := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	var all []kernel.Policy
	for _, mask := range neighbourTypes.Split() {
		for _, d := range []kernel.Direction{kernel.In, kernel.Out} {
			all = append(all, kernel.Policy{
				Selector: kernel.Selector{
					Src: anywhere, Dst: anywhere, Proto: 58, SrcPort: mask.Range(), DstPort: kernel.AnyPort,
				},
				Direction: d, Action: kernel.Bypass, Priority: neighbourPriority,
			})
		}
	}
	return all
}

// exemptNeighbours installs the exemptions, or takes over those of a Backend
// that did not end in order.
func (b *Backend) exemptNeighbours() error {
	for _, p := range neighbourPolicies() {
		m, err := addPolicy(msgUpdPolicy, p)
		if err != nil {
			return err
		}
		_, err = b.requests.Execute(m)
		if errors.Is(err, syscall.EAFNOSUPPORT) {
			return nil // without IPv6 there is nothing to exempt
		}
		if err != nil {
			return explain("exemption of neighbour discovery", err)
		}
	}
	return nil
}

// endExemptions removes the exemptions that are still there.
func (b *Backend) endExemptions() {
	for _, p := range neighbourPolicies() {
		// One that somebody else removed is gone as well.
		_ = b.deletePolicy(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction})
	}
}

// isExemption says that a policy is the backend's own, which no core needs to see.
func isExemption(p kernel.Policy) bool {
	return p.Priority == neighbourPriority && p.Action == kernel.Bypass && p.Selector.Proto == 58 &&
		neighbourTypes.Contains(p.Selector.SrcPort) && p.Selector.Src.Bits() == 0 && p.Selector.Dst.Bits() == 0
}
