package kink

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// pairState is where an SA pair stands.
type pairState uint8

const (
	pairMaking   pairState = iota // its CREATE is under way
	pairUp                        // it carries traffic both ways
	pairDeleting                  // its outbound SA is gone, the inbound one waits for its end
	pairGone
)

// String is the state for status.
func (s pairState) String() string {
	switch s {
	case pairMaking:
		return "making"
	case pairUp:
		return "up"
	case pairDeleting:
		return "deleting"
	}
	return "gone"
}

// pair is an inbound and an outbound SA, or a bundle of them.
type pair struct {
	e         *Engine
	serial    uint64
	target    target
	child     *Child
	selector  kernel.Selector // outbound
	state     pairState
	initiator bool // this host made it, and so rekeys it (RFC 4430 §3.6)

	layers        []*layer   // the innermost first
	local, remote netip.Addr // outer addresses
	lifetime      kernel.Lifetime
	hasIn, hasOut bool // in the kernel
	soft, hard    kernel.Lifetime
	established   time.Time
	announced     bool // ChildUp was emitted
	answered      bool // a peer's CREATE was answered, and its ACK is awaited

	lost     string // why its SAs are gone from the kernel, where that came to pass in the making
	unwanted string // why it ends as soon as it stands
	rekeying bool   // a CREATE that replaces it is under way
	replaced bool   // another pair has taken over
	timer    timer
}

// newPair makes a pair without SPIs. The outer addresses are those that KINK
// messages go between; a tunnel may have others.
func (e *Engine) newPair(to target, child *Child, selector kernel.Selector, initiator bool) *pair {
	sa := &pair{e: e, serial: e.nextSerial(), target: to, child: child, selector: selector, initiator: initiator,
		layers: newLayers(child), local: to.local.Addr(), remote: to.addr.Addr()}
	if child.Mode == kernel.Tunnel {
		if a := child.MyEnd; a.IsValid() && !a.IsUnspecified() && a.BitLen() == sa.local.BitLen() {
			sa.local = a
		}
		if a := child.PeerEnd; a.IsValid() && !a.IsUnspecified() && a.BitLen() == sa.remote.BitLen() {
			sa.remote = a
		}
	}
	e.pairs[sa.serial] = sa
	e.pairsOf[to.principal] = append(e.pairsOf[to.principal], sa)
	return sa
}

// allPairs are the pairs in the order of their making.
func (e *Engine) allPairs() []*pair {
	list := make([]*pair, 0, len(e.pairs))
	for _, sa := range e.pairs {
		list = append(list, sa)
	}
	slices.SortFunc(list, func(a, b *pair) int { return cmp.Compare(a.serial, b.serial) })
	return list
}

// replaceInbound puts the inbound SAs in once more, with other keys. No kernel
// changes the keys of an SA, so they go first.
func (sa *pair) replaceInbound(done func(error)) {
	sa.lost = "" // what was lost is put in again
	if sa.hasIn {
		for _, l := range sa.layers {
			sa.e.deleteSA(sa.said(l, false))
		}
	}
	sa.install(false, done)
}

// maxPairs bounds the pairs that one peer may make here, where its remote has not so many
// children that it needs more: each costs the kernel memory until its lifetime is over.
const maxPairs = 1024

// madeBy counts the pairs that the principal has made.
func (e *Engine) madeBy(principal string) (n int) {
	for _, sa := range e.pairsOf[principal] {
		if !sa.initiator {
			n++
		}
	}
	return n
}

// setLifetimes puts the soft limits below the hard ones. The soft lifetime MUST be
// random (RFC 4430 §3.6): hard less something between a cycle of retransmissions
// and T-rekey, which is at least twice as long.
func (sa *pair) setLifetimes() {
	sa.hard, sa.soft = sa.lifetime, kernel.Lifetime{}
	if !sa.initiator {
		return // the initiator rekeys
	}
	if hard := sa.hard.Time; hard > 0 {
		retrans := sa.target.remote.Retry.cycle()
		rekey := max(2*retrans, hard/5)
		if rekey > hard/2 {
			retrans, rekey = hard/5, hard/2
		}
		sa.soft.Time = hard - sa.e.between(retrans, rekey)
	}
	if hard := sa.hard.Bytes; hard > 0 {
		sa.soft.Bytes = hard/100*75 + uint64(sa.e.between(0, time.Duration(hard/100*15)))
	}
}

// up announces a pair that stands.
func (sa *pair) up() {
	sa.state, sa.established, sa.announced = pairUp, sa.e.now, true
	e := sa.e
	e.trace(trace.Info, reasonChildUp, fmt.Sprintf("SA pair %s with %s is up: %s, %v", sa.child.Name, sa.target.principal, together(sa.suites()), sa.selector), sa.attrs()...)
	e.do(ChildUp{Remote: sa.target.remote.Name, Child: sa.child.Name, Peer: sa.target.principal, Info: sa.info(), Again: sa.carriedOn()})
	e.watch(sa.target.principal)
	if why := cmp.Or(sa.unwanted, sa.lost); why != "" {
		e.deletePairs([]*pair{sa}, why)
	}
}

// complete installs the outbound SA of a pair whose ACK has come.
func (sa *pair) complete() {
	if sa.state != pairMaking {
		return
	}
	sa.install(true, func(err error) {
		if err != nil {
			sa.e.trace(trace.InternalErr, reasonKernel, err.Error(), sa.attrs()...)
			sa.e.deletePairs([]*pair{sa}, err.Error())
			return
		}
		sa.up()
	})
}

// remove takes the pair out of the kernel at once, without telling the peer.
func (sa *pair) remove(why string) {
	if sa.state == pairGone {
		return
	}
	sa.state = pairGone
	sa.down(why) // while it has its SPIs
	sa.dropOutbound()
	sa.dropInbound()
	sa.e.stop(&sa.timer)
	for _, l := range sa.layers {
		l.in, l.out = keys{}, keys{}
	}
	delete(sa.e.pairs, sa.serial)
	list := slices.DeleteFunc(sa.e.pairsOf[sa.target.principal], func(other *pair) bool { return other == sa })
	if sa.e.pairsOf[sa.target.principal] = list; len(list) == 0 {
		delete(sa.e.pairsOf, sa.target.principal)
	}
}

// down announces that a pair carries no traffic any more, unless another one of its
// child with the same peer does.
func (sa *pair) down(why string) {
	if !sa.announced {
		return
	}
	sa.announced = false
	if sa.carriedOn() {
		return
	}
	sa.e.trace(trace.Info, reasonChildDown, fmt.Sprintf("SA pair %s with %s is down: %s", sa.child.Name, sa.target.principal, why), sa.attrs()...)
	sa.e.do(ChildDown{Remote: sa.target.remote.Name, Child: sa.child.Name, Peer: sa.target.principal, Info: sa.info(), Reason: why})
}

// carriedOn says that another pair of the child stands with the same peer.
func (sa *pair) carriedOn() bool {
	return slices.ContainsFunc(sa.e.pairsOf[sa.target.principal], func(other *pair) bool {
		return other != sa && other.state == pairUp && other.child == sa.child
	})
}

// deleteSA removes one SA from the kernel. One that is gone already is no news.
func (e *Engine) deleteSA(id kernel.SAID) {
	e.kernelOp(kernel.DeleteSA{ID: id}, func(r kernel.Result) {
		if r.Err != nil && !errors.Is(r.Err, kernel.ErrNotFound) {
			e.trace(trace.InternalWarn, reasonKernel, "the kernel does not delete an SA: "+r.Err.Error(), attr("sa", id.String()))
		}
	})
}

// attrs names the pair in a trace event.
func (sa *pair) attrs(more ...trace.Attr) []trace.Attr {
	return append([]trace.Attr{attr("peer", sa.target.principal), attr("remote", sa.target.remote.Name), attr("child", sa.child.Name),
		attr("spi_in", sa.main().spiIn.String()), attr("spi_out", sa.main().spiOut.String())}, more...)
}

// info describes the pair for status.
func (sa *pair) info() ChildInfo {
	l := sa.main()
	i := ChildInfo{
		Name: sa.child.Name, State: sa.state.String(), Initiator: sa.initiator, Protocol: l.proto, Mode: sa.child.Mode,
		SPIIn: l.spiIn, SPIOut: l.spiOut, Local: sa.local, Remote: sa.remote, ReqID: sa.child.ReqID, Selector: sa.selector,
		Established: sa.established,
	}
	i.Encr, i.Integ = l.algorithms()
	if l.suite.KE != 0 {
		i.KE = l.suite.KE.String()
	}
	for _, l := range sa.layers {
		t := TransformInfo{Protocol: l.proto, Mode: l.mode, SPIIn: l.spiIn, SPIOut: l.spiOut}
		t.Encr, t.Integ = l.algorithms()
		if l.proto == kernel.IPComp {
			t.Comp = l.suite.Comp.String()
		}
		i.Transforms = append(i.Transforms, t)
	}
	if sa.hard.Time > 0 && !sa.established.IsZero() {
		i.Expires = sa.established.Add(sa.hard.Time)
	}
	return i
}

// algorithms are the transform's, "" for none.
func (l *layer) algorithms() (encr, integ string) {
	if l.proto == kernel.ESP {
		encr = l.suite.Encr.String()
	}
	if l.suite.KeyBits != 0 {
		encr += fmt.Sprintf("-%d", l.suite.KeyBits)
	}
	if l.suite.Integ != 0 {
		integ = l.suite.Integ.String()
	}
	return encr, integ
}
