package ikev2

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

const (
	ikePort = 500
	natPort = 4500

	// keepaliveInterval is the one of RFC 3948 §4.
	keepaliveInterval = 20 * time.Second
)

// natHash is the value of a NAT detection notification: SHA-1 over SPIs,
// address and port (RFC 7296 §2.23).
func natHash(spii, spir uint64, at netip.AddrPort) []byte {
	h := sha1.New()
	b := binary.BigEndian.AppendUint64(nil, spii)
	b = binary.BigEndian.AppendUint64(b, spir)
	b = append(b, at.Addr().Unmap().AsSlice()...)
	h.Write(binary.BigEndian.AppendUint16(b, at.Port()))
	return h.Sum(nil)
}

// natPayloads are this host's two notifications; none without NAT traversal.
func (sa *ikeSA) natPayloads(r *Remote) []message.Payload {
	if !sa.e.traversal(r) {
		return nil
	}
	source := sa.local
	if r.ForceNAT {
		// RFC 7296 §2.23 lets a host that wants UDP send a hash that fits no
		// address: the other end then sees a NAT.
		source = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	return []message.Payload{
		notify(message.NAT_DETECTION_SOURCE_IP, natHash(sa.spii, sa.spir, source)),
		notify(message.NAT_DETECTION_DESTINATION_IP, natHash(sa.spii, sa.spir, sa.peer)),
	}
}

func (e *Engine) traversal(r *Remote) bool { return r.NATTraversal && e.settings.NATPort != 0 }

// detectNAT compares the peer's hashes with what arrived. The peer may send
// several source hashes; one that fits is enough (RFC 7296 §2.23).
func (sa *ikeSA) detectNAT(m *received, r *Remote) {
	if !sa.e.traversal(r) {
		return
	}
	source := natHash(m.SPIi, m.SPIr, m.in.Remote)
	destination := natHash(m.SPIi, m.SPIr, m.in.Local)
	var sources, destinations, sourceFits, destinationFits bool
	for _, p := range m.payloads {
		n, ok := p.(*message.Notify)
		if !ok {
			continue
		}
		switch n.Kind {
		case message.NAT_DETECTION_SOURCE_IP:
			sources, sourceFits = true, sourceFits || bytes.Equal(n.Data, source)
		case message.NAT_DETECTION_DESTINATION_IP:
			destinations, destinationFits = true, destinationFits || bytes.Equal(n.Data, destination)
		}
	}
	if !sources || !destinations {
		return
	}
	sa.setup.peerHashes = true
	sa.natPeer, sa.natLocal = !sourceFits, !destinationFits || r.ForceNAT
}

// float moves an initiator to the NAT traversal ports when there is a NAT
// (RFC 7296 §2.23: it must, from IKE_AUTH on).
func (sa *ikeSA) float() {
	if !sa.natLocal && !sa.natPeer {
		return
	}
	port := uint16(natPort)
	if sa.peer.Port() != ikePort && sa.peer.Port() == sa.e.settings.IKEPort {
		port = sa.e.settings.NATPort // both ends use the same unusual ports
	}
	sa.local = netip.AddrPortFrom(sa.local.Addr(), sa.e.settings.NATPort)
	sa.peer = netip.AddrPortFrom(sa.peer.Addr(), port)
}

// heardFrom notes life of the peer, and follows it to a new address.
func (sa *ikeSA) heardFrom(in Datagram) {
	sa.heard = sa.e.now
	if in.Remote == sa.peer && in.Local == sa.local {
		return
	}
	if sa.state == stateHalfOpen {
		// The initiator may have floated (RFC 7296 §2.23); another address is
		// only believed of a peer behind a NAT.
		if in.Remote.Addr() == sa.peer.Addr() || sa.natPeer {
			sa.local, sa.peer = in.Local, in.Remote
		}
		return
	}
	// RFC 7296 §2.23: a host that is not behind a NAT follows a peer that is; a
	// host behind one does not, for anybody could move it.
	if sa.state == stateEstablished && sa.natPeer && !sa.natLocal {
		sa.movePeer(in.Remote)
	}
}

// movePeer follows the peer to another address or port, with its child SAs.
func (sa *ikeSA) movePeer(to netip.AddrPort) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if to == sa.peer {
		return
	}
	from := sa.peer
	sa.peer = to
	sa.e.trace(trace.Info, reasonPeerMoved, "the peer behind the NAT is now at another address", sa.attrs(attr("from", from.String()))...)
	for _, c := range slices.Clone(sa.children) {
		c.follow(from)
	}
}

// follow tells the kernel the peer's new port. A new address makes new SAs
// instead: an SA's address is part of its name, and its key must not be
// installed a second time.
func (c *childSA) follow(from netip.AddrPort) {
	if c.encap == nil || !c.standing() {
		return
	}
	if c.sa.peer.Addr() != from.Addr() {
		c.rekey()
		return
	}
	c.encap = &kernel.Encap{Local: c.encap.Local, Remote: c.sa.peer.Port()}
	for _, out := range []bool{false, true} {
		if out && c.outWaits {
			continue
		}
		k := c.kernelSA(out)
		k.EncrKey, k.IntegKey = nil, nil
		c.sa.e.kernelOp(kernel.UpdateSA{SA: k}, func(r kernel.Result) {
			if r.Err != nil {
				c.sa.e.trace(trace.InternalWarn, reasonKernel, "the kernel does not follow the peer's new port: "+r.Err.Error(), c.attrs()...)
			}
		})
	}
}

// keepalive keeps the mapping of the NAT in front of this host (RFC 3948 §4).
func (sa *ikeSA) keepalive() {
	if sa.state != stateEstablished || !sa.natLocal {
		return
	}
	sa.e.do(Send{Local: sa.local, Remote: sa.peer, Data: []byte{0xff}})
	sa.setTimer(timerKeepalive, keepaliveInterval)
}

// mapping takes the kernel's word that encapsulated packets come from elsewhere.
func (e *Engine) mapping(ev kernel.Mapping) {
	c := e.bySAID[ev.ID]
	if c == nil || c.sa.state != stateEstablished || !c.sa.natPeer || c.sa.natLocal {
		return
	}
	c.sa.movePeer(ev.New)
}
