// Package nft programs nf_tables over netlink: a table of one's own, base
// chains, rules made of matches and a verdict, and their counters. Everything
// goes in a Batch, which takes effect as a whole or not at all.
//
// It touches only what its caller names and keeps no state. Sources:
// linux/netfilter/nf_tables.h and linux/netfilter/nfnetlink.h. Linux only; on
// other systems the package is empty. Limits: the expressions that racoon2
// needs, no sets and no maps.
package nft
