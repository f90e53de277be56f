package agent

import (
	"racoon2/config"
	"racoon2/kernel"
)

// binding compiles what ties a policy to this host beyond its addresses. A mark
// or an interface identifier that the kernel cannot do refuses the
// configuration: without it the policy would be for other traffic. Without the
// rest the traffic is what it was.
func (c *compiler) binding(pol *config.Policy) kernel.Binding {
	b := kernel.Binding{IfID: pol.IfID, Offload: offloadOf(pol.HWOffload)}
	if pol.Mark != nil {
		b.Mark = kernel.Mark(*pol.Mark)
	}
	k := c.o.Kernel
	if k == nil {
		return b
	}
	const xfrm = "use the kernel backend xfrm"
	if b.IfID != 0 && !k.IfID {
		c.find(config.Error, pol.Pos, "if-id", xfrm, "policy %q has an if_id, and this kernel ties no policy to an interface", pol.Name)
	}
	if b.Mark != (kernel.Mark{}) && !k.Marks {
		c.find(config.Error, pol.Pos, "mark", xfrm, "policy %q has a mark, and this kernel has no policies for marked packets", pol.Name)
	}
	if b.Offload != kernel.NoOffload && !k.Offload {
		c.find(config.Warning, pol.Pos, "hw-offload", "", "hw_offload has no effect: this kernel leaves no work to network devices")
		b.Offload = kernel.NoOffload
	}
	return b
}

// policyBinding is what the policies themselves have of a binding: a device that
// does the cipher alone does nothing for them.
func policyBinding(b kernel.Binding) kernel.Binding {
	if b.Offload != kernel.OffloadPacket {
		b.Offload = kernel.NoOffload
	}
	return b
}

// clearBinding is the binding of a policy that protects nothing.
func (c *compiler) clearBinding(pol *config.Policy) kernel.Binding {
	b := c.binding(pol)
	b.Offload = kernel.NoOffload
	return b
}

// segment compiles mss_clamp.
func (c *compiler) segment(pol *config.Policy) uint16 {
	m := pol.MSSClamp
	if m == (config.MSSClamp{}) {
		return 0
	}
	if c.o.Kernel != nil && !c.o.Kernel.MSS {
		c.find(config.Warning, pol.Pos, "mss-clamp", "", "mss_clamp has no effect: this kernel leaves TCP's segments alone")
		return 0
	}
	if m.PathMTU {
		return kernel.MSSFromMTU
	}
	return m.Octets
}

func offloadOf(o config.Offload) kernel.Offload {
	switch o {
	case config.OffloadCrypto:
		return kernel.OffloadCrypto
	case config.OffloadPacket:
		return kernel.OffloadPacket
	}
	return kernel.NoOffload
}
