package kerneltest

import (
	"bytes"
	"net/netip"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// reqID binds the suite's policies to its SAs.
const reqID = 4242

// selector is the protected traffic from one host to the other: UDP to Port.
func selector(from, to netip.Addr) kernel.Selector {
	return kernel.Selector{
		Src: netip.PrefixFrom(from, from.BitLen()), Dst: netip.PrefixFrom(to, to.BitLen()),
		Proto: 17, SrcPort: kernel.AnyPort, DstPort: kernel.Port(Port),
	}
}

// suite is a choice of algorithms.
type suite struct {
	name              string
	encr              transform.ENCR
	integ             transform.INTEG
	encrKey, integKey int // octets
}

var suites = []suite{
	{"AES-GCM-128", transform.ENCR_AES_GCM_16, transform.AUTH_NONE, 20, 0},
	{"AES-GCM-256", transform.ENCR_AES_GCM_16, transform.AUTH_NONE, 36, 0},
	{"AES-CBC-256 HMAC-SHA-256", transform.ENCR_AES_CBC, transform.AUTH_HMAC_SHA2_256_128, 32, 32},
	{"AES-CBC-128 HMAC-SHA-512", transform.ENCR_AES_CBC, transform.AUTH_HMAC_SHA2_512_256, 16, 64},
	{"ChaCha20-Poly1305", transform.ENCR_CHACHA20_POLY1305, transform.AUTH_NONE, 36, 0},
	{"AES-GCM-128 with 8 octets", transform.ENCR_AES_GCM_8, transform.AUTH_NONE, 20, 0},
	{"AES-GCM-128 with 12 octets", transform.ENCR_AES_GCM_12, transform.AUTH_NONE, 20, 0},
	{"AES-GMAC-256", transform.ENCR_NULL_AUTH_AES_GMAC, transform.AUTH_NONE, 36, 0},
	{"AES-CCM-128", transform.ENCR_AES_CCM_16, transform.AUTH_NONE, 19, 0},
	{"AES-GCM-128 implicit IV", transform.ENCR_AES_GCM_16_IIV, transform.AUTH_NONE, 20, 0},
	{"ChaCha20-Poly1305 implicit IV", transform.ENCR_CHACHA20_POLY1305_IIV, transform.AUTH_NONE, 36, 0},
}

// sa is an SA from one host to the other.
func sa(from, to netip.Addr, spi kernel.SPI, d kernel.Direction, mode kernel.Mode, s suite) kernel.SA {
	return kernel.SA{
		SAID: kernel.SAID{Dst: to, Proto: kernel.ESP, SPI: spi}, Src: from, Direction: d, Mode: mode,
		ReqID: reqID, Selector: selector(from, to),
		Encr: s.encr, EncrKey: bytes.Repeat([]byte{0x5a}, s.encrKey),
		Integ: s.integ, IntegKey: bytes.Repeat([]byte{0xa5}, s.integKey),
		Replay: replayOf(d, 64),
	}
}

func replayOf(d kernel.Direction, window uint32) uint32 {
	if d == kernel.In {
		return window
	}
	return 0
}

// policy protects the traffic from one host to the other.
func policy(from, to netip.Addr, d kernel.Direction, mode kernel.Mode) kernel.Policy {
	t := kernel.Template{Proto: kernel.ESP, Mode: mode, Level: kernel.Require, ReqID: reqID}
	if mode == kernel.Tunnel {
		t.Src, t.Dst = from, to
	}
	return kernel.Policy{
		Selector: selector(from, to), Direction: d, Action: kernel.Protect, Priority: 1000,
		Templates: []kernel.Template{t},
	}
}

// protect installs the policies of both hosts for traffic from a to b.
func protect(a, b *end, mode kernel.Mode) {
	a.t.Helper()
	a.must(kernel.AddPolicy{Policy: policy(a.Addr, b.Addr, kernel.Out, mode)})
	b.must(kernel.AddPolicy{Policy: policy(a.Addr, b.Addr, kernel.In, mode)})
}

// unprotect takes away what protect installed.
func unprotect(a, b *end) {
	a.t.Helper()
	a.must(kernel.DeletePolicy{Selector: selector(a.Addr, b.Addr), Direction: kernel.Out, Priority: 1000})
	b.must(kernel.DeletePolicy{Selector: selector(a.Addr, b.Addr), Direction: kernel.In, Priority: 1000})
}

// join installs an SA from a to b on both hosts, in the order of IKE: the
// receiver's first.
func join(a, b *end, mode kernel.Mode, s suite, change func(*kernel.SA)) kernel.SAID {
	a.t.Helper()
	spi := b.must(kernel.GetSPI{Src: a.Addr, Dst: b.Addr, Proto: kernel.ESP, Mode: mode, ReqID: reqID}).SPI
	in, out := sa(a.Addr, b.Addr, spi, kernel.In, mode, s), sa(a.Addr, b.Addr, spi, kernel.Out, mode, s)
	if change != nil {
		change(&in)
		change(&out)
	}
	in.Replay, out.Replay = replayOf(kernel.In, in.Replay), 0
	b.must(kernel.AddSA{SA: in})
	a.must(kernel.AddSA{SA: out})
	return in.SAID
}

// part removes the SA of join.
func part(a, b *end, id kernel.SAID) {
	a.t.Helper()
	a.must(kernel.DeleteSA{ID: id})
	b.must(kernel.DeleteSA{ID: id})
}

// supports says whether a backend has a suite's algorithms.
func (e *end) supports(s suite) bool {
	c := e.Backend.Capabilities()
	encr, integ := false, s.integ == transform.AUTH_NONE
	for _, x := range c.Encr {
		encr = encr || x == s.encr
	}
	for _, x := range c.Integ {
		integ = integ || x == s.integ
	}
	return encr && integ
}
