package xfrm

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"racoon2/kernel/netlink"
)

// vectors reads a file of recorded messages by name.
func vectors(t testing.TB, file string) map[string]netlink.Message {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the recorded messages are of a little-endian processor")
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	octets := map[string][]byte{}
	name := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			name = strings.Trim(line, "[]")
		default:
			_, line, _ = strings.Cut(line, "  ")
			line, _, _ = strings.Cut(line, "  ")
			b, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
			if err != nil {
				t.Fatalf("%s: %s: %v", file, name, err)
			}
			octets[name] = append(octets[name], b...)
		}
	}
	all := map[string]netlink.Message{}
	for name, b := range octets {
		m, err := netlink.ParseMessages(b)
		if err != nil || len(m) != 1 {
			t.Fatalf("%s: %s: %d messages, %v", file, name, len(m), err)
		}
		all[name] = m[0]
	}
	return all
}

// fields names the places of a message's octets, for a readable difference.
func fields(typ uint16, at int) string {
	type place struct {
		from int
		name string
	}
	var places []place
	switch typ {
	case msgNewSA, msgUpdSA, msgAllocSPI:
		places = []place{
			{0, "selector daddr"}, {16, "selector saddr"}, {32, "selector ports"}, {40, "selector family, prefixes, proto"},
			{56, "id daddr"}, {72, "id spi"}, {76, "id proto"}, {80, "saddr"}, {96, "limits"}, {160, "counters"}, {192, "stats"},
			{204, "seq"}, {208, "reqid"}, {212, "family"}, {214, "mode"}, {215, "replay window"}, {216, "flags"}, {224, "attributes"},
		}
	case msgNewPolicy, msgUpdPolicy:
		places = []place{
			{0, "selector daddr"}, {16, "selector saddr"}, {32, "selector ports"}, {40, "selector family, prefixes, proto"},
			{56, "limits"}, {120, "counters"}, {152, "priority"}, {156, "index"}, {160, "dir, action, flags, share"},
			{168, "template attribute"}, {172, "template daddr"}, {188, "template spi, proto"}, {196, "template family"},
			{200, "template saddr"}, {216, "template reqid"}, {220, "template mode, share, optional"}, {224, "template algorithms"},
		}
	}
	name := "octets"
	for _, p := range places {
		if at >= p.from {
			name = p.name
		}
	}
	return name
}

// difference shows two bodies line by line where they differ.
func difference(typ uint16, got, want []byte) string {
	var b strings.Builder
	if len(got) != len(want) {
		fmt.Fprintf(&b, "%d octets, want %d\n", len(got), len(want))
	}
	for i := 0; i < max(len(got), len(want)); i += 8 {
		g, w := line(got, i), line(want, i)
		if g != w {
			fmt.Fprintf(&b, "%04x got %-24s want %-24s %s\n", i, g, w, fields(typ, i))
		}
	}
	return b.String()
}

func line(b []byte, at int) string {
	if at >= len(b) {
		return ""
	}
	return fmt.Sprintf("% x", b[at:min(at+8, len(b))])
}
