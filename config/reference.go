package config

import (
	"fmt"
	"slices"
	"strings"
)

// Chapter is a part of the reference: the words of one kind of section.
type Chapter struct {
	Title      string
	Directives []Directive
}

// Chapters returns Directives by the sections in which they stand; what stands
// in several blocks of a remote is told once.
func Chapters() []Chapter {
	chapters := []Chapter{
		{Title: "The top level"}, {Title: "interface"}, {Title: "resolver"}, {Title: "remote"},
		{Title: "ikev1, ikev2 and kink"}, {Title: "provide"}, {Title: "selector"},
		{Title: "policy"}, {Title: "ipsec"}, {Title: "sa"},
	}
	for _, d := range Directives() {
		title := d.Where[0]
		switch title {
		case placeNames[inTop]:
			title = "The top level"
		case "ikev1", "ikev2", "kink", "eap":
			title = "ikev1, ikev2 and kink"
		}
		i := slices.IndexFunc(chapters, func(c Chapter) bool { return c.Title == title })
		chapters[i].Directives = append(chapters[i].Directives, d)
	}
	return chapters
}

// Introduction says how a file is written, a paragraph each.
func Introduction() []string {
	return []string{
		"A file is a row of statements, each of which ends with a semicolon, blocks included: remote tokyo { … };. A # begins a comment. " +
			"A word of letters, digits and % * - . / : ? @ _ stands as it is; anything else needs quotes, which have no escapes. No word is reserved: a section may be named like a directive.",
		"Where a list is allowed one element may stand without braces: ipsec_index a; is ipsec_index { a; };. Numbers are decimal, or hexadecimal after 0x. " +
			"Times are seconds, or have one of the units sec, min, hour, day behind them (or their plurals); octets have B, KB, MB or GB, in steps of 1024. infinite is 0. on, enable and yes are one, and so are off, disable and no.",
		"An address is a number, a host name or a macro. MY_IP is every address of this host, MY_IPV4 and MY_IPV6 those of a family, MY_IPV6_GLOBAL and MY_IPV6_LINKLOCAL those of a scope, MY_HOA is like MY_IP; " +
			"%NAME behind a macro narrows it to a network interface. IP_ANY and IP_UNSPECIFIED are any address, and IP_RW is any, to be filled in with the peer's. A prefix length and a port may follow. " +
			"Macros are looked at again when addresses change.",
		"A host name may stand in peers_ipaddr, my_sa_ipaddr, peers_sa_ipaddr, src, dst and nameserver. It is looked up by the agent while it runs, never when the file is read, and looked up again when the life of its records ends: " +
			"with the resolver section on by its name servers, and with the hosts file first, as nsswitch.conf has it. It is never an identity: my_id and peers_id say who a peer is, wherever it is found.",
		"Between quotes ${NAME} is the value of a setval, and $[NAME] is an environment variable. Values may hold such names themselves, and setval may stand anywhere, except that in include a setval must stand above its use.",
		"A directive that stands in default's section of the same kind holds wherever it is not written. What is written holds, 0, infinite and off included. Lists are replaced, not merged.",
		"A directive that has no effect is warned about, with the reason, unless it asks for what happens anyway.",
	}
}

// Reference returns the reference page, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("# racoon2.conf\n\nEvery word of the configuration. This page is generated from what `racoon2 config explain` says;\n" +
		"`go test ./config -run TestReference -update` writes it anew.\n")
	for _, p := range Introduction() {
		fmt.Fprintf(&b, "\n%s\n", markdown(p))
	}
	for _, c := range Chapters() {
		fmt.Fprintf(&b, "\n## %s\n\n| word | in | value | default | state | meaning |\n| --- | --- | --- | --- | --- | --- |\n", c.Title)
		for _, d := range c.Directives {
			meaning := d.Meaning
			if d.Units != "" {
				meaning += " In " + d.Units + "."
			}
			fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s | %s |\n", d.Name, strings.Join(d.Where, ", "),
				strings.ReplaceAll(d.Syntax, "|", `\|`), markdown(d.Default), d.State, markdown(meaning))
		}
	}
	return b.String()
}

// markdown escapes what the page would take for its own.
func markdown(s string) string {
	return strings.NewReplacer("|", `\|`, "_", `\_`, "*", `\*`, "<", `\<`, "#", `\#`).Replace(s)
}
