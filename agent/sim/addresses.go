package sim

import (
	"net/netip"
	"slices"

	"racoon2/ikev2"
	"racoon2/policy"
)

// Readdress gives the host other addresses, as a network manager does. Without any
// the host is off the network.
func (h *Host) Readdress(addrs ...netip.Addr) {
	h.addrs = slices.Clone(addrs)
	if !h.alive {
		return
	}
	h.tellAddresses()
	h.policyInput(policy.Addresses{Interfaces: h.interfaces()})
	// What the macros stand for is compiled anew, as agent does.
	compiled, err := h.compile(h.spec.Config)
	if err != nil {
		h.w.note(line{host: h.Name, text: "with the new addresses: " + err.Error()})
		return
	}
	h.compiled = compiled
	for _, s := range h.shards {
		h.engineInput(s, ikev2.Reconfigure{Settings: compiled.IKEv2})
	}
	h.policyInput(policy.Reconfigure{Settings: compiled.Policy})
}

// tellAddresses tells the engines which addresses there are.
func (h *Host) tellAddresses() {
	for _, s := range h.shards {
		h.engineInput(s, ikev2.LocalAddresses{Addrs: slices.Clone(h.addrs)})
	}
}
