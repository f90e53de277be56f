package ikev2

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

func ahProposal() ChildProposal {
	return ChildProposal{Protocol: kernel.AH, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128},
		SN: []transform.SN{transform.SN_EXTENDED, transform.SN_32BIT}}
}

// protected is a pair whose children have other proposals, algorithms of IPComp
// and mode, in one family.
func protected(t *testing.T, v6 bool, mode kernel.Mode, p ChildProposal, comp ...transform.COMP) (*world, *node, *node) {
	t.Helper()
	w, a, b := pair(t)
	if v6 {
		w, a, b = pair6(t)
	}
	for _, n := range w.nodes {
		n.change(func(_ *Settings, r *Remote, c *Child) {
			c.Proposals, c.Comp, c.Mode = []ChildProposal{p}, comp, mode
			if mode == kernel.Transport {
				bits := n.addr.BitLen()
				c.Outbound[0].Src = netip.PrefixFrom(n.addr, bits)
				c.Outbound[0].Dst = netip.PrefixFrom(r.Peers[0].Addr(), bits)
			}
		})
	}
	return w, a, b
}

// eachWay runs a test in both families and modes.
func eachWay(t *testing.T, run func(t *testing.T, v6 bool, mode kernel.Mode)) {
	for _, v6 := range []bool{false, true} {
		for _, mode := range []kernel.Mode{kernel.Tunnel, kernel.Transport} {
			t.Run(fmt.Sprintf("v6 %v %s", v6, modeName(mode)), func(t *testing.T) { run(t, v6, mode) })
		}
	}
}

// find is the SA of a protocol and direction.
func (k *testKernel) find(t *testing.T, proto kernel.Protocol, d kernel.Direction) kernel.SA {
	t.Helper()
	for id, sa := range k.sas {
		if id.Proto == proto && sa.Direction == d {
			return sa
		}
	}
	t.Fatalf("no %s SA of direction %v", protocolName(proto), d)
	return kernel.SA{}
}

// AH comes up, is rekeyed by either end, and is deleted with its own protocol in
// the Delete payloads (RFC 4302, RFC 7296 §3.3.3).
func TestAH(t *testing.T) {
	eachWay(t, func(t *testing.T, v6 bool, mode kernel.Mode) {
		w, a, b := protected(t, v6, mode, ahProposal())
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		sa := b.kernel.one(t, kernel.In)
		if sa.Proto != kernel.AH || sa.Mode != mode || !sa.ESN || sa.Encr != 0 || len(sa.EncrKey) != 0 || len(sa.IntegKey) != 32 || sa.Replay != 64 {
			t.Errorf("SA %+v", sa)
		}
		if i := a.e.Status()[0].Children[0]; i.Protocol != kernel.AH || i.Encr != "" || i.Integ != "AUTH_HMAC_SHA2_256_128" || !i.ESN {
			t.Errorf("status %+v", i)
		}
		wantWords(t, a.wantReason(reasonChildUp).Text, "AH AUTH_HMAC_SHA2_256_128")
		for _, n := range []*node{a, b} {
			n.expireSoft(t)
			w.settle()
			w.wantUp(a, b, 1, 1)
		}
		if fresh := b.kernel.one(t, kernel.In); fresh.SPI == sa.SPI || string(fresh.IntegKey) == string(sa.IntegKey) {
			t.Error("the same SA, or the same key again")
		}
		keys, from := keepKeys(a.e.all()[0]), len(w.sent)
		a.handle(Terminate{Child: a.kernel.one(t, kernel.In).SPI})
		w.settle()
		d, ok := opened(t, keys, w.sent[from])[0].(*message.Delete)
		if !ok || d.Protocol != message.ProtocolAH {
			t.Errorf("deleted with %+v", d)
		}
		w.wantUp(a, b, 1, 0)
	})
}

// The proposals of AH and ESP do not mix: each end's own protocol is said.
func TestAHAgainstESP(t *testing.T) {
	w, a, b := protected(t, false, kernel.Tunnel, ahProposal())
	b.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals = []ChildProposal{testChildProposal()} })
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 0)
	wantWords(t, b.wantReason(reasonNoProposal).Text, "protocol: peer offers AH", "tokyo_out (racoon2.conf:40) accepts ESP")
}

// AH has INTEG and sequence numbers, and no ENCR (RFC 7296 §3.3.3).
func TestAHProposals(t *testing.T) {
	c := &Child{Proposals: []ChildProposal{ahProposal()}}
	offered := offer(c.alternatives(keNever, nil), []byte{1, 2, 3, 4})
	want := []message.Transform{integT(transform.AUTH_HMAC_SHA2_256_128), snT(transform.SN_EXTENDED), snT(transform.SN_32BIT)}
	if offered[0].Protocol != message.ProtocolAH || fmt.Sprint(offered[0].Transforms) != fmt.Sprint(want) {
		t.Errorf("offered %+v", offered)
	}
	for name, list := range map[string][]message.Transform{
		"no integrity":     {snT(transform.SN_EXTENDED)},
		"integrity NONE":   {integT(transform.AUTH_NONE), snT(transform.SN_EXTENDED)},
		"with encryption":  append([]message.Transform{encrT(transform.ENCR_NULL)}, want...),
		"no sequence type": {integT(transform.AUTH_HMAC_SHA2_256_128)},
	} {
		p := message.Proposal{Number: 1, Protocol: message.ProtocolAH, SPI: []byte{1, 2, 3, 4}, Transforms: list}
		if got, _ := choose(c.alternatives(keRespond, nil), []message.Proposal{p}, 0); got != nil {
			t.Errorf("%s: chosen %+v", name, got)
		}
	}
}

// AH does not pass a NAT: either end says so before anything is installed.
func TestAHBehindNAT(t *testing.T) {
	for _, initiator := range []bool{true, false} {
		w, a, b := protected(t, false, kernel.Tunnel, ahProposal())
		who := a
		if !initiator {
			who = b
			a.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals = []ChildProposal{testChildProposal()} })
		}
		who.change(func(_ *Settings, r *Remote, _ *Child) { r.ForceNAT = true })
		a.initiate()
		w.settle()
		who.wantReason(map[bool]string{true: reasonTSUnacceptable, false: reasonNoProposal}[initiator])
		if !strings.Contains(who.log(), "has AH, which does not pass the NAT") {
			t.Errorf("says\n%s", who.log())
		}
		if len(a.kernel.sas)+len(b.kernel.sas) != 0 {
			t.Error("SAs are left")
		}
	}
}

// A child that compresses has two SAs for each direction, in the order of the
// policy's templates: they come, are replaced, and go together (RFC 7296 §2.22).
func TestIPComp(t *testing.T) {
	eachWay(t, func(t *testing.T, v6 bool, mode kernel.Mode) {
		for _, p := range []ChildProposal{testChildProposal(), ahProposal()} {
			w, a, b := protected(t, v6, mode, p, transform.COMP_LZS, transform.COMP_DEFLATE)
			b.change(func(_ *Settings, _ *Remote, c *Child) { c.Comp = c.Comp[1:] })
			a.initiate()
			w.settle()
			w.wantUp(a, b, 1, 1)
			wantCompressed(t, a, b, mode, p.Protocol)
			first := a.kernel.find(t, kernel.IPComp, kernel.In)
			for _, n := range []*node{a, b} {
				n.expireSoft(t)
				w.settle()
				w.wantUp(a, b, 1, 1)
				wantCompressed(t, a, b, mode, p.Protocol)
			}
			if a.kernel.find(t, kernel.IPComp, kernel.In).SPI == first.SPI {
				t.Error("the CPI outlived its child")
			}
			i := b.e.Status()[0].Children[0]
			if i.Comp != "IPCOMP_DEFLATE" || i.CPIIn == 0 || i.CPIOut == 0 || i.CPIIn == i.CPIOut {
				t.Errorf("status %+v", i)
			}
			b.handle(Terminate{Child: i.SPIIn})
			w.settle()
			w.wantUp(a, b, 1, 0)
			a.handle(Shutdown{})
			w.settle()
			w.advance(10 * time.Minute) // the old SPIs are remembered for a while
			b.wantNothing()
			a.wantNothing()
		}
	})
}

// wantCompressed looks at the SAs of both ends.
func wantCompressed(t *testing.T, a, b *node, mode kernel.Mode, outer kernel.Protocol) {
	t.Helper()
	for _, n := range []*node{a, b} {
		for _, d := range []kernel.Direction{kernel.In, kernel.Out} {
			comp, sa := n.kernel.find(t, kernel.IPComp, d), n.kernel.find(t, outer, d)
			if comp.Mode != mode || comp.Comp != transform.COMP_DEFLATE || comp.SPI > maxCPI || comp.Encr != 0 || comp.Hard != (kernel.Lifetime{}) || comp.ReqID != sa.ReqID {
				t.Errorf("%s: IPComp %+v", n.name, comp)
			}
			if sa.Mode != kernel.Transport || sa.Comp != 0 || sa.Dst != comp.Dst {
				t.Errorf("%s: %s SA %+v", n.name, protocolName(outer), sa)
			}
			if (sa.Selector == kernel.Selector{}) != (mode == kernel.Tunnel) || comp.Selector == (kernel.Selector{}) {
				t.Errorf("%s: selectors %+v and %+v", n.name, sa.Selector, comp.Selector)
			}
		}
	}
	var order []kernel.Protocol
	for _, op := range a.kernel.ops {
		if add, ok := op.(kernel.AddSA); ok && add.SA.Direction == kernel.Out {
			order = append(order, add.SA.Proto)
		}
	}
	if len(order) < 2 || order[0] != kernel.IPComp || order[1] != outer {
		t.Errorf("outbound SAs added as %v", order)
	}
}

// What one end compresses and the other does not is refused, with words.
func TestIPCompRefused(t *testing.T) {
	for name, c := range map[string]struct {
		ours, theirs []transform.COMP
		comesUp      bool
		words        []string // of the responder
	}{
		"not offered":   {nil, []transform.COMP{transform.COMP_DEFLATE}, false, []string{"IPComp: peer offers nothing; selector tokyo_out (racoon2.conf:40) demands IPCOMP_DEFLATE"}},
		"another":       {[]transform.COMP{transform.COMP_LZS}, []transform.COMP{transform.COMP_DEFLATE}, false, []string{"peer offers IPCOMP_LZS"}},
		"not wanted":    {[]transform.COMP{transform.COMP_DEFLATE}, nil, false, nil},
		"nobody's wish": {nil, nil, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := protected(t, false, kernel.Tunnel, testChildProposal(), c.ours...)
			b.change(func(_ *Settings, _ *Remote, child *Child) { child.Comp = c.theirs })
			a.initiate()
			w.settle()
			if c.comesUp {
				w.wantUp(a, b, 1, 1)
				return
			}
			w.wantUp(a, b, 1, 0)
			if len(c.words) > 0 {
				wantWords(t, b.wantReason(reasonNoProposal).Text, c.words...)
				return
			}
			wantWords(t, a.wantReason(reasonNoProposal).Text, "IPComp: peer accepts none; selector kyoto_out (racoon2.conf:40) demands IPCOMP_DEFLATE")
		})
	}
}

// RFC 7296 §2.22: an initiator takes no algorithm that it did not propose, not
// more than one, and no CPI that cannot be.
func TestIPCompAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		comp   []transform.COMP
		answer []message.Payload
		cpi    kernel.SPI // 0: refused
	}{
		"one":                {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{compPayload(0x1234, transform.COMP_DEFLATE)}, 0x1234},
		"well-known":         {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{compPayload(2, transform.COMP_DEFLATE)}, 2},
		"two":                {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{compPayload(0x1234, transform.COMP_DEFLATE), compPayload(0x1235, transform.COMP_DEFLATE)}, 0},
		"not proposed":       {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{compPayload(0x1234, transform.COMP_LZJH)}, 0},
		"nothing proposed":   {nil, []message.Payload{compPayload(0x1234, transform.COMP_DEFLATE)}, 0},
		"CPI 0":              {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{compPayload(0, transform.COMP_DEFLATE)}, 0},
		"reserved CPI":       {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{compPayload(64, transform.COMP_DEFLATE)}, 0},
		"well-known of LZS":  {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{compPayload(3, transform.COMP_DEFLATE)}, 0},
		"two octets of data": {[]transform.COMP{transform.COMP_DEFLATE}, []message.Payload{notify(message.IPCOMP_SUPPORTED, []byte{0x12, 0x34})}, 0},
	} {
		child := &childSA{conf: &Child{Name: "out", Comp: c.comp}}
		err := child.checkComp(&received{payloads: c.answer})
		if (err != nil) != (c.cpi == 0) || child.cpiOut != c.cpi {
			t.Errorf("%s: CPI %d, %v", name, child.cpiOut, err)
		}
	}
}

// The kernel's trouble with one of the SAs takes the others along.
func TestIPCompKernelRefuses(t *testing.T) {
	for _, broken := range []string{"CPI", "inbound", "outbound"} {
		for _, initiator := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s initiator %v", broken, initiator), func(t *testing.T) {
				w, a, b := protected(t, false, kernel.Tunnel, testChildProposal(), transform.COMP_DEFLATE)
				who := map[bool]*node{true: a, false: b}[initiator]
				who.kernel.fail = func(op kernel.Op) error {
					switch op := op.(type) {
					case kernel.GetSPI:
						if op.Proto == kernel.IPComp && broken == "CPI" {
							return kernel.ErrUnsupported
						}
					case kernel.AddSA:
						if op.SA.Proto == kernel.IPComp && directionName(op.SA.Direction) == broken {
							return kernel.ErrUnsupported
						}
					}
					return nil
				}
				a.initiate()
				w.settle()
				who.wantReason(reasonKernel)
				for _, n := range w.nodes {
					if len(n.kernel.sas)+len(n.kernel.reserved)+len(n.e.bySAID) != 0 {
						t.Errorf("%s: %d SAs, %d reservations and %d names are left", n.name, len(n.kernel.sas), len(n.kernel.reserved), len(n.e.bySAID))
					}
				}
			})
		}
	}
}

// Somebody else's deletion of the IPComp SA alone ends the child at both ends.
func TestIPCompDeletedInTheKernel(t *testing.T) {
	for _, event := range []func(kernel.SAID) kernel.Event{
		func(id kernel.SAID) kernel.Event { return kernel.Deleted{ID: id} },
		func(kernel.SAID) kernel.Event { return kernel.Flushed{Proto: kernel.IPComp} },
	} {
		w, a, b := protected(t, false, kernel.Tunnel, testChildProposal(), transform.COMP_DEFLATE)
		a.initiate()
		w.settle()
		a.handle(KernelEvent{Event: event(a.kernel.find(t, kernel.IPComp, kernel.Out).SAID)})
		w.settle()
		w.wantUp(a, b, 1, 0)
	}
}
