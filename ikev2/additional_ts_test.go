package ikev2

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// forgeAnswer has a host answer the only outstanding request of the peer with other
// payloads than it would.
func (n *node) forgeAnswer(to *node, exchange message.ExchangeType, list []message.Payload) {
	n.w.t.Helper()
	sa, asker := n.e.all()[0], to.e.all()[0]
	data, err := sa.seal(exchange, asker.x.flights[0].id, true, list)
	if err != nil {
		n.w.t.Fatal(err)
	}
	sa.x.expected++ // it has seen that request
	to.handle(Datagram{Local: sa.peer, Remote: sa.local, Data: data[0]})
}

// A responder whose policy has for several children what one was asked for says so,
// and the initiator asks for the rest: at once where no packet asked, so that all of
// its traffic has its child; by packets where it cannot name the rest (RFC 7296 §2.9).
func TestAdditionalTSPossible(t *testing.T) {
	split := func(w *world, a, b *node, ours []kernel.Selector) {
		a.change(func(_ *Settings, _ *Remote, c *Child) { c.Outbound = ours })
		b.change(func(_ *Settings, r *Remote, c *Child) {
			second := *c
			second.Name, second.ReqID = "tokyo_second", 8
			second.Outbound = []kernel.Selector{selector("10.0.3.0/24", "10.0.1.0/24")}
			r.Children = append(r.Children, &second)
		})
		a.initiate()
		w.settle()
	}
	t.Run("two selectors", func(t *testing.T) {
		w, a, b := pair(t)
		split(w, a, b, []kernel.Selector{selector("10.0.1.0/24", "10.0.2.0/24"), selector("10.0.1.0/24", "10.0.3.0/24")})
		w.wantUp(a, b, 1, 2)
		if kinds := notifies(opened(t, b.e.all()[0], w.sent[3])); !slices.Contains(kinds, message.ADDITIONAL_TS_POSSIBLE) {
			t.Errorf("answered with %v", kinds)
		}
		a.wantReason(reasonNarrowed)
		second := a.e.Status()[0].Children[1]
		if got := tsList(second.TSRemote); got != "10.0.3.0/24[any] any" {
			t.Errorf("the second child has %s", got)
		}
		if len(w.sent) != 6 {
			t.Errorf("%d datagrams, want 6", len(w.sent))
		}
	})
	t.Run("one wide selector", func(t *testing.T) {
		w, a, b := pair(t)
		split(w, a, b, []kernel.Selector{selector("10.0.1.0/24", "10.0.0.0/8")})
		w.wantUp(a, b, 1, 1) // and no loop
		packet := selector("10.0.1.7/32", "10.0.3.7/32")
		a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
		w.settle()
		w.wantUp(a, b, 1, 2)
	})
	t.Run("all of it", func(t *testing.T) {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		if kinds := notifies(opened(t, b.e.all()[0], w.sent[3])); slices.Contains(kinds, message.ADDITIONAL_TS_POSSIBLE) {
			t.Error("said although nothing was narrowed")
		}
	})
	t.Run("narrowed and nothing more", func(t *testing.T) {
		w, a, b := pair(t)
		a.change(func(_ *Settings, _ *Remote, c *Child) {
			c.Outbound = []kernel.Selector{selector("10.0.1.0/24", "10.0.0.0/8")}
		})
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 1)
		if kinds := notifies(opened(t, b.e.all()[0], w.sent[3])); slices.Contains(kinds, message.ADDITIONAL_TS_POSSIBLE) {
			t.Error("said although there is nothing more")
		}
	})
}

// NO_ADDITIONAL_SAS is remembered: further children go into another IKE SA at once,
// and an IKE SA whose rekeying is refused with it is replaced by a new one.
func TestNoAdditionalSAsObeyed(t *testing.T) {
	no := []message.Payload{notify(message.NO_ADDITIONAL_SAS, nil)}
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	a.askAgain()
	w.wire = nil
	b.forgeAnswer(a, message.CREATE_CHILD_SA, no)
	w.settle()
	w.wantUp(a, b, 2, 2)
	from := len(w.sent)
	w.advance(time.Minute)
	packet := selector("10.0.1.9/32", "10.0.2.9/32")
	a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
	w.settle()
	if len(w.sent) != from+2 {
		t.Errorf("%d datagrams, want the two of CREATE_CHILD_SA in the other IKE SA", len(w.sent)-from)
	}
	w.wantUp(a, b, 2, 3)

	w, a, b = pair(t)
	a.initiate()
	w.settle()
	w.advance(time.Minute)
	old := a.e.all()[0].serial
	a.act(func(e *Engine) { e.all()[0].enqueue(&rekeyTask{}) })
	w.wire = nil
	b.forgeAnswer(a, message.CREATE_CHILD_SA, no)
	w.settle()
	w.advance(time.Minute)
	w.wantUp(a, b, 1, 1)
	if a.e.all()[0].serial == old {
		t.Error("the old IKE SA stands")
	}
	if len(a.downs)+len(b.downs) != 0 {
		t.Errorf("downs %+v %+v", a.downs, b.downs)
	}
}

// Port ranges, protocols and ICMP's type and code go through the exchange into the
// kernels' selectors, in both families, with the packet's own selectors first.
func TestTrafficOfEveryKind(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		icmp := uint8(1)
		if v6 {
			icmp = 58
		}
		ports := func(first, last uint16) kernel.PortRange { return kernel.PortRange{First: first, Last: last} }
		for name, c := range map[string]struct {
			proto    uint8
			src, dst kernel.PortRange
			packet   [2]uint16
		}{
			"TCP to a range":        {6, kernel.AnyPort, ports(8000, 8010), [2]uint16{40000, 8003}},
			"UDP between ports":     {17, ports(500, 500), ports(500, 500), [2]uint16{500, 500}},
			"a protocol":            {47, kernel.AnyPort, kernel.AnyPort, [2]uint16{}},
			"ICMP":                  {icmp, kernel.AnyPort, kernel.AnyPort, [2]uint16{8, 0}},
			"ICMP of one type":      {icmp, ports(8, 8), kernel.AnyPort, [2]uint16{8, 0}},
			"ICMP of type and code": {icmp, ports(3, 3), ports(4, 4), [2]uint16{3, 4}},
		} {
			t.Run(fmt.Sprintf("%s v6 %v", name, v6), func(t *testing.T) {
				w, a, b := pair(t)
				if v6 {
					w, a, b = pair6(t)
				}
				a.change(func(_ *Settings, _ *Remote, child *Child) {
					s := &child.Outbound[0]
					s.Proto, s.SrcPort, s.DstPort = c.proto, c.src, c.dst
				})
				want := a.e.settings.Remotes[0].Children[0].Outbound[0]
				b.change(func(_ *Settings, _ *Remote, child *Child) { child.Outbound[0] = reverse(want) })
				packet := want
				packet.Src, packet.Dst = hostOf(want.Src), hostOf(want.Dst)
				packet.SrcPort, packet.DstPort = kernel.Port(c.packet[0]), kernel.Port(c.packet[1])
				if c.proto == 47 {
					packet.SrcPort, packet.DstPort = kernel.AnyPort, kernel.AnyPort
				}
				a.handle(Initiate{Remote: "tokyo", Child: "kyoto_out", Packet: &packet})
				w.settle()
				w.wantUp(a, b, 1, 1)
				for _, n := range w.nodes {
					out, in := n.kernel.one(t, kernel.Out).Selector, n.kernel.one(t, kernel.In).Selector
					ours := want
					if n == b {
						ours = reverse(want)
					}
					if out != ours || in != reverse(ours) {
						t.Errorf("%s: out %v, in %v; want %v", n.name, out, in, ours)
					}
				}
				for _, p := range opened(t, a.e.all()[0], w.sent[2]) {
					if ts, ok := p.(*message.TS); ok {
						l, r := selectorTS(packet)
						first := r
						if ts.Initiator {
							first = l
						}
						if ts.Selectors[0] != first {
							t.Errorf("first %s, want the packet's %s", tsList(ts.Selectors[:1]), tsName(first))
						}
					}
				}
			})
		}
	}
}

// The peer's TFC padding and non-first fragments: neither is negotiated by this host,
// and what a peer says about them changes nothing (RFC 7296 §1.3.1).
func TestESPOptions(t *testing.T) {
	w, a, b := pair(t)
	a.initiate()
	w.settle()
	for i, sender := range []*node{a, b} {
		kinds := notifies(opened(t, sender.e.all()[0], w.sent[2+i]))
		if !slices.Contains(kinds, message.ESP_TFC_PADDING_NOT_SUPPORTED) || slices.Contains(kinds, message.NON_FIRST_FRAGMENTS_ALSO) {
			t.Errorf("%s says %v", sender.name, kinds)
		}
	}
	w.advance(time.Minute)
	set := a.e.all()[0].children[0].traffic
	from := len(w.sent)
	a.forge(b, message.CREATE_CHILD_SA, []message.Payload{
		notify(message.ESP_TFC_PADDING_NOT_SUPPORTED, nil), notify(message.NON_FIRST_FRAGMENTS_ALSO, nil),
		&message.SA{Proposals: offer(a.e.settings.Remotes[0].Children[0].alternatives(keOffer, nil), []byte{1, 2, 3, 4})},
		&message.Nonce{Data: make([]byte, 32)}, &message.TS{Initiator: true, Selectors: set.local}, &message.TS{Selectors: set.remote},
	})
	if kinds := notifies(opened(t, b.e.all()[0], w.sent[from])); slices.Contains(kinds, message.NON_FIRST_FRAGMENTS_ALSO) || len(b.kernel.sas) != 4 {
		t.Errorf("answered %v, %d SAs", kinds, len(b.kernel.sas))
	}
}

// hostOf is the first host of a network.
func hostOf(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr().Next(), p.Addr().BitLen())
}
