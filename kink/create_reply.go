package kink

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// chosen is what a REPLY says about one pair.
type chosen struct {
	suites     []isakmp.Suite // in the order of the pair's transforms
	spis       []kernel.SPI
	nr         []byte
	public     []byte // KE
	optimistic bool
	lower      bool // than the lifetime that the inbound SA has
}

// reply takes the answer to CREATE: one KINK_ISAKMP payload for each that was sent,
// in order.
func (k *createTask) reply(t *transaction, payloads []message.Payload) {
	var answers []message.ISAKMP
	for _, p := range payloads {
		if q, ok := p.(message.ISAKMP); ok {
			answers = append(answers, q)
		}
	}
	if len(answers) != len(k.ops) {
		t.abort(reasonMalformed, fmt.Sprintf("the peer answers %d KINK_ISAKMP payloads with %d", len(k.ops), len(answers)))
		return
	}
	k.replyFrom(t, answers, 0)
}

func (k *createTask) replyFrom(t *transaction, answers []message.ISAKMP, n int) {
	if n == len(answers) {
		t.done()
		return
	}
	c := k.ops[n]
	next := func() { k.replyFrom(t, answers, n+1) }
	what, err := c.read(answers[n])
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		c.refused(t, refused)
		next()
	case err != nil:
		c.fail(t, reasonMalformed, "the peer's answer cannot be used: "+err.Error())
		next()
	default:
		c.agree(t, what, next)
	}
}

// refusal is an error notification of the peer's (RFC 4430 §5.5).
type refusal struct{ isakmp.Notify }

// Error is the notification's name.
func (r *refusal) Error() string { return r.Kind.String() }

// read takes one answer apart and holds it against what was offered.
func (c *creation) read(q message.ISAKMP) (chosen, error) {
	var got chosen
	if q.Version != message.QuickMode10 {
		return got, fmt.Errorf("version %#x of Quick Mode in an answer to 1.0", q.Version)
	}
	list, err := isakmp.Decode(isakmp.PayloadType(q.First), q.Data)
	if err != nil {
		return got, err
	}
	var ids []isakmp.Payload
	for _, p := range list {
		switch p := p.(type) {
		case isakmp.SA:
			if got.suites != nil {
				return got, errors.New("two SA payloads")
			}
			if err := c.readSA(p, &got); err != nil {
				return got, err
			}
		case isakmp.Nonce:
			got.nr = p.Data
		case isakmp.KE:
			got.public = p.Public
		case isakmp.ID:
			ids = append(ids, p)
		case isakmp.Notify:
			// RFC 4430 §5.5: any error type, known or not, means that the request has failed.
			if p.Kind.Failure() {
				return got, &refusal{p}
			}
			c.sa.e.logNotify(p, c.sa.attrs())
		default:
			return got, fmt.Errorf("%v in an answer to CREATE", p.Type())
		}
	}
	switch {
	case got.suites == nil:
		return got, errors.New("no SA payload")
	case len(ids) > 0 && !sameIDs(ids, c.ids):
		return got, fmt.Errorf("other IDs than were sent: %v", ids)
	case (got.public != nil) != (c.ke != transform.KE_NONE):
		return got, errors.New("a KE payload that was not asked for, or none that was")
	}
	got.optimistic = got.optimistic && got.nr == nil && got.public == nil
	return got, nil
}

func sameIDs(a, b []isakmp.Payload) bool {
	return slices.EqualFunc(a, b, func(a, b isakmp.Payload) bool {
		x, ok1 := a.(isakmp.ID)
		y, ok2 := b.(isakmp.ID)
		return ok1 && ok2 && x.Kind == y.Kind && x.Protocol == y.Protocol && x.Port == y.Port && bytes.Equal(x.Data, y.Data)
	})
}

// readSA takes the SA payload: one bundle, of which each proposal has one transform, that
// was offered. Lifetimes may be lower, never higher (RFC 4430 §3.2).
func (c *creation) readSA(sa isakmp.SA, got *chosen) error {
	group, reason := arrange(sa.Proposals, c.sa.child.protocols())
	switch {
	case reason != "":
		return errors.New("the SA payload cannot be used: " + reason)
	case len(groups(sa)) != 1:
		return errors.New("the SA payload has proposals of several numbers")
	}
	var list []isakmp.Suite
	for _, p := range group {
		if len(p.Transforms) != 1 {
			return fmt.Errorf("the SA payload has %d transforms of %v and not one", len(p.Transforms), p.Protocol)
		}
		s, err := isakmp.Parse(p.Protocol, p.Transforms[0])
		if err != nil {
			return err
		}
		list = append(list, s)
		got.spis = append(got.spis, spiOf(kernelProtocol(p.Protocol), p.SPI))
	}
	for i, b := range c.bundles {
		suites, first, err := b.offered(list)
		if err != nil {
			return err
		}
		if suites != nil {
			got.suites, got.optimistic = suites, first && i == 0
			return nil
		}
	}
	return fmt.Errorf("%s was not offered", together(list))
}

// offered finds an answer in a bundle, nil where it is not there; first says that it
// is the optimistic choice.
func (b bundle) offered(list []isakmp.Suite) (suites []isakmp.Suite, first bool, err error) {
	first = true
	for i, s := range list {
		at := slices.IndexFunc(b[i], func(offered isakmp.Suite) bool { return offered.SameExceptLifetime(s) })
		if at < 0 {
			return nil, false, nil
		}
		offered := b[i][at]
		if higher(s.Lifetime, offered.Lifetime) {
			return nil, false, fmt.Errorf("%v: a lifetime is higher than offered", isakmp.NO_PROPOSAL_CHOSEN)
		}
		s.KE = offered.KE
		if s.Lifetime.Time == 0 {
			s.Lifetime.Time = offered.Lifetime.Time
		}
		if s.Lifetime.Bytes == 0 {
			s.Lifetime.Bytes = offered.Lifetime.Bytes
		}
		suites = append(suites, s)
		first = first && at == 0
	}
	return suites, first, nil
}

// higher says whether a limit is higher than the one offered; none is the highest,
// but an answer may leave it out.
func higher(l, offered kernel.Lifetime) bool {
	return offered.Time > 0 && l.Time > offered.Time || offered.Bytes > 0 && l.Bytes > max(1024, offered.Bytes/1024*1024)
}

// refused takes an error notification. A peer that knows no KE may be asked again
// without (RFC 4430 §3.2), and one that has our SPI's like with another SPI.
func (c *creation) refused(t *transaction, r *refusal) {
	e := t.e
	switch {
	case r.Kind == isakmp.INVALID_PAYLOAD_TYPE && bytes.Equal(r.Data, []byte{byte(isakmp.PayloadKE)}) && c.ke != transform.KE_NONE && c.sa.child.KEOptional:
		e.trace(trace.Info, reasonInvalidPayload, "the peer knows no KE; once more without PFS", c.sa.attrs()...)
		again := &creation{sa: c.sa, bundles: c.sa.child.bundles(transform.KE_NONE), replaces: c.replaces}
		c.over = true
		e.begin(t.target, &createTask{ops: []*creation{again}})
	case r.Kind == isakmp.INVALID_SPI && !c.triedSPI:
		e.trace(trace.Info, reasonInvalidSPI, "the peer has an SA with this SPI; once more with another one", c.sa.attrs()...)
		c.sa.owe() // what has the SPI there is from a CREATE whose answer did not come
		c.sa.dropInbound()
		again := &creation{sa: c.sa, bundles: c.bundles, ke: c.ke, private: c.private, replaces: c.replaces, triedSPI: true}
		c.over = true
		e.begin(t.target, &createTask{ops: []*creation{again}})
	default:
		c.declined = true
		c.fail(t, notifyReason(r.Kind), fmt.Sprintf("the peer answers %v; offered was %s for %v", r.Kind, described(c.bundles), c.sa.selector))
	}
}

// notifyReason is the counter of a notification.
func notifyReason(k isakmp.NotifyType) string {
	switch k {
	case isakmp.NO_PROPOSAL_CHOSEN:
		return reasonNoProposal
	case isakmp.INVALID_SPI:
		return reasonInvalidSPI
	case isakmp.INVALID_PAYLOAD_TYPE:
		return reasonInvalidPayload
	}
	return reasonMalformed
}

// agree takes a good answer: the shared secret, then the SAs.
func (c *creation) agree(t *transaction, got chosen, next func()) {
	if id, taken := c.sa.taken(got.spis); taken {
		c.fail(t, reasonInvalidSPI, id.String()+" exists, and the peer chose it again")
		next()
		return
	}
	c.sa.claim(got.spis)
	was := c.sa.lifetime
	c.sa.choose(got.suites)
	got.lower = c.sa.lifetime != was
	if c.ke == transform.KE_NONE {
		c.installAll(t, got, nil, next)
		return
	}
	private, public := c.private, bytes.Clone(got.public)
	c.private = nil
	t.e.job("KE "+c.ke.String(), func() (any, error) { return private.SharedSecret(public) }, func(v any, err error) {
		shared, ok := v.([]byte)
		if c.sa.state == pairGone {
			clear(shared)
			return
		}
		if err != nil || !ok {
			c.fail(t, reasonKeyExchange, fmt.Sprintf("the peer's KE is refused: %v", err))
			next()
			return
		}
		c.installAll(t, got, shared, next)
		clear(shared)
	})
}

// installAll installs the outbound SA; the inbound one as well unless the optimistic
// one stands. With Nr both directions have it in their keys (RFC 4430 §7).
func (c *creation) installAll(t *transaction, got chosen, shared []byte, next func()) {
	sa := c.sa
	session := t.sessions[len(t.sessions)-1]
	err := sa.derive(session, true, shared, c.ni, got.nr)
	if err == nil && !(got.optimistic && sa.hasIn) {
		err = sa.derive(session, false, shared, c.ni, got.nr)
	}
	if err != nil {
		c.fail(t, reasonInternal, err.Error())
		next()
		return
	}
	finish := func(err error) {
		if err != nil {
			c.fail(t, reasonKernel, err.Error())
		} else {
			c.succeed(t)
		}
		next()
	}
	outbound := func(err error) {
		if err != nil {
			finish(err)
			return
		}
		sa.install(true, finish)
	}
	if got.optimistic && sa.hasIn && !got.lower {
		outbound(nil)
		return
	}
	sa.setLifetimes()
	if got.optimistic && sa.hasIn {
		// RFC 4430 §3.2: the shorter lifetime holds. The keys stay, so the SA does.
		sa.shorten()
		outbound(nil)
		return
	}
	sa.replaceInbound(outbound)
}

// shorten gives the inbound SA its lower lifetimes. Where the kernel cannot, the
// outbound SA has them, and its soft limit makes the pair's successor.
func (sa *pair) shorten() {
	sa.e.kernelOp(kernel.UpdateSA{SA: sa.kernelSA(sa.main(), false)}, func(r kernel.Result) {
		if r.Err != nil && !errors.Is(r.Err, kernel.ErrUnsupported) {
			sa.e.trace(trace.InternalWarn, reasonKernel, "the kernel does not shorten a lifetime: "+r.Err.Error(), sa.attrs()...)
		}
	})
}

// succeed announces the pair; the one that it replaces goes.
func (c *creation) succeed(t *transaction) {
	c.over = true
	c.sa.up()
	old := c.replaces
	if old == nil {
		return
	}
	old.rekeying, old.replaced = false, true
	t.e.trace(trace.Info, reasonChildRekeyed, fmt.Sprintf("SA pair %s with %s is rekeyed", c.sa.child.Name, t.target.principal), c.sa.attrs()...)
	if old.state == pairUp {
		t.e.deletePairs([]*pair{old}, "it is replaced")
	}
}
