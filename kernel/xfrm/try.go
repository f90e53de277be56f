package xfrm

import (
	"math/rand/v2"
	"net/netip"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// try finds out what the kernel can do by really adding and deleting SAs: it
// allocates SPIs and takes policies without being able to protect a packet. The
// addresses are those of documentation (RFC 5737).
func (b *Backend) try(c *kernel.Capabilities) {
	var cbc cipher
	for _, x := range ciphers {
		if x.encr == transform.ENCR_AES_CBC {
			cbc = x
		}
		if b.attempt(trial(x, macs[0])) {
			c.Encr = append(c.Encr, x.encr)
		}
	}
	for _, m := range macs {
		if b.attempt(trial(cbc, m)) {
			c.Integ = append(c.Integ, m.integ)
		}
	}
	if len(c.Encr) == 0 {
		return
	}
	c.Integ = append(c.Integ, transform.AUTH_NONE)
	refusal := b.refusal
	ah := trial(cbc, macs[0])
	ah.Proto, ah.Encr, ah.EncrKey = kernel.AH, 0, nil
	c.AH = b.attempt(ah)
	for _, x := range compressions {
		sa := trial(cbc, macs[0])
		sa.Proto, sa.SPI, sa.Comp = kernel.IPComp, lowestSPI+sa.SPI%(highestCPI-lowestSPI), x.comp
		sa.Encr, sa.EncrKey, sa.Integ, sa.IntegKey = 0, nil, 0, nil
		if b.attempt(sa) {
			c.Comp = append(c.Comp, x.comp)
		}
	}
	b.tryBinding(c, trial(cbc, macs[0]))
	b.refusal = refusal
}

// tryBinding adds an SA with a mark and an interface identifier, which older
// kernels ignore, and looks at what came of it.
func (b *Backend) tryBinding(c *kernel.Capabilities, sa kernel.SA) {
	sa.Binding = kernel.Binding{IfID: 1, Mark: kernel.Mark{Value: 1, Mask: 1}, Set: kernel.Mark{Value: 2, Mask: 2}}
	if b.addSA(sa) != nil {
		return
	}
	if dump, err := b.dumpOf(sa.SAID); err == nil {
		if s, err := parseState(dump); err == nil {
			c.IfID = s.report.IfID == sa.IfID
			c.Marks = s.report.Mark == sa.Mark && s.report.Set == sa.Set
		}
	}
	_ = b.deleteSA(sa.SAID)
}

// trial is an ESP SA with a cipher, and with a MAC where the cipher needs one.
func trial(c cipher, m mac) kernel.SA {
	sa := kernel.SA{
		SAID: kernel.SAID{
			Dst: netip.AddrFrom4([4]byte{192, 0, 2, 2}), Proto: kernel.ESP,
			SPI: kernel.SPI(lowestSPI + rand.Uint32N(highestSPI-lowestSPI)),
		},
		Src: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Direction: kernel.Out, Mode: kernel.Transport,
		Encr: c.encr, EncrKey: make([]byte, c.keys[0]),
	}
	if c.icv == 0 {
		sa.Integ, sa.IntegKey = m.integ, make([]byte, m.key)
	}
	return sa
}

// attempt says whether the kernel takes an SA.
func (b *Backend) attempt(sa kernel.SA) bool {
	if err := b.addSA(sa); err != nil {
		if b.refusal == nil {
			b.refusal = err
		}
		return false
	}
	return b.deleteSA(sa.SAID) == nil
}
