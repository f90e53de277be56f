package kink

import (
	"fmt"
	"net/netip"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// createTask makes SA pairs in one CREATE (RFC 4430 §3.2), each in a KINK_ISAKMP
// payload of its own.
type createTask struct {
	ops []*creation
}

// creation is one SA pair that this host makes.
type creation struct {
	sa       *pair
	bundles  []bundle // offered; the first of each is the optimistic choice
	ke       transform.KE
	private  transform.PrivateKey
	ni       []byte
	ids      []isakmp.Payload // IDci and IDcr, or nothing
	replaces *pair            // the pair that is rekeyed, nil for none
	payload  message.Payload  // what is sent
	triedSPI bool
	declined bool // by a notification of the peer's
	over     bool
}

// create begins to make an SA pair. A CREATE to the same peer that still waits for
// its ticket takes it along.
func (e *Engine) create(to target, child *Child, selector kernel.Selector, replaces *pair) {
	ke := transform.KE_NONE
	if len(child.KE) > 0 {
		ke = child.KE[0]
	}
	c := &creation{sa: e.newPair(to, child, selector, true), bundles: child.bundles(ke), ke: ke, replaces: replaces}
	if replaces != nil {
		replaces.rekeying = true
	}
	whom := target{remote: to.remote, principal: to.principal, addr: to.addr}
	if t := e.joinable[whom]; t != nil {
		if task, ok := t.task.(*createTask); ok && len(task.ops) < maxPerCreate {
			task.ops = append(task.ops, c)
			return
		}
	}
	t := e.begin(to, &createTask{ops: []*creation{c}})
	if t.state == statePreparing && t.ticket == nil {
		e.joinable[whom] = t
	}
}

// closed says that a transaction takes no more operations.
func (t *transaction) closed() {
	whom := target{remote: t.target.remote, principal: t.target.principal, addr: t.target.addr}
	if t.e.joinable[whom] == t {
		delete(t.e.joinable, whom)
	}
}

func (k *createTask) kind() message.Type { return message.CREATE }

func (k *createTask) inner() []message.Payload {
	list := make([]message.Payload, len(k.ops))
	for i, c := range k.ops {
		list[i] = c.payload
	}
	return list
}

// prepare gets every pair its SPI, its key exchange and, without one, its inbound
// SA: A creates an optimistic inbound SA before it sends (RFC 4430 §3.2).
func (k *createTask) prepare(t *transaction) { k.prepareFrom(t, 0) }

func (k *createTask) prepareFrom(t *transaction, n int) {
	if n == len(k.ops) {
		t.send()
		return
	}
	round := t.rounds
	k.ops[n].prepare(t, func(err error) {
		switch {
		case t.state != statePreparing || t.rounds != round:
		case err != nil:
			t.abort(reasonKernel, err.Error())
		default:
			k.prepareFrom(t, n+1)
		}
	})
}

// prepare takes the steps that are still to be taken, one after the other.
func (c *creation) prepare(t *transaction, done func(error)) {
	sa, e := c.sa, t.e
	if !sa.local.IsValid() && !sa.relocate(t.target) { // made before the route was known
		done(fmt.Errorf("child %s is not for %v, the address of this host that reaches %v", sa.child.Name, t.target.local.Addr(), t.target.addr))
		return
	}
	switch {
	case len(c.bundles) == 0:
		done(fmt.Errorf("child %s has no proposal that the IPsec DOI has numbers for", sa.child.Name))
	case !sa.reserved():
		sa.reserve(func(err error) {
			if err != nil {
				done(err)
				return
			}
			c.prepare(t, done)
		})
	case c.ke != transform.KE_NONE && c.private == nil:
		group := c.ke
		e.job("KE "+group.String(), func() (any, error) { return transform.GenerateKey(group) }, func(v any, err error) {
			if private, ok := v.(transform.PrivateKey); ok && err == nil {
				c.private = private
				c.prepare(t, done)
				return
			}
			done(fmt.Errorf("no key for %v: %w", group, err))
		})
	default:
		c.offer(t, done)
	}
}

// offer makes the payload, and the optimistic inbound SA.
func (c *creation) offer(t *transaction, done func(error)) {
	sa, e := c.sa, t.e
	var err error
	if c.ni, err = e.random(max(8, min(256, t.target.remote.NonceSize))); err != nil {
		done(err)
		return
	}
	offer, err := offers(c.bundles, sa.layers)
	if err != nil {
		done(err)
		return
	}
	list := []isakmp.Payload{offer, isakmp.Nonce{Data: c.ni}}
	if c.ke != transform.KE_NONE {
		list = append(list, isakmp.KE{Public: c.private.Public()})
	}
	c.ids = identities(sa)
	if c.payload, err = quickMode(append(list, c.ids...)...); err != nil {
		done(err)
		return
	}
	if c.ke != transform.KE_NONE {
		done(nil)
		return
	}
	sa.choose(c.bundles[0].optimistic())
	sa.setLifetimes()
	session, err := t.session()
	if err == nil {
		err = sa.derive(session, false, nil, c.ni, nil)
	}
	if err != nil {
		done(err)
		return
	}
	sa.replaceInbound(done)
}

// identities are IDci and IDcr: always in tunnel mode, and in transport mode where
// the selector is narrower than the two hosts. They are left out for what an ID
// payload cannot say.
func identities(sa *pair) []isakmp.Payload {
	s := sa.selector
	if sa.child.Mode == kernel.Transport && s.Proto == 0 && s.SrcPort.Any() && s.DstPort.Any() {
		return nil
	}
	ci, cr, err := isakmp.IDs(s)
	if err != nil {
		return nil
	}
	return []isakmp.Payload{ci, cr}
}

// relocate gives a pair the addresses of its transaction; false when its selector is
// for others.
func (sa *pair) relocate(to target) bool {
	sa.target.local = to.local
	sa.local = to.local.Addr()
	if a := sa.child.MyEnd; sa.child.Mode == kernel.Tunnel && a.IsValid() && !a.IsUnspecified() && a.BitLen() == sa.local.BitLen() {
		sa.local = a
	}
	s, ok := narrowed(sa.child, sa.selector, sa.local, sa.remote)
	sa.selector = s
	return ok
}

// narrowed is a transport-mode selector between the two hosts alone.
func narrowed(c *Child, s kernel.Selector, local, remote netip.Addr) (kernel.Selector, bool) {
	if c.Mode != kernel.Transport {
		return s, true
	}
	return s.Intersect(kernel.Selector{Src: hostPrefix(local), Dst: hostPrefix(remote), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort})
}

// failed ends what is not over, and tells who asked.
func (k *createTask) failed(t *transaction, reason, text string) {
	for _, c := range k.ops {
		c.fail(t, reason, text)
	}
}

// fail gives up one pair. A pair that was to be replaced stays, and is tried again.
func (c *creation) fail(t *transaction, reason, text string) {
	if c.over {
		return
	}
	c.over = true
	e := t.e
	if c.sa.claimed() {
		e.deletePairs([]*pair{c.sa}, text) // the peer has its half
	} else {
		if t.sent && !c.declined {
			c.sa.owe() // it may have its half all the same
		}
		c.sa.remove(text)
	}
	if old := c.replaces; old != nil {
		old.rekeying = false
		if old.state == pairUp {
			e.start(&old.timer, rekeyRetry, old.rekey)
		}
		return
	}
	e.trace(trace.ProtoErr, reason, fmt.Sprintf("no SA pair %s with %s: %s", c.sa.child.Name, t.target.principal, text), c.sa.attrs()...)
	e.do(InitiateFailed{Remote: t.target.remote.Name, Child: c.sa.child.Name, Reason: text})
}

// rekeyRetry is the pause after a rekeying that failed: the KDC may be down.
const rekeyRetry = 10 * time.Second

// rekey makes the pair's successor; the old one goes only when the new one stands
// (RFC 4430 §3.6).
func (sa *pair) rekey() {
	if sa.state != pairUp || !sa.initiator || sa.rekeying || sa.replaced || sa.e.closing {
		return
	}
	sa.e.create(sa.target, sa.child, sa.selector, sa)
}
