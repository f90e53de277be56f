package resolver

import (
	"fmt"
	"net/netip"
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
