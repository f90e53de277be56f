package config

import (
	"path"
	"strconv"
	"strings"
)

// upperProtocol is the value of upper_layer_protocol.
type upperProtocol struct {
	proto    uint8 // 0: any
	src, dst PortRange
	numbers  int // how many numbers follow the protocol: ICMP type and code, MH type
	item     Item
}

var (
	upperLayer   = value{"PROTOCOL [TYPE [CODE]]", readUpperLayer}
	protocolName = value{"PROTOCOL", readProtocol}
)

// Protocol numbers that the language treats in a way of their own.
const (
	protoICMP   = 1
	protoICMPv6 = 58
	protoMH     = 135 // Mobility Header (RFC 6275)
	protoAny    = 255 // the original's number for `any`
)

// protocols are the names that need no /etc/protocols.
var protocols = map[string]uint8{
	"icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6": 41,
	"ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "icmp6": 58,
	"icmpv6": 58, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ospf": 89, "ipcomp": 108,
	"vrrp": 112, "pim": 103, "l2tp": 115, "sctp": 132, "mh": 135, "mobility-header": 135, "udplite": 136,
}

// services are the names that need no /etc/services.
var services = map[string]uint16{
	"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80, "kerberos": 88, "pop3": 110,
	"ntp": 123, "imap": 143, "snmp": 161, "bgp": 179, "ldap": 389, "https": 443, "isakmp": 500,
	"syslog": 514, "kink": 910, "imaps": 993, "l2tp": 1701, "radius": 1812, "nfs": 2049, "ipsec-nat-t": 4500,
}

func readProtocol(r *resolver, e *entry) (any, bool) {
	it, s, ok := r.single(e)
	if !ok {
		return nil, false
	}
	return r.protocol(e, it, s)
}

func (r *resolver) protocol(e *entry, it Item, s string) (uint8, bool) {
	if s == "any" {
		return 0, true
	}
	if n, err := parseNumber(s); err == nil && n <= 255 {
		if n == protoAny {
			n = 0
		}
		return uint8(n), true
	}
	if n, ok := protocols[strings.ToLower(s)]; ok {
		return n, true
	}
	if n, ok := r.numbers("/etc/protocols", s, 255); ok {
		return uint8(n), true
	}
	hint := "write: " + e.dir.name + " " + e.dir.value.syntax + ";"
	words := make([]string, 0, len(protocols))
	for w := range protocols {
		words = append(words, w)
	}
	if near := nearestSorted(strings.ToLower(s), words); near != "" {
		hint = "did you mean " + near + "?"
	}
	r.errorf("bad-value", it, hint, "%s is not a protocol", clip(strconv.Quote(s)))
	return 0, false
}

func readUpperLayer(r *resolver, e *entry) (any, bool) {
	if e.body != nil || len(e.args) == 0 || !e.args[0].isText() {
		r.wants(e, e.nameItem(), "%s takes a protocol", e.dir.name)
		return nil, false
	}
	s, ok := r.text(e.args[0])
	if !ok {
		return nil, false
	}
	u := upperProtocol{src: AnyPort, dst: AnyPort, item: e.args[0]}
	if u.proto, ok = r.protocol(e, e.args[0], s); !ok {
		return nil, false
	}
	u.numbers = len(e.args) - 1
	most := map[uint8]int{protoICMP: 2, protoICMPv6: 2, protoMH: 1}[u.proto]
	if u.numbers > most {
		r.wants(e, e.args[1+most], "%s takes %d numbers behind it, not %d", clip(s), most, u.numbers)
		return nil, false
	}
	for i, it := range e.args[1:] {
		t, okText := r.text(it)
		if !okText {
			return nil, false
		}
		n, okNumber := r.number(e, it, t, 255)
		if !okNumber {
			return nil, false
		}
		one := PortRange{uint16(n), uint16(n)}
		if i == 0 {
			u.src = one
		} else {
			u.dst = one
		}
	}
	return u, true
}

// serviceNamed finds a port by the name of its service.
func (r *resolver) serviceNamed(s string) (uint16, bool) {
	if n, ok := services[strings.ToLower(s)]; ok {
		return n, true
	}
	n, ok := r.numbers("/etc/services", s, 65535)
	return uint16(n), ok
}

// numbers looks a name up in one of the system's tables, which is read once.
func (r *resolver) numbers(file, name string, most uint64) (uint64, bool) {
	table, ok := r.tables[file]
	if !ok {
		table = map[string]uint64{}
		if data, err := r.opts.FS.ReadFile(file, false); err == nil {
			table = parseTable(string(data))
		}
		r.tables[path.Clean(file)] = table
	}
	n, ok := table[name]
	return n, ok && n <= most
}

// parseTable reads lines of "name number[/protocol] [alias …]". The first
// number of a name counts.
func parseTable(data string) map[string]uint64 {
	table := map[string]uint64{}
	for line := range strings.Lines(data) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		digits, _, _ := strings.Cut(fields[1], "/")
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil {
			continue
		}
		for i, f := range fields {
			if _, known := table[f]; i != 1 && !known {
				table[f] = n
			}
		}
	}
	return table
}
