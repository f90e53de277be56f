package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The bounds of a name (RFC 1035 §2.3.4).
const (
	maxName  = 255 // octets on the wire
	maxLabel = 63
)

var errName = errors.New("not a name")

// Canonical brings a name into the form that the resolver compares: lower case
// (RFC 4343 §3), a dot at its end, escapes (\. and \DDD, RFC 1035 §5.1) as they
// are. A name that DNS cannot carry is an error.
func Canonical(name string) (string, error) {
	if name == "." {
		return name, nil
	}
	name = strings.TrimSuffix(lower(name), ".")
	if name == "" || strings.HasSuffix(name, `\`) {
		return "", fmt.Errorf("%q: %w", clip(name), errName)
	}
	wire, label := 1, 0 // the root's octet
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return "", fmt.Errorf("%q has an empty label: %w", clip(name), errName)
			}
			wire += label + 1
			label = 0
			continue
		case c == '\\' && i+3 < len(name) && isDecimal(name[i+1:i+4]):
			i += 3
		case c == '\\':
			i++
		case c <= ' ' || c == 0x7f:
			return "", fmt.Errorf("%q holds a character that a name cannot hold: %w", clip(name), errName)
		}
		if label++; label > maxLabel {
			return "", fmt.Errorf("%q has a label of more than %d octets: %w", clip(name), maxLabel, errName)
		}
	}
	if label == 0 || wire+label+1 > maxName {
		return "", fmt.Errorf("%q is empty at its end, or too long: %w", clip(name), errName)
	}
	return name + ".", nil
}

// isDecimal says whether three characters are the number of an octet.
func isDecimal(s string) bool {
	_, err := strconv.ParseUint(s, 10, 8)
	return err == nil
}

// lower is RFC 4343's: ASCII alone, and no copy where there is nothing to do.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.Map(func(r rune) rune {
				if 'A' <= r && r <= 'Z' {
					r += 'a' - 'A'
				}
				return r
			}, s)
		}
	}
	return s
}

// clip keeps what strangers write short.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// parent cuts the first label off a canonical name; "" of the last one.
func parent(name string) string {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++ // an escaped dot is none, and the digits of \DDD are no dots
		case '.':
			return name[i+1:]
		}
	}
	return ""
}

// The zones of reverse names (RFC 1035 §3.5, RFC 3596 §2.5).
const (
	reverse4 = ".in-addr.arpa."
	reverse6 = ".ip6.arpa."
)

// reverseAddr is the address that a canonical reverse name stands for.
func reverseAddr(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, reverse4); ok {
		octets := strings.Split(digits, ".")
		if len(octets) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(octets[3] + "." + octets[2] + "." + octets[1] + "." + octets[0])
		return a, err == nil
	}
	digits, ok := strings.CutSuffix(name, reverse6)
	if !ok || len(digits) != 63 {
		return netip.Addr{}, false
	}
	var a [16]byte
	for i := range 32 {
		n, err := strconv.ParseUint(digits[2*i:2*i+1], 16, 8)
		if err != nil || i > 0 && digits[2*i-1] != '.' {
			return netip.Addr{}, false
		}
		at := 31 - i // in half octets from the left
		a[at/2] |= byte(n) << (4 * (1 - at%2))
	}
	return netip.AddrFrom16(a), true
}
