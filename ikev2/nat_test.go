package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
)

// nat stands between a host and the rest: it gives the host's datagrams an
// address of its own and takes the answers back.
type nat struct {
	w       *world
	inside  *node
	outside netip.Addr
	ports   map[uint16]uint16 // inside port to outside port
}

// deliver is the world's filter for one NAT.
func (n *nat) deliver(p Send) []Send {
	if p.Local.Addr() == n.inside.addr {
		p.Local = netip.AddrPortFrom(n.outside, n.ports[p.Local.Port()])
	}
	if p.Remote.Addr() == n.outside {
		for in, out := range n.ports {
			if out == p.Remote.Port() {
				p.Remote = netip.AddrPortFrom(n.inside.addr, in)
				return []Send{p}
			}
		}
		return nil
	}
	return []Send{p}
}

// natted is a pair with a NAT in front of the first host.
func natted(t *testing.T) (*world, *node, *node, *nat) {
	t.Helper()
	w := newWorld(t)
	a := w.add("kyoto", "10.9.9.9", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
	b := w.add("tokyo", "192.0.2.2", testSettings("tokyo", "kyoto", "203.0.113.7", "10.0.2.0/24", "10.0.1.0/24"))
	n := &nat{w: w, inside: a, outside: netip.MustParseAddr("203.0.113.7"), ports: map[uint16]uint16{500: 1500, 4500: 14500}}
	w.filter = n.deliver
	return w, a, b, n
}

// Both ends see the NAT, IKE_AUTH floats to port 4500, ESP is encapsulated.
func TestNATInFrontOfInitiator(t *testing.T) {
	w, a, b, _ := natted(t)
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	ia, ib := a.e.Status()[0], b.e.Status()[0]
	if !ia.NATLocal || ia.NATRemote || ib.NATLocal || !ib.NATRemote {
		t.Errorf("NAT seen: %v %v, %v %v", ia.NATLocal, ia.NATRemote, ib.NATLocal, ib.NATRemote)
	}
	if ia.LocalAddr.Port() != 4500 || ia.RemoteAddr.Port() != 4500 || ib.RemoteAddr.Port() != 14500 || ib.LocalAddr.Port() != 4500 {
		t.Errorf("ports %v %v, %v %v", ia.LocalAddr, ia.RemoteAddr, ib.LocalAddr, ib.RemoteAddr)
	}
	if e := b.kernel.one(t, kernel.Out).Encap; e == nil || *e != (kernel.Encap{Local: 4500, Remote: 14500}) {
		t.Errorf("responder's encapsulation %+v", e)
	}
	if e := a.kernel.one(t, kernel.In).Encap; e == nil || *e != (kernel.Encap{Local: 4500, Remote: 4500}) {
		t.Errorf("initiator's encapsulation %+v", e)
	}
	if !ib.Children[0].Encap {
		t.Error("status does not say that the child is encapsulated")
	}
}

// Only the host behind the NAT sends keepalives: one octet every 20 seconds of
// its own silence.
func TestKeepalive(t *testing.T) {
	w, a, b, _ := natted(t)
	a.initiate()
	w.settle()
	before := len(w.sent)
	w.advance(65 * time.Second)
	var n int
	for _, p := range w.sent[before:] {
		if len(p.Data) != 1 || p.Data[0] != 0xff || p.Local.Addr() != a.addr || p.Local.Port() != 4500 {
			t.Errorf("sent %x from %v", p.Data, p.Local)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d keepalives in 65 seconds, want 3", n)
	}
	w.wantUp(a, b, 1, 1)
}

// When the NAT gives the peer another port, the responder follows with the
// first authentic message, and tells its kernel. A replayed message moves nobody.
func TestFollowNATRebinding(t *testing.T) {
	w, a, b, box := natted(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = time.Minute })
	a.initiate()
	w.settle()
	replay := w.sent[2] // IKE_AUTH request
	box.ports[4500] = 24500
	b.handle(Datagram{Local: replay.Remote, Remote: netip.MustParseAddrPort("198.51.100.1:4500"), Data: replay.Data})
	if got := b.e.Status()[0].RemoteAddr; got.Port() != 14500 {
		t.Errorf("a replayed message moved the peer to %v", got)
	}
	w.settle()
	w.advance(65 * time.Second)
	b.wantReason(reasonPeerMoved)
	if got := b.e.Status()[0].RemoteAddr; got.Port() != 24500 {
		t.Errorf("the peer is at %v", got)
	}
	for _, d := range []kernel.Direction{kernel.In, kernel.Out} {
		if e := b.kernel.one(t, d).Encap; e == nil || e.Remote != 24500 {
			t.Errorf("the kernel has %+v", e)
		}
	}
	w.wantUp(a, b, 1, 1)
}

// The kernel may see the new port first.
func TestKernelMapping(t *testing.T) {
	w, a, b, box := natted(t)
	a.initiate()
	w.settle()
	box.ports[4500] = 34500
	in := b.kernel.one(t, kernel.In)
	b.handle(KernelEvent{Event: kernel.Mapping{ID: in.SAID, New: netip.MustParseAddrPort("203.0.113.7:34500")}})
	if e := b.kernel.one(t, kernel.Out).Encap; e.Remote != 34500 {
		t.Errorf("encapsulation %+v", e)
	}
	b.handle(Terminate{})
	w.settle()
	a.wantNothing()
	b.wantNothing()
}

// A new address makes new child SAs, because an SA's address is its name.
func TestFollowNewAddress(t *testing.T) {
	w, a, b, box := natted(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.DPDDelay = time.Minute })
	a.initiate()
	w.settle()
	box.outside = netip.MustParseAddr("203.0.113.99")
	w.advance(65 * time.Second)
	w.wantUp(a, b, 1, 1)
	if out := b.kernel.one(t, kernel.Out); out.Dst != box.outside {
		t.Errorf("the outbound SA goes to %v", out.Dst)
	}
}

// Transport mode across a NAT: the responder's policy is about the addresses
// that it sees (RFC 7296 §2.23.1).
func TestTransportAcrossNAT(t *testing.T) {
	w, a, b, _ := natted(t)
	a.change(func(_ *Settings, _ *Remote, c *Child) {
		c.Mode = kernel.Transport
		c.Outbound = []kernel.Selector{selector("10.9.9.9/32", "192.0.2.2/32")}
	})
	b.change(func(_ *Settings, _ *Remote, c *Child) {
		c.Mode, c.Dynamic = kernel.Transport, true
		c.Outbound = []kernel.Selector{selector("192.0.2.2/32", "0.0.0.0/0")}
	})
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	if got := b.kernel.one(t, kernel.Out).Selector; got != selector("192.0.2.2/32", "203.0.113.7/32") {
		t.Errorf("responder's selector %+v", got)
	}
	if got := a.kernel.one(t, kernel.Out).Selector; got != selector("10.9.9.9/32", "192.0.2.2/32") {
		t.Errorf("initiator's selector %+v", got)
	}
	// And so does the successor.
	out := a.kernel.one(t, kernel.Out)
	a.handle(KernelEvent{Event: kernel.Expire{ID: out.SAID}})
	w.settle()
	w.wantUp(a, b, 1, 1)
	if got := b.kernel.one(t, kernel.Out).Selector; got != selector("192.0.2.2/32", "203.0.113.7/32") {
		t.Errorf("responder's selector after rekeying %+v", got)
	}
}

// nat_traversal off: no hashes are sent and none are believed.
func TestNATTraversalOff(t *testing.T) {
	w, a, b, _ := natted(t)
	a.change(func(_ *Settings, r *Remote, _ *Child) { r.NATTraversal, r.Fragmentation = false, false })
	a.initiate()
	w.settle()
	m, err := message.Decode(w.sent[0].Data)
	if err != nil || len(m.Payloads) != 3 {
		t.Errorf("the request has %d payloads, want SA, KE and Nonce: %v", len(m.Payloads), err)
	}
	w.wantUp(a, b, 1, 1)
	if e := b.kernel.one(t, kernel.Out).Encap; e != nil {
		t.Errorf("encapsulated: %+v", e)
	}
}

// A responder behind a NAT that forwards its ports.
func TestNATInFrontOfResponder(t *testing.T) {
	w := newWorld(t)
	a := w.add("kyoto", "192.0.2.1", testSettings("kyoto", "tokyo", "203.0.113.7", "10.0.1.0/24", "10.0.2.0/24"))
	b := w.add("tokyo", "10.9.9.9", testSettings("tokyo", "kyoto", "192.0.2.1", "10.0.2.0/24", "10.0.1.0/24"))
	box := &nat{w: w, inside: b, outside: netip.MustParseAddr("203.0.113.7"), ports: map[uint16]uint16{500: 500, 4500: 4500}}
	w.filter = box.deliver
	a.initiate()
	w.settle()
	w.wantUp(a, b, 1, 1)
	ia, ib := a.e.Status()[0], b.e.Status()[0]
	if ia.NATLocal || !ia.NATRemote || !ib.NATLocal || ib.NATRemote {
		t.Errorf("NAT seen: %v %v, %v %v", ia.NATLocal, ia.NATRemote, ib.NATLocal, ib.NATRemote)
	}
}

// A source hash among several that fits is enough.
func TestSeveralSourceHashes(t *testing.T) {
	_, a, _ := pair(t)
	local, remote := netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500")
	sa := &ikeSA{e: a.e, setup: &setup{}}
	m := &received{Header: message.Header{SPIi: 1, SPIr: 2}, in: Datagram{Local: local, Remote: remote}, payloads: []message.Payload{
		notify(message.NAT_DETECTION_SOURCE_IP, natHash(1, 2, local)),
		notify(message.NAT_DETECTION_SOURCE_IP, natHash(1, 2, remote)),
		notify(message.NAT_DETECTION_DESTINATION_IP, natHash(1, 2, local)),
	}}
	if !sa.detectNAT(m, a.e.settings.Remotes[0]) || sa.natLocal || sa.natPeer {
		t.Errorf("%+v", sa)
	}
}
