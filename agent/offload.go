package agent

import (
	"net/netip"
	"sync/atomic"

	"racoon2/kernel"
	"racoon2/policy"
)

// devices knows which network interface has an address of this host.
type devices struct {
	interfaces atomic.Pointer[[]policy.Interface]
}

// set takes over the addresses of this host.
func (d *devices) set(host []policy.Interface) { d.interfaces.Store(&host) }

// of names the interface that has an address; "" when none has.
func (d *devices) of(addr netip.Addr) string {
	host := d.interfaces.Load()
	if host == nil || !addr.IsValid() {
		return ""
	}
	for _, i := range *host {
		for _, p := range i.Addrs {
			if p.Addr() == addr.Unmap().WithZone("") {
				return i.Name
			}
		}
	}
	return ""
}

// offloading is a backend that is told which device to leave the work to: the
// one that has this host's end of an SA. The engines know addresses, not devices.
type offloading struct {
	kernel.Backend
	devices *devices
}

// Submit fills in the device where offloading is asked for.
func (o *offloading) Submit(r kernel.Request) {
	switch op := r.Op.(type) {
	case kernel.AddSA:
		o.placeSA(&op.SA)
		r.Op = op
	case kernel.UpdateSA:
		o.placeSA(&op.SA)
		r.Op = op
	case kernel.AddPolicy:
		o.placePolicy(&op.Policy)
		r.Op = op
	case kernel.UpdatePolicy:
		o.placePolicy(&op.Policy)
		r.Op = op
	}
	o.Backend.Submit(r)
}

func (o *offloading) placeSA(sa *kernel.SA) {
	if sa.Offload == kernel.NoOffload || sa.Device != "" {
		return
	}
	local := sa.Dst
	if sa.Direction == kernel.Out {
		local = sa.Src
	}
	sa.Device = o.devices.of(local)
}

func (o *offloading) placePolicy(p *kernel.Policy) {
	if p.Offload == kernel.NoOffload || p.Device != "" {
		return
	}
	src, dst := p.Selector.Src.Addr(), p.Selector.Dst.Addr()
	if len(p.Templates) > 0 && p.Templates[0].Mode == kernel.Tunnel {
		src, dst = p.Templates[0].Src, p.Templates[0].Dst
	}
	if p.Direction == kernel.Out {
		p.Device = o.devices.of(src)
	} else {
		p.Device = o.devices.of(dst)
	}
}

// Warnings are the backend's, where it has any.
func (o *offloading) Warnings() []string {
	if w, ok := o.Backend.(interface{ Warnings() []string }); ok {
		return w.Warnings()
	}
	return nil
}

// Counters are the backend's, where it has any.
func (o *offloading) Counters() map[string]uint64 {
	if k, ok := o.Backend.(interface{ Counters() map[string]uint64 }); ok {
		return k.Counters()
	}
	return nil
}
