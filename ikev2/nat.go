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

// natPayloads are this host's two notifications in a message from one address to
// the other; none without NAT traversal.
func (sa *ikeSA) natPayloads(r *Remote, source, destination netip.AddrPort) []message.Payload {
	if !sa.e.traversal(r) {
		return nil
	}
	if r.ForceNAT {
		// RFC 7296 §2.23 lets a host that wants UDP send a hash that fits no
		// address: the other end then sees a NAT.
		source = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	return []message.Payload{
		notify(message.NAT_DETECTION_SOURCE_IP, natHash(sa.spii, sa.spir, source)),
		notify(message.NAT_DETECTION_DESTINATION_IP, natHash(sa.spii, sa.spir, destination)),
	}
}

func (e *Engine) traversal(r *Remote) bool { return r.NATTraversal && e.settings.NATPort != 0 }

// detectNAT compares the peer's hashes with what arrived, and says whether there
// were any. The peer may send several source hashes; one that fits is enough
// (RFC 7296 §2.23).
func (sa *ikeSA) detectNAT(m *received, r *Remote) bool {
	if !sa.e.traversal(r) {
		return false
	}
	source := natHash(m.SPIi, m.SPIr, m.in.Remote)
	destination := natHash(m.SPIi, m.SPIr, m.in.Local)
	var sources, destinations, sourceFits, destinationFits, forwarded bool
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
			forwarded = forwarded || r.isPublic(m, n.Data)
		}
	}
	if !sources || !destinations {
		return false
	}
	sa.natPeer, sa.natLocal = !sourceFits, !destinationFits || r.ForceNAT
	sa.forwarded = forwarded && !destinationFits
	return true
}

// isPublic says that the peer has sent to one of the addresses by which a router
// in front of this host is known (natd_public_address).
func (r *Remote) isPublic(m *received, hash []byte) bool {
	return slices.ContainsFunc(r.PublicAddresses, func(a netip.AddrPort) bool {
		ports := []uint16{m.in.Local.Port(), a.Port()}
		return slices.ContainsFunc(ports, func(port uint16) bool {
			return port != 0 && bytes.Equal(hash, natHash(m.SPIi, m.SPIr, netip.AddrPortFrom(a.Addr().Unmap(), port)))
		})
	})
}

// needsKeepalive says that a NAT in front of this host may forget its mapping. A
// router that forwards to it does not.
func (sa *ikeSA) needsKeepalive() bool { return sa.natLocal && !sa.forwarded }

// float moves an initiator to the NAT traversal ports when there is a NAT
// (RFC 7296 §2.23: it must, from IKE_AUTH on).
func (sa *ikeSA) float() {
	// RFC 4555 §3.3: a host that can do both goes there without a NAT, too, so
	// that it has not to when another path has one.
	mobile := sa.setup.remote.MOBIKE && sa.setup.peerHashes
	if !sa.natLocal && !sa.natPeer && !mobile {
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
	// RFC 4555 §3.8: with MOBIKE it follows nothing but UPDATE_SA_ADDRESSES.
	if sa.state == stateEstablished && sa.followsPeer() && !sa.mob.agreed {
		sa.movePeer(in.Remote)
	}
}

// followsPeer says that packets of the peer may move it.
func (sa *ikeSA) followsPeer() bool { return sa.natPeer && (!sa.natLocal || sa.forwarded) }

// keepalive keeps the mapping of the NAT in front of this host (RFC 3948 §4).
func (sa *ikeSA) keepalive() {
	if sa.state != stateEstablished || !sa.needsKeepalive() {
		return
	}
	sa.e.do(Send{Local: sa.local, Remote: sa.peer, Data: []byte{0xff}})
	sa.setTimer(timerKeepalive, keepaliveInterval)
}

// mapping takes the kernel's word that encapsulated packets come from elsewhere.
func (e *Engine) mapping(ev kernel.Mapping) {
	c := e.bySAID[ev.ID]
	if c == nil || c.sa.state != stateEstablished || !c.sa.followsPeer() {
		return
	}
	c.sa.movePeer(ev.New)
}
