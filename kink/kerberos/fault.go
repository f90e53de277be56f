package kerberos

import (
	"fmt"
	"sync/atomic"
)

// fault is a panic of gokrb5 that was caught.
type fault struct {
	what  string
	value any
}

// Error says where it happened. What Go panics with has numbers and types in it, never octets.
func (f *fault) Error() string {
	return fmt.Sprintf("%s: gokrb5 fails on it: %v", f.what, f.value)
}

var faults atomic.Uint64

// Faults counts the panics of gokrb5 that were caught since the process began. Each one is a
// length or a form that is checked nowhere before gokrb5 sees it, and so a bug here.
func Faults() uint64 { return faults.Load() }

// guard runs f, which gives octets from elsewhere to gokrb5, and makes an error of a
// panic. It is the last net: gokrb5 slices by lengths that it has not checked, which is
// why everything known is checked before it is called.
func guard(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			faults.Add(1)
			err = &fault{what, v}
		}
	}()
	return f()
}
