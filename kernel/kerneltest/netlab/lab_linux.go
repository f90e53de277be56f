package netlab

import (
	"errors"
	"fmt"
	"os"
	"sync"

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
	return errors.Join(a.SetUp(aLink, true), b.SetUp(bLink, true))
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
