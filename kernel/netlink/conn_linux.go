package netlink

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readLen bounds one datagram; kernels send at most 32 KiB of a dump at once.
	readLen = 1 << 17
	// replyTime bounds the wait for a kernel's answer, which is normally there
	// before the request's write returns.
	replyTime = 30 * time.Second
	// dumpTries bounds repeats of an interrupted dump.
	dumpTries = 5
)

// Conn is a netlink socket, of the network namespace in which Dial ran. Use
// one Conn for requests and another one, with groups, for events.
type Conn struct {
	file *os.File
	pid  uint32

	mu  sync.Mutex // one request, or one Receive, at a time
	seq uint32
	buf []byte
}

// Dial opens a socket of a netlink family (unix.NETLINK_XFRM, …), a member of
// the multicast groups given by number.
func Dial(family int, groups ...uint32) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, family)
	if err != nil {
		return nil, fmt.Errorf("netlink socket of family %d: %w", family, err)
	}
	pid, err := prepare(fd, groups)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink socket of family %d: %w", family, err)
	}
	return &Conn{
		file: os.NewFile(uintptr(fd), "netlink"),
		pid:  pid,
		buf:  make([]byte, readLen),
	}, nil
}

// prepare binds the socket and joins the groups: a socket that was never bound
// gets no group's messages.
func prepare(fd int, groups []uint32) (pid uint32, err error) {
	// Older kernels know neither option; then errors have no words.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
			return 0, fmt.Errorf("group %d: %w", g, err)
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	address, ok := name.(*unix.SockaddrNetlink)
	if !ok {
		return 0, unix.EAFNOSUPPORT
	}
	return address.Pid, nil
}

// PID is the socket's port number, which messages about changes made through
// this Conn carry.
func (c *Conn) PID() uint32 { return c.pid }

// Close ends the Conn; a Receive or Execute that waits returns os.ErrClosed.
func (c *Conn) Close() error { return c.file.Close() }

// SetReceiveBuffer asks for a receive buffer of that many octets.
func (c *Conn) SetReceiveBuffer(octets int) error {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, octets)
		if failed != nil { // no privilege: as much as the system's limit allows
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, octets)
		}
	})
	return errors.Join(err, failed)
}

// Execute sends a request and returns its replies, without the acknowledgement.
// FlagRequest is set for the caller, and FlagAck but for dumps (FlagDump). A
// refusal is an *Error. A dump that changes interrupted is repeated a few
// times, then it is ErrInterrupted.
func (c *Conn) Execute(m Message) ([]Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.Flags |= FlagRequest
	dump := m.Flags&FlagDump == FlagDump
	if !dump {
		m.Flags |= FlagAck
		return c.once(m)
	}
	for try := 1; ; try++ {
		replies, err := c.once(m)
		if !errors.Is(err, ErrInterrupted) || try == dumpTries {
			return replies, err
		}
	}
}

// once does one exchange: until the acknowledgement, or the end of a dump.
func (c *Conn) once(m Message) (replies []Message, err error) {
	m.Seq, m.PID = c.next(), c.pid
	if err := c.send(AppendMessage(nil, m)); err != nil {
		return nil, err
	}
	interrupted := false
	for {
		messages, err := c.receive(true)
		if err != nil {
			return nil, err
		}
		for _, r := range messages {
			if r.Seq != m.Seq || r.PID != c.pid {
				continue // left over from a request that ended early
			}
			interrupted = interrupted || r.Flags&FlagInterrupted != 0
			switch r.Type {
			case TypeNoop:
			case TypeError, TypeDone:
				if err := ParseAck(r); err != nil {
					return nil, err
				}
				if interrupted {
					return nil, ErrInterrupted
				}
				return replies, nil
			case TypeOverrun:
				return nil, ErrOverrun
			default:
				replies = append(replies, r)
			}
		}
	}
}

// Numbers of nfnetlink's batches (linux/netfilter/nfnetlink.h).
const (
	batchBegin = 0x10
	batchEnd   = 0x11
)

// Batch sends messages to one subsystem of NETLINK_NETFILTER as a transaction:
// all of them take effect, or none. A refusal is an *Error with the Index of
// the first message refused; Index is -1 when it was the transaction itself.
func (c *Conn) Batch(subsystem uint8, messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// struct nfgenmsg: family, version, and the subsystem in network byte order.
	marker := []byte{unix.AF_UNSPEC, 0, 0, subsystem}
	first := c.next()
	out := AppendMessage(nil, Message{Type: batchBegin, Flags: FlagRequest, Seq: first, PID: c.pid, Body: marker})
	pending := make(map[uint32]int, len(messages))
	for i, m := range messages {
		m.Flags |= FlagRequest | FlagAck
		m.Seq, m.PID = c.next(), c.pid
		pending[m.Seq] = i
		out = AppendMessage(out, m)
	}
	out = AppendMessage(out, Message{Type: batchEnd, Flags: FlagRequest, Seq: c.next(), PID: c.pid, Body: marker})
	if err := c.send(out); err != nil {
		return err
	}
	return c.acknowledged(first, pending)
}

// acknowledged waits until every message of a batch has its acknowledgement,
// or the batch itself was refused.
func (c *Conn) acknowledged(begin uint32, pending map[uint32]int) error {
	var refused error
	for len(pending) > 0 {
		replies, err := c.receive(true)
		if err != nil {
			return err
		}
		for _, r := range replies {
			i, ours := pending[r.Seq]
			if r.Type != TypeError || r.PID != c.pid || !ours && r.Seq != begin {
				continue
			}
			err := ParseAck(r)
			if !ours {
				if err == nil {
					continue
				}
				i = -1
			}
			if refusal, ok := errors.AsType[*Error](err); ok {
				refusal.Index = i
			}
			if i < 0 {
				return err
			}
			delete(pending, r.Seq)
			if refused == nil {
				refused = err
			}
		}
	}
	return refused
}

// Receive waits for messages of the groups. ErrOverrun says that some were
// lost; the Conn goes on. After Close it is os.ErrClosed.
func (c *Conn) Receive() ([]Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receive(false)
}

func (c *Conn) next() uint32 {
	c.seq++
	if c.seq == 0 { // messages that a kernel sends by itself have 0
		c.seq++
	}
	return c.seq
}

func (c *Conn) send(b []byte) error {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return fileError(err)
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	clear(b) // a message may hold keys
	if err != nil {
		return fileError(err)
	}
	if failed != nil {
		return fmt.Errorf("netlink send: %w", failed)
	}
	return nil
}

// receive reads one datagram that the kernel itself sent.
func (c *Conn) receive(reply bool) ([]Message, error) {
	var limit time.Time
	if reply {
		limit = time.Now().Add(replyTime)
	}
	if err := c.file.SetReadDeadline(limit); err != nil {
		return nil, fileError(err)
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return nil, fileError(err)
	}
	for {
		var n, flags int
		var from unix.Sockaddr
		var failed error
		err = raw.Read(func(fd uintptr) bool {
			n, _, flags, from, failed = unix.Recvmsg(int(fd), c.buf, nil, 0)
			return failed != unix.EAGAIN && failed != unix.EINTR
		})
		switch {
		case err != nil:
			return nil, fileError(err)
		case failed == unix.ENOBUFS:
			return nil, ErrOverrun
		case failed != nil:
			return nil, fmt.Errorf("netlink receive: %w", failed)
		case flags&unix.MSG_TRUNC != 0:
			return nil, fmt.Errorf("%w: longer than %d octets", ErrMalformed, len(c.buf))
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // another process may write to this socket; only the kernel is believed
		}
		messages, err := ParseMessages(slices.Clone(c.buf[:n]))
		clear(c.buf[:n]) // a dump of SAs holds their keys
		return messages, err
	}
}

// fileError names the cause of an error that is not the system call's: the
// file's own poller gives a closed file no exported name.
func fileError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("netlink: no answer from the kernel in %v: %w", replyTime, err)
	}
	return fmt.Errorf("netlink: %w", os.ErrClosed)
}
