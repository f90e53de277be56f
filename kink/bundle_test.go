package kink

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// ah and deflate are transforms for tests.
var (
	ah      = Proposal{Protocol: kernel.AH, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128, transform.AUTH_HMAC_SHA2_512_256}}
	deflate = Proposal{Protocol: kernel.IPComp, Comp: []transform.COMP{transform.COMP_DEFLATE}}
)

// sha1Proposal is what the original kinkd offers.
var sha1Proposal = Proposal{Protocol: kernel.ESP, Encr: []Encryption{{ID: transform.ENCR_AES_CBC, KeyBits: 128}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA1_96}}

// with makes a bundle; the order must not matter.
func with(p Proposal, outer ...Proposal) Proposal {
	p.Outer = outer
	return p
}

// combinations are what racoon2.conf can ask for.
func combinations() map[string]Proposal {
	return map[string]Proposal{
		"AH": ah, "IPCOMP": deflate, "AH_ESP": with(ah, cbc), "ESP_AH": with(gcm, ah), "ESP_IPCOMP": with(cbc, deflate),
		"AH_IPCOMP": with(deflate, ah), "AH_ESP_IPCOMP": with(ah, deflate, cbc),
	}
}

// tunnelAs is tunnel of life_test.go with other proposals.
func tunnelAs(proposals ...Proposal) func(*Remote, *Child) {
	return func(r *Remote, c *Child) {
		tunnel(r, c)
		c.Proposals = proposals
	}
}

func transportAs(proposals ...Proposal) func(*Remote, *Child) {
	return func(_ *Remote, c *Child) { c.Proposals = proposals }
}

// protect puts in the policies that the policy manager would.
func (n *node) protect() {
	n.w.t.Helper()
	c := n.settings.Remotes[0].Children[0]
	peer := n.settings.Remotes[0].Peers[0].Addr()
	for _, d := range []kernel.Direction{kernel.Out, kernel.In} {
		p := kernel.Policy{Selector: c.Outbound[0], Direction: d, Action: kernel.Protect, Priority: 1}
		src, dst := n.addr, peer
		if d == kernel.In {
			p.Selector, src, dst = p.Selector.Reverse(), peer, n.addr
		}
		for i, proto := range c.protocols() {
			t := kernel.Template{Proto: proto, Mode: c.mode(i), Level: kernel.Require, ReqID: c.ReqID}
			if t.Mode == kernel.Tunnel {
				t.Src, t.Dst = src, dst
			}
			p.Templates = append(p.Templates, t)
		}
		if r := n.kernel.Apply(n.w.now, kernel.Request{Op: kernel.AddPolicy{Policy: p}}); r.Err != nil {
			n.w.t.Fatal(r.Err)
		}
	}
}

// passes sends a packet of the first child's traffic and says what it looked like on
// the wire, "" where it did not arrive.
func (n *node) passes(to *node) string {
	s := n.settings.Remotes[0].Children[0].Outbound[0]
	s.Src, s.Dst = hostPrefix(s.Src.Addr()), hostPrefix(s.Dst.Addr())
	d, _ := n.kernel.Output(n.w.now, fake.Packet{Selector: s, Octets: 1000})
	if d == nil {
		return ""
	}
	name := d.Name()
	if got, _ := to.kernel.Input(n.w.now, d); got == nil {
		return ""
	}
	return name
}

// TestBundles makes every combination of transforms, in both modes, in two ways and in
// three, with and without PFS: packets pass under all of them both ways, a rekeying replaces
// all, and a deletion leaves none.
func TestBundles(t *testing.T) {
	for name, p := range combinations() {
		for _, mode := range []kernel.Mode{kernel.Transport, kernel.Tunnel} {
			for _, threeWay := range []bool{false, true} {
				for _, pfs := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s %v three-way=%v pfs=%v", name, mode, threeWay, pfs), func(t *testing.T) {
						change := transportAs(p)
						if mode == kernel.Tunnel {
							change = tunnelAs(p)
						}
						testBundle(t, change, func(r *Remote, c *Child) {
							r.ThreeWay = threeWay
							if c.KE = nil; pfs {
								c.KE = []transform.KE{transform.KE_MODP_2048}
							}
						})
					})
				}
			}
		}
	}
}

func testBundle(t *testing.T, change ...func(*Remote, *Child)) {
	w, a, b := pairOfHosts(t, change...)
	a.protect()
	b.protect()
	w.create(a)
	w.wantPairs(1)
	child := a.settings.Remotes[0].Children[0]
	var words []string
	for _, proto := range slices.Backward(child.protocols()) {
		words = append(words, map[kernel.Protocol]string{kernel.AH: "AH", kernel.ESP: "ESP", kernel.IPComp: "IPComp"}[proto])
	}
	want := strings.Join(append(words, child.Mode.String()), " ")
	check := func(when string) {
		t.Helper()
		for _, way := range [][2]*node{{a, b}, {b, a}} {
			if got := way[0].passes(way[1]); got != want {
				t.Errorf("%s, %s to %s: %q, want %q (%v)", when, way[0].name, way[1].name, got, want, way[1].kernel.Drops())
			}
		}
	}
	check("made")
	info := a.ups[0].Info
	if len(info.Transforms) != len(words) || info.Mode != child.Mode {
		t.Errorf("status: %+v", info)
	}
	w.now = w.now.Add(time.Minute)
	a.handle(KernelEvent{Event: kernel.Expire{ID: kernel.SAID{Dst: info.Local, Proto: info.Protocol, SPI: info.SPIIn}}})
	w.settle()
	check("rekeyed")
	w.pass(30 * time.Second)
	w.wantPairs(1)
	b.handle(Terminate{Reason: "the test"})
	w.settle()
	w.pass(time.Minute)
	w.wantPairs(0)
	for _, n := range w.nodes {
		if left := n.kernel.Apply(w.now, kernel.Request{Op: kernel.DumpSA{}}).SAs; len(left) > 0 {
			t.Errorf("%s still has %v", n.name, left)
		}
	}
}

// TestBundleAlternatives: of several bundles the first one that both have is taken, and
// never half of one and half of another.
func TestBundleAlternatives(t *testing.T) {
	sha512 := Proposal{Protocol: kernel.AH, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_512_256}}
	sha256 := Proposal{Protocol: kernel.AH, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}}
	w := newWorld(t)
	a := w.add("a", "192.0.2.1", settingsFor("a", "192.0.2.1", "b", "192.0.2.2", transportAs(with(gcm, sha512), with(cbc, sha256))))
	b := w.add("b", "192.0.2.2", settingsFor("b", "192.0.2.2", "a", "192.0.2.1", transportAs(with(gcm, sha256), with(cbc, sha256))))
	w.create(a)
	w.wantPairs(1)
	info := b.ups[0].Info
	if info.Encr != "ENCR_AES_CBC-128" || info.Transforms[1].Integ != "AUTH_HMAC_SHA2_256_128" {
		t.Errorf("%+v", info)
	}
	// The second proposal is no optimistic choice: the responder asks for an ACK.
	if !strings.Contains(w.ladder(), "REPLY ACKREQ") {
		t.Error(w.ladder())
	}
}

// TestBundleMismatch: another set of protocols is declined, with a reason for the operator.
func TestBundleMismatch(t *testing.T) {
	for _, c := range []struct {
		offered, configured Proposal
		want                string
	}{
		{cbc, with(cbc, ah), "it has PROTO_IPSEC_ESP, and this selector has PROTO_IPSEC_ESP + PROTO_IPSEC_AH"},
		{with(cbc, ah), cbc, "and this selector has PROTO_IPSEC_ESP"},
		{ah, cbc, "PROTO_IPSEC_AH is not for this selector"},
		{with(cbc, deflate), with(cbc, ah), "is not for this selector"},
	} {
		w := newWorld(t)
		a := w.add("a", "192.0.2.1", settingsFor("a", "192.0.2.1", "b", "192.0.2.2", transportAs(c.offered)))
		b := w.add("b", "192.0.2.2", settingsFor("b", "192.0.2.2", "a", "192.0.2.1", transportAs(c.configured)))
		w.create(a)
		b.wantReason(reasonNoProposal)
		if !strings.Contains(b.said(), c.want) {
			t.Errorf("b says\n%swant %q", b.said(), c.want)
		}
		if len(a.failures) != 1 || !strings.Contains(a.failures[0].Reason, "NO-PROPOSAL-CHOSEN") {
			t.Errorf("a: %v", a.failures)
		}
	}
}

// TestBundleOnTheWire reads a bundle as RFC 2408 §4.2 has it: proposals of one number, each
// with its SPI; a CPI has two octets, and is taken with four (RFC 3173 §4.1).
func TestBundleOnTheWire(t *testing.T) {
	child := settingsFor("b", "192.0.2.2", "a", "192.0.2.1", transportAs(with(cbc, ah, deflate))).Remotes[0].Children[0]
	sa, err := offerOf(child, 0x1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(sa.Proposals) != 3 {
		t.Fatalf("%+v", sa)
	}
	for _, p := range sa.Proposals {
		if want := map[isakmp.Protocol]int{isakmp.PROTO_IPCOMP: 2}[p.Protocol]; p.Number != 1 || want != 0 && len(p.SPI) != want {
			t.Errorf("%+v", p)
		}
	}
	for _, c := range []struct {
		cpi  []byte
		good bool
	}{
		{[]byte{0x10, 0}, true}, {[]byte{0, 0, 0x10, 0}, true}, {[]byte{0, 1, 0x10, 0}, false}, {[]byte{0, 2}, false},
		{[]byte{0xf0, 0}, false}, {[]byte{0xef, 0xff}, true}, {nil, false}, {[]byte{1}, false},
	} {
		slices.Reverse(sa.Proposals) // any order
		for i, p := range sa.Proposals {
			if p.Protocol == isakmp.PROTO_IPCOMP {
				sa.Proposals[i].SPI = c.cpi
			}
		}
		got, err := choose(sa, child, nil)
		if (err == nil) != c.good || err == nil && got.spis[0] == 0 {
			t.Errorf("CPI %x: %+v, %v", c.cpi, got, err)
		}
	}
}

// TestDeleteOfABundle: one SPI of a bundle ends all of it, and the answer lists all.
func TestDeleteOfABundle(t *testing.T) {
	w, a, b := pairOfHosts(t, transportAs(with(cbc, ah)))
	w.create(a)
	s := w.stranger("192.0.2.1", "a", b)
	s.epoch = a.e.epoch
	info := b.ups[0].Info
	answers := s.command(message.DELETE, quick(t, isakmp.Delete{
		Protocol: isakmp.PROTO_IPSEC_AH, SPIs: [][]byte{spiOctets(kernel.AH, info.Transforms[1].SPIOut)}}))
	var listed []string
	for _, p := range answers {
		list, err := isakmp.Decode(isakmp.PayloadType(p.(message.ISAKMP).First), p.(message.ISAKMP).Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			d := d.(isakmp.Delete)
			listed = append(listed, fmt.Sprintf("%v %x", d.Protocol, d.SPIs))
		}
	}
	want := []string{
		fmt.Sprintf("PROTO_IPSEC_AH [%08x]", uint32(info.Transforms[1].SPIIn)),
		fmt.Sprintf("PROTO_IPSEC_ESP [%08x]", uint32(info.Transforms[0].SPIIn)),
	}
	if !slices.Equal(listed, want) {
		t.Errorf("the answer lists %v, want %v", listed, want)
	}
	w.pass(time.Minute)
	if n := b.e.Counters()["child_sas"]; n != 0 || len(b.keys) != 0 {
		t.Errorf("%d pairs, %d SAs are left", n, len(b.keys))
	}
}

// TestBundleKernelFaults: whatever the kernel refuses of a bundle, nothing of it is left.
func TestBundleKernelFaults(t *testing.T) {
	for _, op := range []kernel.Op{kernel.GetSPI{}, kernel.AddSA{}} {
		for who := range 2 {
			for nth := range 6 {
				w, a, b := pairOfHosts(t, transportAs(with(cbc, ah, deflate)))
				n := []*node{a, b}[who]
				count := 0
				n.refuse = func(o kernel.Op) error {
					if reflect.TypeOf(o) == reflect.TypeOf(op) {
						if count++; count == nth+1 {
							return kernel.ErrUnsupported
						}
					}
					return nil
				}
				w.create(a)
				w.pass(3 * time.Minute)
				pairs := a.e.Counters()["child_sas"]
				if other := b.e.Counters()["child_sas"]; pairs != other {
					t.Errorf("%T %d of %s: %d and %d pairs", op, nth, n.name, pairs, other)
				}
				for _, x := range w.nodes {
					if left := x.kernel.Apply(w.now, kernel.Request{Op: kernel.DumpSA{}}).SAs; len(left) != int(pairs)*6 || len(x.e.bySAID) != int(pairs)*6 {
						t.Errorf("%T %d of %s: %s has %d SAs (%d known) for %d pairs", op, nth, n.name, x.name, len(left), len(x.e.bySAID), pairs)
					}
				}
			}
		}
	}
}
