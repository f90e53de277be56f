package agent

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that the agent goes on with: for its sockets, the
// kernel's SAs and policies, TUN and nf_tables; and for reading key files again
// that belong to root but lie in the folders of others.
var kept = []capability{
	{unix.CAP_DAC_READ_SEARCH, "DAC_READ_SEARCH"},
	{unix.CAP_NET_BIND_SERVICE, "NET_BIND_SERVICE"},
	{unix.CAP_NET_ADMIN, "NET_ADMIN"},
	{unix.CAP_NET_RAW, "NET_RAW"},
}

type capability struct {
	number uintptr
	name   string
}

// hardenEarly keeps secrets out of core dumps and of the reach of debuggers, and
// files that whoever started the agent left open out of the reach of scripts.
// Children that are made from now on make no core dumps either.
func hardenEarly(coreDumps bool) error {
	// Linux 5.11 and later; before, the files stay as they are.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if coreDumps {
		return nil
	}
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// hardenLate gives up what only the start needed. With scripts, their processes
// can get back what root has; without, nothing can be gained any more. It says
// what is left.
func hardenLate(scripts bool) (string, error) {
	if !scripts {
		if err := dropBounding(); err != nil {
			return "", err
		}
		if err := onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
			return "", fmt.Errorf("no_new_privs: %w", err)
		}
	}
	return dropCapabilities(scripts)
}

// dropBounding takes the capabilities that are not needed from all programs
// that this process may become.
func dropBounding() error {
	for c := uintptr(0); ; c++ {
		held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			return nil // no such capability: that was the last one
		}
		if held == 0 || isKept(c) {
			continue
		}
		switch err := onAllThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c); {
		case errors.Is(err, unix.EPERM):
			return nil // without CAP_SETPCAP; no_new_privs does the same for us
		case err != nil:
			return fmt.Errorf("capabilities of children: %w", err)
		}
	}
}

func isKept(c uintptr) bool {
	for _, n := range kept {
		if n.number == c {
			return true
		}
	}
	return false
}

// dropCapabilities gives up the capabilities that are not needed, and says which
// are left.
func dropCapabilities(scripts bool) (left string, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var held [2]unix.CapUserData
	if err := unix.Capget(&header, &held[0]); err != nil {
		return "", fmt.Errorf("capabilities: %w", err)
	}
	var names []string
	var keep [2]uint32
	for _, n := range kept {
		word, bit := n.number/32, uint32(1)<<(n.number%32)
		keep[word] |= bit
		if held[word].Permitted&bit != 0 {
			names = append(names, n.name)
		}
	}
	for i := range held {
		held[i].Permitted &= keep[i]
		held[i].Effective = held[i].Permitted
		if scripts {
			held[i].Inheritable &= keep[i] // those of a user that is not root
		} else {
			held[i].Inheritable = 0
		}
	}
	// The pointers stay valid: uintptr arguments of the call keep them alive.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&held[0])), 0)
	if errno != 0 {
		return "", fmt.Errorf("capabilities: %w", explainThreads(errno))
	}
	if len(names) == 0 {
		return "none", nil
	}
	return strings.Join(names, " "), nil
}

// onAllThreads makes a system call on every thread, for privileges are a thread's.
func onAllThreads(call, a, b uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(call, a, b, 0, 0, 0, 0); errno != 0 {
		return explainThreads(errno)
	}
	return nil
}

func explainThreads(errno syscall.Errno) error {
	if errno == syscall.ENOTSUP {
		return errors.New("this program was built with cgo, which makes threads of its own")
	}
	return errno
}
