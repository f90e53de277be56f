package ikev2

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// SINGLE_PAIR_REQUIRED: asked again with the packet's own addresses alone, once;
// without a packet there is nothing to ask with (RFC 7296 §2.9).
func TestSinglePairRequired(t *testing.T) {
	single := []message.Payload{notify(message.SINGLE_PAIR_REQUIRED, nil)}
	for _, again := range []bool{false, true} {
		w, a, b := pair(t)
		a.initiate()
		w.settle()
		w.advance(time.Minute)
		from := len(w.sent)
		a.askAgain()
		w.wire = nil // the request is answered by hand
		b.forgeAnswer(a, message.CREATE_CHILD_SA, single)
		if again {
			w.wire = nil
			b.forgeAnswer(a, message.CREATE_CHILD_SA, single)
			if len(a.failures) != 1 || len(a.e.all()[0].x.queue) != 0 {
				t.Errorf("failures %+v", a.failures)
			}
			w.wantUp(a, b, 1, 1)
			continue
		}
		w.settle()
		w.wantUp(a, b, 1, 2)
		for _, p := range opened(t, a.e.all()[0], w.sent[from+1]) {
			if ts, ok := p.(*message.TS); ok && (len(ts.Selectors) != 1 || ts.Selectors[0].Start != ts.Selectors[0].End) {
				t.Errorf("asked with %s", tsList(ts.Selectors))
			}
		}
	}
	w, a, b := pair(t)
	b.change(func(_ *Settings, _ *Remote, c *Child) { c.Proposals[0].Encr[0].KeyBits = 256 })
	a.initiate()
	w.settle() // IKE SA without a child
	w.advance(time.Minute)
	a.initiate()
	w.wire = nil
	b.forgeAnswer(a, message.CREATE_CHILD_SA, single)
	if len(a.failures) != 2 {
		t.Errorf("failures %+v", a.failures)
	}
}

// ask asks for a child for a packet between two addresses, to port 80.
func (n *node) ask(src, dst string) {
	n.w.t.Helper()
	bits := "/32"
	if len(src) > 0 && slices.Contains([]byte(src), ':') {
		bits = "/128"
	}
	packet := selector(src+bits, dst+bits)
	packet.Proto, packet.SrcPort, packet.DstPort = 6, kernel.Port(40000), kernel.Port(80)
	r := n.e.settings.Remotes[0]
	n.handle(Initiate{Remote: r.Name, Child: r.Children[0].Name, Packet: &packet})
}

func perPair(_ *Settings, _ *Remote, c *Child) { c.PerPair = true }

// wantPairs says between which addresses the kernel's outbound SAs of a host are.
func (n *node) wantPairs(want ...string) {
	n.w.t.Helper()
	var got []string
	for _, sa := range n.kernel.sas {
		if sa.Direction == kernel.Out {
			got = append(got, sa.Selector.Src.String()+" "+sa.Selector.Dst.String())
			if sa.Selector.Proto != 0 || sa.Selector.DstPort != kernel.AnyPort {
				n.w.t.Errorf("%s: selector %v is of one connection", n.name, sa.Selector)
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		n.w.t.Errorf("%s has SAs for %q, want %q", n.name, got, want)
	}
}

// Each pair of addresses has SAs of its own, whichever end asks for that: the initiator
// asks for the packet's pair, the responder narrows to it, and its rekeying keeps it.
func TestSAPerPair(t *testing.T) {
	for _, who := range []string{"both", "initiator", "responder"} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s v6 %v", who, v6), func(t *testing.T) {
				w, a, b := pair(t)
				host := func(net, n int) string { return fmt.Sprintf("10.0.%d.%d", net, n) }
				bits := "/32"
				if v6 {
					w, a, b = pair6(t)
					nets := [...]string{1: "2001:db8:1::", 2: "2001:db8:2::"}
					host = func(net, n int) string { return fmt.Sprintf("%s%x", nets[net], n) }
					bits = "/128"
				}
				if who != "responder" {
					a.change(perPair)
				}
				if who != "initiator" {
					b.change(perPair)
				}
				a.ask(host(1, 5), host(2, 6))
				w.settle()
				w.wantUp(a, b, 1, 1)
				a.ask(host(1, 5), host(2, 7)) // another pair, at once
				w.settle()
				w.wantUp(a, b, 1, 2)
				a.ask(host(1, 5), host(2, 7)) // an acquire that crossed it
				w.settle()
				want := []string{host(1, 5) + bits + " " + host(2, 6) + bits, host(1, 5) + bits + " " + host(2, 7) + bits}
				a.wantPairs(want...)
				said := notifies(opened(t, b.e.all()[0], w.sent[3]))
				if got := slices.Contains(said, message.ADDITIONAL_TS_POSSIBLE); got != (who == "responder") {
					t.Errorf("answered with %v", said)
				}
				w.advance(time.Minute)
				for _, n := range w.nodes {
					n.act(func(*Engine) { n.firstChild().rekey() })
					w.settle()
				}
				w.wantUp(a, b, 1, 2)
				a.wantPairs(want...)
				b.wantNoReason(reasonNarrowed)
			})
		}
	}
}

// A responder with SAs for each pair of addresses cannot guess one: the child alone
// fails, in IKE_AUTH and after it, and a packet gets its own.
func TestSinglePairRefused(t *testing.T) {
	w, a, b := pair(t)
	b.change(perPair)
	for range 2 {
		a.initiate()
		w.settle()
		w.wantUp(a, b, 1, 0)
		wantWords(t, b.wantReason(reasonSinglePair).Text, "peer asks for 10.0.2.0/24[any] any to 10.0.1.0/24[any] any", "names no pair of addresses", "selector tokyo_out (racoon2.conf:40)")
		a.wantReason(reasonSinglePair)
		w.advance(time.Minute)
	}
	if len(a.failures) != 2 {
		t.Errorf("failures %+v", a.failures)
	}
	a.ask("10.0.1.5", "10.0.2.6")
	w.settle()
	w.wantUp(a, b, 1, 1)
	a.wantPairs("10.0.1.5/32 10.0.2.6/32")
}

// Without a packet such a child cannot be asked for, unless it is between two
// addresses anyway; nothing leaves this host.
func TestPairWithoutPacket(t *testing.T) {
	w, a, b := pair(t)
	a.change(perPair)
	a.initiate()
	if len(w.sent) != 0 || len(a.failures) != 1 {
		t.Fatalf("%d datagrams, failures %+v", len(w.sent), a.failures)
	}
	wantWords(t, a.failures[0].Reason, "selector kyoto_out (racoon2.conf:40) has SAs for each pair of addresses, and no packet tells which")
	a.change(func(_ *Settings, _ *Remote, c *Child) {
		c.Outbound = []kernel.Selector{selector("10.0.1.5/32", "10.0.2.6/32")}
	})
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
}

// What takes the place of an IKE SA has its pairs, too.
func TestPairsOfReauthentication(t *testing.T) {
	w, a, b := pair(t)
	a.change(perPair)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.AuthLifetime = 10 * time.Minute })
	a.ask("10.0.1.5", "10.0.2.6")
	w.settle()
	a.ask("10.0.1.5", "10.0.2.7")
	w.settle()
	first := a.e.all()[0].serial
	w.advance(10 * time.Minute)
	w.wantUp(a, b, 1, 2)
	if a.e.all()[0].serial == first {
		t.Error("the authentication was not repeated")
	}
	a.wantPairs("10.0.1.5/32 10.0.2.6/32", "10.0.1.5/32 10.0.2.7/32")
	if len(a.downs)+len(b.downs) != 0 {
		t.Errorf("downs %+v %+v", a.downs, b.downs)
	}
}
