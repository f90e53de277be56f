package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Table is a table of family inet, which sees IPv4 and IPv6.
type Table string

// Hook is a place in a packet's way through the host (linux/netfilter.h).
type Hook uint32

// The hooks.
const (
	PreRouting Hook = iota
	Input
	Forward
	Output
	PostRouting
)

// Priorities of base chains; lower ones see a packet first.
const (
	PriorityMangle    int32 = -150
	PriorityFilter    int32 = 0
	PrioritySourceNAT int32 = 100
)

// Chain is a base chain.
type Chain struct {
	Table    Table
	Name     string
	Type     string // "filter", "nat", or "route"; "" is filter
	Hook     Hook
	Priority int32
}

// nfproto is the family of all our tables: NFPROTO_INET.
const nfproto = 1

// genHeader is struct nfgenmsg.
func genHeader() []byte { return []byte{nfproto, 0, 0, 0} }

func messageType(t uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | t }

// bufferLen holds a large batch on its way out and its acknowledgements.
const bufferLen = 8 << 20

// Conn programs the nf_tables of one network namespace.
type Conn struct {
	nl *netlink.Conn
}

// Dial opens a Conn for the network namespace of the calling thread. It
// succeeds also on kernels without nf_tables; Probe tells.
func Dial() (*Conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("nf_tables: %w", err)
	}
	if err := nl.SetReceiveBuffer(bufferLen); err != nil {
		nl.Close()
		return nil, fmt.Errorf("nf_tables: %w", err)
	}
	return &Conn{nl: nl}, nil
}

// Close ends the Conn; what it programmed stays.
func (c *Conn) Close() error { return c.nl.Close() }

// Probe says why this kernel has no nf_tables, or nil.
func (c *Conn) Probe() error {
	_, err := c.nl.Execute(netlink.Message{
		Type: messageType(unix.NFT_MSG_GETTABLE), Flags: netlink.FlagDump, Body: genHeader(),
	})
	if err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	return nil
}

// Has says why this kernel lacks an expression, or nil. A table of that name is
// made and deleted in one transaction, so that nobody sees it.
func (c *Conn) Has(e Expr, scratch Table) error {
	var b Batch
	b.AddTable(scratch)
	b.AddChain(Chain{Table: scratch, Name: "probe", Hook: Input, Priority: PriorityFilter})
	b.AddRule(Rule{Table: scratch, Chain: "probe", Exprs: []Expr{e}})
	b.DeleteTable(scratch)
	return c.Commit(&b)
}

// Chains returns the names of a table's chains; none when there is no such table.
func (c *Conn) Chains(t Table) ([]string, error) {
	replies, err := c.nl.Execute(netlink.Message{
		Type: messageType(unix.NFT_MSG_GETCHAIN), Flags: netlink.FlagDump, Body: genHeader(),
	})
	if err != nil {
		return nil, fmt.Errorf("nf_tables: list of chains: %w", err)
	}
	var names []string
	for _, m := range replies {
		var table, name string
		for a := attributes(m); a.Next(); {
			switch a.Type() {
			case unix.NFTA_CHAIN_TABLE:
				table = a.String()
			case unix.NFTA_CHAIN_NAME:
				name = a.String()
			}
		}
		if table == string(t) && name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Listed is a rule as the kernel has it.
type Listed struct {
	Handle         uint64 // names the rule within its chain
	Tag, Comment   string // as in Rule
	Packets, Bytes uint64 // of its Counter, 0 without one
}

// Rules returns a chain's rules, in their order; none when there is no such chain.
func (c *Conn) Rules(t Table, chain string) ([]Listed, error) {
	var b netlink.Builder
	b.Raw(genHeader())
	b.String(unix.NFTA_RULE_TABLE, string(t))
	b.String(unix.NFTA_RULE_CHAIN, chain)
	replies, err := c.nl.Execute(netlink.Message{
		Type: messageType(unix.NFT_MSG_GETRULE), Flags: netlink.FlagDump, Body: b.Body(),
	})
	if err != nil {
		return nil, fmt.Errorf("nf_tables: rules of %s %s: %w", t, chain, err)
	}
	rules := make([]Listed, 0, len(replies))
	for _, m := range replies {
		if r, ok := parseRule(m); ok {
			rules = append(rules, r)
		}
	}
	return rules, nil
}

func parseRule(m netlink.Message) (rule Listed, ok bool) {
	a := attributes(m)
	for a.Next() {
		switch a.Type() {
		case unix.NFTA_RULE_HANDLE:
			rule.Handle = a.BE64()
		case unix.NFTA_RULE_USERDATA:
			rule.Tag, rule.Comment = parseUserData(a.Octets())
		case unix.NFTA_RULE_EXPRESSIONS:
			for element := a.Nested(); element.Next(); {
				parseCounter(element.Nested(), &rule)
			}
		}
	}
	return rule, a.Err() == nil && rule.Handle != 0
}

// parseCounter reads an expression, if it is a counter.
func parseCounter(expression *netlink.Attributes, rule *Listed) {
	isCounter := false
	for expression.Next() {
		switch expression.Type() {
		case unix.NFTA_EXPR_NAME:
			isCounter = expression.String() == "counter"
		case unix.NFTA_EXPR_DATA:
			if !isCounter {
				continue
			}
			for value := expression.Nested(); value.Next(); {
				switch value.Type() {
				case unix.NFTA_COUNTER_PACKETS:
					rule.Packets = value.BE64()
				case unix.NFTA_COUNTER_BYTES:
					rule.Bytes = value.BE64()
				}
			}
		}
	}
}

// attributes walks through a message's attributes, behind struct nfgenmsg.
func attributes(m netlink.Message) *netlink.Attributes {
	return netlink.ParseAttributes(m.Body[min(len(genHeader()), len(m.Body)):])
}

// Commit carries out a batch, as a whole or not at all.
func (c *Conn) Commit(b *Batch) error {
	if b.err != nil {
		return b.err
	}
	if err := c.nl.Batch(unix.NFNL_SUBSYS_NFTABLES, b.messages); err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	return nil
}
