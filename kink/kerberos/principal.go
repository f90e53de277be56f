package kerberos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Name types (RFC 4120 §6.2).
const (
	ntPrincipal   = 1
	ntServiceInst = 2
)

// Principal is a Kerberos principal: the components of its name and its realm.
type Principal struct {
	Name  []string
	Realm string
}

// ParsePrincipal reads the text form of RFC 1964 §2.1.3: components with slashes
// between them, "@" and the realm. A backslash quotes "/", "@" and itself; "\n",
// "\t", "\b" and "\0", the quoted control characters, are refused.
func ParsePrincipal(text string) (Principal, error) {
	var p Principal
	var part strings.Builder
	inRealm := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\':
			i++
			if i == len(text) || !strings.ContainsRune(`/@\`, rune(text[i])) {
				return p, fmt.Errorf("principal %q: a backslash comes before /, @ or a backslash", text)
			}
			part.WriteByte(text[i])
		case c == '@' && inRealm:
			return p, fmt.Errorf("principal %q has two realms", text)
		case c == '@' || c == '/' && !inRealm:
			p.Name = append(p.Name, part.String())
			part.Reset()
			inRealm = c == '@'
		default:
			part.WriteByte(c)
		}
	}
	if !inRealm {
		return p, fmt.Errorf("principal %q has no @REALM", text)
	}
	p.Realm = part.String()
	if err := p.check(); err != nil {
		return p, fmt.Errorf("principal %q: %w", text, err)
	}
	return p, nil
}

func (p Principal) check() error {
	if p.Realm == "" || len(p.Realm) > maxText || !printable(p.Realm) {
		return errors.New("the realm is empty, too long or has control characters")
	}
	if len(p.Name) == 0 || len(p.Name) > maxComponents {
		return fmt.Errorf("a name has 1 to %d components, not %d", maxComponents, len(p.Name))
	}
	for _, c := range p.Name {
		if c == "" || len(c) > maxText || !printable(c) {
			return errors.New("a component is empty, too long or has control characters")
		}
	}
	return nil
}

// String is the text form of RFC 1964 §2.1.3. Equal principals have equal texts.
func (p Principal) String() string {
	var out []byte
	for i, c := range p.Name {
		if i > 0 {
			out = append(out, '/')
		}
		out = appendQuoted(out, c)
	}
	return string(appendQuoted(append(out, '@'), p.Realm))
}

// appendQuoted quotes a slash in a realm too, where it needs none: other
// implementations do so.
func appendQuoted(out []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == '\\' || s[i] == '/' || s[i] == '@' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return out
}

// Equal compares octet by octet: realms and names have cases (RFC 4120 §6).
func (p Principal) Equal(q Principal) bool {
	return p.Realm == q.Realm && slices.Equal(p.Name, q.Name)
}

// tgs is the ticket-granting service of realm for clients of via (RFC 4120 §7.3).
func tgs(realm, via string) Principal {
	return Principal{Name: []string{"krbtgt", realm}, Realm: via}
}

// tgsRealm is the realm that p, a ticket-granting service, stands for; "" if it is none.
func (p Principal) tgsRealm() string {
	if len(p.Name) == 2 && p.Name[0] == "krbtgt" {
		return p.Name[1]
	}
	return ""
}
