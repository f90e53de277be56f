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
	suite      isakmp.Suite
	spi        kernel.SPI
	nr         []byte
	public     []byte // KE
	optimistic bool
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
			if got.suite.Encr != 0 {
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
		default:
			return got, fmt.Errorf("%v in an answer to CREATE", p.Type())
		}
	}
	switch {
	case got.suite.Encr == 0:
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

// readSA takes the SA payload: one proposal with one transform, that was offered.
// Lifetimes may be lower, never higher (RFC 4430 §3.2).
func (c *creation) readSA(sa isakmp.SA, got *chosen) error {
	if len(sa.Proposals) != 1 || len(sa.Proposals[0].Transforms) != 1 || sa.Proposals[0].Protocol != isakmp.PROTO_IPSEC_ESP {
		return errors.New("the SA payload is not one ESP proposal with one transform")
	}
	p := sa.Proposals[0]
	if got.spi = spiOf(p.SPI); got.spi == 0 {
		return fmt.Errorf("SPI %x is none", p.SPI)
	}
	s, err := isakmp.ParseESP(p.Transforms[0])
	if err != nil {
		return err
	}
	for i, offered := range c.suites {
		if !offered.SameExceptLifetime(s) {
			continue
		}
		if higher(s.Lifetime, offered.Lifetime) {
			return fmt.Errorf("%v: a lifetime is higher than offered", isakmp.NO_PROPOSAL_CHOSEN)
		}
		got.optimistic = i == 0
		s.KE = offered.KE
		if s.Lifetime.Time == 0 {
			s.Lifetime.Time = offered.Lifetime.Time
		}
		if s.Lifetime.Bytes == 0 {
			s.Lifetime.Bytes = offered.Lifetime.Bytes
		}
		got.suite = s
		return nil
	}
	return fmt.Errorf("%v was not offered", s)
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
		again := &creation{sa: c.sa, suites: c.sa.child.suites(transform.KE_NONE), replaces: c.replaces}
		c.over = true
		e.begin(t.target, &createTask{ops: []*creation{again}})
	case r.Kind == isakmp.INVALID_SPI && !c.triedSPI:
		e.trace(trace.Info, reasonInvalidSPI, "the peer has an SA with this SPI; once more with another one", c.sa.attrs()...)
		c.sa.dropInbound()
		again := &creation{sa: c.sa, suites: c.suites, ke: c.ke, private: c.private, replaces: c.replaces, triedSPI: true}
		c.over = true
		e.begin(t.target, &createTask{ops: []*creation{again}})
	default:
		c.fail(t, notifyReason(r.Kind), fmt.Sprintf("the peer answers %v; offered was %s for %v", r.Kind, names(c.suites), c.sa.selector))
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
	c.sa.claim(got.spi)
	c.sa.suite = got.suite
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
	var err error
	if sa.out, err = deriveKeys(session, sa.suite, sa.spiOut, shared, c.ni, got.nr); err == nil && !(got.optimistic && sa.hasIn) {
		sa.in, err = deriveKeys(session, sa.suite, sa.spiIn, shared, c.ni, got.nr)
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
	lower := sa.suite.Lifetime != c.suites[0].Lifetime
	if got.optimistic && sa.hasIn && !lower {
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
	k := kernel.SA{SAID: sa.said(false), Src: sa.remote, Direction: kernel.In, Mode: sa.child.Mode, ReqID: sa.child.ReqID,
		Selector: sa.selector.Reverse(), Replay: sa.child.Replay, Encr: sa.suite.Encr, Integ: sa.suite.Integ, Soft: sa.soft, Hard: sa.hard,
		Binding: sa.child.Binding.Inbound()}
	sa.e.kernelOp(kernel.UpdateSA{SA: k}, func(r kernel.Result) {
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
