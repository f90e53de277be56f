package dns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const controlSize = 128

// mmsghdr is the struct of recvmmsg(2) and sendmmsg(2).
type mmsghdr struct {
	head unix.Msghdr
	size uint32
}

// waitingPackets waits inside the system: with a socket that the runtime polls
// each question costs three calls more, and the waking of threads.
type waitingPackets struct {
	fd      int // not the runtime's
	any, v6 bool

	closing sync.RWMutex // guards the closing of fd against senders
	closed  bool

	in, out     [batchSize]mmsghdr
	inIO, outIO [batchSize]unix.Iovec
	data        [batchSize][maxQuery]byte
	names       [batchSize]unix.RawSockaddrInet6 // or RawSockaddrInet4
	controls    [batchSize][controlSize]byte
	taken       int // of in: those whose lengths the system has changed
	want        int // how many are asked for
	alone       int // questions in a row that came by themselves
	queued      int // in out
}

// newPackets takes over a socket. The runtime would poll its descriptor, and be
// woken by each datagram, until it is closed.
func newPackets(conn *net.UDPConn, v6, any bool) (packets, error) {
	p := &waitingPackets{v6: v6, any: any, taken: batchSize, want: batchSize}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { p.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	if err := errors.Join(conn.Close(), unix.SetNonblock(p.fd, false)); err != nil {
		return nil, errors.Join(err, unix.Close(p.fd))
	}
	for i := range p.in {
		p.inIO[i].Base = &p.data[i][0]
		p.inIO[i].SetLen(maxQuery)
		p.in[i].head.Iov = &p.inIO[i]
		p.in[i].head.SetIovlen(1)
		p.in[i].head.Name = (*byte)(unsafe.Pointer(&p.names[i]))
		if any {
			p.in[i].head.Control = &p.controls[i][0]
		}
		p.out[i].head.Iov = &p.outIO[i]
		p.out[i].head.SetIovlen(1)
	}
	return p, nil
}

func (p *waitingPackets) read() (int, error) {
	for i := range p.in[:p.taken] {
		p.in[i].head.Namelen = unix.SizeofSockaddrInet6
		if p.any {
			p.in[i].head.SetControllen(controlSize)
		}
	}
	p.taken = 0
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&p.in)), uintptr(p.want), unix.MSG_WAITFORONE, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	p.taken = int(n)
	p.adapt()
	return p.taken, nil
}

// adapt finds how many to ask for next: looking for a second question costs as
// much as taking one. Those that come alone are asked for alone, but for one in
// eight, after which others may be found to wait.
func (p *waitingPackets) adapt() {
	if p.taken > 1 {
		p.alone, p.want = 0, batchSize
		return
	}
	p.alone++
	p.want = 1
	if p.alone%8 == 0 {
		p.want = batchSize
	}
}

func (p *waitingPackets) question(i int) ([]byte, netip.AddrPort) {
	return p.data[i][:p.in[i].size], addrPort(&p.names[i], p.in[i].head.Namelen)
}

// addrPort is the address in the system's form, none where it has no port.
func addrPort(name *unix.RawSockaddrInet6, size uint32) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	switch {
	case port == 0:
	case size >= unix.SizeofSockaddrInet6 && name.Family == unix.AF_INET6:
		addr := netip.AddrFrom16(name.Addr)
		if name.Scope_id != 0 {
			addr = addr.WithZone(strconv.Itoa(int(name.Scope_id)))
		}
		return netip.AddrPortFrom(addr.Unmap(), port)
	case size >= unix.SizeofSockaddrInet4 && name.Family == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	return netip.AddrPort{}
}

func (p *waitingPackets) source(i int) []byte { return bytes.Clone(p.reversed(i)) }

// reversed makes of the control message that says where a question went the one
// that has its answer come from there; nil without one.
func (p *waitingPackets) reversed(i int) []byte {
	if !p.any {
		return nil
	}
	rest := p.controls[i][:p.in[i].head.Controllen]
	for len(rest) >= unix.SizeofCmsghdr {
		head, data, after, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return nil
		}
		switch {
		case p.v6 && head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO:
			return rest[:unix.CmsgLen(len(data))]
		case !p.v6 && head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			clear(data[:4]) // routing finds the interface
			return rest[:unix.CmsgLen(len(data))]
		}
		rest = after
	}
	return nil
}

func (p *waitingPackets) answer(i int, msg []byte) {
	if len(msg) == 0 {
		return
	}
	m, v := &p.out[p.queued].head, &p.outIO[p.queued]
	p.queued++
	v.Base = &msg[0]
	v.SetLen(len(msg))
	m.Name, m.Namelen = p.in[i].head.Name, p.in[i].head.Namelen
	m.Control = nil
	control := p.reversed(i)
	if len(control) > 0 {
		m.Control = &control[0]
	}
	m.SetControllen(len(control))
}

func (p *waitingPackets) flush() (unsent int) {
	if p.queued == 1 && p.out[0].head.Control == nil {
		return p.sendOne()
	}
	for at := 0; at < p.queued; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&p.out[at])), uintptr(p.queued-at), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0 || n == 0:
			unsent++
			at++
		default:
			at += int(n)
		}
	}
	p.queued = 0
	return unsent
}

// sendOne is the quickest call for one answer.
func (p *waitingPackets) sendOne() (unsent int) {
	m, v := &p.out[0].head, &p.outIO[0]
	p.queued = 0
	for {
		_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(p.fd), uintptr(unsafe.Pointer(v.Base)), uintptr(v.Len), 0,
			uintptr(unsafe.Pointer(m.Name)), uintptr(m.Namelen))
		switch errno {
		case 0:
			return 0
		case unix.EINTR:
		default:
			return 1
		}
	}
}

// stop wakes the reader: a datagram socket whose reading is shut down has it
// return, though the call itself fails where it is connected to nobody. Systems
// that only look like Linux may not do so: an empty datagram to itself does it there.
func (p *waitingPackets) stop() {
	p.closing.RLock()
	defer p.closing.RUnlock()
	if p.closed { // the number may be another's by now
		return
	}
	_ = unix.Shutdown(p.fd, unix.SHUT_RD)
	if own, err := unix.Getsockname(p.fd); err == nil {
		_ = unix.Sendto(p.fd, nil, unix.MSG_DONTWAIT, own)
	}
}

func (p *waitingPackets) close() {
	p.closing.Lock()
	defer p.closing.Unlock()
	p.closed = true
	_ = unix.Close(p.fd)
}

func (p *waitingPackets) send(msg []byte, to netip.AddrPort, source []byte) error {
	p.closing.RLock()
	defer p.closing.RUnlock()
	if p.closed {
		return net.ErrClosed
	}
	if !p.v6 {
		return unix.Sendmsg(p.fd, msg, source, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}, 0)
	}
	name := &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if zone, err := strconv.ParseUint(to.Addr().Zone(), 10, 32); err == nil { // as addrPort gives it
		name.ZoneId = uint32(zone)
	}
	return unix.Sendmsg(p.fd, msg, source, name, 0)
}
