package kerneltest

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// chains are the bundles that can be, the innermost transform first.
var chains = [][]kernel.Protocol{
	{kernel.AH}, {kernel.ESP, kernel.AH}, {kernel.IPComp, kernel.ESP},
	{kernel.IPComp, kernel.AH}, {kernel.IPComp, kernel.ESP, kernel.AH},
}

// carries says whether a backend has a bundle's transforms.
func (e *end) carries(protos []kernel.Protocol) bool {
	c := e.Backend.Capabilities()
	return (len(protos) == 1 || c.Bundles) && (c.AH || !slices.Contains(protos, kernel.AH)) &&
		(slices.Contains(c.Comp, transform.COMP_DEFLATE) || !slices.Contains(protos, kernel.IPComp))
}

// bundle is policy with several templates; the innermost has the mode.
func bundle(from, to netip.Addr, d kernel.Direction, mode kernel.Mode, protos []kernel.Protocol) kernel.Policy {
	p := policy(from, to, d, mode)
	first := p.Templates[0]
	p.Templates = nil
	for i, proto := range protos {
		t := first
		t.Proto = proto
		if i > 0 {
			t.Mode, t.Src, t.Dst = kernel.Transport, netip.Addr{}, netip.Addr{}
		}
		p.Templates = append(p.Templates, t)
	}
	return p
}

// layer is the SA of one of a bundle's templates.
func layer(from, to netip.Addr, spi kernel.SPI, d kernel.Direction, t kernel.Template) kernel.SA {
	x := sa(from, to, spi, d, t.Mode, suites[0])
	x.Proto, x.Selector = t.Proto, kernel.Selector{}
	switch t.Proto {
	case kernel.AH:
		x.Encr, x.EncrKey = 0, nil
		x.Integ, x.IntegKey = transform.AUTH_HMAC_SHA2_256_128, bytes.Repeat([]byte{0xa5}, 32)
	case kernel.IPComp:
		x.Encr, x.EncrKey, x.Replay, x.Comp = 0, nil, 0, transform.COMP_DEFLATE
	}
	return x
}

// raise installs the SAs of a policy from a to b on both hosts.
func raise(a, b *end, p kernel.Policy) (ids []kernel.SAID) {
	a.t.Helper()
	for _, t := range p.Templates {
		spi := b.must(kernel.GetSPI{Src: a.Addr, Dst: b.Addr, Proto: t.Proto, Mode: t.Mode, ReqID: reqID}).SPI
		if t.Proto == kernel.IPComp && (spi < 256 || spi > 61439) {
			a.t.Errorf("CPI %d", spi)
		}
		in := layer(a.Addr, b.Addr, spi, kernel.In, t)
		b.must(kernel.AddSA{SA: in})
		a.must(kernel.AddSA{SA: layer(a.Addr, b.Addr, spi, kernel.Out, t)})
		ids = append(ids, in.SAID)
	}
	return ids
}

// testBundles: AH, and bundles in the order of their templates, carry packets
// that compress, and others.
func testBundles(t *testing.T, a, b *end) {
	for _, mode := range []kernel.Mode{kernel.Transport, kernel.Tunnel} {
		for _, protos := range chains {
			if !a.carries(protos) {
				a.refuse(kernel.AddPolicy{Policy: bundle(a.Addr, b.Addr, kernel.Out, mode, protos)}, kernel.ErrUnsupported)
				continue
			}
			words := []string{mode.String()}
			for _, p := range protos {
				words = append(words, p.String())
			}
			t.Run(strings.Join(words, " "), func(t *testing.T) {
				testBundle(t, &end{t, a.Host}, &end{t, b.Host}, mode, protos)
			})
		}
	}
}

func testBundle(t *testing.T, a, b *end, mode kernel.Mode, protos []kernel.Protocol) {
	out, in := bundle(a.Addr, b.Addr, kernel.Out, mode, protos), bundle(a.Addr, b.Addr, kernel.In, mode, protos)
	a.must(kernel.AddPolicy{Policy: out})
	b.must(kernel.AddPolicy{Policy: in})
	for _, e := range []*end{a, b} {
		want := map[*end]kernel.Policy{a: out, b: in}[e]
		got := e.must(kernel.DumpPolicy{}).Policies
		if len(got) != 1 || !slices.Equal(got[0].Templates, want.Templates) {
			t.Errorf("DumpPolicy gave %+v, want %+v", got, want.Templates)
		}
	}
	a.Send(Port, "too early")
	for event[kernel.Acquire](a).Template != out.Templates[0] { // others are of the bundle before
	}
	a.must(kernel.FlushSA{}) // some kernels keep a larval SA
	ids := raise(a, b, out)
	name := t.Name()
	small, large := name+" small", name+strings.Repeat(" large", 100)
	for _, text := range []string{small, large, "again " + small, "again " + large} {
		a.Send(Port, text)
		b.receive(text) // "too early" may have been kept for its SAs
	}
	for i, id := range ids {
		want := uint64(4)
		if protos[i] == kernel.IPComp {
			want = 2 // small ones are not compressed
		}
		for _, e := range []*end{a, b} {
			got := e.must(kernel.GetSA{ID: id}).SAs[0]
			if got.AuthErr != 0 || got.ReplayErr != 0 || got.Packets < want || got.Proto != protos[i] {
				t.Errorf("%v: %d packets, %d and %d errors", got.SA, got.Packets, got.AuthErr, got.ReplayErr)
			}
			if protos[i] == kernel.AH && got.Integ != transform.AUTH_HMAC_SHA2_256_128 ||
				protos[i] == kernel.IPComp && got.Comp != transform.COMP_DEFLATE {
				t.Errorf("%v: %v, %v", got.SA, got.Integ, got.Comp)
			}
		}
	}
	testIncomplete(t, a, b, out)
	for _, e := range []*end{a, b} {
		e.must(kernel.FlushSA{})
	}
	a.must(kernel.DeletePolicy{Selector: out.Selector, Direction: kernel.Out, Priority: out.Priority})
	b.must(kernel.DeletePolicy{Selector: in.Selector, Direction: kernel.In, Priority: in.Priority})
}

// testIncomplete: what lacks the outermost transform is not delivered.
func testIncomplete(t *testing.T, a, b *end, p kernel.Policy) {
	if len(p.Templates) == 1 || p.Templates[len(p.Templates)-1].Proto == kernel.IPComp {
		return
	}
	less := p
	less.Templates = p.Templates[:len(p.Templates)-1]
	if len(less.Templates) == 1 && less.Templates[0].Proto == kernel.IPComp {
		return // alone it is no protection
	}
	a.must(kernel.UpdatePolicy{Policy: less})
	a.Send(Port, t.Name()+" incomplete")
	a.must(kernel.UpdatePolicy{Policy: p})
	a.Send(Port, t.Name()+" complete")
	b.receive(t.Name()+" complete", t.Name()+" incomplete")
}

// testMigrate: a migration moves policy and SAs, which go on counting.
func testMigrate(t *testing.T, a, b *end) {
	c := a.Backend.Capabilities()
	m := kernel.Migrate{
		Selector: selector(a.Addr, b.Addr), Direction: kernel.Out, Proto: kernel.ESP, Mode: kernel.Tunnel, ReqID: reqID,
		OldSrc: a.Addr, OldDst: b.Addr, NewSrc: a.Second, NewDst: b.Addr,
	}
	if !c.Migrate {
		m.NewSrc = a.Addr
		a.refuse(m, kernel.ErrUnsupported)
		return
	}
	if !a.Second.IsValid() {
		t.Fatal("the host has no second address")
	}
	a.refuse(m, kernel.ErrNotFound)
	protect(a, b, kernel.Tunnel)
	id := join(a, b, kernel.Tunnel, suites[0], nil)
	a.Send(Port, "before")
	b.receive("before")
	a.must(m)
	m.Direction = kernel.In
	b.must(m)
	a.Send(Port, "after")
	b.receive("after")
	for _, e := range []*end{a, b} {
		all := e.must(kernel.DumpSA{}).SAs
		if len(all) != 1 || all[0].Src != a.Second || all[0].SAID != id || all[0].Packets != 2 || all[0].ReplayErr != 0 {
			t.Errorf("SAs %+v", all)
		}
		for _, p := range e.must(kernel.DumpPolicy{}).Policies {
			if p.Templates[0].Src != a.Second || p.Templates[0].Dst != b.Addr {
				t.Errorf("policy %+v", p)
			}
		}
	}
	m.Direction = kernel.Out
	a.refuse(m, kernel.ErrNotFound) // nothing is left at the old end points
	part(a, b, id)
	unprotect(a, b)
}

// testBytes: limits of octets are told, and the hard one ends the SA.
func testBytes(t *testing.T, a, b *end) {
	if !a.Backend.Capabilities().ByteLifetimes {
		return
	}
	protect(a, b, kernel.Tunnel)
	defer unprotect(a, b)
	first := true
	id := join(a, b, kernel.Tunnel, suites[0], func(x *kernel.SA) {
		if !first { // the sender's
			x.Soft.Bytes, x.Hard.Bytes = 1000, 2000
		}
		first = false
	})
	for _, hard := range []bool{false, true} {
		for range 12 { // kernels look at the limits before or after a packet
			a.Send(Port, strings.Repeat("octets ", 20))
		}
		got := event[kernel.Expire](a)
		if want := (kernel.Expire{ID: id, ReqID: reqID, Hard: hard}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	a.refuse(kernel.DeleteSA{ID: id}, kernel.ErrNotFound)
	b.must(kernel.DeleteSA{ID: id})
	a.must(kernel.FlushSA{})
}

// testBindings: what a backend's capabilities do not name it refuses; what they
// name tells policies apart and comes back.
func testBindings(t *testing.T, a, b *end) {
	c := a.Backend.Capabilities()
	mark := kernel.Mark{Value: 0x10, Mask: 0xf0}
	for _, x := range []struct {
		name string
		of   kernel.Binding
		can  bool
	}{
		{"if_id", kernel.Binding{IfID: 42}, c.IfID},
		{"mark", kernel.Binding{Mark: mark}, c.Marks},
		{"mark to set", kernel.Binding{Set: mark}, c.Marks},
		{"offload", kernel.Binding{Offload: kernel.OffloadCrypto, Device: "lo"}, false}, // which cannot
	} {
		s := sa(a.Addr, b.Addr, 0x60001, kernel.Out, kernel.Tunnel, suites[0])
		s.Binding = x.of
		if !x.can {
			a.refuse(kernel.AddSA{SA: s}, kernel.ErrUnsupported)
			a.refuse(kernel.GetSA{ID: s.SAID}, kernel.ErrNotFound)
			continue
		}
		a.must(kernel.AddSA{SA: s})
		if got := a.must(kernel.GetSA{ID: s.SAID}).SAs[0]; got.Binding != x.of {
			t.Errorf("%s: %+v, want %+v", x.name, got.Binding, x.of)
		}
		s.EncrKey = nil
		a.must(kernel.UpdateSA{SA: s})
		a.must(kernel.DeleteSA{ID: s.SAID})
		if x.of.Names() == (kernel.Binding{}) {
			continue
		}
		p, bound := policy(a.Addr, b.Addr, kernel.Out, kernel.Tunnel), policy(a.Addr, b.Addr, kernel.Out, kernel.Tunnel)
		bound.Binding = x.of
		first, second := a.must(kernel.AddPolicy{Policy: p}).Policy, a.must(kernel.AddPolicy{Policy: bound}).Policy
		if first == second {
			t.Errorf("%s does not tell policies apart", x.name)
		}
		a.must(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority})
		if got := a.must(kernel.DumpPolicy{}).Policies; len(got) != 1 || got[0].ID != second || got[0].Binding != x.of {
			t.Errorf("%s: left over %+v", x.name, got)
		}
		a.must(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority, Binding: x.of})
	}
	p := policy(a.Addr, b.Addr, kernel.Out, kernel.Tunnel)
	p.Selector.Proto, p.Selector.DstPort, p.MSS = 6, kernel.AnyPort, 1200
	if !c.MSS {
		a.refuse(kernel.AddPolicy{Policy: p}, kernel.ErrUnsupported)
		return
	}
	for _, mss := range []uint16{1200, 1300, 0, kernel.MSSFromMTU} {
		p.MSS = mss
		a.must(kernel.UpdatePolicy{Policy: p})
		if got := a.must(kernel.DumpPolicy{}).Policies; len(got) != 1 || got[0].MSS != mss {
			t.Errorf("MSS %d: %+v", mss, got)
		}
	}
	a.must(kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority})
}
