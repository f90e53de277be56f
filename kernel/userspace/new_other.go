//go:build !linux

package userspace

import (
	"errors"
	"runtime"
)

// New says that this system is not Linux: the TUN device, rules and guards are
// made with Linux's own interfaces.
func New(Options) (*Backend, error) {
	return nil, errors.New("userspace: needs Linux, this is " + runtime.GOOS)
}
