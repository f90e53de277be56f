package nft

import "racoon2/kernel/netlink"

// Parse gives a message's body to the decoder of rules.
func Parse(body []byte) (Listed, bool) { return parseRule(netlink.Message{Body: body}) }

// AppendUserData and ParseUserData are the layout of tags and comments.
var (
	AppendUserData = appendUserData
	ParseUserData  = parseUserData
)

// Unknown is an expression that no kernel has.
var Unknown = Expr{{"no such expression", func(*netlink.Builder) {}}}
