package message

import (
	"fmt"
	"reflect"
	"strings"
)

// equal compares messages, taking empty and nil slices for the same.
func equal(a, b *Message) bool {
	return a.Header == b.Header && reflect.DeepEqual(normal(a.Payloads), normal(b.Payloads))
}

// normal is the payloads in a form where empty and nil slices print the same.
func normal(list []Payload) []string {
	var out []string
	for _, p := range list {
		out = append(out, fmt.Sprintf("%T%+v", p, reflect.ValueOf(p).Elem()))
	}
	return out
}

func dump(m *Message) string {
	return fmt.Sprintf("%+v\n\t%s", m.Header, strings.Join(normal(m.Payloads), "\n\t"))
}
