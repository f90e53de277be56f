package userspace

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// tb is what the helpers need of a test, or of a child process.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Cleanup(func())
}

func must(t tb, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// tunnel describes protection between two hosts, seen from the first.
type tunnel struct {
	mode         kernel.Mode
	local, peer  string // end points
	inner, outer string // what is protected: of the first, and of the second
	proto        uint8
	dstPort      kernel.PortRange
	port1, port2 uint16 // of UDP encapsulation, 0 for none
	reqID        uint32
}

func (w tunnel) selector() kernel.Selector {
	s := kernel.Selector{
		Src: netip.MustParsePrefix(w.inner), Dst: netip.MustParsePrefix(w.outer), Proto: w.proto,
		SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
	}
	if w.dstPort != (kernel.PortRange{}) {
		s.DstPort = w.dstPort
	}
	return s
}

func (w tunnel) reversed() tunnel {
	w.local, w.peer, w.inner, w.outer, w.port1, w.port2 = w.peer, w.local, w.outer, w.inner, w.port2, w.port1
	return w
}

// policies protect a selector in both directions, on the first host of w.
func (w tunnel) policies(selector kernel.Selector) []kernel.Policy {
	t := kernel.Template{Proto: kernel.ESP, Mode: w.mode, Level: kernel.Require, ReqID: w.reqID}
	back := t
	if w.mode == kernel.Tunnel {
		t.Src, t.Dst = netip.MustParseAddr(w.local), netip.MustParseAddr(w.peer)
		back.Src, back.Dst = t.Dst, t.Src
	}
	return []kernel.Policy{
		{Selector: selector, Direction: kernel.Out, Action: kernel.Protect, Priority: 100, Templates: []kernel.Template{t}},
		{Selector: selector.Reverse(), Direction: kernel.In, Action: kernel.Protect, Priority: 100, Templates: []kernel.Template{back}},
	}
}

func (w tunnel) sa(d kernel.Direction, which, generation byte) kernel.SA {
	sa := kernel.SA{
		Direction: d, Mode: w.mode, ReqID: w.reqID, Replay: 64,
		Encr: transform.ENCR_AES_GCM_16, EncrKey: bytes.Repeat([]byte{which, generation, 7, 9}, 5),
	}
	sa.Proto, sa.SPI = kernel.ESP, kernel.SPI(0x1000*uint32(which)+uint32(generation)+uint32(w.reqID)<<16)
	sa.Src, sa.Dst, sa.Selector = netip.MustParseAddr(w.local), netip.MustParseAddr(w.peer), w.selector()
	if d == kernel.In {
		sa.Src, sa.Dst, sa.Selector = sa.Dst, sa.Src, sa.Selector.Reverse()
	}
	if w.port1 != 0 {
		sa.Encap = &kernel.Encap{Local: w.port1, Remote: w.port2}
	}
	return sa
}

// octets reads hexadecimal text with spaces.
func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ipPacket makes an IP packet of the addresses' family.
func ipPacket(src, dst string, proto uint8, payload []byte) []byte {
	from, to := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	if from.Is4() {
		b := slices.Concat([]byte{0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, proto, 0, 0}, from.AsSlice(), to.AsSlice())
		setLength(b, false, len(b)+len(payload))
		return append(b, payload...)
	}
	b := slices.Concat([]byte{0x60, 0, 0, 0, 0, 0, proto, 64}, from.AsSlice(), to.AsSlice())
	setLength(b, true, len(b)+len(payload))
	return append(b, payload...)
}

// udp makes a UDP header, with a checksum that is not zero, and a payload.
func udp(srcPort, dstPort uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, srcPort)
	b = binary.BigEndian.AppendUint16(b, dstPort)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0xab, 0xcd), payload...)
}

// pure is two cores whose ESP packets go from one to the other.
type pure struct {
	t      testing.TB
	now    time.Time
	a, b   *core
	out    outgoing
	buf    scratch
	result scratch
	events []kernel.Event // of both
	alter  func(from *arrival, esp []byte) []byte
}

func newPure(t testing.TB, w tunnel, change func(*kernel.SA)) *pure {
	p := &pure{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	emit := func(e ...kernel.Event) { p.events = append(p.events, e...) }
	p.a, p.b = newCore(emit), newCore(emit)
	for _, policy := range w.policies(w.selector()) {
		p.do(p.a, kernel.AddPolicy{Policy: policy})
	}
	for _, policy := range w.reversed().policies(w.selector().Reverse()) {
		p.do(p.b, kernel.AddPolicy{Policy: policy})
	}
	for i, sa := range []kernel.SA{w.sa(kernel.Out, 1, 1), w.reversed().sa(kernel.In, 1, 1)} {
		if change != nil {
			change(&sa)
		}
		p.do([]*core{p.a, p.b}[i], kernel.AddSA{SA: sa})
	}
	return p
}

func (p *pure) do(c *core, op kernel.Op) kernel.Result {
	p.t.Helper()
	r := c.apply(p.now, kernel.Request{Op: op}, func(netip.Addr) int { return 1500 })
	if r.Err != nil {
		p.t.Fatalf("%T: %v", op, r.Err)
	}
	return r
}

// seal takes a packet through a.
func (p *pure) seal(packet []byte) verdict {
	n := copy(p.buf[headroom:], packet)
	return p.a.outbound(p.now, p.buf[:], n, &p.out)
}

// open takes the packet that seal made through b, on a wire that decrements the TTL.
func (p *pure) open() []byte {
	from := arrival{proto: p.out.proto, src: p.out.src, dst: p.out.dst, tos: p.out.tos, hops: p.out.hops}
	if p.out.encap.Remote != 0 {
		from.encap, from.port = true, p.out.encap.Local
	}
	if len(p.out.header) > 0 && p.out.dst.Is4() {
		from.header = slices.Clone(p.out.header)
	}
	esp := slices.Clone(p.out.esp)
	if p.alter != nil {
		esp = p.alter(&from, esp)
	}
	return p.b.inbound(p.now, &from, esp, p.result[:])
}

// pass takes a packet all the way and returns what is delivered.
func (p *pure) pass(packet []byte) []byte {
	p.t.Helper()
	if v := p.seal(packet); v != sendESP {
		p.t.Fatalf("verdict %d, counters %v", v, p.a.counts.values())
	}
	return p.open()
}
