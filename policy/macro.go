package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Expand returns the prefixes that an address macro stands for on a host with
// these interfaces, sorted and without duplicates; none when the host has no
// such address now. A macro is
//
//	MY_IP               all addresses
//	MY_IPV4, MY_IPV6    those of one family
//	MY_IPV6_GLOBAL      those that can be reached from elsewhere
//	MY_IPV6_LINKLOCAL   fe80::/10
//	MY_HOA              all addresses; the original keeps it for a mobile node's home address
//	IP_ANY, IP_RW, IP_UNSPECIFIED   0.0.0.0/0 and ::/0
//
// with %INTERFACE behind a MY_ macro for the addresses of one interface, and
// /LENGTH for the prefixes around the addresses instead of the addresses
// themselves; a length that exceeds the address's own is the address.
func Expand(macro string, interfaces []Interface) ([]netip.Prefix, error) {
	name, length, err := cutLength(macro)
	if err != nil {
		return nil, err
	}
	name, device, scoped := strings.Cut(name, "%")
	if scoped && device == "" {
		return nil, fmt.Errorf("address macro %s: no interface name behind %%", macro)
	}
	switch name {
	case "IP_ANY", "IP_RW", "IP_UNSPECIFIED":
		if scoped || length > 0 {
			return nil, fmt.Errorf("address macro %s: %s takes neither an interface nor a prefix length", macro, name)
		}
		return []netip.Prefix{
			netip.PrefixFrom(netip.IPv4Unspecified(), 0),
			netip.PrefixFrom(netip.IPv6Unspecified(), 0),
		}, nil
	}
	fits, err := macroFilter(name)
	if err != nil {
		return nil, fmt.Errorf("address macro %s: %w", macro, err)
	}
	var out []netip.Prefix
	for _, i := range interfaces {
		if scoped && i.Name != device {
			continue
		}
		for _, p := range i.Addrs {
			addr := p.Addr().Unmap().WithZone("")
			if !addr.IsValid() || !fits(addr) {
				continue
			}
			bits := addr.BitLen()
			if length >= 0 {
				bits = min(length, bits)
			}
			out = append(out, netip.PrefixFrom(addr, bits).Masked())
		}
	}
	slices.SortFunc(out, comparePrefixes)
	return slices.Compact(out), nil
}

// IsMacro tells whether a word of the configuration is an address macro.
func IsMacro(word string) bool {
	_, err := Expand(word, nil)
	return err == nil
}

// cutLength takes "/LENGTH" off a macro; the length is -1 without one.
func cutLength(macro string) (name string, length int, err error) {
	name, digits, ok := strings.Cut(macro, "/")
	if !ok {
		return name, -1, nil
	}
	n, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || n > 128 {
		return "", 0, fmt.Errorf("address macro %s: %q is no prefix length", macro, digits)
	}
	return name, int(n), nil
}

// macroFilter is the test that an address of this host has to pass.
func macroFilter(name string) (func(netip.Addr) bool, error) {
	switch name {
	case "MY_IP", "MY_HOA":
		return func(netip.Addr) bool { return true }, nil
	case "MY_IPV4":
		return netip.Addr.Is4, nil
	case "MY_IPV6":
		return netip.Addr.Is6, nil
	case "MY_IPV6_GLOBAL":
		return isGlobal6, nil
	case "MY_IPV6_LINKLOCAL":
		return func(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }, nil
	}
	return nil, fmt.Errorf("there is no macro %s", name)
}

// isGlobal6 is MY_IPV6_GLOBAL's test: neither link-local nor site-local nor
// multicast, loopback, unspecified or IPv4-compatible (RFC 4291 §2.4, §2.5).
// Mapped addresses have been turned into IPv4 before.
func isGlobal6(a netip.Addr) bool {
	if !a.Is6() || a.IsLinkLocalUnicast() || a.IsMulticast() {
		return false
	}
	b := a.As16()
	siteLocal := b[0] == 0xfe && b[1]&0xc0 == 0xc0
	compatible := [12]byte(b[:12]) == [12]byte{} // with ::1 and ::
	return !siteLocal && !compatible
}

// isMine tells the macros for this host's addresses from those for any.
func isMine(macro string) bool { return strings.HasPrefix(macro, "MY_") }

// comparePrefixes sorts by address, wider prefixes first.
func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
