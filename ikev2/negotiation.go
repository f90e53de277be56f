package ikev2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// negotiation is a child SA in the making, at the end that asked for it.
type negotiation struct {
	want     want
	replace  *childSA // nil: a new one
	child    *childSA // with its SPI reserved
	offered  []message.Proposal
	sent     trafficSet
	reported bool     // whoever asked has been told of the failure
	deleted  []uint32 // the peer's SPIs that it deleted while its answer was on the way
}

// maxDeleted bounds the SPIs remembered; a peer makes one child in an exchange.
const maxDeleted = 8

// payloads are the child's part of a request; why says what keeps it from being
// asked for ("" is well).
func (n *negotiation) payloads(sa *ikeSA, use keUse) (list []message.Payload, why string) {
	c := n.child
	if why := sa.cannotCarry(c.conf); why != "" {
		return nil, why
	}
	set, ok := offerTraffic(c.conf.setsFor(sa), n.want.packet)
	switch {
	case n.replace != nil:
		// RFC 7296 §2.9.2: the same traffic, and no packet's own selectors.
		set, ok = n.replace.traffic, true
	case n.want.only != nil:
		set, ok = *n.want.only, true
	case c.conf.PerPair && ok && !set.single():
		if why := c.conf.needsPacket(n.want.packet); why != "" {
			return nil, why
		}
		set, ok = c.conf.pairOf(sa, n.want.packet)
	}
	if !ok {
		return nil, fmt.Sprintf("%s has no traffic for %s", c.conf.place(), sa.peer.Addr())
	}
	n.sent = set
	n.offered = offer(sa.bound(c.conf.alternatives(use, nil)), spiOctets(c.spiIn))
	if len(n.offered) == 0 {
		return nil, sa.tooStrong(c.conf)
	}
	list = append(c.conf.notifies(), c.compPayloads()...)
	if c.conf.fragmentsAlso(set) {
		list = append(list, notify(message.NON_FIRST_FRAGMENTS_ALSO, nil))
	}
	return append(list, &message.SA{Proposals: n.offered}), ""
}

// notifies are what both roles say about a child beside its proposals.
func (c *Child) notifies() []message.Payload {
	var list []message.Payload
	if c.Mode == kernel.Transport {
		list = append(list, notify(message.USE_TRANSPORT_MODE, nil))
	}
	if c.protocol() == kernel.ESP {
		list = append(list, notify(message.ESP_TFC_PADDING_NOT_SUPPORTED, nil))
	}
	return list
}

// cannotCarry says why an IKE SA cannot have a child of this kind at all ("" is
// well). A NAT changes addresses that AH protects (RFC 3715 §2.1), and there is
// no AH in UDP.
func (sa *ikeSA) cannotCarry(conf *Child) string {
	if conf.protocol() == kernel.AH && (sa.natLocal || sa.natPeer) {
		return fmt.Sprintf("%s has AH, which does not pass the NAT on the way to %s", conf.place(), sa.peer.Addr())
	}
	return ""
}

// tsPayloads are TSi and TSr of a request.
func (n *negotiation) tsPayloads() []message.Payload {
	return []message.Payload{
		&message.TS{Initiator: true, Selectors: n.sent.local},
		&message.TS{Initiator: false, Selectors: n.sent.remote},
	}
}

// setsFor is the child's traffic as this IKE SA can carry it: transport mode
// reaches only from one of its addresses to the other (RFC 7296 §2.23.1).
func (c *Child) setsFor(sa *ikeSA) []trafficSet {
	sets := c.sets(sa.peer.Addr())
	if c.Mode != kernel.Transport {
		return sets
	}
	var out []trafficSet
	for _, s := range sets {
		t := trafficSet{
			narrow([]message.TrafficSelector{hostTS(sa.local.Addr())}, s.local),
			narrow([]message.TrafficSelector{hostTS(sa.peer.Addr())}, s.remote),
		}
		if len(t.local) > 0 && len(t.remote) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// hostTS is all traffic of one address.
func hostTS(a netip.Addr) message.TrafficSelector {
	a = a.WithZone("")
	return message.TrafficSelector{EndPort: 65535, Start: a, End: a}
}

// accept takes the responder's choice and installs the child; done learns how
// it ended ("" is well). shared is g^ir of this exchange, nil without one.
func (n *negotiation) accept(sa *ikeSA, m *received, ni, nr, shared []byte, done func(problem string)) {
	c := n.child
	fail := func(reason, text string) {
		sa.e.trace(trace.ProtoErr, reason, text, c.attrs(attr("offered", proposalList(n.offered)))...)
		// The responder has installed its half: it must hear that it is for nothing.
		spi := c.spiIn
		c.remove(text)
		n.failed(sa, reason, text)
		sa.enqueue(&deleteChildTask{proto: c.conf.wireProtocol(), spi: spi})
		if done != nil {
			done(text)
		}
	}
	reason, err := n.check(sa, m)
	if err == nil {
		c.keys, err = deriveChildKeys(sa.keys, c.suite, shared, ni, nr)
		reason = reasonInternal
	}
	if err != nil {
		fail(reason, "the answer for child "+c.conf.Name+" is not acceptable: "+err.Error())
		return
	}
	c.install(func(err error) {
		if err != nil {
			fail(reasonKernel, err.Error())
			return
		}
		c.up()
		n.askForMore(sa, m)
		if done != nil {
			done("")
		}
	})
}

// check verifies mode, proposal and traffic selectors of the answer and notes
// them in the child.
func (n *negotiation) check(sa *ikeSA, m *received) (reason string, err error) {
	c := n.child
	transport := m.notification(message.USE_TRANSPORT_MODE) != nil
	if requestedMode(transport) != c.conf.Mode {
		return reasonModeMismatch, fmt.Errorf("mode: peer chooses %s; %s has %s",
			modeName(requestedMode(transport)), c.conf.place(), modeName(c.conf.Mode))
	}
	choice, err := verifyChoice(n.offered, find[*message.SA](m).Proposals)
	if err != nil {
		return reasonNoProposal, err
	}
	c.suite = choice.childSuite()
	c.spiOut = kernel.SPI(binary.BigEndian.Uint32(choice.spi))
	if c.spiOut == 0 {
		return reasonInvalidSyntax, fmt.Errorf("the SPI is 0")
	}
	if slices.Contains(n.deleted, uint32(c.spiOut)) {
		return reasonChildRefused, fmt.Errorf("the peer has deleted %v before its answer came", c.spiOut)
	}
	if err := c.checkComp(m); err != nil {
		return reasonNoProposal, err
	}
	local, remote := m.selectors(true), m.selectors(false)
	if transport {
		// RFC 7296 §2.23.1: across a NAT the answer has the addresses as the
		// responder sees them.
		if sa.natLocal {
			local, _ = substitute(local, sa.local.Addr())
		}
		if sa.natPeer {
			remote, _ = substitute(remote, sa.peer.Addr())
		}
	}
	// RFC 7296 §2.9: the answer is a subset of the request.
	within := coversAll(n.sent.local, local) && coversAll(n.sent.remote, remote)
	if len(local) == 0 || len(remote) == 0 || !within {
		return reasonTSUnacceptable, fmt.Errorf("traffic selectors: peer chooses %s to %s; this host asked for %s to %s",
			tsList(local), tsList(remote), tsList(n.sent.local), tsList(n.sent.remote))
	}
	c.traffic = trafficSet{dropCovered(local), dropCovered(remote)}
	c.fragments = c.conf.fragmentsAlso(c.traffic) && c.conf.fragmentsAlso(n.sent) && m.agreesOnFragments()
	if n.replace != nil {
		n.replace.sayNarrowed(c)
	}
	if other := n.useless(sa); other != nil {
		return reasonTSUnacceptable, fmt.Errorf("traffic selectors: peer narrows to %s to %s, without the packet that asked (%v); child %v carries the rest already",
			tsList(local), tsList(remote), *n.want.packet, other.spiIn)
	}
	return "", nil
}

// useless finds the child that carries already all that the answer grants, when
// the packet that asked is not part of that. Without this each such packet would
// make one more child: the responder narrows them all alike (RFC 7296 §2.9).
func (n *negotiation) useless(sa *ikeSA) *childSA {
	if n.want.packet == nil || n.replace != nil {
		return nil
	}
	c := n.child
	l, r := selectorTS(*n.want.packet)
	if (trafficSet{[]message.TrafficSelector{l}, []message.TrafficSelector{r}}).within(c.traffic) {
		return nil
	}
	for _, same := range sa.e.byRemote[sa.remote.Name] {
		for _, other := range same.children {
			if other != c && other.conf == c.conf && other.state == childUp && c.traffic.within(other.traffic) {
				return other
			}
		}
	}
	return nil
}

// within says that all of s is part of outer.
func (s trafficSet) within(outer trafficSet) bool {
	return coversAll(outer.local, s.local) && coversAll(outer.remote, s.remote)
}

// refused deals with an error for the child in an answer; the IKE SA stays
// (RFC 7296 §1.2, §2.21.2).
func (n *negotiation) refused(sa *ikeSA, refusal *message.Notify) {
	kind := message.NO_PROPOSAL_CHOSEN
	if refusal != nil {
		kind = refusal.Kind
	}
	reason := reasonChildRefused
	switch kind {
	case message.NO_PROPOSAL_CHOSEN:
		reason = reasonNoProposal
	case message.TS_UNACCEPTABLE:
		reason = reasonTSUnacceptable
	case message.SINGLE_PAIR_REQUIRED:
		reason = reasonSinglePair
	case message.INVALID_KE_PAYLOAD:
		reason = reasonInvalidKE
	case message.NO_ADDITIONAL_SAS:
		reason = reasonNoAdditionalSAs
	case message.TEMPORARY_FAILURE:
		reason = reasonTemporary
	case message.CHILD_SA_NOT_FOUND:
		reason = reasonChildNotFound
	}
	text := fmt.Sprintf("the peer refuses child %s with %s", n.want.child.Name, kind)
	sa.e.trace(trace.ProtoErr, reason, text, sa.attrs(attr("offered", proposalList(n.offered)),
		attr("offered_traffic", tsList(n.sent.local)+" to "+tsList(n.sent.remote)))...)
	n.drop(text)
	n.failed(sa, reason, text)
}

// drop gives the reserved SPI back.
func (n *negotiation) drop(why string) {
	if n.child != nil {
		n.child.remove(why)
	}
}

// failed tells whoever asked. A rekey was asked for by nobody.
func (n *negotiation) failed(sa *ikeSA, _, text string) {
	if n.replace == nil && !n.reported {
		sa.e.do(InitiateFailed{Remote: sa.remoteName(), Child: n.want.child.Name, Reason: text})
	}
}

// kePayload is KEi of a request with perfect forward secrecy.
func kePayload(key transform.PrivateKey) *message.KE {
	return &message.KE{Method: key.Method(), Data: key.Public()}
}
