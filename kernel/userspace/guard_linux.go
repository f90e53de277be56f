package userspace

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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
	deaf    string // why answers to the agent's sockets meet the policies
	device  string
	ports   []uint16
	suffix  string   // of this instance's chains
	old     []string // chains of an earlier instance
	built   bool     // this instance's chains are there
	left    bool     // the earlier instance changed src_valid_mark
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
	if err := conn.Has(nft.SocketMark(Mark), guardTable+"-probe"); err != nil {
		g.deaf = fmt.Sprintf("this kernel does not match packets by their socket (%v)", err)
	}
	if g.old, err = conn.Chains(guardTable); err != nil {
		g.missing = err.Error()
	}
	for _, chain := range g.old {
		rules, err := conn.Rules(guardTable, chain)
		g.left = g.left || err == nil && slices.ContainsFunc(rules, func(r nft.Listed) bool { return r.Comment == validNote })
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

// baseChains are the guard's chains, and where they are.
var baseChains = [...]nft.Chain{
	{Name: chainInput, Hook: nft.Input, Priority: nft.PriorityFilter},
	{Name: chainForward, Hook: nft.Forward, Priority: nft.PriorityFilter},
	{Name: chainOutput, Hook: nft.PostRouting, Priority: nft.PriorityFilter},
	{Name: chainPreRouting, Hook: nft.PreRouting, Priority: nft.PriorityMangle},
}

// build makes the chains, empty.
func (g *guard) build() error {
	var b nft.Batch
	b.AddTable(guardTable)
	for _, c := range baseChains {
		c.Table, c.Name = guardTable, c.Name+g.suffix
		b.AddChain(c)
	}
	if err := g.conn.Commit(&b); err != nil {
		return err
	}
	g.built = true
	return nil
}

// set makes the guard what the policies want.
func (g *guard) set(policies []kernel.Policy, strict bool, note string) error {
	if g.conn == nil {
		return nil
	}
	want := guardRules{}
	if strict {
		want.addMarks(g.ports, note)
	}
	want.addExceptions(g.device, g.ports)
	if g.deaf == "" {
		want.addAnswers(strict)
	}
	for _, p := range policies {
		want.addPolicy(p)
	}
	err := g.install(want)
	if errors.Is(err, unix.ENOENT) { // somebody flushed the host's whole rule set
		g.built = false
		err = g.install(want)
	}
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

func (g *guard) install(want guardRules) error {
	if !g.built {
		if err := g.build(); err != nil {
			return err
		}
	}
	for _, c := range baseChains {
		if err := g.update(c.Name+g.suffix, want[c.Name]); err != nil {
			return err
		}
	}
	return nil
}

// batchLimit bounds a transaction, so that it fits a netlink socket's buffer.
const batchLimit = 64

// update brings a chain to the wanted rules by adding and deleting single ones.
// Additions come first, the strongest first, so that a large change passes no
// moment in which something is open that both the old and the new rules block.
func (g *guard) update(chain string, want []guardRule) error {
	have, err := g.conn.Rules(guardTable, chain)
	if err != nil {
		return err
	}
	kept, stale := keep(have, want)
	var b nft.Batch
	flush := func(limit int) error {
		if b.Len() < limit {
			return nil
		}
		err := g.conn.Commit(&b)
		b = nft.Batch{}
		return err
	}
	for _, w := range want {
		if len(kept) > 0 && kept[0].Tag == w.tag {
			kept = kept[1:]
			continue
		}
		rule := nft.Rule{Table: guardTable, Chain: chain, Tag: w.tag, Comment: w.comment, Exprs: w.exprs}
		if len(kept) > 0 {
			rule.Before = kept[0].Handle
		}
		b.AddRule(rule)
		if err := flush(batchLimit); err != nil {
			return err
		}
	}
	for _, r := range stale {
		b.DeleteRule(guardTable, chain, r.Handle)
		if err := flush(batchLimit); err != nil {
			return err
		}
	}
	return flush(1)
}

// keep divides a chain's rules into those that stay, in the order of the wanted
// ones, and the others.
func keep(have []nft.Listed, want []guardRule) (kept, stale []nft.Listed) {
	at := make(map[string]int, len(want))
	for i, w := range want {
		at[w.tag] = i
	}
	last := -1
	for _, r := range have {
		if i, wanted := at[r.Tag]; wanted && i > last {
			kept, last = append(kept, r), i
		} else {
			stale = append(stale, r)
		}
	}
	return kept, stale
}

// guardRule is a rule; its tag says all that tells it from others.
type guardRule struct {
	tag, comment string
	exprs        []nft.Expr
}

// guardRules are the rules of each chain, in their order.
type guardRules map[string][]guardRule

func (g guardRules) add(chain, tag, comment string, exprs ...nft.Expr) {
	g[chain] = append(g[chain], guardRule{tag, comment, exprs})
}

// addMarks marks arriving IKE, ESP, AH and IPComp, so that a strict reverse-path filter
// looks up the way back as it is for the agent's packets, and not by the device.
// The rules carry a note for the instance that comes after a crash.
func (g guardRules) addMarks(ports []uint16, note string) {
	for _, proto := range carried {
		g.add(chainPreRouting, proto.String(), note, nft.Proto(uint8(proto)), nft.SetMark(Mark))
	}
	for _, port := range ports {
		g.add(chainPreRouting, fmt.Sprint("udp ", port), "", nft.Proto(protoUDP), nft.DestinationPort(port, port), nft.SetMark(Mark))
	}
}

// controlTypes are the ICMPv6 types that keep a link going: multicast listener
// and neighbour discovery (RFC 2710, RFC 4861, RFC 3810).
var controlTypes = [...][2]uint8{{130, 137}, {143, 143}}

// addExceptions lets pass what no policy is asked about.
func (g guardRules) addExceptions(device string, ports []uint16) {
	for _, name := range []string{"lo", device} {
		g.add(chainInput, "interface "+name, "", nft.InInterface(name), nft.Accept())
		g.add(chainForward, "interface "+name, "", nft.InInterface(name), nft.Accept())
		g.add(chainOutput, "interface "+name, "", nft.OutInterface(name), nft.Accept())
	}
	g.add(chainOutput, "mark", "the agent's own packets", nft.Mark(Mark), nft.Accept())
	for _, proto := range carried {
		g.add(chainInput, proto.String(), "", nft.Proto(uint8(proto)), nft.Accept())
	}
	g.add(chainInput, "fragments of ah", "", nft.FragmentOf6(protoAH), nft.Accept())
	for _, port := range ports {
		g.add(chainInput, fmt.Sprint("udp ", port), "", nft.Proto(protoUDP), nft.DestinationPort(port, port), nft.Accept())
	}
	for _, types := range controlTypes {
		for _, chain := range []string{chainInput, chainOutput} {
			g.add(chain, fmt.Sprint("control ", types[0]), "", nft.Proto(protoICMPv6), nft.ICMPType(types[0], types[1]), nft.Accept())
		}
	}
}

// addAnswers lets pass what comes to the agent's other sockets, those that have
// no port of their own: answers of KDCs, from an address that a policy protects.
func (g guardRules) addAnswers(strict bool) {
	const tag = "own sockets"
	if strict {
		g.add(chainPreRouting, tag, "", nft.SocketMark(Mark), nft.SetMark(Mark))
	}
	g.add(chainInput, tag, "", nft.SocketMark(Mark), nft.Accept())
}

// addPolicy adds a policy's rules; policies come in the order of their strength,
// so the rules decide as the SPD does.
func (g guardRules) addPolicy(p kernel.Policy) {
	chains := []string{chainOutput}
	if p.Direction == kernel.In {
		chains = []string{chainInput, chainForward}
	}
	pass := p.Action == kernel.Bypass || p.Action == kernel.Protect && mayBeClear(p)
	// A policy's number and selector never change apart.
	tag := fmt.Sprintf("policy %d pass %v", p.ID, pass)
	match := matchSelector(p.Selector)
	for _, chain := range chains {
		if pass {
			g.add(chain, tag, "", match, nft.Accept())
			continue
		}
		g.add(chain, tag, p.Selector.String(), match, nft.Counter(), nft.Drop())
		if hidden := matchHidden(p.Selector); hidden != nil {
			g.add(chain, tag+" fragments", "fragments of "+p.Selector.String(), hidden, nft.Counter(), nft.Drop())
		}
	}
}

// mayBeClear says that a policy's packets may pass unprotected. What arrives and
// was too small for IPComp alone is in clear (RFC 3173 §2.2).
func mayBeClear(p kernel.Policy) bool {
	for _, t := range p.Templates {
		if t.Level != kernel.Use && (t.Proto != kernel.IPComp || p.Direction == kernel.Out) {
			return false
		}
	}
	return true
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
	if err := g.conn.Commit(&b); err != nil && !errors.Is(err, unix.ENOENT) {
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
