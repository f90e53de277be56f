package ikev2

import (
	"fmt"
	"net/netip"
	"slices"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// A child SA stands in the kernel as one SA for each direction, or as two where
// IPComp compresses what ESP or AH then protects: they are reserved, installed,
// replaced and removed together.

// protocol is what protects the child's traffic, ESP or AH: the same in all of
// its proposals.
func (c *Child) protocol() kernel.Protocol {
	if len(c.Proposals) > 0 && c.Proposals[0].Protocol == kernel.AH {
		return kernel.AH
	}
	return kernel.ESP
}

// wireProtocol is that protocol in a payload (RFC 7296 §3.3.1).
func (c *Child) wireProtocol() message.Protocol {
	if c.protocol() == kernel.AH {
		return message.ProtocolAH
	}
	return message.ProtocolESP
}

// outerMode is the mode of ESP or AH. Where IPComp has made the tunnel already,
// they protect its packets in transport mode.
func (c *Child) outerMode() kernel.Mode {
	if len(c.Comp) > 0 {
		return kernel.Transport
	}
	return c.Mode
}

// reserve makes a child with a reserved inbound SPI, and a CPI where it
// compresses; the IKE SA is busy until the kernel has answered.
func (sa *ikeSA) reserve(conf *Child, initiator bool, done func(*childSA, error)) {
	c := &childSA{sa: sa, conf: conf, initiator: initiator}
	c.local, c.remote, c.encap = sa.endpoints(conf)
	c.withLocal, c.withPeer = c.local == sa.local.Addr(), c.remote == sa.peer.Addr()
	sa.children = append(sa.children, c)
	finish := func(err error) {
		sa.busy = false
		if err != nil {
			c.remove("the kernel gives no SPI")
			done(nil, err)
		} else {
			done(c, nil)
		}
		sa.pump()
	}
	c.getSPI(conf.protocol(), conf.outerMode(), func(spi kernel.SPI, err error) {
		if err != nil || len(conf.Comp) == 0 {
			c.spiIn = spi
			finish(err)
			return
		}
		c.spiIn = spi
		c.getSPI(kernel.IPComp, conf.Mode, func(cpi kernel.SPI, err error) {
			if err == nil && cpi > maxCPI {
				err = fmt.Errorf("the kernel gives CPI %d, which has more than 16 bits", cpi)
			}
			c.cpiIn = cpi
			finish(err)
		})
	})
}

// getSPI reserves one of the child's inbound SPIs. A child that went meanwhile
// gives it back.
func (c *childSA) getSPI(proto kernel.Protocol, mode kernel.Mode, done func(kernel.SPI, error)) {
	e := c.sa.e
	c.sa.wait()
	op := kernel.GetSPI{Src: c.remote, Dst: c.local, Proto: proto, Mode: mode, ReqID: c.conf.ReqID}
	e.kernelOp(op, func(r kernel.Result) {
		id := kernel.SAID{Dst: c.local, Proto: proto, SPI: r.SPI}
		if c.state == childGone {
			if r.Err == nil {
				c.deleteSA(id)
			}
			return
		}
		if r.Err == nil {
			e.bySAID[id] = c
		}
		done(r.SPI, r.Err)
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
		if a := conf.MyEnd; !slices.Contains(sa.mob.left, a) && a.IsValid() && !a.IsUnspecified() && a.BitLen() == local.BitLen() {
			local = a
		}
		if a := conf.PeerEnd; !slices.Contains(sa.mob.left, a) && a.IsValid() && !a.IsUnspecified() && a.BitLen() == remote.BitLen() {
			remote = a
		}
	}
	return local, remote, nil
}

// said names the child's ESP or AH SA of one direction.
func (c *childSA) said(out bool) kernel.SAID {
	if out {
		return kernel.SAID{Dst: c.remote, Proto: c.conf.protocol(), SPI: c.spiOut}
	}
	return kernel.SAID{Dst: c.local, Proto: c.conf.protocol(), SPI: c.spiIn}
}

// saids names all of the child's SAs of one direction that have an SPI.
func (c *childSA) saids(out bool) []kernel.SAID {
	id := c.said(out)
	cpi := c.cpiIn
	if out {
		cpi = c.cpiOut
	}
	var list []kernel.SAID
	if cpi != 0 {
		list = append(list, kernel.SAID{Dst: id.Dst, Proto: kernel.IPComp, SPI: cpi})
	}
	if id.SPI != 0 {
		list = append(list, id)
	}
	return list
}

// kernelSAs describes the child's SAs of one direction for the kernel, in the
// order of a policy's templates: what is innermost first (RFC 4301 §4.5).
func (c *childSA) kernelSAs(out bool) []kernel.SA {
	if c.comp == transform.COMP_NONE {
		return []kernel.SA{c.kernelSA(out)}
	}
	return []kernel.SA{c.compSA(out), c.kernelSA(out)}
}

// kernelSA describes the child's ESP or AH SA of one direction.
func (c *childSA) kernelSA(out bool) kernel.SA {
	k := kernel.SA{
		SAID: c.said(out), Mode: c.conf.outerMode(), ReqID: c.conf.ReqID, Encap: c.encap,
		Encr: c.suite.encr.ID, Integ: c.suite.integ, ESN: c.suite.sn == transform.SN_EXTENDED, Soft: c.soft, Hard: c.hard,
	}
	if c.conf.CountBytes {
		k.Soft.Bytes, k.Hard.Bytes = 0, 0
	}
	c.direct(&k, out)
	if !out {
		k.Replay = c.conf.Replay
	}
	if k.Mode != c.conf.Mode {
		k.Selector = kernel.Selector{} // it protects the tunnel's packets
	}
	if out == c.initiator {
		k.EncrKey, k.IntegKey = c.keys.encrI, c.keys.integI
	} else {
		k.EncrKey, k.IntegKey = c.keys.encrR, c.keys.integR
	}
	return k
}

// compSA describes the IPComp SA of one direction. Its life is that of the SA
// around it, so that it has no lifetime of its own.
func (c *childSA) compSA(out bool) kernel.SA {
	k := kernel.SA{SAID: c.saids(out)[0], Mode: c.conf.Mode, ReqID: c.conf.ReqID, Comp: c.comp}
	c.direct(&k, out)
	return k
}

// direct fills in what depends on the direction.
func (c *childSA) direct(k *kernel.SA, out bool) {
	if out {
		k.Src, k.Direction, k.Selector, k.Binding = c.local, kernel.Out, c.selector, c.conf.Binding
	} else {
		k.Src, k.Direction, k.Selector, k.Binding = c.remote, kernel.In, reverse(c.selector), c.conf.Binding.Inbound()
		k.Fragments = c.fragments
	}
}

// install puts the SAs into the kernel, the inbound ones first so that nothing
// the peer sends is lost. The IKE SA is busy until the kernel has answered all.
func (c *childSA) install(done func(error)) {
	sa := c.sa
	c.state = childAdding
	c.setLifetimes()
	c.selector = c.traffic.kernelSelector()
	list := c.kernelSAs(false)
	if !c.outWaits {
		c.listOutbound()
		list = append(list, c.kernelSAs(true)...)
	}
	sa.wait()
	var first error
	for i, k := range list {
		sa.e.kernelOp(kernel.AddSA{SA: k}, func(r kernel.Result) {
			c.answered(k, r.Err)
			if r.Err != nil && first == nil {
				first = fmt.Errorf("the kernel refuses the %s %s SA: %w", directionName(k.Direction), protocolName(k.Proto), r.Err)
			}
			if i < len(list)-1 || c.state == childGone {
				return
			}
			c.installed(first)
			done(first)
			c.follow() // the IKE SA may have moved meanwhile
			if c.atOnce {
				c.rekey()
			}
			c.sa.pump()
		})
	}
}

// installed follows the kernel's last answer.
func (c *childSA) installed(err error) {
	if !c.outWaits {
		c.keys.wipe()
	}
	c.sa.busy = false
	if err == nil {
		c.state = childUp
		c.established = c.sa.e.now
		c.sa.armChildren()
	}
}

// listOutbound lets the kernel's events find the child by its outbound SAs.
func (c *childSA) listOutbound() {
	for _, id := range c.saids(true) {
		c.list(id)
	}
}

// list lets the kernel's events find the child by one of its SAs. The name of an
// outbound one is the peer's choice, and may be that of another peer's SA at the same
// address: that one keeps it.
func (c *childSA) list(id kernel.SAID) {
	if c.sa.e.bySAID[id] == nil {
		c.sa.e.bySAID[id] = c
	}
}

func (c *childSA) unlist(id kernel.SAID) {
	if c.sa.e.bySAID[id] == c {
		delete(c.sa.e.bySAID, id)
	}
}

// answered notes which outbound SAs the kernel has taken. What it has by the name of
// one that it refuses is another peer's, and not to be deleted with the child.
func (c *childSA) answered(k kernel.SA, err error) {
	switch {
	case k.Direction != kernel.Out || err != nil:
	case c.state == childGone:
		c.deleteSA(k.SAID)
	default:
		c.taken = append(c.taken, k.SAID)
	}
}

// takeOver installs the outbound SAs that waited while the child that this one
// replaces still sent: the peer has shown that it has the successor.
func (c *childSA) takeOver() {
	if !c.outWaits || c.state == childGone || c.sa.state != stateEstablished {
		return
	}
	c.outWaits = false
	c.listOutbound()
	for _, k := range c.kernelSAs(true) {
		c.sa.e.kernelOp(kernel.AddSA{SA: k}, func(r kernel.Result) {
			c.answered(k, r.Err)
			if r.Err != nil && c.state != childGone {
				c.notTaken(k, r.Err)
			}
		})
	}
	c.keys.wipe()
}

func directionName(d kernel.Direction) string {
	if d == kernel.Out {
		return "outbound"
	}
	return "inbound"
}

func protocolName(p kernel.Protocol) string {
	switch p {
	case kernel.AH:
		return "AH"
	case kernel.IPComp:
		return "IPComp"
	}
	return "ESP"
}
