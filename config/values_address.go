package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The values that hold addresses.
var (
	address     = value{"ADDRESS[/LENGTH] [port PORT]", readAddress}
	addressList = value{"ADDRESS[/LENGTH] [port PORT] | { …; }", readAddressList}
	socketList  = value{`unix "PATH" | ADDRESS [port PORT] | { …; }`, readSocketList}
)

var macros = []Macro{
	MacroMyIP, MacroMyIPv4, MacroMyIPv6, MacroMyIPv6Global, MacroMyIPv6LinkLocal,
	MacroMyHOA, MacroAny, MacroRW, MacroUnspecified,
}

func readAddress(r *resolver, e *entry) (any, bool) {
	if e.body != nil {
		r.wants(e, e.nameItem(), "%s takes one address, not a list", e.dir.name)
		return nil, false
	}
	return r.address(e, e.args)
}

func readAddressList(r *resolver, e *entry) (any, bool) {
	return eachElement(r, e, func(items []Item) (Address, bool) { return r.address(e, items) })
}

func readSocketList(r *resolver, e *entry) (any, bool) {
	return eachElement(r, e, func(items []Item) (Address, bool) {
		if len(items) != 2 || items[0].Kind != ItemWord || items[0].Text != "unix" {
			return r.address(e, items)
		}
		s, ok := r.text(items[1])
		if ok && s == "" {
			r.wants(e, items[1], "the path of the socket is empty")
			ok = false
		}
		return Address{Pos: items[1].Pos, Kind: AddressUnix, Name: s}, ok
	})
}

// address reads ADDRESS [port PORT].
func (r *resolver) address(e *entry, items []Item) (Address, bool) {
	if len(items) == 0 {
		r.wants(e, e.nameItem(), "%s has no address", e.dir.name)
		return Address{}, false
	}
	if !items[0].isText() {
		r.wants(e, items[0], "%s is no address", items[0].Source())
		return Address{}, false
	}
	s, ok := r.text(items[0])
	if !ok {
		return Address{}, false
	}
	a, err := parseAddress(s)
	if err != nil {
		r.errorf("bad-address", items[0], err.hint, "%s", err.text)
		return Address{}, false
	}
	a.Pos = items[0].Pos
	if len(items) == 1 {
		return a, true
	}
	if items[1].Text != "port" {
		r.wants(e, items[1], "%s cannot stand behind an address", clip(items[1].Source()))
		return Address{}, false
	}
	if len(items) != 3 || !items[2].isText() {
		r.wants(e, items[len(items)-1], "port takes one number or name")
		return Address{}, false
	}
	p, ok := r.text(items[2])
	if !ok {
		return Address{}, false
	}
	a.Port, ok = r.port(items[2], p)
	a.HasPort = true
	return a, ok
}

// port reads a port: a number, a service's name or any.
func (r *resolver) port(it Item, s string) (uint16, bool) {
	if s == "any" {
		return 0, true
	}
	if n, err := parseNumber(s); err == nil && n <= 65535 {
		return uint16(n), true
	}
	if n, ok := r.serviceNamed(s); ok {
		return n, true
	}
	r.errorf("bad-port", it, "write a number up to 65535, the name of a service, or any",
		"%s is not a port", clip(strconv.Quote(s)))
	return 0, false
}

// addressError says what is wrong with an address.
type addressError struct{ text, hint string }

// parseAddress reads what stands where an address may stand: a macro, a number
// or a name, each with a prefix length where one is written.
func parseAddress(s string) (Address, *addressError) {
	host, length, hasLength := strings.Cut(s, "/")
	base, ifname, hasIf := strings.Cut(host, "%")
	if m := Macro(base); slices.Contains(macros, m) {
		return macroAddress(s, m, ifname, hasIf, length, hasLength)
	}
	addr, err := netip.ParseAddr(host)
	if err == nil {
		return inetAddress(s, addr, length, hasLength)
	}
	if isRange(s) {
		return Address{}, &addressError{fmt.Sprintf("%s is a range of addresses", clip(s)),
			"ranges belong in addresspool; write a prefix here"}
	}
	if !isHostName(strings.TrimPrefix(base, "*.")) || hasIf {
		return Address{}, &addressError{fmt.Sprintf("%s is neither an address nor a host name", clip(strconv.Quote(s))), nearMacro(base)}
	}
	a := Address{Kind: AddressFQDN, Name: host}
	if !hasLength {
		return a, nil
	}
	return a.withPrefix(length)
}

func macroAddress(s string, m Macro, ifname string, hasIf bool, length string, hasLength bool) (Address, *addressError) {
	a := Address{Kind: AddressMacro, Macro: m, Interface: ifname}
	if m.Any() && (hasIf || hasLength) {
		if bits, ok := prefixLength(length, 128); !hasIf && ok && bits == 0 {
			return a, nil // which it is anyway
		}
		return Address{}, &addressError{fmt.Sprintf("%s stands for every address, and has no interface and no prefix length", m), "write " + string(m) + ", or a network"}
	}
	if hasIf && (ifname == "" || len(ifname) > 15 || strings.ContainsAny(ifname, " \t\r\n%")) {
		return Address{}, &addressError{fmt.Sprintf("%s names no network interface", clip(strconv.Quote(s))), "write " + string(m) + "%eth0"}
	}
	if !hasLength {
		return a, nil
	}
	return a.withPrefix(length)
}

// withPrefix is the address, whose family is not known, with a prefix length.
func (a Address) withPrefix(length string) (Address, *addressError) {
	bits, ok := prefixLength(length, 128)
	if !ok {
		return Address{}, badLength(length, 128)
	}
	a.Bits, a.HasPrefix = bits, true
	return a, nil
}

func inetAddress(s string, addr netip.Addr, length string, hasLength bool) (Address, *addressError) {
	if addr.Is4In6() {
		return Address{}, &addressError{fmt.Sprintf("%s is an IPv4 address in IPv6 clothes", clip(s)),
			"write " + addr.Unmap().String()}
	}
	a := Address{Kind: AddressInet, Addr: addr, HasPrefix: hasLength}
	bits := addr.BitLen()
	if hasLength {
		var ok bool
		if bits, ok = prefixLength(length, addr.BitLen()); !ok {
			return Address{}, badLength(length, addr.BitLen())
		}
	}
	a.Prefix = netip.PrefixFrom(addr.WithZone(""), bits).Masked()
	return a, nil
}

func prefixLength(s string, most int) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil && int(n) <= most
}

func badLength(s string, most int) *addressError {
	return &addressError{fmt.Sprintf("%s is not a prefix length", clip(strconv.Quote(s))),
		fmt.Sprintf("write a number from 0 to %d", most)}
}

// isRange reports whether s is two addresses with a dash between them.
func isRange(s string) bool {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return false
	}
	_, errA := netip.ParseAddr(a)
	_, errB := netip.ParseAddr(b)
	return errA == nil && errB == nil
}

// isHostName reports whether s can be the name of a host (RFC 1123 §2.1). A
// name whose last label is a number is an address with a typing error.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if !isBare(l[i]) || strings.IndexByte("%*./:?@", l[i]) >= 0 {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != ""
}

// isOneName reports whether the address is the name of one host: neither with a
// prefix length, nor with a * for all names below another.
func (a Address) isOneName() bool {
	return a.Kind == AddressFQDN && !a.HasPrefix && !strings.HasPrefix(a.Name, "*")
}

// oneName refuses a name that stands for more than the addresses of one host.
func (r *resolver) oneName(what string, a Address) bool {
	if a.isOneName() {
		return true
	}
	r.errorf("bad-address", at(a.Pos, a.String()), "write the name alone", "%s is one host: a name stands there without a prefix length and without *", what)
	return false
}

// nearMacro is a hint for an address that looks like a macro.
func nearMacro(s string) string {
	words := make([]string, len(macros))
	for i, m := range macros {
		words[i] = string(m)
	}
	if near := nearest(strings.ToUpper(s), words); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// String prints the address as it could be written, without its port.
func (a Address) String() string {
	switch a.Kind {
	case AddressInet:
		if a.HasPrefix {
			return a.Prefix.String()
		}
		return a.Addr.String()
	case AddressMacro:
		s := string(a.Macro)
		if a.Interface != "" {
			s += "%" + a.Interface
		}
		if a.HasPrefix {
			s += "/" + strconv.Itoa(a.Bits)
		}
		return s
	case AddressFQDN:
		if a.HasPrefix {
			return a.Name + "/" + strconv.Itoa(a.Bits)
		}
		return a.Name
	case AddressUnix:
		return "unix " + a.Name
	}
	return ""
}

// Is4 and Is6 report whether the address is, or can be, of the family.
func (a Address) Is4() bool {
	switch a.Kind {
	case AddressInet:
		return a.Addr.Is4()
	case AddressMacro:
		return a.Macro != MacroMyIPv6 && a.Macro != MacroMyIPv6Global && a.Macro != MacroMyIPv6LinkLocal
	}
	return a.Kind == AddressFQDN
}

// Is6 is Is4 for IPv6.
func (a Address) Is6() bool {
	switch a.Kind {
	case AddressInet:
		return a.Addr.Is6()
	case AddressMacro:
		return a.Macro != MacroMyIPv4
	}
	return a.Kind == AddressFQDN
}

// IsHost reports whether the address stands for single hosts, not for a network.
func (a Address) IsHost() bool {
	switch a.Kind {
	case AddressInet:
		return a.Prefix.IsSingleIP()
	default:
		return !a.HasPrefix
	}
}
