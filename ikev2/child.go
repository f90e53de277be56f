package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

// childState is where a child SA stands.
type childState uint8

const (
	childReserved childState = iota // its inbound SPI is being reserved or is reserved
	childAdding                     // its SAs are being installed
	childUp                         // it carries traffic
	childReplaced                   // another one took over; it waits for its deletion
	childDeleting                   // this host asked to delete it
	childGone
)

// childSA is one pair of child SAs.
type childSA struct {
	sa        *ikeSA // the IKE SA that it belongs to now
	conf      *Child
	state     childState
	initiator bool // of the exchange that made it

	spiIn, spiOut kernel.SPI
	local, remote netip.Addr // outer addresses
	encap         *kernel.Encap
	traffic       trafficSet
	selector      kernel.Selector // outbound
	suite         childSuite
	keys          childKeys
	soft, hard    kernel.Lifetime
	softOver      bool // this engine's own timer has seen the soft limit
	established   time.Time

	// while it is replaced, to settle the case that both ends do it at once
	rekeying  bool     // this host's request is queued or under way
	peers     *childSA // what the peer's request made
	peersLow  []byte   // the lower nonce of that exchange
	outWaits  bool     // its outbound SA is not installed yet: the replaced one still sends
	announced bool     // ChildUp was emitted
}

// standing says that the child's SAs are in the kernel and meant to stay.
func (c *childSA) standing() bool { return c.state == childUp }

// kernelOp asks the kernel and hands the result to done.
func (e *Engine) kernelOp(op kernel.Op, done func(kernel.Result)) {
	serial := e.nextSerial()
	e.kernelOps[serial] = done
	e.kernel(serial, op)
}

// kernelResult takes the kernel's answer to whoever asked.
func (e *Engine) kernelResult(r kernel.Result) {
	done := e.kernelOps[r.Request.Owner.Serial]
	delete(e.kernelOps, r.Request.Owner.Serial)
	if done != nil {
		done(r)
	}
}

// reserve makes a child with a reserved inbound SPI; the IKE SA is busy until
// the kernel has answered.
func (sa *ikeSA) reserve(conf *Child, initiator bool, done func(*childSA, error)) {
	c := &childSA{sa: sa, conf: conf, initiator: initiator}
	c.local, c.remote, c.encap = sa.endpoints(conf)
	sa.children = append(sa.children, c)
	sa.wait()
	op := kernel.GetSPI{Src: c.remote, Dst: c.local, Proto: kernel.ESP, Mode: conf.Mode, ReqID: conf.ReqID}
	sa.e.kernelOp(op, func(r kernel.Result) {
		if c.state == childGone {
			if r.Err == nil {
				c.deleteSA(kernel.SAID{Dst: c.local, Proto: kernel.ESP, SPI: r.SPI})
			}
			return
		}
		sa.busy = false
		if r.Err != nil {
			c.remove("the kernel gives no SPI")
			done(nil, r.Err)
		} else {
			c.spiIn = r.SPI
			sa.e.bySAID[c.said(false)] = c
			done(c, nil)
		}
		sa.pump()
	})
}

// endpoints are the outer addresses of a child. Across a NAT, and in transport
// mode, only the IKE SA's own addresses can be right.
func (sa *ikeSA) endpoints(conf *Child) (local, remote netip.Addr, encap *kernel.Encap) {
	local, remote = sa.local.Addr(), sa.peer.Addr()
	if sa.natLocal || sa.natPeer {
		return local, remote, &kernel.Encap{Local: sa.local.Port(), Remote: sa.peer.Port()}
	}
	if conf.Mode == kernel.Tunnel {
		if a := conf.MyEnd; a.IsValid() && !a.IsUnspecified() && a.BitLen() == local.BitLen() {
			local = a
		}
		if a := conf.PeerEnd; a.IsValid() && !a.IsUnspecified() && a.BitLen() == remote.BitLen() {
			remote = a
		}
	}
	return local, remote, nil
}

// said names one of the child's two SAs.
func (c *childSA) said(out bool) kernel.SAID {
	if out {
		return kernel.SAID{Dst: c.remote, Proto: kernel.ESP, SPI: c.spiOut}
	}
	return kernel.SAID{Dst: c.local, Proto: kernel.ESP, SPI: c.spiIn}
}

// kernelSA describes one of the child's two SAs for the kernel.
func (c *childSA) kernelSA(out bool) kernel.SA {
	k := kernel.SA{
		SAID: c.said(out), Mode: c.conf.Mode, ReqID: c.conf.ReqID, Encap: c.encap,
		Encr: c.suite.encr.ID, Integ: c.suite.integ, ESN: c.suite.sn == transform.SN_EXTENDED, Soft: c.soft, Hard: c.hard,
		Binding: c.conf.Binding,
	}
	if out {
		k.Src, k.Direction, k.Selector = c.local, kernel.Out, c.selector
	} else {
		k.Src, k.Direction, k.Selector, k.Replay = c.remote, kernel.In, reverse(c.selector), c.conf.Replay
		k.Binding = c.conf.Binding.Inbound()
	}
	if out == c.initiator {
		k.EncrKey, k.IntegKey = c.keys.encrI, c.keys.integI
	} else {
		k.EncrKey, k.IntegKey = c.keys.encrR, c.keys.integR
	}
	return k
}

// install puts both SAs into the kernel, the inbound one first so that nothing
// the peer sends is lost. The IKE SA is busy until the kernel has answered both.
func (c *childSA) install(done func(error)) {
	sa := c.sa
	c.state = childAdding
	c.setLifetimes()
	c.selector = c.traffic.kernelSelector()
	if !c.outWaits {
		sa.e.bySAID[c.said(true)] = c
	}
	sa.wait()
	var first error
	directions := []bool{false, true}
	if c.outWaits {
		directions = directions[:1]
	}
	for i, out := range directions {
		sa.e.kernelOp(kernel.AddSA{SA: c.kernelSA(out)}, func(r kernel.Result) {
			if r.Err != nil && first == nil {
				first = fmt.Errorf("the kernel refuses the %s SA: %w", directionName(out), r.Err)
			}
			if i < len(directions)-1 || c.state == childGone {
				return
			}
			if !c.outWaits {
				c.keys.wipe()
			}
			c.sa.busy = false
			if first == nil {
				c.state = childUp
				c.established = sa.e.now
				c.sa.armChildren()
			}
			done(first)
			c.sa.pump()
		})
	}
}

// takeOver installs the outbound SA that waited while the child that this one
// replaces still sent: the peer has shown that it has the successor.
func (c *childSA) takeOver() {
	if !c.outWaits || c.state == childGone || c.sa.state != stateEstablished {
		return
	}
	c.outWaits = false
	e := c.sa.e
	e.bySAID[c.said(true)] = c
	e.kernelOp(kernel.AddSA{SA: c.kernelSA(true)}, func(r kernel.Result) {
		if r.Err != nil && c.state != childGone {
			text := "the kernel refuses the outbound SA: " + r.Err.Error()
			e.trace(trace.InternalErr, reasonKernel, text, c.attrs()...)
			c.close(text)
			c.sa.pump()
		}
	})
	c.keys.wipe()
}

func directionName(out bool) string {
	if out {
		return "outbound"
	}
	return "inbound"
}

// wipe forgets the keys. Their octets belong to the kernel's request by now,
// which may still hold them.
func (k *childKeys) wipe() { *k = childKeys{} }

// setLifetimes takes the hard limits from the configuration and puts the soft
// ones below them.
func (c *childSA) setLifetimes() {
	c.hard = c.conf.Lifetime
	c.soft = kernel.Lifetime{}
	if c.hard.Time > 0 {
		c.soft.Time = c.sa.e.jitter(c.hard.Time, c.initiator)
	}
	if c.hard.Bytes > 0 {
		c.soft.Bytes = c.hard.Bytes / 100 * 80
		if !c.initiator {
			c.soft.Bytes = c.hard.Bytes / 100 * 88
		}
	}
}

// remove takes the child out of the kernel and out of its IKE SA, at once and
// without telling the peer.
func (c *childSA) remove(why string) {
	if c.state == childGone {
		return
	}
	sa, e := c.sa, c.sa.e
	was := c.state
	c.state = childGone
	if c.peers != nil {
		c.peers.takeOver() // before this one's outbound SA goes
	}
	if c.spiIn != 0 {
		delete(e.bySAID, c.said(false))
		c.deleteSA(c.said(false))
	}
	if c.spiOut != 0 && was != childReserved && !c.outWaits {
		delete(e.bySAID, c.said(true))
		c.deleteSA(c.said(true))
	}
	c.keys.wipe()
	sa.children = slices.DeleteFunc(sa.children, func(other *childSA) bool { return other == c })
	if !c.announced {
		return
	}
	if !c.carriedOn() {
		c.down(why)
	}
	sa.armGrace()
}

func (sa *ikeSA) remoteName() string {
	if sa.remote == nil {
		return ""
	}
	return sa.remote.Name
}

// deleteSA removes one SA from the kernel. One that is gone already is no news.
func (c *childSA) deleteSA(id kernel.SAID) {
	e := c.sa.e
	e.kernelOp(kernel.DeleteSA{ID: id}, func(r kernel.Result) {
		if r.Err != nil && !errors.Is(r.Err, kernel.ErrNotFound) {
			e.trace(trace.InternalWarn, reasonKernel, "the kernel does not delete an SA: "+r.Err.Error(),
				attr("spi", fmt.Sprintf("%08x", uint32(id.SPI))), attr("dst", id.Dst.String()))
		}
	})
}

// attrs names the child in a trace event.
func (c *childSA) attrs(more ...trace.Attr) []trace.Attr {
	list := c.sa.attrs(attr("child", c.conf.Name),
		attr("spi_in", fmt.Sprintf("%08x", uint32(c.spiIn))), attr("spi_out", fmt.Sprintf("%08x", uint32(c.spiOut))))
	return append(list, more...)
}

// spiOctets is an SPI as it stands in a payload.
func spiOctets(spi kernel.SPI) []byte { return binary.BigEndian.AppendUint32(nil, uint32(spi)) }

// byOutbound finds the child that the peer names by the SPI of its inbound SA.
func (sa *ikeSA) byOutbound(spi uint32) *childSA {
	for _, c := range sa.children {
		if uint32(c.spiOut) == spi && c.state != childReserved && spi != 0 {
			return c
		}
	}
	return nil
}

// expired takes the kernel's word that a limit was reached.
func (e *Engine) expired(ev kernel.Expire) {
	c := e.bySAID[ev.ID]
	switch {
	case c == nil:
	case ev.Hard:
		c.lost("its lifetime is over")
	default:
		c.rekey()
	}
}

// lost deals with a child whose SA is gone from the kernel: the other half goes
// too, and the peer is told.
func (c *childSA) lost(why string) {
	sa := c.sa
	if c.state == childGone {
		return
	}
	tell := c.spiOut != 0 && (c.state == childUp || c.state == childReplaced)
	spi := c.spiIn
	if c.state == childReserved || c.state == childAdding {
		return // its own installation will fail and say so
	}
	c.remove(why)
	if tell {
		sa.enqueue(&deleteChildTask{spi: spi})
	}
}

// flushed deals with an SAD that somebody emptied.
func (e *Engine) flushed(proto kernel.Protocol) {
	if proto != 0 && proto != kernel.ESP {
		return
	}
	for _, sa := range e.all() {
		for _, c := range slices.Clone(sa.children) {
			c.lost("somebody flushed the SAs of the kernel")
		}
	}
}

// requestedMode is the mode that USE_TRANSPORT_MODE, or its absence, asks for
// (RFC 7296 §1.3.1).
func requestedMode(transport bool) kernel.Mode {
	if transport {
		return kernel.Transport
	}
	return kernel.Tunnel
}

func modeName(m kernel.Mode) string {
	if m == kernel.Transport {
		return "transport"
	}
	return "tunnel"
}

func (s childSuite) summary() string {
	text := encryptionName(s.encr)
	if !s.encr.ID.AEAD() {
		text += " " + s.integ.String()
	}
	if s.ke != transform.KE_NONE {
		text += " " + s.ke.String()
	}
	return text
}
