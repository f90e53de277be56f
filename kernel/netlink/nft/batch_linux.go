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

// AddRule appends a rule: when all expressions in front of a verdict match,
// the verdict holds. The comment, if any, shows in listings and in Counts.
func (b *Batch) AddRule(t Table, chain, comment string, parts ...Expr) {
	var body netlink.Builder
	body.Raw(genHeader())
	body.String(unix.NFTA_RULE_TABLE, string(t))
	body.String(unix.NFTA_RULE_CHAIN, chain)
	body.Nested(unix.NFTA_RULE_EXPRESSIONS, func(b *netlink.Builder) {
		for _, part := range parts {
			for _, s := range part {
				b.Nested(unix.NFTA_LIST_ELEM, func(b *netlink.Builder) {
					b.String(unix.NFTA_EXPR_NAME, s.name)
					b.Nested(unix.NFTA_EXPR_DATA, s.fill)
				})
			}
		}
	})
	if comment != "" {
		body.Octets(unix.NFTA_RULE_USERDATA, appendComment(nil, comment))
	}
	b.add(unix.NFT_MSG_NEWRULE, netlink.FlagCreate|netlink.FlagAppend, &body)
}

// The layout of a rule's user data is a convention of the nft command: type,
// length, value; type 0 is a comment that ends in NUL.
const (
	userDataComment = 0
	commentMax      = 127
)

func appendComment(dst []byte, comment string) []byte {
	comment = comment[:min(len(comment), commentMax)]
	dst = append(dst, userDataComment, byte(len(comment)+1))
	return append(append(dst, comment...), 0)
}

func parseComment(b []byte) string {
	for len(b) >= 2 && int(b[1]) <= len(b)-2 {
		value := b[2 : 2+int(b[1])]
		if b[0] == userDataComment && len(value) > 0 {
			return string(value[:len(value)-1])
		}
		b = b[2+len(value):]
	}
	return ""
}
