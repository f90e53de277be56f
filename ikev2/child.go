package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"racoon2/ikev2/message"
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
	comp          transform.COMP // of IPComp; COMP_NONE: nothing is compressed
	cpiIn, cpiOut kernel.SPI
	local, remote netip.Addr // outer addresses
	withLocal     bool       // local, and remote, are the IKE SA's own
	withPeer      bool
	encap         *kernel.Encap
	traffic       trafficSet
	fragments     bool            // both ends take non-first fragments
	selector      kernel.Selector // outbound
	suite         childSuite
	keys          childKeys
	soft, hard    kernel.Lifetime
	softOver      bool // this engine's own timer has seen the soft limit
	established   time.Time
	packets       uint64        // that its inbound SA had received at the last look
	movedAt       time.Time     // to other addresses; zero: never
	moving        int           // operations of a move that the kernel has not answered
	taken         []kernel.SAID // outbound SAs that the kernel has of it; another one by such a name may be another peer's

	// while it is replaced, to settle the case that both ends do it at once
	rekeying  bool     // this host's request is queued or under way
	peers     *childSA // what the peer's request made
	peersLow  []byte   // the lower nonce of that exchange
	outWaits  bool     // its outbound SA is not installed yet: the replaced one still sends
	announced bool     // ChildUp was emitted
	atOnce    bool     // it is to be rekeyed as soon as it stands
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

// notTaken closes a child one of whose outbound SAs the kernel refuses.
func (c *childSA) notTaken(k kernel.SA, err error) {
	text := fmt.Sprintf("the kernel refuses the outbound %s SA: %v", protocolName(k.Proto), err)
	c.sa.e.trace(trace.InternalErr, reasonKernel, text, c.attrs()...)
	c.close(text)
	c.sa.pump()
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
		c.soft.Bytes = c.hard.Bytes / 1000 * c.sa.e.permille(c.initiator)
	}
}

// remove takes the child out of the kernel and out of its IKE SA, at once and
// without telling the peer.
func (c *childSA) remove(why string) {
	if c.state == childGone {
		return
	}
	sa := c.sa
	c.state = childGone
	if c.peers != nil {
		c.peers.takeOver() // before this one's outbound SA goes
	}
	for _, id := range append(c.saids(false), c.taken...) {
		c.deleteSA(id)
	}
	for _, id := range append(c.saids(false), c.saids(true)...) {
		c.unlist(id)
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

// byOutbound finds the child that the peer names by protocol and SPI of its inbound SA.
func (sa *ikeSA) byOutbound(proto message.Protocol, spi uint32) *childSA {
	for _, c := range sa.children {
		if uint32(c.spiOut) == spi && c.conf.wireProtocol() == proto && c.state != childReserved && spi != 0 {
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
	spi, proto := c.spiIn, c.conf.wireProtocol()
	if c.state == childReserved || c.state == childAdding {
		return // its own installation will fail and say so
	}
	c.remove(why)
	if tell {
		sa.enqueue(&deleteChildTask{proto: proto, spi: spi})
	}
}

// flushed deals with an SAD that somebody emptied.
func (e *Engine) flushed(proto kernel.Protocol) {
	for _, sa := range e.all() {
		for _, c := range slices.Clone(sa.children) {
			if proto == 0 || proto == c.conf.protocol() || proto == kernel.IPComp && c.comp != transform.COMP_NONE {
				c.lost("somebody flushed the SAs of the kernel")
			}
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
	switch {
	case s.encr.ID == 0:
		text = "AH " + s.integ.String()
	case s.integ != transform.AUTH_NONE:
		text += " " + s.integ.String()
	}
	if s.ke != transform.KE_NONE {
		text += " " + s.ke.String()
	}
	return text
}
