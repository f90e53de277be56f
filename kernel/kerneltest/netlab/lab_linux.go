package netlab

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink/route"
)

// Lab owns namespaces and closes them together.
type Lab struct {
	mu      sync.Mutex
	cleanup []func() error
}

// New makes an empty Lab. Without root, or where namespaces are forbidden, the
// error says so.
func New() (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root")
	}
	return &Lab{}, nil
}

// TB is what ForTest needs of a testing.TB.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// ForTest makes a Lab that ends with the test. Without root it skips the test.
func ForTest(t TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root to make network namespaces")
	}
	lab, err := New()
	if err != nil {
		t.Fatalf("network lab: %v", err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Fatalf("network lab: %v", err)
		}
	})
	return lab
}

// onClose registers something to be undone, last first.
func (l *Lab) onClose(f func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanup = append(l.cleanup, f)
}

// Close ends captures and removes every namespace with what is in it.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for i := len(l.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, l.cleanup[i]())
	}
	l.cleanup = nil
	return errors.Join(errs...)
}

// Join connects two namespaces by a veth pair whose ends are up.
func (l *Lab) Join(a *NS, aLink string, b *NS, bLink string) error {
	err := a.Do(func() error {
		return withRoute(func(c *route.Conn) error {
			return c.AddVeth(route.VethEnd{Name: aLink, NS: int(a.file.Fd())}, route.VethEnd{Name: bLink, NS: int(b.file.Fd())})
		})
	})
	if err != nil {
		return fmt.Errorf("join %s and %s: %w", a.Name, b.Name, err)
	}
	// A veth to another namespace outlives neither; deleting it at once spares
	// the kernel's slow clean-up of namespaces when many tests run.
	l.onClose(func() error {
		return a.link(aLink, func(c *route.Conn, link route.Link) error { return c.DeleteLink(link.Index) })
	})
	// The end that goes up first has no carrier yet, and drops what it should
	// send until the kernel notices the carrier, up to a second later. Going up
	// once more, with the carrier there, it mostly sends at once.
	err = errors.Join(a.SetUp(aLink, true), b.SetUp(bLink, true), a.SetUp(aLink, false), a.SetUp(aLink, true))
	if err != nil {
		return err
	}
	return errors.Join(probe(a, aLink, b, bLink), probe(b, bLink, a, aLink))
}

const (
	probeType = 0x88b5 // IEEE 802 local experimental EtherType 1
	probeTime = 5 * time.Second
)

// probe sends frames from one end of a link until the other end gets one.
func probe(a *NS, aLink string, b *NS, bLink string) error {
	from, err := a.Link(aLink)
	if err != nil {
		return err
	}
	to, err := b.Link(bLink)
	if err != nil {
		return err
	}
	var in, out int
	if err := b.Do(func() (err error) { in, err = packetSocket(to.Index, probeType); return err }); err != nil {
		return err
	}
	defer unix.Close(in)
	if err := a.Do(func() (err error) { out, err = packetSocket(from.Index, 0); return err }); err != nil {
		return err
	}
	defer unix.Close(out)
	frame := slices.Concat(to.Address, from.Address, []byte{probeType >> 8, probeType & 0xff}, make([]byte, 46))
	for end := time.Now().Add(probeTime); time.Now().Before(end); {
		if err := unix.Sendto(out, frame, 0, &unix.SockaddrLinklayer{Ifindex: from.Index}); err != nil && err != unix.ENOBUFS && err != unix.ENETDOWN {
			return err
		}
		const wait = 2 // milliseconds
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(in), Events: unix.POLLIN}}, wait); n > 0 {
			return nil
		}
	}
	return fmt.Errorf("no frame gets from %s of %s to %s of %s", aLink, a.Name, bLink, b.Name)
}

// withRoute runs f with a Conn of the calling thread's namespace.
func withRoute(f func(*route.Conn) error) error {
	c, err := route.Dial()
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

// isGone says that what was to be removed is not there any more.
func isGone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, os.ErrClosed)
}
