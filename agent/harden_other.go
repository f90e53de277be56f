//go:build !linux

package agent

import (
	"errors"
	"syscall"
)

// hardenEarly keeps secrets out of core dumps.
func hardenEarly(coreDumps bool) error {
	if coreDumps {
		return nil
	}
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}

func hardenLate(bool) (string, error) {
	return "", errors.New("this system has no capabilities to give up")
}
