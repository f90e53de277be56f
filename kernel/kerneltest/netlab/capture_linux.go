package netlab

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink/route"
)

// captureLimit bounds the frames that a Capture keeps.
const captureLimit = 100_000

// Capture collects the frames that pass an interface, in both directions.
type Capture struct {
	file *os.File
	raw  syscall.RawConn
	done chan struct{}

	mu     sync.Mutex // of reading the socket, too
	buf    []byte
	frames []Frame
}

// Frame is one captured frame, taken apart.
type Frame struct {
	Packet
	Outgoing bool   // the namespace sent it
	Octets   []byte // from the link-layer header on
}

// Capture starts to collect the frames of a link, until Stop or the Lab's Close.
func (ns *NS) Capture(link string) (*Capture, error) {
	c := &Capture{done: make(chan struct{}), buf: make([]byte, 1<<16+64)}
	err := ns.link(link, func(_ *route.Conn, l route.Link) error {
		fd, err := packetSocket(l.Index, unix.ETH_P_ALL)
		if err != nil {
			return err
		}
		c.file = os.NewFile(uintptr(fd), "capture")
		c.raw, err = c.file.SyscallConn()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture on %s of %s: %w", link, ns.Name, err)
	}
	go c.read()
	ns.lab.onClose(func() error { c.Stop(); return nil })
	return c, nil
}

// packetSocket opens an AF_PACKET socket bound to an interface.
func packetSocket(index int, proto uint16) (int, error) {
	// A protocol number goes in network byte order.
	proto = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, proto))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) // more is better, less works
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: index}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// read empties the socket whenever there is something, until it is closed.
func (c *Capture) read() {
	defer close(c.done)
	for {
		err := c.raw.Read(func(fd uintptr) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.drain(int(fd))
		})
		if err != nil {
			return
		}
	}
}

// drain takes all frames that wait, and says whether there were any. The
// caller holds c.mu.
func (c *Capture) drain(fd int) (any bool) {
	for {
		n, from, err := unix.Recvfrom(fd, c.buf, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return any
		case err != nil: // the link went down; said once
			return true
		}
		any = true
		if len(c.frames) == captureLimit {
			continue
		}
		f := Frame{Octets: slices.Clone(c.buf[:n])}
		if address, ok := from.(*unix.SockaddrLinklayer); ok {
			f.Outgoing = address.Pkttype == unix.PACKET_OUTGOING
		}
		f.Packet = parseFrame(f.Octets)
		c.frames = append(c.frames, f)
	}
}

// Frames returns everything that passed the link so far.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.raw.Control(func(fd uintptr) { c.drain(int(fd)) }) // after Stop there is nothing to drain
	return slices.Clone(c.frames)
}

// Reset forgets what was collected so far.
func (c *Capture) Reset() {
	c.Frames() // what passed before now must not come later
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = nil
}

// Count says how many frames of a kind were collected.
func (c *Capture) Count(k Kind) int {
	n := 0
	for _, f := range c.Frames() {
		if f.Kind == k {
			n++
		}
	}
	return n
}

// Stop ends the capture and returns what it collected.
func (c *Capture) Stop() []Frame {
	frames := c.Frames()
	c.file.Close()
	<-c.done
	return frames
}

// Inject sends a frame, from its link-layer header on, out of a link of the
// namespace, past all of the namespace's own rules and policies.
func (ns *NS) Inject(link string, frame []byte) error {
	return ns.link(link, func(_ *route.Conn, l route.Link) error {
		fd, err := packetSocket(l.Index, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.Index})
	})
}

// InjectIP sends an IP packet out of a link of the namespace to the interface
// peerLink of another one, as if a host on the wire had sent it.
func (ns *NS) InjectIP(link string, peer *NS, peerLink string, packet []byte) error {
	from, err := ns.Link(link)
	if err != nil {
		return err
	}
	to, err := peer.Link(peerLink)
	if err != nil {
		return err
	}
	if len(packet) == 0 || len(from.Address) != 6 || len(to.Address) != 6 {
		return fmt.Errorf("inject: no packet, or %s and %s are not Ethernet links", link, peerLink)
	}
	frame := slices.Concat(to.Address, from.Address)
	if packet[0]>>4 == 4 {
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
	} else {
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
	}
	return ns.Inject(link, append(frame, packet...))
}
