package userspace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"racoon2/kernel"
	"racoon2/kernel/netlink/nft"
)

// guardTable is the nf_tables table that this package owns.
const guardTable nft.Table = "racoon2"

// The guard's chains. An instance that takes over from a crashed one adds a
// suffix, so that the old guard holds until the new one is complete.
const (
	chainInput      = "input"      // clear packets to this host
	chainForward    = "forward"    // clear packets through this host
	chainOutput     = "output"     // what would leave in clear
	chainPreRouting = "prerouting" // marks for strict reverse-path filters
)

// guard drops what policies protect and capture did not catch.
type guard struct {
	conn    guardConn
	missing string // why there is no guard
	device  string
	ports   []uint16
	suffix  string   // of this instance's chains
	old     []string // chains of an earlier instance
	built   bool     // this instance's chains are there
}

// open finds out whether this kernel has nf_tables, and what is left of an
// earlier instance.
func (g *guard) open(o Options) {
	g.device, g.ports = o.Device, o.IKEPorts
	conn, err := nft.Dial()
	if err == nil {
		err = conn.Probe()
	}
	if err != nil {
		g.missing = fmt.Sprintf("this kernel has no nf_tables that this process may use (%v)", err)
		if conn != nil {
			conn.Close()
		}
		return
	}
	g.conn = conn
	if g.old, err = conn.Chains(guardTable); err != nil {
		g.missing = err.Error()
	}
	for n := 2; slices.ContainsFunc(g.old, g.isOwn); n++ {
		g.suffix = "-" + strconv.Itoa(n)
	}
}

// isOwn says that a chain's name is one that this instance uses.
func (g *guard) isOwn(name string) bool {
	base, ok := strings.CutSuffix(name, g.suffix)
	return ok && slices.Contains([]string{chainInput, chainForward, chainOutput, chainPreRouting}, base)
}

// set makes the guard what the policies want, in one transaction.
func (g *guard) set(policies []kernel.Policy, strict bool) error {
	if g.conn == nil {
		return nil
	}
	var b nft.Batch
	b.AddTable(guardTable)
	chains := []nft.Chain{
		{Name: chainInput, Hook: nft.Input, Priority: nft.PriorityFilter},
		{Name: chainForward, Hook: nft.Forward, Priority: nft.PriorityFilter},
		{Name: chainOutput, Hook: nft.PostRouting, Priority: nft.PriorityFilter},
		{Name: chainPreRouting, Hook: nft.PreRouting, Priority: nft.PriorityMangle},
	}
	for _, c := range chains {
		c.Table, c.Name = guardTable, c.Name+g.suffix
		b.AddChain(c)
		b.FlushChain(guardTable, c.Name)
	}
	if strict {
		g.addMarks(&b)
	}
	g.addExceptions(&b)
	for _, p := range policies {
		g.addPolicy(&b, p)
	}
	if err := g.conn.Commit(&b); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	g.built = true
	return nil
}

// addMarks marks arriving IKE and ESP, so that a strict reverse-path filter
// looks up the way back as it is for the agent's packets, and not by the device.
func (g *guard) addMarks(b *nft.Batch) {
	chain := chainPreRouting + g.suffix
	b.AddRule(guardTable, chain, "", nft.Proto(protoESP), nft.SetMark(Mark))
	for _, port := range g.ports {
		b.AddRule(guardTable, chain, "", nft.Proto(protoUDP), nft.DestinationPort(port, port), nft.SetMark(Mark))
	}
}

// controlTypes are the ICMPv6 types that keep a link going: multicast listener
// and neighbour discovery (RFC 2710, RFC 4861, RFC 3810).
var controlTypes = [...][2]uint8{{130, 137}, {143, 143}}

// addExceptions lets pass what no policy is asked about.
func (g *guard) addExceptions(b *nft.Batch) {
	input, forward, output := chainInput+g.suffix, chainForward+g.suffix, chainOutput+g.suffix
	for _, name := range []string{"lo", g.device} {
		b.AddRule(guardTable, input, "", nft.InInterface(name), nft.Accept())
		b.AddRule(guardTable, forward, "", nft.InInterface(name), nft.Accept())
		b.AddRule(guardTable, output, "", nft.OutInterface(name), nft.Accept())
	}
	b.AddRule(guardTable, output, "the agent's own packets", nft.Mark(Mark), nft.Accept())
	b.AddRule(guardTable, input, "", nft.Proto(protoESP), nft.Accept())
	for _, port := range g.ports {
		b.AddRule(guardTable, input, "", nft.Proto(protoUDP), nft.DestinationPort(port, port), nft.Accept())
	}
	for _, types := range controlTypes {
		for _, chain := range []string{input, output} {
			b.AddRule(guardTable, chain, "", nft.Proto(protoICMPv6), nft.ICMPType(types[0], types[1]), nft.Accept())
		}
	}
}

// addPolicy adds a policy's rule; policies come in the order of their strength,
// so the rules decide as the SPD does.
func (g *guard) addPolicy(b *nft.Batch, p kernel.Policy) {
	chains := []string{chainOutput + g.suffix}
	if p.Direction == kernel.In {
		chains = []string{chainInput + g.suffix, chainForward + g.suffix}
	}
	pass := p.Action == kernel.Bypass || p.Action == kernel.Protect && p.Templates[0].Level == kernel.Use
	match := matchSelector(p.Selector)
	for _, chain := range chains {
		if pass {
			b.AddRule(guardTable, chain, "", match, nft.Accept())
			continue
		}
		b.AddRule(guardTable, chain, p.Selector.String(), match, nft.Counter(), nft.Drop())
		if hidden := matchHidden(p.Selector); hidden != nil {
			b.AddRule(guardTable, chain, "fragments of "+p.Selector.String(), hidden, nft.Counter(), nft.Drop())
		}
	}
}

// matchSelector matches a selector's packets.
func matchSelector(s kernel.Selector) nft.Expr {
	e := slices.Concat(nft.Source(s.Src), nft.Destination(s.Dst))
	if s.Proto == 0 {
		return e
	}
	e = append(e, nft.Proto(s.Proto)...)
	switch {
	case hasPorts(s.Proto):
		if !s.SrcPort.Any() {
			e = append(e, nft.SourcePort(s.SrcPort.First, s.SrcPort.Last)...)
		}
		if !s.DstPort.Any() {
			e = append(e, nft.DestinationPort(s.DstPort.First, s.DstPort.Last)...)
		}
	case s.Proto == protoICMP || s.Proto == protoICMPv6:
		if !s.SrcPort.Any() {
			e = append(e, nft.ICMPType(uint8(s.SrcPort.First), uint8(s.SrcPort.Last))...)
		}
		if !s.DstPort.Any() {
			e = append(e, nft.ICMPCode(uint8(s.DstPort.First), uint8(s.DstPort.Last))...)
		}
	}
	return e
}

// matchHidden matches fragments in which a selector's ports cannot be seen;
// nil where the selector has none.
func matchHidden(s kernel.Selector) nft.Expr {
	if s.Proto == 0 || s.SrcPort.Any() && s.DstPort.Any() {
		return nil
	}
	e := slices.Concat(nft.Source(s.Src), nft.Destination(s.Dst))
	if s.Src.Addr().Is4() {
		return append(append(e, nft.Proto(s.Proto)...), nft.LaterFragment4()...)
	}
	return append(e, nft.LaterFragment6()...)
}

// settle removes the guard of an earlier instance.
func (g *guard) settle() error {
	if g.conn == nil || len(g.old) == 0 {
		return nil
	}
	var b nft.Batch
	for _, name := range g.old {
		b.FlushChain(guardTable, name)
		b.DeleteChain(guardTable, name)
	}
	if err := g.conn.Commit(&b); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	g.old = nil
	return nil
}

// clear removes the table.
func (g *guard) clear() error {
	if g.conn == nil || !g.built && len(g.old) == 0 {
		return nil
	}
	var b nft.Batch
	b.AddTable(guardTable)
	b.DeleteTable(guardTable)
	if err := g.conn.Commit(&b); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	g.built, g.old = false, nil
	return nil
}

func (g *guard) close() {
	if g.conn != nil {
		g.conn.Close()
	}
}
