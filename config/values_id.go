package config

import (
	"strconv"
	"strings"
)

var idList = value{`ipaddr | fqdn | email | keyid [file | tag] | x509_subject "VALUE"`, readIDList}

func readIDList(r *resolver, e *entry) (any, bool) {
	return eachElement(r, e, func(items []Item) (ID, bool) { return r.id(e, items) })
}

// id reads TYPE [file | tag] VALUE.
func (r *resolver) id(e *entry, items []Item) (ID, bool) {
	c, ok := r.match(e, items[0], items[0].Text, idWords)
	if !ok {
		return ID{}, false
	}
	id := ID{Pos: items[0].Pos, Type: IDType(c.value)}
	id.File = id.Type == IDKeyID || id.Type == IDX509Subject
	rest := items[1:]
	if len(rest) == 2 && (rest[0].Text == "file" || rest[0].Text == "tag") {
		if id.Type == IDKeyID {
			id.File = rest[0].Text == "file"
		} else {
			r.warnf("no-effect", rest[0], "remove it", "%s has a meaning for keyid alone", rest[0].Text)
		}
		rest = rest[1:]
	}
	it, s, ok := r.singleOf(e, rest)
	if !ok {
		return ID{}, false
	}
	id.Value = s
	switch {
	case s == "":
		r.wants(e, it, "the identity is empty")
		return ID{}, false
	case len(s) > 4096:
		r.wants(e, it, "the identity is longer than 4096 octets")
		return ID{}, false
	case id.Type == IDIPAddr:
		return r.ipID(e, id, it)
	case id.Type == IDEmail && !strings.Contains(s, "@"):
		r.warnf("odd-identity", it, "", "%s has no @, which an e-mail address has", clip(strconv.Quote(s)))
	case id.Type == IDFQDN && strings.Contains(s, "@"):
		r.warnf("odd-identity", it, "write email instead of fqdn", "%s looks like an e-mail address", clip(strconv.Quote(s)))
	}
	return id, true
}

// ipID reads the address of an ipaddr identity. IKEv2 has no identity for a
// network (RFC 7296 §3.5), so a prefix is an error.
func (r *resolver) ipID(e *entry, id ID, it Item) (ID, bool) {
	a, err := parseAddress(id.Value)
	switch {
	case err != nil:
		r.errorf("bad-address", it, err.hint, "%s", err.text)
	case a.Kind == AddressFQDN:
		r.errorf("bad-address", it, "write fqdn instead of ipaddr", "%s is a host name, not an address", clip(strconv.Quote(id.Value)))
	case a.Kind == AddressMacro && a.HasPrefix, a.Kind == AddressInet && !a.IsHost():
		r.wants(e, it, "an ipaddr identity is one address, not a network")
	default:
		a.Pos = it.Pos
		id.Address = a
		return id, true
	}
	return ID{}, false
}
