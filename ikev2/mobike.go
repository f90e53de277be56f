package ikev2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"racoon2/ikev2/message"
	"racoon2/kernel/trace"
)

// MOBIKE (RFC 4555): an IKE SA and its tunnels go on when an address changes. The
// end that began ("the initiator", however often the IKE SA was rekeyed) decides
// on the pair of addresses: mobike_path.go. What is said about it, and how it is
// answered, is in mobike_inform.go. Transport mode is beyond it (§1.2): its
// children are closed and made anew.

const (
	// maxAdditional bounds the additional addresses that are told, and kept of a peer.
	maxAdditional = 8
	// maxPaths bounds the pairs of addresses that one request is tried on.
	maxPaths = 16
	// cookie2Size is within the 8 to 64 octets of RFC 4555 §4.2.5.
	cookie2Size = 16
)

// path is a pair of addresses that an IKE SA may use.
type path struct{ local, peer netip.AddrPort }

func (p path) String() string { return fmt.Sprintf("%s - %s", p.local, p.peer) }

// mobility is what an IKE SA knows of MOBIKE.
type mobility struct {
	agreed  bool         // both ends have sent MOBIKE_SUPPORTED
	peers   []netip.Addr // the peer's additional addresses
	told    []netip.Addr // those of this host that the peer knows of
	untold  bool         // the peer has not heard of the local address in use
	checked []netip.Addr // of the peer's: it has answered from there
	left    []netip.Addr // of both: that the IKE SA has moved away from
	moves   uint64       // how often the pair has changed

	toward  netip.AddrPort // the peer's address that a route was asked for
	pinned  bool           // the local address is the configuration's
	refused []path         // that the peer does not accept
	strayed bool           // no path is known, and it was said

	// of the peer's requests, plus one: older ones that come later count no more
	addressesBy, updatedBy uint32
	seen                   []byte // NAT_DETECTION_DESTINATION_IP of the peer's last answer
}

// here is the pair of addresses in use.
func (sa *ikeSA) here() path { return path{sa.local, sa.peer} }

// leave notes addresses that children may still be configured for.
func (b *mobility) leave(addrs ...netip.Addr) {
	for _, a := range addrs {
		if !slices.Contains(b.left, a) {
			b.left = append(b.left, a)
		}
	}
	b.left = b.left[max(0, len(b.left)-maxAdditional):]
}

// hasChecked says that the peer has answered from an address.
func (b *mobility) hasChecked(a netip.Addr) bool { return slices.Contains(b.checked, a.Unmap()) }

func (b *mobility) check(a netip.Addr) {
	if a = a.Unmap(); !b.hasChecked(a) {
		b.checked = append(b.checked, a)
		b.checked = b.checked[max(0, len(b.checked)-maxPaths):]
	}
}

// mobikePayloads are this host's part of IKE_AUTH: RFC 4555 §3.2, §3.4.
func (sa *ikeSA) mobikePayloads(r *Remote) []message.Payload {
	if !r.MOBIKE {
		return nil
	}
	sa.mob.told = sa.additional(r)
	list := []message.Payload{notify(message.MOBIKE_SUPPORTED, nil)}
	return append(list, additionalPayloads(sa.mob.told)...)
}

// agreeMobike takes the peer's part of IKE_AUTH.
func (sa *ikeSA) agreeMobike(m *received) {
	if !sa.remote.MOBIKE || m.notification(message.MOBIKE_SUPPORTED) == nil {
		return
	}
	sa.mob.agreed = true
	sa.mob.peers = additionalOf(m)
	sa.mob.check(sa.peer.Addr())
}

// additional are this host's addresses besides the one in use that a peer could
// reach. Those behind a tunnel of the remote are not.
func (sa *ikeSA) additional(r *Remote) []netip.Addr {
	var list []netip.Addr
	for _, a := range sa.e.locals {
		if a != sa.local.Addr() && elsewhere(a) && !r.tunnels(a) && len(list) < maxAdditional {
			list = append(list, a)
		}
	}
	return list
}

// elsewhere says that an address means the same on other hosts.
func elsewhere(a netip.Addr) bool {
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified()
}

// tunnels says that an address is inside a network that this host's end of a
// tunnel protects.
func (r *Remote) tunnels(a netip.Addr) bool {
	for _, c := range r.Children {
		for _, s := range c.Outbound {
			if s.Src.Bits() > 0 && !s.Src.IsSingleIP() && s.Src.Contains(a) {
				return true
			}
		}
	}
	return false
}

// additionalPayloads tell addresses, the whole list each time (RFC 4555 §3.6).
func additionalPayloads(addrs []netip.Addr) []message.Payload {
	if len(addrs) == 0 {
		return []message.Payload{notify(message.NO_ADDITIONAL_ADDRESSES, nil)}
	}
	var list []message.Payload
	for _, a := range addrs {
		kind := message.ADDITIONAL_IP4_ADDRESS
		if a.Is6() {
			kind = message.ADDITIONAL_IP6_ADDRESS
		}
		list = append(list, notify(kind, a.AsSlice()))
	}
	return list
}

// additionalOf are the peer's additional addresses in a message. What has a wrong
// length, or means nothing here, is left out.
func additionalOf(m *received) []netip.Addr {
	var list []netip.Addr
	for _, p := range m.payloads {
		n, ok := p.(*message.Notify)
		if !ok || n.Kind != message.ADDITIONAL_IP4_ADDRESS && n.Kind != message.ADDITIONAL_IP6_ADDRESS {
			continue
		}
		a, ok := netip.AddrFromSlice(n.Data)
		fits := ok && a.Is4() == (n.Kind == message.ADDITIONAL_IP4_ADDRESS)
		if a = a.Unmap(); fits && elsewhere(a) && !slices.Contains(list, a) && len(list) < maxAdditional {
			list = append(list, a)
		}
	}
	return list
}

// tellsAddresses says that a message has a list of additional addresses.
func (m *received) tellsAddresses() bool {
	return m.notification(message.NO_ADDITIONAL_ADDRESSES) != nil ||
		m.notification(message.ADDITIONAL_IP4_ADDRESS) != nil || m.notification(message.ADDITIONAL_IP6_ADDRESS) != nil
}

// noNATs is NO_NATS_ALLOWED for a pair of addresses, where this host does not
// traverse NATs: RFC 4555 §3.9, every message that can update addresses has it.
func (sa *ikeSA) noNATs(r *Remote) []message.Payload {
	if sa.e.traversal(r) {
		return nil
	}
	return []message.Payload{notify(message.NO_NATS_ALLOWED, natlessData(sa.local, sa.peer))}
}

// natlessData is the content of NO_NATS_ALLOWED (RFC 4555 §4.2.6).
func natlessData(source, destination netip.AddrPort) []byte {
	b := append(source.Addr().Unmap().AsSlice(), destination.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, source.Port())
	return binary.BigEndian.AppendUint16(b, destination.Port())
}

// natOnTheWay says that NO_NATS_ALLOWED of a message has not the addresses that
// the message came with.
func (sa *ikeSA) natOnTheWay(m *received) bool {
	n := m.notification(message.NO_NATS_ALLOWED)
	if n == nil || bytes.Equal(n.Data, natlessData(m.in.Remote, m.in.Local)) {
		return false
	}
	sa.e.trace(trace.ProtoWarn, reasonUnexpectedNAT, "somebody on the way changes addresses, and the peer allows no NAT",
		sa.attrs(attr("from", m.in.Remote.String()), attr("to", m.in.Local.String()))...)
	return true
}

// mobileWords are for `status`.
func (sa *ikeSA) mobileWords() string {
	if len(sa.mob.peers) == 0 {
		return "MOBIKE"
	}
	names := make([]string, len(sa.mob.peers))
	for i, a := range sa.mob.peers {
		names[i] = a.String()
	}
	return "MOBIKE (the peer also has " + strings.Join(names, ", ") + ")"
}

// inheritMobility passes MOBIKE on to the successor of a rekeyed IKE SA, whose
// Message IDs begin anew.
func (sa *ikeSA) inheritMobility(old *ikeSA) {
	sa.mob = old.mob
	sa.mob.addressesBy, sa.mob.updatedBy = 0, 0
}

// now is the IKE SA that stands in the place of this one, which may have been
// rekeyed while an exchange was under way.
func (sa *ikeSA) now() *ikeSA {
	for sa.next != nil && sa.next.state != stateDead {
		sa = sa.next
	}
	return sa
}
