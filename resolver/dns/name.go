package dns

// maxKnown bounds the names that a reader remembers.
const maxKnown = 4096

// nameTable remembers the names that clients ask for, so that asking for one
// again makes no garbage. It is one reader's.
type nameTable struct {
	text  [256]byte
	known map[string]string
}

// find gives the canonical form of a name without compression; false for one
// with characters that need more care than letters, digits, - and _.
func (t *nameTable) find(wire []byte) (string, bool) {
	if t == nil || len(wire) < 2 {
		return "", false
	}
	n := 0
	for len(wire) > 1 {
		label := wire[1 : 1+int(wire[0])]
		for _, c := range label {
			switch {
			case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			case 'A' <= c && c <= 'Z':
				c += 'a' - 'A'
			default:
				return "", false
			}
			t.text[n] = c
			n++
		}
		t.text[n] = '.'
		n++
		wire = wire[1+len(label):]
	}
	name, ok := t.known[string(t.text[:n])]
	if !ok {
		if t.known == nil || len(t.known) >= maxKnown {
			t.known = make(map[string]string)
		}
		name = string(t.text[:n])
		t.known[name] = name
	}
	return name, true
}
