package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The bounds of a hosts file.
const (
	maxHostLines = 100000
	maxFindings  = 16
)

// ParseHosts reads a hosts file: an address, its official name, further names.
// Lines that make no sense are left out, and the first few of them explained:
// what one line says wrong is no reason to lose the others.
func ParseHosts(data []byte) (entries []HostEntry, findings []error) {
	find := func(line int, format string, args ...any) {
		if len(findings) < maxFindings {
			findings = append(findings, fmt.Errorf("line %d: "+format, append([]any{line}, args...)...))
		}
	}
	line := 0
	for text := range strings.Lines(string(data)) {
		if line++; line > maxHostLines {
			find(line, "no more than %d lines are read", maxHostLines)
			break
		}
		text, _, _ = strings.Cut(text, "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(words[0])
		if err != nil {
			find(line, "%q is not an address", clip(words[0]))
			continue
		}
		e := HostEntry{Addr: addr.Unmap().WithZone("")}
		for _, word := range words[1:] {
			canonical, err := Canonical(word)
			if err != nil {
				find(line, "%v", err)
				continue
			}
			e.Names = append(e.Names, canonical)
		}
		if len(e.Names) > 0 {
			entries = append(entries, e)
		}
	}
	return entries, findings
}

// ParseOrder reads the hosts line of nsswitch.conf. Sources that are neither
// the hosts file nor DNS are left out; systemd-resolved's ("resolve") counts as
// DNS. A file without such a line gives nil, which stands for the default.
func ParseOrder(data []byte) []Source {
	for text := range strings.Lines(string(data)) {
		text, _, _ = strings.Cut(text, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(text), "hosts:")
		if !ok {
			continue
		}
		var out []Source
		for _, word := range strings.Fields(rest) {
			switch word {
			case "files":
				out = append(out, Files)
			case "dns", "resolve":
				out = append(out, DNS)
			}
		}
		return order(out)
	}
	return nil
}

// maxResolvConf bounds the servers of resolv.conf.
const maxResolvConf = 16

// ParseResolvConf reads the name servers of resolv.conf, in their order. What
// else stands there is for those who complete names, which nobody does here.
func ParseResolvConf(data []byte) []netip.Addr {
	var out []netip.Addr
	for text := range strings.Lines(string(data)) {
		words := strings.Fields(text)
		if len(words) < 2 || words[0] != "nameserver" || len(out) == maxResolvConf {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
