package fake

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// bundle is IPComp, ESP and AH with the mode given at the innermost, for traffic
// from A to B.
func bundle(mode kernel.Mode, protos ...kernel.Protocol) []kernel.Template {
	var templates []kernel.Template
	for i, proto := range protos {
		t := kernel.Template{Proto: proto, Mode: kernel.Transport, Level: kernel.Require, ReqID: 7}
		if i == 0 && mode == kernel.Tunnel {
			t.Mode, t.Src, t.Dst = kernel.Tunnel, addrA, addrB
		}
		templates = append(templates, t)
	}
	return templates
}

// layer is the SA of a bundle's template.
func layer(t kernel.Template, d kernel.Direction) kernel.SA {
	sa := tunnelSA(0x1000+kernel.SPI(t.Proto), d, "key")
	sa.Proto, sa.Mode, sa.Selector = t.Proto, t.Mode, kernel.Selector{}
	switch t.Proto {
	case kernel.AH:
		sa.Encr, sa.EncrKey, sa.Integ, sa.IntegKey = 0, nil, transform.AUTH_HMAC_SHA2_256_128, []byte("mac key")
	case kernel.IPComp:
		sa.Encr, sa.EncrKey, sa.Replay, sa.Comp = 0, nil, 0, transform.COMP_DEFLATE
	}
	return sa
}

// bundled is two hosts, A and B, with a bundle for traffic from A to B.
func bundled(t *testing.T, templates []kernel.Template) (r *rig, p Packet) {
	r = &rig{t: t, now: start, a: New("a"), b: New("b")}
	selector := traffic("192.0.2.1/32", "192.0.2.2/32")
	for k, d := range map[*Kernel]kernel.Direction{r.a: kernel.Out, r.b: kernel.In} {
		r.do(k, kernel.AddPolicy{Policy: kernel.Policy{
			Selector: selector, Direction: d, Action: kernel.Protect, Priority: 10, Templates: templates, MSS: 1200,
		}})
	}
	return r, packet("192.0.2.1", "192.0.2.2", 1)
}

func TestBundles(t *testing.T) {
	for _, protos := range [][]kernel.Protocol{
		{kernel.AH}, {kernel.IPComp}, {kernel.ESP, kernel.AH}, {kernel.IPComp, kernel.ESP},
		{kernel.IPComp, kernel.AH}, {kernel.IPComp, kernel.ESP, kernel.AH},
	} {
		for _, mode := range []kernel.Mode{kernel.Transport, kernel.Tunnel} {
			templates := bundle(mode, protos...)
			r, p := bundled(t, templates)
			for i, template := range templates {
				d, events := r.a.Output(r.now, p)
				if d != nil || len(events) != 1 || events[0].(kernel.Acquire).Template != template {
					t.Errorf("%v %v without SA %d: %+v, %v", protos, mode, i, d, events)
				}
				r.do(r.b, kernel.AddSA{SA: layer(template, kernel.In)})
				r.do(r.a, kernel.AddSA{SA: layer(template, kernel.Out)})
			}
			d, _ := r.a.Output(r.now, p)
			if got, _ := r.b.Input(r.now, d); got == nil || len(d.Layers) != len(protos) {
				t.Errorf("%s was not delivered: %v", d.Name(), r.b.Drops())
			}
			// Too small to be compressed.
			p.Octets = threshold - 1
			d, _ = r.a.Output(r.now, p)
			if got, _ := r.b.Input(r.now, d); got == nil {
				t.Errorf("%s, small, was not delivered: %v", d.Name(), r.b.Drops())
			}
			// A transform that the policy wants is left out.
			p.Octets = 100
			d, _ = r.a.Output(r.now, p)
			last := len(d.Layers) - 1
			wants := DropInNoPolicy
			if d.Layers = d.Layers[:last]; last == 0 {
				wants = DropInClear
			}
			got, _ := r.b.Input(r.now, d)
			if protos[len(protos)-1] == kernel.IPComp {
				if got == nil {
					t.Errorf("%v %v: IPComp alone is no protection, but %v", protos, mode, r.b.Drops())
				}
				continue
			}
			if got != nil {
				t.Errorf("%s: delivered though %v is missing", d.Name(), protos[last])
			}
			r.drops(r.b, wants, 1)
		}
	}
}

func TestAHCoversAddresses(t *testing.T) {
	templates := bundle(kernel.Transport, kernel.AH)
	r, p := bundled(t, templates)
	r.do(r.b, kernel.AddSA{SA: layer(templates[0], kernel.In)})
	r.do(r.a, kernel.AddSA{SA: layer(templates[0], kernel.Out)})
	d, _ := r.a.Output(r.now, p)
	d.Src = netip.MustParseAddr("198.51.100.1") // a NAT
	if got, _ := r.b.Input(r.now, d); got != nil {
		t.Error("AH lets a NAT change the address")
	}
	r.drops(r.b, DropInIntegrity, 1)
}

func TestMigrate(t *testing.T) {
	templates := bundle(kernel.Tunnel, kernel.IPComp, kernel.ESP)
	r, p := bundled(t, templates)
	for _, template := range templates {
		r.do(r.b, kernel.AddSA{SA: layer(template, kernel.In)})
		r.do(r.a, kernel.AddSA{SA: layer(template, kernel.Out)})
	}
	r.carry(p)
	moved := netip.MustParseAddr("198.51.100.7")
	for k, d := range map[*Kernel]kernel.Direction{r.a: kernel.Out, r.b: kernel.In} {
		for _, template := range templates {
			m := kernel.Migrate{
				Selector: traffic("192.0.2.1/32", "192.0.2.2/32"), Direction: d, Proto: template.Proto, Mode: template.Mode,
				ReqID: 7, OldSrc: addrA, OldDst: addrB, NewSrc: moved, NewDst: addrB,
			}
			r.do(k, m)
			if template.Mode == kernel.Tunnel {
				if err := k.Apply(r.now, kernel.Request{Op: m}).Err; !errors.Is(err, kernel.ErrNotFound) {
					t.Errorf("a second time: %v", err)
				}
			}
		}
	}
	if got := r.carry(p); got == nil {
		t.Errorf("after the move: %v", r.b.Drops())
	}
	for _, k := range []*Kernel{r.a, r.b} {
		for _, s := range r.do(k, kernel.DumpSA{}).SAs {
			if s.Src != moved || s.Packets != 2 {
				t.Errorf("%s: %v, %d packets", k.Name, s.SA, s.Packets)
			}
		}
		if p := r.do(k, kernel.DumpPolicy{}).Policies[0]; p.Templates[0].Src != moved || p.MSS != 1200 {
			t.Errorf("%s: %+v", k.Name, p)
		}
	}
	for name, change := range map[string]func(*kernel.Migrate){
		"address": func(m *kernel.Migrate) { m.NewDst = netip.Addr{} },
		"family":  func(m *kernel.Migrate) { m.NewDst = netip.MustParseAddr("2001:db8::1") },
		"mode":    func(m *kernel.Migrate) { m.Mode = 0 },
		"encap":   func(m *kernel.Migrate) { m.Encap = &kernel.Encap{} },
		"mark":    func(m *kernel.Migrate) { m.Binding.Mark = kernel.Mark{Value: 1, Mask: 1} },
	} {
		m := kernel.Migrate{
			Selector: traffic("192.0.2.1/32", "192.0.2.2/32"), Direction: kernel.Out, Proto: kernel.IPComp, Mode: kernel.Tunnel,
			OldSrc: moved, OldDst: addrB, NewSrc: addrA, NewDst: addrB,
		}
		change(&m)
		if err := r.a.Apply(r.now, kernel.Request{Op: m}).Err; err == nil {
			t.Errorf("wrong %s: no error", name)
		}
	}
}

// TestBindings: who switches the capabilities on gets what ties policies to
// marks and interfaces as part of their names, and no effect.
func TestBindings(t *testing.T) {
	r := newRig(t)
	r.a.Capabilities.Marks, r.a.Capabilities.IfID = true, true
	p := kernel.Policy{
		Selector: traffic("172.16.0.0/16", "172.17.0.0/16"), Direction: kernel.Out, Action: kernel.Discard,
		Binding: kernel.Binding{IfID: 5, Mark: kernel.Mark{Value: 1, Mask: 0xff}},
	}
	first := r.do(r.a, kernel.AddPolicy{Policy: p}).Policy
	p.IfID = 6
	if second := r.do(r.a, kernel.UpdatePolicy{Policy: p}).Policy; second == first {
		t.Error("another if_id, and it is the same policy")
	}
	del := kernel.DeletePolicy{Selector: p.Selector, Direction: kernel.Out, Binding: p.Binding}
	events, err := r.a.Foreign(r.now, del)
	if err != nil || !reflect.DeepEqual(events[0].(kernel.PolicyDeleted).Binding, p.Binding) {
		t.Errorf("%v, %v", events, err)
	}
	if err := r.a.Apply(r.now, kernel.Request{Op: del}).Err; !errors.Is(err, kernel.ErrNotFound) {
		t.Error(err)
	}
}

func TestCPIs(t *testing.T) {
	r := newRig(t)
	seen := map[kernel.SPI]bool{}
	for range 5000 {
		cpi := r.do(r.a, kernel.GetSPI{Src: addrB, Dst: addrA, Proto: kernel.IPComp, Mode: kernel.Tunnel}).SPI
		if cpi < firstCPI || cpi > lastCPI || seen[cpi] {
			t.Fatalf("CPI %d", cpi)
		}
		seen[cpi] = true
	}
	if err := r.a.Apply(r.now, kernel.Request{Op: kernel.GetSPI{Src: addrB, Dst: addrA, Proto: 99}}).Err; !errors.Is(err, kernel.ErrUnsupported) {
		t.Error(err)
	}
}
