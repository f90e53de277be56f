package kink

import (
	"errors"
	"fmt"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// offer is one KINK_ISAKMP payload of a CREATE.
type offer struct {
	sa       isakmp.SA
	ni       []byte
	public   []byte // KE; nil without
	ids      []isakmp.Payload
	selector *kernel.Selector // the traffic in the IDs, from this host's side; nil without
	notifies []isakmp.Notify  // logged, and of no effect in a request (RFC 4430 §5.5)
}

// acceptance answers one CREATE, one KINK_ISAKMP payload after the other.
type acceptance struct {
	e        *Engine
	a        *answer
	wanted   []message.Payload
	inner    []message.Payload
	pairs    []*pair // made, those without outbound SA among them
	later    []*pair // whose outbound SA waits for the ACK
	wantsAck bool
	offered  int // transforms, in all payloads so far
}

// maxOffered bounds the transforms of one CREATE: each is held against what each child
// accepts, and 64 KiB hold thousands.
const maxOffered = 2048

// declined is why an offer is not taken, with the notification that says so.
type declined struct {
	kind   isakmp.NotifyType
	data   []byte
	reason string // counter
	text   string
}

// Error is the notification's name with the reason.
func (d *declined) Error() string { return d.kind.String() + ": " + d.text }

// createWanted takes a peer's CREATE.
func (e *Engine) createWanted(a *answer, payloads []message.Payload) {
	if len(payloads) == 0 {
		a.refuse(message.KINK_PROTOERR)
		return
	}
	(&acceptance{e: e, a: a, wanted: payloads}).next()
}

// next answers the next payload, or all of them together at the end.
func (w *acceptance) next() {
	if w.a.dead {
		for _, sa := range w.pairs {
			sa.remove("its transaction is over")
		}
		return
	}
	if n := len(w.inner); n < len(w.wanted) {
		w.one(w.wanted[n].(message.ISAKMP))
		return
	}
	// The bit is set where an outbound SA waits: RFC 4430 §3.2, which §4 contradicts.
	w.a.waiting = w.later
	for _, sa := range w.later {
		sa.answered = true
	}
	w.a.reply(w.inner, w.wantsAck)
	for _, sa := range w.pairs {
		if sa.hasOut && sa.state == pairMaking {
			sa.up()
		}
	}
}

// one answers one payload.
func (w *acceptance) one(q message.ISAKMP) {
	o, err := read(q)
	for _, n := range o.notifies {
		w.e.logNotify(n, w.a.attrs())
	}
	if err == nil {
		err = w.take(o)
	}
	if err != nil {
		w.decline(err)
	}
}

// decline answers with a notification (RFC 4430 §6.3).
func (w *acceptance) decline(err error) {
	d := &declined{kind: isakmp.PAYLOAD_MALFORMED, reason: reasonMalformed, text: err.Error()}
	var malformed *isakmp.DecodeError
	if errors.As(err, &malformed) {
		d.kind, d.data, d.text = malformed.Kind, malformed.Data, malformed.Reason
		d.reason = notifyReason(d.kind)
	}
	errors.As(err, &d)
	w.e.trace(trace.ProtoErr, d.reason, "a CREATE is declined: "+d.Error(), w.a.attrs()...)
	n, err := quickMode(isakmp.Notify{Protocol: isakmp.PROTO_IPSEC_ESP, Kind: d.kind, Data: d.data})
	if err != nil {
		w.a.refuse(message.KINK_INTERR)
		return
	}
	w.inner = append(w.inner, n)
	w.next()
}

// broken answers a failure of this host.
func (w *acceptance) broken(sa *pair, err error) {
	w.e.trace(trace.InternalErr, reasonKernel, err.Error(), w.a.attrs()...)
	sa.remove(err.Error())
	if len(w.wanted) == 1 {
		w.a.refuse(message.KINK_INTERR)
		return
	}
	w.decline(&declined{kind: isakmp.PAYLOAD_MALFORMED, reason: reasonKernel, text: err.Error()})
}

// read takes an offer apart (RFC 4430 §6.3).
func read(q message.ISAKMP) (offer, error) {
	var o offer
	list, err := isakmp.Decode(isakmp.PayloadType(q.First), q.Data)
	if err != nil {
		return o, err
	}
	bad := func(text string) (offer, error) {
		return o, &declined{kind: isakmp.PAYLOAD_MALFORMED, reason: reasonMalformed, text: text}
	}
	var ids []isakmp.ID
	for i, p := range list {
		if _, ok := p.(isakmp.SA); ok != (i == 0) {
			return bad("the first payload must be the only SA")
		}
		switch p := p.(type) {
		case isakmp.SA:
			o.sa = p
		case isakmp.Nonce:
			if o.ni != nil {
				return bad("two NONCE payloads")
			}
			o.ni = p.Data
		case isakmp.KE:
			if o.public != nil {
				return bad("two KE payloads")
			}
			o.public = p.Public
		case isakmp.ID:
			if len(ids) > 0 && list[i-1].Type() != isakmp.PayloadID {
				return bad("IDci and IDcr do not follow each other")
			}
			ids = append(ids, p)
			o.ids = append(o.ids, p)
		case isakmp.Notify:
			o.notifies = append(o.notifies, p)
		case isakmp.Delete:
			return bad("a Delete payload in CREATE")
		}
	}
	// RFC 4430 §5.4: Ni MUST be sent.
	switch {
	case len(list) == 0 || o.ni == nil:
		return bad("SA or NONCE is missing")
	case len(ids) == 1 || len(ids) > 2:
		return bad(fmt.Sprintf("%d ID payloads", len(ids)))
	case len(ids) == 2:
		s, err := isakmp.Traffic(ids[0], ids[1])
		if err != nil {
			return bad(err.Error())
		}
		s = s.Reverse()
		o.selector = &s
	}
	return o, nil
}

// take finds the child for an offer and begins to make the pair.
func (w *acceptance) take(o offer) error {
	e, a := w.e, w.a
	if a.remote == nil {
		return &declined{kind: isakmp.PAYLOAD_MALFORMED, reason: reasonNoRemote,
			text: fmt.Sprintf("no remote names %s at %v", a.key.principal, a.to.Addr())}
	}
	if n := e.madeBy(a.key.principal); n >= max(maxPairs, 4*len(a.remote.Children)) {
		return &declined{kind: isakmp.NO_PROPOSAL_CHOSEN, reason: reasonLimit,
			text: fmt.Sprintf("%s has made %d SA pairs, as many as allowed", a.key.principal, n)}
	}
	for _, p := range o.sa.Proposals {
		w.offered += len(p.Transforms)
	}
	if w.offered > maxOffered {
		return &declined{kind: isakmp.NO_PROPOSAL_CHOSEN, reason: reasonLimit, text: fmt.Sprintf("it offers more than %d transforms", maxOffered)}
	}
	child, selector, got, err := w.child(o)
	if err != nil {
		return err
	}
	to := target{remote: a.remote, principal: a.key.principal, addr: a.to, local: a.from}
	sa := e.newPair(to, child, selector, false)
	if id, taken := sa.taken(got.spis); taken {
		sa.remove("its SPI is in use")
		// RFC 4430 §3.2: MUST be rejected.
		return &declined{kind: isakmp.INVALID_SPI, reason: reasonInvalidSPI, text: id.String() + " exists"}
	}
	sa.claim(got.spis)
	sa.choose(got.suites)
	sa.setLifetimes()
	w.pairs = append(w.pairs, sa)
	sa.reserve(func(err error) {
		if err != nil {
			w.broken(sa, err)
			return
		}
		w.exchange(sa, o, got)
	})
	return nil
}

// child finds the first child whose selector names the traffic and that accepts a
// proposal; an exact selector goes before a wider one.
func (w *acceptance) child(o offer) (*Child, kernel.Selector, choice, error) {
	local, remote := w.a.from.Addr(), w.a.to.Addr()
	var last error
	var found *Child
	var selector kernel.Selector
	var got choice
	kePossible := false
	for _, c := range w.a.remote.Children {
		s, exact, ok := c.match(local, remote, o.selector)
		if !ok {
			continue
		}
		kePossible = kePossible || len(c.KE) > 0
		taken, err := choose(o.sa, c, o.public)
		if err != nil {
			last = fmt.Errorf("child %s: %w", c.Name, err)
			continue
		}
		if found == nil || exact {
			found, selector, got = c, s, taken
		}
		if exact {
			break
		}
	}
	switch {
	case found != nil:
		return found, selector, got, nil
	case last == nil:
		return nil, selector, got, &declined{kind: isakmp.PAYLOAD_MALFORMED, reason: reasonTraffic,
			text: fmt.Sprintf("no selector of remote %s is for %v", w.a.remote.Name, w.traffic(o))}
	case o.public != nil && !kePossible:
		// RFC 4430 §3.2: MUST be rejected with KE's payload type as data.
		return nil, selector, got, &declined{kind: isakmp.INVALID_PAYLOAD_TYPE, data: []byte{byte(isakmp.PayloadKE)},
			reason: reasonInvalidPayload, text: "no key exchange is configured"}
	}
	return nil, selector, got, &declined{kind: isakmp.NO_PROPOSAL_CHOSEN, reason: reasonNoProposal, text: last.Error()}
}

// traffic describes what an offer is about.
func (w *acceptance) traffic(o offer) string {
	if o.selector != nil {
		return o.selector.String()
	}
	return fmt.Sprintf("%v and %v", w.a.from.Addr(), w.a.to.Addr())
}

// exchange does this host's half of KE, if there is one.
func (w *acceptance) exchange(sa *pair, o offer, got choice) {
	if o.public == nil {
		w.install(sa, o, got, exchanged{})
		return
	}
	group, public := got.suites[0].KE, o.public
	w.e.job("KE "+group.String(), func() (any, error) {
		private, err := transform.GenerateKey(group)
		if err != nil {
			return nil, err
		}
		own := private.Public()
		shared, err := private.SharedSecret(public)
		return exchanged{public: own, shared: shared}, err
	}, func(v any, err error) {
		x, _ := v.(exchanged)
		defer clear(x.shared)
		switch {
		case sa.state == pairGone:
		case err != nil:
			sa.remove(err.Error())
			w.decline(&declined{kind: isakmp.PAYLOAD_MALFORMED, reason: reasonKeyExchange, text: err.Error()})
		default:
			w.install(sa, o, got, x)
		}
	})
}

// exchanged is the result of a key exchange.
type exchanged struct{ public, shared []byte }

// install makes the keys and puts the SAs in: the inbound one now, the outbound one
// as well where the optimistic proposal was taken as it is. Otherwise Nr goes into
// the keys and the outbound SA waits for the ACK (RFC 4430 §3.2).
func (w *acceptance) install(sa *pair, o offer, got choice, x exchanged) {
	r := sa.target.remote // the answer's may be gone: a reload came in between
	twoWay := got.optimistic && o.public == nil && !r.ThreeWay && !w.e.mayHaveAnswered(r, got.suites)
	var nr []byte
	var err error
	if !twoWay {
		nr, err = w.e.random(max(8, min(256, r.NonceSize)))
	}
	if err == nil {
		err = sa.derive(w.a.first, false, x.shared, o.ni, nr)
	}
	if err == nil {
		err = sa.derive(w.a.first, true, x.shared, o.ni, nr)
	}
	if err != nil {
		w.broken(sa, err)
		return
	}
	sa.install(false, func(err error) {
		switch {
		case err != nil:
			w.broken(sa, err)
		case twoWay:
			sa.install(true, func(err error) {
				if err != nil {
					w.broken(sa, err)
					return
				}
				w.agree(sa, o, got, nil, nil)
			})
		default:
			w.later, w.wantsAck = append(w.later, sa), true
			w.agree(sa, o, got, nr, x.public)
		}
	})
}

// mayHaveAnswered says that the CREATE may be one that this host answered before it
// started: then the keys of an answer in two messages would be the same again, with
// sequence numbers from the start, and old packets would be taken once more. A nonce
// of this host's makes them others. Not so for what the original kinkd offers: as initiator it
// does not put the nonce into the keys of an optimistic SA.
func (e *Engine) mayHaveAnswered(r *Remote, suites []isakmp.Suite) bool {
	if e.now.Sub(e.cfg.Start) >= max(startWindow, 2*r.Retry.cycle()) {
		return false
	}
	s := suites[0]
	old := len(suites) == 1 && s.Protocol == isakmp.PROTO_IPSEC_ESP && !s.Encr.AEAD() &&
		(s.Integ == transform.AUTH_HMAC_SHA1_96 || s.Integ == transform.AUTH_HMAC_MD5_96)
	return !old
}

// startWindow is longer than anybody retransmits.
const startWindow = 2 * time.Minute

// agree writes the answer for a pair whose SAs are in.
func (w *acceptance) agree(sa *pair, o offer, got choice, nr, public []byte) {
	var answer isakmp.SA
	for i, p := range got.proposals {
		p.SPI = spiOctets(sa.layers[i].proto, sa.layers[i].spiIn)
		answer.Proposals = append(answer.Proposals, p)
	}
	list := []isakmp.Payload{answer}
	if nr != nil {
		list = append(list, isakmp.Nonce{Data: nr})
	}
	if public != nil {
		list = append(list, isakmp.KE{Public: public})
	}
	q, err := quickMode(append(list, o.ids...)...)
	if err != nil {
		w.broken(sa, err)
		return
	}
	w.inner = append(w.inner, q)
	w.next()
}
