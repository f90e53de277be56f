package convert

import (
	"errors"
	"net/netip"
	"strings"
)

// identityText writes an identity of racoon2.conf.
func identityText(kind, value string) (string, error) {
	q, err := quoted(value)
	if err != nil {
		return "", err
	}
	switch {
	case value == "":
		return "", errors.New("the identity is empty")
	case kind == "keyid tag", kind == "keyid file", kind == "fqdn", kind == "email":
		return kind + " " + q, nil
	case kind == "ipaddr" && isPlain(value):
		return kind + " " + value, nil
	}
	return kind + " " + q, nil
}

// isAddress says whether s is one numeric address.
func isAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && !a.Is4In6()
}

// swanIdentity reads an identity of strongSwan or libreswan, whose type is in its form. Any is %any.
func swanIdentity(s string) (text string, anyone bool, err error) {
	s = strings.TrimSpace(s)
	kind, value, typed := strings.Cut(s, ":")
	switch {
	case s == "%any" || s == "*":
		return "", true, nil
	case isAddress(s):
		text, err = identityText("ipaddr", s)
	case typed && (kind == "ipv4" || kind == "ipv6") && isAddress(value):
		text, err = identityText("ipaddr", value)
	case typed && (kind == "fqdn" || kind == "dns"):
		text, err = identityText("fqdn", value)
	case typed && (kind == "email" || kind == "rfc822"):
		text, err = identityText("email", value)
	case typed && kind == "keyid":
		text, err = identityText("keyid tag", value)
	case strings.HasPrefix(s, "@#"), strings.HasPrefix(s, "@["), strings.HasPrefix(s, "@~"):
		err = errors.New("identities of this form are not known here")
	case strings.HasPrefix(s, "@@"):
		text, err = identityText("email", s[2:])
	case strings.HasPrefix(s, "@"):
		text, err = identityText("fqdn", s[1:])
	case strings.Contains(s, "="):
		err = errors.New("distinguished names belong to certificates")
	case strings.Contains(s, "@"):
		text, err = identityText("email", s)
	case strings.Contains(s, "%"), typed:
		err = errors.New("identities of this form are not known here")
	default:
		text, err = identityText("fqdn", s)
	}
	return text, false, err
}

// bareIdentity is an identity without the marks of its form, to compare.
func bareIdentity(s string) string {
	s = strings.TrimSpace(s)
	for _, prefix := range []string{"ipv4:", "ipv6:", "fqdn:", "dns:", "email:", "rfc822:", "keyid:", "@@", "@"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return strings.ToLower(rest)
		}
	}
	return strings.ToLower(s)
}
