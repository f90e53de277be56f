package fake

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

var (
	start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	addrA = netip.MustParseAddr("192.0.2.1")
	addrB = netip.MustParseAddr("192.0.2.2")
)

func TestAcquireFailsClosed(t *testing.T) {
	r := newRig(t)
	p := packet("10.0.0.5", "10.0.1.5", 1)
	d, events := r.a.Output(r.now, p)
	if d != nil {
		t.Errorf("protected traffic left without an SA: %+v", d)
	}
	acquire, ok := events[0].(kernel.Acquire)
	if len(events) != 1 || !ok || acquire.Packet != p.Selector || acquire.Template.ReqID != 7 || acquire.Policy == 0 {
		t.Errorf("events %+v", events)
	}
	r.drops(r.a, DropOutNoSA, 1)
	if d, events := r.a.Output(r.now, packet("10.0.0.5", "198.51.100.1", 2)); d == nil || d.Protected() || events != nil {
		t.Errorf("traffic without a policy: %+v, %v", d, events)
	}
}

func TestPacketsFlow(t *testing.T) {
	r := newRig(t)
	r.pair(nil)
	p := packet("10.0.0.5", "10.0.1.5", 1)
	if got := r.carry(p); got == nil || *got != p {
		t.Errorf("delivered %+v; %v", got, r.b.Drops())
	}
	s := r.do(r.b, kernel.GetSA{ID: kernel.SAID{Dst: addrB, Proto: kernel.ESP, SPI: 0x1000}}).SAs[0]
	if s.Packets != 1 || s.Bytes != 100 || s.LastUsed != start || s.EncrKey != nil {
		t.Errorf("state %+v", s)
	}
}

func TestInputDrops(t *testing.T) {
	for _, c := range []struct {
		drop   Drop
		change func(out, in *kernel.SA)
		damage func(*Datagram)
	}{
		{DropInIntegrity, func(out, in *kernel.SA) { in.EncrKey = []byte("other") }, nil},
		{DropInIntegrity, func(out, in *kernel.SA) { in.ESN = true }, nil},
		{DropInNoSA, nil, func(d *Datagram) { d.Layers[0].SPI++ }},
		{DropInEncap, func(out, in *kernel.SA) { in.Encap = &kernel.Encap{Local: 4500, Remote: 4500} }, nil},
		{DropInEncap, func(out, in *kernel.SA) { out.Encap = &kernel.Encap{Local: 4500, Remote: 4500} }, nil},
		{DropInSelector, nil, func(d *Datagram) { d.Inner = packet("10.0.0.5", "10.0.2.5", 1) }},
		{DropInNoPolicy, func(out, in *kernel.SA) { in.Selector = kernel.Selector{} },
			func(d *Datagram) { d.Inner = packet("10.0.0.5", "10.0.2.5", 1) }},
		{DropInNoPolicy, func(out, in *kernel.SA) { in.ReqID = 8 }, nil},
		{DropInReplay, nil, func(d *Datagram) { d.Layers[0].Seq = 0 }},
		{DropInSequence, nil, func(d *Datagram) { d.Layers[0].Seq = 1 << 32 }},
		{DropInClear, nil, func(d *Datagram) { d.Layers = nil }},
	} {
		r := newRig(t)
		r.pair(c.change)
		d, _ := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", 1))
		if c.damage != nil {
			c.damage(d)
		}
		if got, _ := r.b.Input(r.now, d); got != nil {
			t.Errorf("%s: delivered %+v", c.drop, got)
		}
		r.drops(r.b, c.drop, 1)
	}
}

func TestReplay(t *testing.T) {
	r := newRig(t)
	r.pair(nil)
	var sent []*Datagram
	for i := range 200 {
		d, _ := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", uint64(i)))
		sent = append(sent, d)
	}
	for _, step := range []struct {
		index int
		taken bool
	}{{0, true}, {0, false}, {5, true}, {3, true}, {3, false}, {199, true}, {136, true}, {135, false}, {136, false}, {198, true}} {
		got, _ := r.b.Input(r.now, sent[step.index])
		if (got != nil) != step.taken {
			t.Errorf("datagram %d: taken %v", step.index, got != nil)
		}
	}
	r.drops(r.b, DropInReplay, 4)
}

func TestWindowForgets(t *testing.T) {
	w := newWindow(64)
	for seq := uint64(1); seq < 10000; seq++ {
		if !w.fresh(seq) {
			t.Fatalf("%d is not fresh", seq)
		}
		w.note(seq)
	}
	if len(w.seen) > 129 {
		t.Errorf("the window remembers %d numbers", len(w.seen))
	}
	none := newWindow(0)
	none.note(1)
	if !none.fresh(1) || !none.fresh(0) {
		t.Error("a window of 0 refuses")
	}
}

func TestSequenceNeverWraps(t *testing.T) {
	r := newRig(t)
	r.pair(nil)
	x := r.a.sas[kernel.SAID{Dst: addrB, Proto: kernel.ESP, SPI: 0x1000}]
	x.seq = 1<<32 - 2
	if d, _ := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", 1)); d == nil || d.Layers[0].Seq != 1<<32-1 {
		t.Errorf("the last number: %+v", d)
	}
	if d, _ := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", 1)); d != nil {
		t.Errorf("after the last number: %+v", d)
	}
	r.drops(r.a, DropOutSequence, 1)
	x.ESN = true
	if d, _ := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", 1)); d == nil || d.Layers[0].Seq != 1<<32 {
		t.Errorf("with extended numbers: %+v", d)
	}
}

func TestLifetimes(t *testing.T) {
	r := newRig(t)
	r.pair(func(out, in *kernel.SA) {
		out.Soft, out.Hard = kernel.Lifetime{Bytes: 200}, kernel.Lifetime{Bytes: 300}
		in.Soft, in.Hard = kernel.Lifetime{Time: time.Minute}, kernel.Lifetime{Time: time.Hour}
	})
	id := kernel.SAID{Dst: addrB, Proto: kernel.ESP, SPI: 0x1000}
	soft, hard := kernel.Expire{ID: id, ReqID: 7}, kernel.Expire{ID: id, ReqID: 7, Hard: true}
	for i, want := range [][]kernel.Event{nil, {soft}, {hard}} {
		if _, got := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", 1)); !reflect.DeepEqual(got, want) {
			t.Errorf("packet %d: %v, want %v", i, got, want)
		}
	}
	for _, want := range []struct {
		at     time.Duration
		events []kernel.Event
	}{{time.Minute, []kernel.Event{soft}}, {time.Hour, []kernel.Event{hard}}} {
		next, ok := r.b.Deadline()
		if !ok || next != start.Add(want.at) {
			t.Fatalf("deadline %v, %v", next, ok)
		}
		if got := r.b.Tick(next.Add(-1)); got != nil {
			t.Errorf("early: %v", got)
		}
		if got := r.b.Tick(next); !reflect.DeepEqual(got, want.events) {
			t.Errorf("%v: %v, want %v", want.at, got, want.events)
		}
	}
	if _, ok := r.b.Deadline(); ok {
		t.Error("a deadline is left")
	}
}

func TestReservation(t *testing.T) {
	r := newRig(t)
	get := kernel.GetSPI{Src: addrA, Dst: addrB, Proto: kernel.ESP, Mode: kernel.Tunnel, ReqID: 7}
	spi := r.do(r.b, get).SPI
	if other := r.do(r.b, get).SPI; spi < 256 || other == spi {
		t.Errorf("SPIs %v and %v", spi, other)
	}
	if all := r.do(r.b, kernel.DumpSA{}).SAs; len(all) != 0 {
		t.Errorf("reservations are dumped: %v", all)
	}
	r.do(r.b, kernel.AddSA{SA: tunnelSA(spi, kernel.In, "key")})
	if got := r.b.Tick(start.Add(reservationTime)); len(got) != 1 {
		t.Errorf("the unused reservation: %v", got)
	}
	if all := r.do(r.b, kernel.DumpSA{}).SAs; len(all) != 1 || all[0].SPI != spi {
		t.Errorf("SAs %v", all)
	}
}

func TestMapping(t *testing.T) {
	r := newRig(t)
	r.pair(func(out, in *kernel.SA) {
		out.Encap = &kernel.Encap{Local: 4500, Remote: 4500}
		in.Encap = &kernel.Encap{Local: 4500, Remote: 4500}
	})
	moved := netip.MustParseAddrPort("198.51.100.9:1024")
	for i := range 3 {
		d, _ := r.a.Output(r.now, packet("10.0.0.5", "10.0.1.5", 1))
		d.Src, d.SrcPort = moved.Addr(), moved.Port()
		got, events := r.b.Input(r.now, d)
		if (i == 0) != (len(events) == 1) {
			t.Errorf("packet %d: %v", i, events)
		}
		if i == 0 && events[0].(kernel.Mapping).New != moved {
			t.Errorf("events %v", events)
		}
		if i == 2 && got == nil { // after the update below
			t.Errorf("the moved SA delivers nothing: %v", r.b.Drops())
		}
		if i == 1 {
			sa := tunnelSA(0x1000, kernel.In, "")
			sa.Src, sa.Encap = moved.Addr(), &kernel.Encap{Local: 4500, Remote: moved.Port()}
			r.do(r.b, kernel.UpdateSA{SA: sa})
			for i := range r.b.policies { // the policy moves with the SA
				r.b.policies[i].Templates[0].Src = moved.Addr()
			}
		}
	}
	out := tunnelSA(0x1000, kernel.Out, "")
	was := out.Dst
	out.Dst = moved.Addr()
	r.do(r.a, kernel.UpdateSA{SA: out, OldDst: was})
	if r.a.sas[out.SAID] == nil || len(r.a.sas) != 1 {
		t.Error("the outbound SA did not move to its new destination")
	}
}

func TestPriorityAndActions(t *testing.T) {
	r := newRig(t)
	add := func(d kernel.Direction, action kernel.Action, priority uint32, src, dst string) {
		r.do(r.a, kernel.AddPolicy{Policy: kernel.Policy{
			Selector: traffic(src, dst), Direction: d, Action: action, Priority: priority,
		}})
	}
	add(kernel.Out, kernel.Bypass, 50, "10.0.0.9/32", "10.0.1.0/24")
	add(kernel.Out, kernel.Discard, 200, "10.0.0.0/8", "0.0.0.0/0")
	add(kernel.In, kernel.Discard, 200, "0.0.0.0/0", "10.0.0.0/8")
	if d, _ := r.a.Output(r.now, packet("10.0.0.9", "10.0.1.5", 1)); d == nil || d.Protected() {
		t.Errorf("bypass: %+v", d)
	}
	if d, _ := r.a.Output(r.now, packet("10.0.0.9", "10.9.1.5", 1)); d != nil {
		t.Errorf("discard: %+v", d)
	}
	r.drops(r.a, DropOutPolicy, 1)
	if p, _ := r.a.Input(r.now, &Datagram{Inner: packet("10.9.1.5", "10.0.0.9", 1)}); p != nil {
		t.Errorf("discard: %+v", p)
	}
	r.drops(r.a, DropInPolicy, 1)
	if p, _ := r.a.Input(r.now, &Datagram{Inner: packet("198.51.100.1", "192.0.2.1", 1)}); p == nil {
		t.Error("clear traffic without a policy was dropped")
	}
	in := r.do(r.a, kernel.DumpPolicy{}).Policies[0]
	if in.Priority != 50 {
		t.Errorf("the strongest policy is %v", in)
	}
	use := kernel.Policy{
		Selector: traffic("172.16.0.0/16", "172.17.0.0/16"), Direction: kernel.Out, Action: kernel.Protect,
		Templates: []kernel.Template{{Proto: kernel.ESP, Mode: kernel.Transport, Level: kernel.Use}},
	}
	r.do(r.a, kernel.UpdatePolicy{Policy: use})
	use.Selector, use.Direction = use.Selector.Reverse(), kernel.In
	r.do(r.a, kernel.UpdatePolicy{Policy: use})
	r.do(r.a, kernel.UpdatePolicy{Policy: use})
	if d, events := r.a.Output(r.now, packet("172.16.0.1", "172.17.0.1", 1)); d == nil || len(events) != 1 {
		t.Errorf("level use: %+v, %v", d, events)
	}
	if p, _ := r.a.Input(r.now, &Datagram{Inner: packet("172.17.0.1", "172.16.0.1", 1)}); p == nil {
		t.Error("level use: clear traffic was dropped")
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	r.pair(nil)
	r.a.Capabilities.ESN, r.a.Capabilities.Encap, r.a.Capabilities.Forward = false, false, false
	r.a.Capabilities.PortRanges, r.a.Capabilities.MaxReplay, r.a.Capabilities.UpdateSA = false, 32, false
	sa := func(change func(*kernel.SA)) kernel.Op {
		x := tunnelSA(0x2000, kernel.Out, "key")
		x.Replay = 0
		change(&x)
		return kernel.AddSA{SA: x}
	}
	template := kernel.Template{Proto: kernel.ESP, Mode: kernel.Transport, Level: kernel.Require}
	policy := func(change func(*kernel.Policy)) kernel.Op {
		p := kernel.Policy{
			Selector: traffic("172.16.0.0/16", "172.17.0.0/16"), Direction: kernel.Out, Action: kernel.Protect,
			Templates: []kernel.Template{template},
		}
		change(&p)
		return kernel.AddPolicy{Policy: p}
	}
	absent := kernel.SAID{Dst: addrA, Proto: kernel.ESP, SPI: 0x9999}
	any := errors.New("any error")
	for i, c := range []struct {
		op   kernel.Op
		want error
	}{
		{sa(func(x *kernel.SA) { x.SPI = 0x1000 }), kernel.ErrExists},
		{sa(func(x *kernel.SA) { x.SPI = 255 }), any},
		{sa(func(x *kernel.SA) { x.Direction = kernel.Forward }), any},
		{sa(func(x *kernel.SA) { x.Proto = kernel.AH }), any},
		{sa(func(x *kernel.SA) { x.Proto = 99 }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Comp = transform.COMP_DEFLATE }), any},
		{sa(func(x *kernel.SA) { x.IfID = 7 }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Mark = kernel.Mark{Value: 1, Mask: 1} }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Set = kernel.Mark{Value: 1, Mask: 1} }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Offload, x.Device = kernel.OffloadCrypto, "eth0" }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Encr = transform.ENCR_DES }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Integ = transform.AUTH_HMAC_MD5_96 }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.ESN = true }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Replay = 33 }), kernel.ErrUnsupported},
		{sa(func(x *kernel.SA) { x.Encap = &kernel.Encap{} }), kernel.ErrUnsupported},
		{kernel.UpdateSA{SA: tunnelSA(0x1000, kernel.Out, "")}, kernel.ErrUnsupported},
		{kernel.GetSA{ID: absent}, kernel.ErrNotFound},
		{kernel.DeleteSA{ID: absent}, kernel.ErrNotFound},
		{policy(func(p *kernel.Policy) { p.Selector = kernel.Selector{} }), any},
		{policy(func(p *kernel.Policy) { p.Selector = traffic("10.0.0.0/24", "10.0.1.0/24") }), kernel.ErrExists},
		{policy(func(p *kernel.Policy) { p.Direction = kernel.Forward }), kernel.ErrUnsupported},
		{policy(func(p *kernel.Policy) { p.Direction = 0 }), any},
		{policy(func(p *kernel.Policy) { p.Action = 0 }), any},
		{policy(func(p *kernel.Policy) { p.Action = kernel.Bypass }), any},
		{policy(func(p *kernel.Policy) { p.Templates = nil }), any},
		{policy(func(p *kernel.Policy) { p.Templates = append(p.Templates, template) }), any},
		{policy(func(p *kernel.Policy) { p.Templates[0].Proto = 99 }), kernel.ErrUnsupported},
		{policy(func(p *kernel.Policy) { p.IfID = 7 }), kernel.ErrUnsupported},
		{policy(func(p *kernel.Policy) { p.Templates[0].Mode = kernel.Tunnel }), any},
		{policy(func(p *kernel.Policy) { p.Selector.SrcPort.First = 1 }), kernel.ErrUnsupported},
		{kernel.DeletePolicy{Selector: traffic("10.7.0.0/24", "10.8.0.0/24"), Direction: kernel.Out}, kernel.ErrNotFound},
		{nil, kernel.ErrUnsupported},
	} {
		err := r.a.Apply(r.now, kernel.Request{Op: c.op}).Err
		if err == nil || c.want != any && !errors.Is(err, c.want) {
			t.Errorf("row %d, %T: %v, want %v", i, c.op, err, c.want)
		}
	}
	r.a.Capabilities.UpdateSA = true
	if err := r.a.Apply(r.now, kernel.Request{Op: kernel.UpdateSA{SA: tunnelSA(0x3000, kernel.Out, "")}}).Err; !errors.Is(err, kernel.ErrNotFound) {
		t.Error(err)
	}
}

func TestPolicyLifetime(t *testing.T) {
	r := newRig(t)
	p := kernel.Policy{
		Selector: traffic("172.16.0.0/16", "172.17.0.0/16"), Direction: kernel.Out, Action: kernel.Bypass,
		Lifetime: kernel.Lifetime{Time: time.Minute},
	}
	id := r.do(r.a, kernel.AddPolicy{Policy: p}).Policy
	want := []kernel.Event{kernel.PolicyDeleted{ID: id, Selector: p.Selector, Direction: kernel.Out}}
	if got := r.a.Tick(start.Add(time.Minute)); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSameNameSameRun(t *testing.T) {
	get := kernel.Request{Op: kernel.GetSPI{Src: addrA, Dst: addrB, Proto: kernel.ESP}}
	a, again, other := New("a"), New("a"), New("c")
	for range 100 {
		x, y := a.Apply(start, get).SPI, again.Apply(start, get).SPI
		if x != y || x == other.Apply(start, get).SPI {
			t.Fatal("SPIs do not depend on the name alone")
		}
	}
}
