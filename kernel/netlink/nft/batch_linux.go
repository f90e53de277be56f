package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Batch collects changes for Commit. The zero Batch is empty and ready.
type Batch struct {
	messages []netlink.Message
	err      error
}

func (b *Batch) add(typ, flags uint16, body *netlink.Builder) {
	if err := body.Err(); err != nil && b.err == nil {
		b.err = fmt.Errorf("nf_tables: %w", err)
	}
	b.messages = append(b.messages, netlink.Message{Type: messageType(typ), Flags: flags, Body: body.Body()})
}

// AddTable makes a table; one that is there already stays as it is.
func (b *Batch) AddTable(t Table) {
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_TABLE_NAME, string(t))
	b.add(unix.NFT_MSG_NEWTABLE, netlink.FlagCreate, &body)
}

// DeleteTable removes a table with all that is in it. To remove one that may
// be missing, add it first in the same batch.
func (b *Batch) DeleteTable(t Table) {
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_TABLE_NAME, string(t))
	b.add(unix.NFT_MSG_DELTABLE, 0, &body)
}

// AddChain makes a base chain, which accepts what none of its rules takes.
func (b *Batch) AddChain(c Chain) {
	kind := c.Type
	if kind == "" {
		kind = "filter"
	}
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_CHAIN_TABLE, string(c.Table))
	body.String(unix.NFTA_CHAIN_NAME, c.Name)
	body.Nested(unix.NFTA_CHAIN_HOOK, func(b *netlink.Builder) {
		b.BE32(unix.NFTA_HOOK_HOOKNUM, uint32(c.Hook))
		b.BE32(unix.NFTA_HOOK_PRIORITY, uint32(c.Priority))
	})
	body.BE32(unix.NFTA_CHAIN_POLICY, verdictAccept)
	body.String(unix.NFTA_CHAIN_TYPE, kind)
	b.add(unix.NFT_MSG_NEWCHAIN, netlink.FlagCreate, &body)
}

// FlushChain removes the rules of a chain.
func (b *Batch) FlushChain(t Table, chain string) {
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_RULE_TABLE, string(t))
	body.String(unix.NFTA_RULE_CHAIN, chain)
	b.add(unix.NFT_MSG_DELRULE, 0, &body)
}

// DeleteChain removes a chain, which must have no rules.
func (b *Batch) DeleteChain(t Table, chain string) {
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_CHAIN_TABLE, string(t))
	body.String(unix.NFTA_CHAIN_NAME, chain)
	b.add(unix.NFT_MSG_DELCHAIN, 0, &body)
}

// Rule is a rule to be added: when all expressions in front of a verdict
// match, the verdict holds.
type Rule struct {
	Table   Table
	Chain   string
	Before  uint64 // handle of the rule that it goes in front of; 0 is at the end
	Tag     string // the caller's own name for the rule; Listed has it
	Comment string // for who lists the rules
	Exprs   []Expr
}

// AddRule adds a rule.
func (b *Batch) AddRule(r Rule) {
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_RULE_TABLE, string(r.Table))
	body.String(unix.NFTA_RULE_CHAIN, r.Chain)
	body.Nested(unix.NFTA_RULE_EXPRESSIONS, func(b *netlink.Builder) {
		for _, e := range r.Exprs {
			for _, s := range e {
				b.Nested(unix.NFTA_LIST_ELEM, func(b *netlink.Builder) {
					b.String(unix.NFTA_EXPR_NAME, s.name)
					b.Nested(unix.NFTA_EXPR_DATA, s.fill)
				})
			}
		}
	})
	if data := appendUserData(nil, r.Tag, r.Comment); len(data) > 0 {
		body.Octets(unix.NFTA_RULE_USERDATA, data)
	}
	flags := uint16(netlink.FlagCreate | netlink.FlagAppend)
	if r.Before != 0 {
		flags = netlink.FlagCreate
		body.BE64(unix.NFTA_RULE_POSITION, r.Before)
	}
	b.add(unix.NFT_MSG_NEWRULE, flags, &body)
}

// DeleteRule removes one rule.
func (b *Batch) DeleteRule(t Table, chain string, handle uint64) {
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_RULE_TABLE, string(t))
	body.String(unix.NFTA_RULE_CHAIN, chain)
	body.BE64(unix.NFTA_RULE_HANDLE, handle)
	b.add(unix.NFT_MSG_DELRULE, 0, &body)
}

// Len is the number of changes in the batch.
func (b *Batch) Len() int { return len(b.messages) }

// The layout of a rule's user data is a convention of the nft command: type,
// length, value; a value ends in NUL. The command shows type 0 as a comment and
// passes over types that it does not know.
const (
	userDataComment = 0
	userDataTag     = 128
	userDataMax     = 120 // of each value; the kernel takes 256 octets in all
)

func appendUserData(dst []byte, tag, comment string) []byte {
	for _, v := range []struct {
		typ   byte
		value string
	}{{userDataComment, comment}, {userDataTag, tag}} {
		if v.value == "" {
			continue
		}
		value := v.value[:min(len(v.value), userDataMax)]
		dst = append(dst, v.typ, byte(len(value)+1))
		dst = append(append(dst, value...), 0)
	}
	return dst
}

func parseUserData(b []byte) (tag, comment string) {
	for len(b) >= 2 && int(b[1]) <= len(b)-2 {
		value := b[2 : 2+int(b[1])]
		text := string(value[:max(0, len(value)-1)])
		switch b[0] {
		case userDataComment:
			comment = text
		case userDataTag:
			tag = text
		}
		b = b[2+len(value):]
	}
	return tag, comment
}
