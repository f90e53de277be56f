package netlab

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink/route"
)

// captureLimit bounds the frames that a Capture keeps.
const captureLimit = 100_000

// Capture collects the frames that pass an interface, in both directions.
type Capture struct {
	file *os.File
	done chan struct{}

	mu     sync.Mutex
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
	c := &Capture{done: make(chan struct{})}
	err := ns.link(link, func(_ *route.Conn, l route.Link) error {
		fd, err := packetSocket(l.Index, unix.ETH_P_ALL)
		if err == nil {
			c.file = os.NewFile(uintptr(fd), "capture")
		}
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

func (c *Capture) read() {
	defer close(c.done)
	raw, err := c.file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 1<<16+64)
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return failed != unix.EAGAIN && failed != unix.EINTR
		})
		if err != nil || failed == unix.ENODEV {
			return
		}
		if failed != nil {
			continue // the link went down
		}
		f := Frame{Octets: slices.Clone(buf[:n])}
		if address, ok := from.(*unix.SockaddrLinklayer); ok {
			f.Outgoing = address.Pkttype == unix.PACKET_OUTGOING
		}
		f.Packet = parseFrame(f.Octets)
		c.mu.Lock()
		if len(c.frames) < captureLimit {
			c.frames = append(c.frames, f)
		}
		c.mu.Unlock()
	}
}

// Frames returns what was collected so far.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames)
}

// Reset forgets what was collected so far.
func (c *Capture) Reset() {
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
	c.file.Close()
	<-c.done
	return c.Frames()
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
