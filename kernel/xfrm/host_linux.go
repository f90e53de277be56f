package xfrm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/netlink/nft"
	"racoon2/kernel/netlink/route"
)

// mssTable is the nf_tables table that carries out Policy.MSS.
const mssTable nft.Table = "racoon2-mss"

// The table's chains. What leaves is seen in clear, with the path that IPsec
// leaves room on, before it is protected; what arrives, when it is in clear again.
const (
	chainLeaving  = "leaving"
	chainArriving = "arriving"
)

// host is what of the network namespace is no business of NETLINK_XFRM.
type host struct {
	route *route.Conn
	nft   *nft.Conn // nil: none, or one without what MSS needs
	built bool
	rules map[string]bool // by tag
}

// openHost opens the sockets, and removes what a crashed instance left.
func openHost() (*host, error) {
	r, err := route.Dial()
	if err != nil {
		return nil, err
	}
	h := &host{route: r, rules: map[string]bool{}}
	conn, err := nft.Dial()
	if err != nil {
		return h, nil
	}
	// The rules are really made, since modules may be missing; a batch that
	// takes them away again leaves nothing.
	const trial nft.Table = "racoon2-trial"
	var b nft.Batch
	b.AddTable(trial)
	b.AddChain(nft.Chain{Table: trial, Name: chainLeaving, Hook: nft.PostRouting, Priority: nft.PriorityMangle})
	b.AddRule(nft.Rule{Table: trial, Chain: chainLeaving, Exprs: []nft.Expr{nft.TCPSyn(), nft.ClampMSSToRoute(), nft.ClampMSS(1000)}})
	b.DeleteTable(trial)
	if conn.Commit(&b) != nil {
		conn.Close()
		return h, nil
	}
	h.nft = conn
	if old, err := conn.Chains(mssTable); err == nil && len(old) > 0 {
		h.built = true
		_ = h.removeTable() // what is left bounds segments and does no other harm
	}
	return h, nil
}

func (h *host) close() error { return errors.Join(h.removeTable(), h.closeSockets()) }

func (h *host) closeSockets() error {
	err := h.route.Close()
	if h.nft != nil {
		err = errors.Join(err, h.nft.Close())
	}
	return err
}

// clamps says that Policy.MSS can have its effect.
func (h *host) clamps() bool { return h.nft != nil }

// deviceIndex is the index of an interface.
func (h *host) deviceIndex(name string) (int, error) {
	l, err := h.route.LinkByName(name)
	return l.Index, err
}

// deviceName is deviceIndex the other way; "" when there is none.
func (h *host) deviceName(index int) string {
	links, err := h.route.Links()
	if err != nil {
		return ""
	}
	for _, l := range links {
		if l.Index == index {
			return l.Name
		}
	}
	return ""
}

// clamp makes the rule of a policy with MSS.
func (h *host) clamp(p kernel.Policy) error {
	tag, chain := mssTag(p), chainLeaving
	if p.Direction != kernel.Out {
		chain = chainArriving
	}
	if p.Selector.Proto != 0 && p.Selector.Proto != unix.IPPROTO_TCP {
		return nil // nothing to bound
	}
	rule := nft.Rule{Table: mssTable, Chain: chain, Tag: tag, Comment: p.Selector.String(), Exprs: h.mssRule(p)}
	var b nft.Batch
	if !h.built {
		b.AddTable(mssTable)
		b.AddChain(nft.Chain{Table: mssTable, Name: chainLeaving, Hook: nft.PostRouting, Priority: nft.PriorityMangle})
		b.AddChain(nft.Chain{Table: mssTable, Name: chainArriving, Hook: nft.PreRouting, Priority: nft.PriorityMangle})
	}
	b.AddRule(rule)
	err := h.nft.Commit(&b)
	if errors.Is(err, unix.ENOENT) && h.built { // somebody flushed the host's whole rule set
		h.built, h.rules = false, map[string]bool{}
		return h.clamp(p)
	}
	if err != nil {
		return fmt.Errorf("bound of the segment size: %w", err)
	}
	h.built, h.rules[tag] = true, true
	return nil
}

// mssRule matches a policy's SYNs and lowers what they tell.
func (h *host) mssRule(p kernel.Policy) []nft.Expr {
	s := p.Selector
	match := append(nft.Source(s.Src), nft.Destination(s.Dst)...)
	match = append(match, nft.Proto(unix.IPPROTO_TCP)...)
	if s.Proto == unix.IPPROTO_TCP {
		if !s.SrcPort.Any() {
			match = append(match, nft.SourcePort(s.SrcPort.First, s.SrcPort.Last)...)
		}
		if !s.DstPort.Any() {
			match = append(match, nft.DestinationPort(s.DstPort.First, s.DstPort.Last)...)
		}
	}
	if p.Mark.Mask != 0 {
		match = append(match, nft.MaskedMark(p.Mark.Value, p.Mark.Mask)...)
	}
	clamp := nft.ClampMSS(p.MSS)
	switch {
	case p.MSS != kernel.MSSFromMTU:
	case p.Direction == kernel.Out:
		clamp = nft.ClampMSSToRoute()
	default:
		clamp = nft.ClampMSS(h.arrivingMSS(p))
	}
	return []nft.Expr{match, nft.TCPSyn(), clamp}
}

// arrivingMSS is what fits the way back to the peer, which a packet that arrives
// has no route for: the path's MTU without the most that IPsec takes of it.
func (h *host) arrivingMSS(p kernel.Policy) uint16 {
	const (
		usual = 1500
		// UDP, ESP with IV, padding, trailer and ICV, and AH.
		espMost = 8 + 8 + 16 + 15 + 2 + 32
		ahMost  = 12 + 32 + 4
		lowest  = 500
	)
	peer := p.Selector.Src.Addr()
	if t := p.Templates[0]; t.Mode == kernel.Tunnel && known(t.Src).IsValid() {
		peer = t.Src
	}
	left := h.pathMTU(peer, usual)
	if p.Templates[0].Mode == kernel.Tunnel {
		left -= headerLen(peer)
	}
	for _, t := range p.Templates {
		switch t.Proto {
		case kernel.ESP:
			left -= espMost
		case kernel.AH:
			left -= ahMost
		}
	}
	const tcp = 20
	return uint16(max(left-headerLen(p.Selector.Src.Addr())-tcp, lowest))
}

func headerLen(a netip.Addr) int {
	if a.Is4() {
		return 20
	}
	return 40
}

// pathMTU is that of the route to an address, or of its link.
func (h *host) pathMTU(to netip.Addr, unknown int) int {
	r, err := h.route.Lookup(to, 0)
	if err != nil {
		return unknown
	}
	if r.MTU > 0 {
		return int(r.MTU)
	}
	links, err := h.route.Links()
	if err != nil {
		return unknown
	}
	for _, l := range links {
		if l.Index == r.Link && l.MTU > 0 {
			return min(l.MTU, 65535)
		}
	}
	return unknown
}

// unclamp removes the rule of a policy, where there is one.
func (h *host) unclamp(p kernel.Policy) error {
	tag := mssTag(p)
	if !h.rules[tag] {
		return nil
	}
	var b nft.Batch
	for _, chain := range []string{chainLeaving, chainArriving} {
		rules, err := h.nft.Rules(mssTable, chain)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Tag == tag {
				b.DeleteRule(mssTable, chain, r.Handle)
			}
		}
	}
	delete(h.rules, tag)
	if b.Len() == 0 {
		return nil
	}
	if err := h.nft.Commit(&b); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("bound of the segment size: %w", err)
	}
	return nil
}

// mssTag names a policy's rule. The text itself can be longer than what a rule has
// room for; the comment has it for people.
func mssTag(p kernel.Policy) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %v %v", p.Direction, p.Selector, p.Binding.Names()))
	return hex.EncodeToString(sum[:16])
}

func (h *host) removeTable() error {
	if h.nft == nil || !h.built {
		return nil
	}
	h.built, h.rules = false, map[string]bool{}
	var b nft.Batch
	b.AddTable(mssTable)
	b.DeleteTable(mssTable)
	return h.nft.Commit(&b)
}
