package ikev2

import (
	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// NON_FIRST_FRAGMENTS_ALSO (RFC 7296 §1.3.1): a tunnel for some ports carries fragments
// in which those cannot be seen only where both ends have said so. This host says so
// where its kernel can tell whether the whole packet is the SA's traffic
// (RFC 4301 §7.3), and it is about what it would take: its own kernels send whole
// packets on such SAs.

// fragmentsAlso says that this host takes non-first fragments of a child's traffic,
// and that it is a question at all.
func (c *Child) fragmentsAlso(s trafficSet) bool {
	return c.Fragments && c.Mode == kernel.Tunnel && (somePorts(s.local) || somePorts(s.remote))
}

// somePorts says that a selector looks at ports, or at what stands in their place.
func somePorts(list []message.TrafficSelector) bool {
	for _, t := range list {
		if t.Protocol != 0 && !anyPorts(t) && !opaque(t) {
			return true
		}
	}
	return false
}

// agreesOnFragments says that a message has the notification.
func (m *received) agreesOnFragments() bool {
	return m.notification(message.NON_FIRST_FRAGMENTS_ALSO) != nil
}
