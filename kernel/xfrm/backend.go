package xfrm

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"racoon2/kernel"
	"racoon2/kernel/netlink"
	"racoon2/kernel/pump"
)

const (
	familyXFRM = 6       // NETLINK_XFRM
	eventRoom  = 4 << 20 // octets of events that may wait in the kernel
)

// Backend is the kernel of the network namespace in which New ran.
type Backend struct {
	*pump.Pump
	requests     *netlink.Conn
	events       *netlink.Conn
	host         *host
	capabilities kernel.Capabilities
	marks        map[kernel.SAID]kernel.Mark // of SAs that have one; of the Pump's goroutine
	notes        map[policyName]note         // likewise
	refusal      error                       // the first reason for which the kernel refused an ESP SA
	stray        atomic.Uint64
	reading      sync.WaitGroup
}

var _ kernel.Backend = (*Backend)(nil)

// New opens the sockets, which needs CAP_NET_ADMIN. It tries each algorithm by
// really adding and deleting an SA; a kernel without ESP gets a Backend without
// algorithms, which Probe tells beforehand.
func New() (*Backend, error) {
	requests, err := dial()
	if err != nil {
		return nil, err
	}
	events, err := netlink.Dial(familyXFRM, groupAcquire, groupExpire, groupSA, groupPolicy, groupMigrate, groupMapping)
	if err != nil {
		requests.Close()
		return nil, fmt.Errorf("xfrm events: %w", err)
	}
	// A smaller buffer is no failure: an overrun is told.
	_ = events.SetReceiveBuffer(eventRoom)
	h, err := openHost()
	if err != nil {
		requests.Close()
		events.Close()
		return nil, fmt.Errorf("xfrm: %w", err)
	}
	b := newBackend(requests)
	b.events, b.host = events, h
	b.capabilities.MSS = h.clamps()
	b.Pump = pump.New(b.apply)
	b.reading.Go(b.read)
	return b, nil
}

// newBackend makes a Backend without events, and finds out what the kernel can do.
func newBackend(requests *netlink.Conn) *Backend {
	b := &Backend{requests: requests, marks: map[kernel.SAID]kernel.Mark{}, notes: map[policyName]note{}}
	b.capabilities = kernel.Capabilities{
		ESN: true, MaxReplay: maxWindow, Forward: true, ByteLifetimes: true,
		Migrate: true, Bundles: true, Offload: true,
		Encap: true, UpdateSA: true, Mapping: true,
	}
	b.try(&b.capabilities)
	return b
}

// Probe says why this kernel cannot carry ESP, nil when it can. It really adds
// and deletes an SA, since kernels without ESP allocate SPIs and take policies.
func Probe() error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	b := newBackend(c)
	if len(b.capabilities.Encr) > 0 && len(b.capabilities.Integ) > 0 {
		return nil
	}
	return fmt.Errorf("no ESP SA can be added: %w", b.refusal)
}

func dial() (*netlink.Conn, error) {
	if runtime.GOARCH == "386" {
		return nil, fmt.Errorf("xfrm on 386: %w", kernel.ErrUnsupported)
	}
	c, err := netlink.Dial(familyXFRM)
	if err != nil {
		return nil, fmt.Errorf("xfrm: %w", err)
	}
	return c, nil
}

// Name is "xfrm".
func (*Backend) Name() string { return "xfrm" }

// Capabilities says what New found.
func (b *Backend) Capabilities() kernel.Capabilities { return b.capabilities }

// ReceiveEncap counts a packet that the kernel should have taken: ESP on a
// socket that was not attached.
func (b *Backend) ReceiveEncap(netip.AddrPort, netip.AddrPort, []byte) { b.stray.Add(1) }

// Stray is how many packets ReceiveEncap was given.
func (b *Backend) Stray() uint64 { return b.stray.Load() }

// Close ends the Backend. SAs and policies stay in the kernel.
func (b *Backend) Close() error {
	b.Pump.Close()
	err := errors.Join(b.host.close(), b.requests.Close(), b.events.Close())
	b.reading.Wait()
	return ignoreClosed(err)
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil // closed twice
	}
	return err
}

// read carries the kernel's events until the socket is closed. What our own
// requests changed comes back with our port number, and is not reported.
func (b *Backend) read() {
	for {
		messages, err := b.events.Receive()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			b.Emit(kernel.Resync{})
			if !errors.Is(err, netlink.ErrOverrun) && !errors.Is(err, netlink.ErrMalformed) {
				return // a socket that cannot be read will not be readable later
			}
		}
		for _, m := range messages {
			if m.PID != b.requests.PID() {
				b.report(m)
			}
			clear(m.Body) // news of somebody's SA have its keys
		}
	}
}

func (b *Backend) report(m netlink.Message) {
	e, err := parseEvent(m)
	if err != nil {
		e = kernel.Resync{} // something happened that cannot be read
	}
	if e != nil {
		b.Emit(e)
	}
}

// explain says what was refused, in the kernel's words, with the cause that
// callers know.
func explain(what any, err error) error {
	if err == nil {
		return nil
	}
	var cause error
	switch {
	case errors.Is(err, syscall.EEXIST):
		cause = kernel.ErrExists
	case errors.Is(err, syscall.ESRCH), errors.Is(err, syscall.ENOENT):
		cause = kernel.ErrNotFound
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EPROTONOSUPPORT),
		errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.EAFNOSUPPORT):
		cause = kernel.ErrUnsupported
	default:
		return fmt.Errorf("%v: %w", what, err)
	}
	return fmt.Errorf("%v: %w: %w", what, cause, err)
}
