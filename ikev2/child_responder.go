package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// maxChildren bounds the child SAs that a peer may make in one IKE SA.
const maxChildren = 256

// childAnswer is a child SA in the making, at the end that was asked for it.
type childAnswer struct {
	head    []message.Payload // IDr and AUTH in IKE_AUTH
	ni, nr  []byte
	create  bool     // CREATE_CHILD_SA: with a nonce of its own, perhaps with KE
	replace *childSA // what the peer rekeys

	conf      *Child
	choice    *chosen
	traffic   trafficSet // as this host sees it
	tsi, tsr  []message.TrafficSelector
	comp      compOffer // the peer's, that is accepted
	fragments bool      // both ends take non-first fragments
	more      bool      // other parts of what was asked for would do too, in another SA
	public    []byte    // KEr
	shared    []byte
}

// refusal is an error notification with the explanation that stays here.
type refusal struct {
	kind   message.NotifyType
	data   []byte
	reason string
	text   string
	attrs  []trace.Attr
}

// childRequest answers a request for another child, or for the successor of
// one (RFC 7296 §1.3.1, §1.3.3).
func (sa *ikeSA) childRequest(_ *row, m *received) {
	if n := sa.cannotCreate(m); n != nil {
		sa.e.trace(trace.ProtoWarn, n.reason, n.text, sa.attrs()...)
		sa.respond(m, []message.Payload{&message.Notify{Kind: n.kind, Data: n.data}})
		return
	}
	a := &childAnswer{create: true, ni: slices.Clone(find[*message.Nonce](m).Data)}
	if n := m.notification(message.REKEY_SA); n != nil {
		if !sa.findReplaced(m, n, a) {
			return
		}
	}
	var err error
	if a.nr, err = sa.e.nonce(sa.remote); err != nil {
		sa.e.trace(trace.InternalErr, reasonRandom, "no nonce: "+err.Error(), sa.attrs()...)
		sa.respondNotify(m, message.TEMPORARY_FAILURE, nil)
		return
	}
	sa.answerChild(m, a)
}

// cannotCreate is the refusal of any child at this time; nil when there is none.
func (sa *ikeSA) cannotCreate(m *received) *refusal {
	if _, rekeying := exchangeUnderWay[*rekeyTask](sa, nil); rekeying || sa.closing {
		// RFC 7296 §2.25.2.
		return &refusal{kind: message.TEMPORARY_FAILURE, reason: reasonTemporary, text: "a child was asked for while the IKE SA is replaced or closed"}
	}
	if len(sa.children) >= maxChildren {
		return &refusal{kind: message.NO_ADDITIONAL_SAS, reason: reasonNoAdditionalSAs,
			text: fmt.Sprintf("the peer has %d child SAs in this IKE SA, as many as allowed", len(sa.children))}
	}
	return nil
}

// findReplaced finds the child that REKEY_SA names by the SPI of the peer's
// inbound SA (RFC 7296 §1.3.3).
func (sa *ikeSA) findReplaced(m *received, n *message.Notify, a *childAnswer) bool {
	var old *childSA
	if len(n.SPI) == 4 {
		old = sa.byOutbound(n.Protocol, binary.BigEndian.Uint32(n.SPI))
	}
	switch {
	case old == nil || old.state == childReplaced:
		sa.e.trace(trace.ProtoWarn, reasonChildNotFound, fmt.Sprintf("the peer rekeys a child SA %x that is not there", n.SPI), sa.attrs()...)
		sa.respond(m, []message.Payload{&message.Notify{Kind: message.CHILD_SA_NOT_FOUND, Protocol: n.Protocol, SPI: n.SPI}})
		return false
	case old.state != childUp:
		// RFC 7296 §2.25.1: it is being closed.
		sa.e.trace(trace.ProtoWarn, reasonTemporary, "the peer rekeys a child SA that is being closed", old.attrs()...)
		sa.respondNotify(m, message.TEMPORARY_FAILURE, nil)
		return false
	}
	a.replace = old
	return true
}

// answerChild chooses, agrees on keys, installs and answers.
func (sa *ikeSA) answerChild(m *received, a *childAnswer) {
	if no := sa.chooseChild(m, a); no != nil {
		sa.refuseChild(m, a, no)
		return
	}
	group := a.choice.ke()
	if group == transform.KE_NONE {
		sa.reserveAnswer(m, a)
		return
	}
	// RFC 7296 §1.3.1: the group of KEi must be the one chosen.
	ke := find[*message.KE](m)
	if ke == nil || ke.Method != group {
		sent := transform.KE_NONE
		if ke != nil {
			sent = ke.Method
		}
		sa.refuseChild(m, a, &refusal{kind: message.INVALID_KE_PAYLOAD, data: binary.BigEndian.AppendUint16(nil, uint16(group)),
			reason: reasonInvalidKE, text: fmt.Sprintf("KE: peer sends a value for %s; of its offer %s chooses %s", sent, a.conf.place(), group)})
		return
	}
	sa.job("key exchange "+group.String(), keyExchange(group, ke.Data), func(v any, err error) {
		x, ok := v.(exchanged)
		if err != nil || !ok {
			// RFC 6989 §2.5: a bad public value fails the exchange.
			sa.refuseChild(m, a, &refusal{kind: message.INVALID_SYNTAX, reason: reasonInvalidKE,
				text: fmt.Sprintf("the peer's KE payload is not usable: %v", err)})
			return
		}
		a.public, a.shared = x.public, x.shared
		sa.reserveAnswer(m, a)
	})
}

// reserveAnswer gets the SPI, installs both SAs and then answers, so that the
// peer's first packet finds them and a failure can still be told.
func (sa *ikeSA) reserveAnswer(m *received, a *childAnswer) {
	sa.reserve(a.conf, false, func(c *childSA, err error) {
		defer clear(a.shared)
		if err == nil {
			c.suite, c.traffic, c.fragments = a.choice.childSuite(), a.traffic, a.fragments
			c.spiOut = kernel.SPI(binary.BigEndian.Uint32(a.choice.spi))
			c.comp, c.cpiOut = a.comp.comp, a.comp.cpi
			c.keys, err = deriveChildKeys(sa.keys, c.suite, a.shared, a.ni, a.nr)
			// RFC 7296 §2.8: the peer has the successor for certain when it deletes
			// the old child. Until then the old one sends.
			c.outWaits = a.replace != nil
		}
		if err != nil {
			sa.kernelRefuses(m, a, c, err)
			return
		}
		c.install(func(err error) {
			if err != nil {
				sa.kernelRefuses(m, a, c, err)
				return
			}
			sa.confirmChild(m, a, c)
		})
	})
}

func (sa *ikeSA) kernelRefuses(m *received, a *childAnswer, c *childSA, err error) {
	if c != nil {
		c.remove(err.Error())
	}
	sa.refuseChild(m, a, &refusal{kind: message.NO_PROPOSAL_CHOSEN, reason: reasonKernel, text: err.Error()})
}

// confirmChild answers with what was chosen.
func (sa *ikeSA) confirmChild(m *received, a *childAnswer, c *childSA) {
	list := append(a.head, a.conf.notifies()...)
	if c.comp != transform.COMP_NONE {
		list = append(list, compPayload(c.cpiIn, c.comp))
	}
	if c.fragments {
		list = append(list, notify(message.NON_FIRST_FRAGMENTS_ALSO, nil))
	}
	list = append(list, &message.SA{Proposals: []message.Proposal{a.choice.proposal(spiOctets(c.spiIn))}})
	if a.create {
		list = append(list, &message.Nonce{Data: a.nr})
	}
	if a.public != nil {
		list = append(list, &message.KE{Method: a.choice.ke(), Data: a.public})
	}
	list = append(list, &message.TS{Initiator: true, Selectors: a.tsi}, &message.TS{Selectors: a.tsr})
	if a.more {
		list = append(list, notify(message.ADDITIONAL_TS_POSSIBLE, nil))
	}
	sa.respond(m, list)
	c.up()
	if a.replace != nil {
		a.replace.sayNarrowed(c)
		a.replace.replacedByPeer(c, lowest(a.ni, a.nr))
	}
}

// refuseChild answers with an error for the child alone. In IKE_AUTH it stands
// beside IDr and AUTH, and the IKE SA stays (RFC 7296 §2.21.2).
func (sa *ikeSA) refuseChild(m *received, a *childAnswer, no *refusal) {
	sa.e.trace(trace.ProtoErr, no.reason, no.text, sa.attrs(append(no.attrs, attr("first_mismatch", no.text))...)...)
	sa.respond(m, append(a.head, &message.Notify{Kind: no.kind, Data: no.data}))
	if no.kind == message.INVALID_SYNTAX {
		sa.destroy(no.reason, no.text)
	}
}

// chooseChild finds the selector whose mode, traffic and proposals fit. Where
// several fit, the first that takes the first of TSi and TSr wins
// (RFC 7296 §2.9), then the configuration's order.
func (sa *ikeSA) chooseChild(m *received, a *childAnswer) *refusal {
	confs := sa.remote.Children
	if a.replace != nil {
		confs = append([]*Child{a.replace.conf}, confs...)
	}
	tsi, tsr := m.selectors(true), m.selectors(false)
	transport := m.notification(message.USE_TRANSPORT_MODE) != nil
	if transport {
		tsi, tsr = sa.asSeenHere(tsi, tsr)
	}
	asked := requestedMode(transport)
	fits, mode := sa.ofMode(confs, asked, tsi, tsr)
	if len(fits) == 0 && mode != nil && transport && sa.remote.TunnelInstead {
		// RFC 7296 §1.3.1: the initiator takes the tunnel or deletes it.
		tsi, tsr = m.selectors(true), m.selectors(false)
		sa.e.trace(trace.Info, reasonModeMismatch, fmt.Sprintf("the peer asks for transport and gets tunnel, which %s has", mode.place()), sa.attrs()...)
		fits, _ = sa.ofMode(confs, kernel.Tunnel, tsi, tsr)
	}
	if a.replace != nil && a.replace.conf.Mode == kernel.Tunnel && !transport {
		// RFC 7296 §2.9.2: what is in use may be rekeyed as it is, also where the policy
		// follows an address of the peer that has changed since.
		fits = append(fits, matchSet(a.replace.conf, a.replace.traffic, tsi, tsr)...)
	}
	switch {
	case len(fits) == 0 && mode != nil:
		return &refusal{kind: message.NO_PROPOSAL_CHOSEN, reason: reasonModeMismatch,
			text: fmt.Sprintf("mode: peer asks for %s; %s has %s", modeName(asked), mode.place(), modeName(mode.Mode))}
	case len(fits) == 0:
		return sa.noTraffic(tsi, tsr)
	}
	fits, vague := ownPairs(fits, tsi, tsr)
	if len(fits) == 0 {
		return singlePairRequired(vague, tsi, tsr)
	}
	slices.SortStableFunc(fits, func(x, y childAnswer) int {
		return rank(y, a.replace, tsi, tsr) - rank(x, a.replace, tsi, tsr)
	})
	return sa.chooseProposal(m, a, fits, tsi, tsr)
}

// ofMode are the parts of the request that children of a mode would carry, and the
// first child that would if it had that mode.
func (sa *ikeSA) ofMode(confs []*Child, asked kernel.Mode, tsi, tsr []message.TrafficSelector) (fits []childAnswer, other *Child) {
	for _, conf := range confs {
		fit := matchTraffic(conf, sa, tsi, tsr)
		if conf.Mode == asked {
			fits = append(fits, fit...)
		} else if len(fit) > 0 && other == nil {
			other = conf
		}
	}
	return fits, other
}

// rank is higher for traffic that holds all of what is replaced (RFC 7296 §2.9.2: a
// responder does not narrow it), and then for what holds the first selector of both
// sides.
func rank(a childAnswer, replaced *childSA, tsi, tsr []message.TrafficSelector) int {
	n := 0
	if replaced != nil && replaced.traffic.within(a.traffic) {
		n += 2
	}
	if coversAll(a.tsi, tsi[:1]) && coversAll(a.tsr, tsr[:1]) {
		n++
	}
	return n
}

// matchTraffic narrows the peer's selectors to each of a child's sets.
func matchTraffic(conf *Child, sa *ikeSA, tsi, tsr []message.TrafficSelector) []childAnswer {
	var fits []childAnswer
	for _, set := range conf.setsFor(sa) {
		fits = append(fits, matchSet(conf, set, tsi, tsr)...)
	}
	return fits
}

// matchSet narrows them to one set; there is one fit or none.
func matchSet(conf *Child, set trafficSet, tsi, tsr []message.TrafficSelector) []childAnswer {
	i, r := narrow(tsi, set.remote), narrow(tsr, set.local)
	if len(i) == 0 || len(r) == 0 {
		return nil
	}
	return []childAnswer{{conf: conf, tsi: i, tsr: r, traffic: trafficSet{local: r, remote: i}}}
}

// asSeenHere puts the addresses that this host sees into the selectors of a
// peer that asks for transport mode across a NAT (RFC 7296 §2.23.1).
func (sa *ikeSA) asSeenHere(tsi, tsr []message.TrafficSelector) (i, r []message.TrafficSelector) {
	if sa.natPeer {
		tsi, _ = substitute(tsi, sa.peer.Addr())
	}
	if sa.natLocal {
		tsr, _ = substitute(tsr, sa.local.Addr())
	}
	return tsi, tsr
}

func (sa *ikeSA) noTraffic(tsi, tsr []message.TrafficSelector) *refusal {
	allowed := "nothing"
	for i, conf := range sa.remote.Children {
		if i == 0 {
			allowed = ""
		}
		if i == 4 {
			allowed += fmt.Sprintf("; and %d more selectors", len(sa.remote.Children)-i)
			break
		}
		for _, set := range conf.setsFor(sa) {
			if allowed != "" {
				allowed += "; "
			}
			allowed += fmt.Sprintf("%s %s to %s", conf.place(), tsList(set.local), tsList(set.remote))
		}
	}
	asked := tsList(tsr) + " to " + tsList(tsi)
	return &refusal{kind: message.TS_UNACCEPTABLE, reason: reasonTSUnacceptable,
		text:  fmt.Sprintf("traffic selectors: peer asks for %s; %s allows %s", asked, sa.remote.place(), allowed),
		attrs: []trace.Attr{attr("offered", asked), attr("configured", allowed)}}
}

// chooseProposal takes the first fit whose proposals match too.
func (sa *ikeSA) chooseProposal(m *received, a *childAnswer, fits []childAnswer, tsi, tsr []message.TrafficSelector) *refusal {
	use := keNever
	if a.create {
		use = keRespond
	}
	sent := transform.KE_NONE
	if ke := find[*message.KE](m); ke != nil {
		sent = ke.Method
	}
	offers := find[*message.SA](m).Proposals
	var no *refusal
	for i, f := range fits {
		comp, why := f.conf.chooseComp(m.compOffers())
		if why == "" {
			why = sa.cannotCarry(f.conf)
		}
		if why != "" {
			if no == nil {
				no = &refusal{kind: message.NO_PROPOSAL_CHOSEN, reason: reasonNoProposal, text: why}
			}
			continue
		}
		ours := sa.acceptable(f.conf, use)
		if len(ours) == 0 {
			no = &refusal{kind: message.NO_PROPOSAL_CHOSEN, reason: reasonNoProposal, text: sa.tooStrong(f.conf)}
			continue
		}
		choice, mismatch := choose(ours, offers, sent)
		if choice != nil && (len(choice.spi) != 4 || binary.BigEndian.Uint32(choice.spi) == 0) {
			no = &refusal{kind: message.INVALID_SYNTAX, reason: reasonInvalidSyntax, text: "the SPI of a child proposal is not 4 octets or is 0"}
			continue
		}
		if choice != nil {
			a.more = sa.otherFits(fits, i, f, tsi, tsr)
			a.fragments = f.conf.fragmentsAlso(f.traffic) && m.agreesOnFragments()
			a.conf, a.tsi, a.tsr, a.traffic, a.choice, a.comp = f.conf, f.tsi, f.tsr, f.traffic, choice, comp
			return nil
		}
		if no == nil {
			no = &refusal{kind: message.NO_PROPOSAL_CHOSEN, reason: reasonNoProposal, text: mismatch.words(f.conf.place()),
				attrs: []trace.Attr{attr("offered", proposalList(offers)), attr("configured", proposalList(offer(ours, nil)))}}
		}
	}
	return no
}
