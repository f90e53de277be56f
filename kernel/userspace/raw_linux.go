package userspace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const socketBuffer = 4 << 20

// rawSocket is a raw IP socket of one family, marked as the agent's own.
type rawSocket struct {
	file *os.File
	raw  syscall.RawConn
	v6   bool

	mu      sync.Mutex // of sending
	to4     unix.SockaddrInet4
	to6     unix.SockaddrInet6
	control [128]byte
	data    []byte
	oob     []byte
	failed  error
	write   func(fd uintptr) bool
}

// option is one setsockopt with a number.
type option struct{ level, name, value int }

// openRaw opens a raw socket for a protocol; IPPROTO_RAW is for packets that
// bring their IP header.
func openRaw(v6 bool, proto int) (*rawSocket, error) {
	family := unix.AF_INET
	options := []option{
		{unix.SOL_SOCKET, unix.SO_MARK, Mark},
		// Outer packets may be cut up on the way (DF clear).
		{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT},
	}
	if v6 {
		family = unix.AF_INET6
		options = []option{
			{unix.SOL_SOCKET, unix.SO_MARK, Mark},
			{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT},
		}
		if proto == unix.IPPROTO_RAW {
			options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1})
		} else {
			options = append(options,
				option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
				option{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1},
				option{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1})
			if proto == unix.IPPROTO_AH { // which covers them
				options = append(options,
					option{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPOPTS, 1},
					option{unix.IPPROTO_IPV6, unix.IPV6_RECVRTHDR, 1},
					option{unix.IPPROTO_IPV6, unix.IPV6_RECVDSTOPTS, 1})
			}
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, rawError(v6, err)
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			unix.Close(fd)
			return nil, rawError(v6, err)
		}
	}
	// Larger buffers lose fewer packets; what the system allows will do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer)
	s := &rawSocket{file: os.NewFile(uintptr(fd), "raw socket"), v6: v6}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, rawError(v6, err)
	}
	s.write = s.sendOnce
	return s, nil
}

func rawError(v6 bool, err error) error {
	family := "IPv4"
	if v6 {
		family = "IPv6"
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("raw %s socket: needs the capabilities CAP_NET_RAW and CAP_NET_ADMIN", family)
	}
	return fmt.Errorf("raw %s socket: %w", family, err)
}

func (s *rawSocket) close() error { return s.file.Close() }

// sendOnce is one attempt; false waits until the socket takes more.
func (s *rawSocket) sendOnce(fd uintptr) bool {
	var to unix.Sockaddr = &s.to4
	if s.v6 {
		to = &s.to6
	}
	_, s.failed = unix.SendmsgN(int(fd), s.data, s.oob, to, 0)
	return s.failed != unix.EAGAIN && s.failed != unix.EINTR
}

// send sends one datagram with control messages. The caller holds s.mu.
func (s *rawSocket) send(data, oob []byte, to netip.Addr) error {
	if s.v6 {
		s.to6.Addr = to.As16()
	} else {
		s.to4.Addr = to.As4()
	}
	s.data, s.oob = data, oob
	err := s.raw.Write(s.write)
	s.data = nil
	if err != nil {
		return err
	}
	if s.failed == unix.EMSGSIZE {
		return errTooBig
	}
	return s.failed
}

// sendESP sends a packet of the socket's protocol behind an IP header of the host's making.
func (s *rawSocket) sendESP(out *outgoing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	oob := s.control[:0]
	if s.v6 {
		info := unix.Inet6Pktinfo{Addr: out.src.As16()}
		oob = appendControl(oob, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet6Pktinfo))
		oob = appendControlInt(oob, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int32(out.tos))
		if out.hops != 0 {
			oob = appendControlInt(oob, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, int32(out.hops))
		}
	} else {
		info := unix.Inet4Pktinfo{Spec_dst: out.src.As4()}
		oob = appendControl(oob, unix.IPPROTO_IP, unix.IP_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet4Pktinfo))
		oob = appendControlInt(oob, unix.IPPROTO_IP, unix.IP_TOS, int32(out.tos))
		if out.hops != 0 {
			oob = appendControlInt(oob, unix.IPPROTO_IP, unix.IP_TTL, int32(out.hops))
		}
	}
	return s.send(out.esp, oob, out.dst)
}

// sendPacket sends a packet with the IP header that it brings.
func (s *rawSocket) sendPacket(packet []byte, to netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send(packet, nil, to)
}

// appendControl appends a control message (cmsg(3)).
func appendControl(oob []byte, level, typ int32, data []byte) []byte {
	start := len(oob)
	oob = oob[:start+unix.CmsgSpace(len(data))]
	clear(oob[start:])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[start]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(len(data)))
	copy(oob[start+unix.CmsgLen(0):], data)
	return oob
}

func appendControlInt(oob []byte, level, typ, value int32) []byte {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(value))
	return appendControl(oob, level, typ, b[:])
}

// receiver reads datagrams of an IPv6 raw socket with where they went and
// came from, without making garbage.
type receiver struct {
	socket  *rawSocket
	from    unix.RawSockaddrInet6
	vector  unix.Iovec
	header  unix.Msghdr
	control [8192]byte
	ext     []byte // room for extension headers
	first   uint8  // what the first of them is
	n       int
	failed  error
	read    func(fd uintptr) bool
}

func newReceiver(s *rawSocket) *receiver {
	r := &receiver{socket: s}
	r.read = r.once
	return r
}

func (r *receiver) once(fd uintptr) bool {
	r.header.Name, r.header.Namelen = (*byte)(unsafe.Pointer(&r.from)), unix.SizeofSockaddrInet6
	r.header.Iov = &r.vector
	r.header.SetIovlen(1)
	r.header.Control = &r.control[0]
	r.header.SetControllen(len(r.control))
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&r.header)), 0)
	r.n, r.failed = int(n), nil
	if errno != 0 {
		r.n, r.failed = 0, errno
	}
	return errno != unix.EAGAIN && errno != unix.EINTR
}

// receive reads one datagram into buf and says where it belongs.
func (r *receiver) receive(buf []byte, from *arrival) (int, error) {
	r.vector.Base = &buf[0]
	r.vector.SetLen(len(buf))
	if err := r.socket.raw.Read(r.read); err != nil {
		return 0, err
	}
	if r.failed != nil {
		return 0, r.failed
	}
	*from = arrival{src: netip.AddrFrom16(r.from.Addr)}
	r.ext, r.first = r.ext[:0], 0
	oob := r.control[:min(int(r.header.Controllen), len(r.control))]
	for len(oob) >= unix.CmsgLen(0) {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		size := int(h.Len)
		if size < unix.CmsgLen(0) || size > len(oob) {
			break
		}
		data := oob[unix.CmsgLen(0):size]
		if h.Level == unix.IPPROTO_IPV6 {
			switch {
			case h.Type == unix.IPV6_PKTINFO && len(data) >= 16:
				from.dst = netip.AddrFrom16([16]byte(data))
			case h.Type == unix.IPV6_TCLASS && len(data) >= 4:
				from.tos = uint8(binary.NativeEndian.Uint32(data))
			case h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
				from.hops = uint8(binary.NativeEndian.Uint32(data))
			default:
				r.extension(h.Type, data)
			}
		}
		oob = oob[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(oob)):]
	}
	from.extensions, from.firstExtension = r.ext, r.first
	return r.n, nil
}

// extension notes an extension header; the host gives them in their order
// (RFC 3542 §8).
func (r *receiver) extension(typ int32, data []byte) {
	var proto uint8
	switch typ {
	case unix.IPV6_HOPOPTS:
		proto = protoHopOpts
	case unix.IPV6_RTHDR:
		proto = protoRouting
	case unix.IPV6_DSTOPTS:
		proto = protoDstOpts
	default:
		return
	}
	if len(r.ext) == 0 {
		r.first = proto
	}
	r.ext = append(r.ext, data...)
}
