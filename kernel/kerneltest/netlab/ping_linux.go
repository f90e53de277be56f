package netlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Ping is one echo request and its reply (RFC 792, RFC 4443 §4.1).
type Ping struct {
	To      netip.Addr
	From    netip.Addr // the zero Addr leaves the choice to the host
	Size    int        // octets behind the ICMP header
	Timeout time.Duration
	Whole   bool // the packet must not be fragmented; too big is unix.EMSGSIZE
	Mark    uint32
}

// Ping sends an echo request from the namespace and waits for its reply. No
// reply is os.ErrDeadlineExceeded; an ICMP error is its error number.
func (ns *NS) Ping(p Ping) error {
	if p.Timeout == 0 {
		p.Timeout = 2 * time.Second
	}
	err := ns.Do(p.do)
	if err != nil {
		return fmt.Errorf("ping %s from %s: %w", p.To, ns.Name, err)
	}
	return nil
}

// PingUntil repeats a ping until it is answered, or the time is over.
func (ns *NS) PingUntil(p Ping, total time.Duration) error {
	end := time.Now().Add(total)
	for {
		start := time.Now()
		err := ns.Ping(p)
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(max(0, 100*time.Millisecond-time.Since(start))) // an immediate refusal must not spin
	}
}

func (p Ping) do() error {
	end := time.Now().Add(p.Timeout)
	fd, err := p.socket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, sockaddr(p.To)); err != nil {
		return err
	}
	id := uint16(unix.Gettid())
	if _, err := unix.Write(fd, p.request(id)); err != nil {
		return err
	}
	buf := make([]byte, 65536)
	for {
		left := time.Until(end)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
			return err
		}
		n, err := unix.Read(fd, buf)
		if err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return err
		}
		if p.isReply(buf[:n], id) {
			return nil
		}
	}
}

func (p Ping) socket() (int, error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	level, discover, always := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO
	if p.To.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		level, discover, always = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return -1, err
	}
	if err == nil && p.Mark != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.Mark))
	}
	if err == nil && p.Whole {
		err = unix.SetsockoptInt(fd, level, discover, always)
	}
	if err == nil && p.From.IsValid() {
		err = unix.Bind(fd, sockaddr(p.From))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

const (
	echoReply4   = 0
	echoRequest4 = 8
	echoRequest6 = 128
	echoReply6   = 129
	echoLen      = 8
)

func (p Ping) request(id uint16) []byte {
	b := make([]byte, echoLen+p.Size)
	b[0] = echoRequest4
	if p.To.Is6() {
		b[0] = echoRequest6 // the kernel fills in the checksum of ICMPv6
	}
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], 1)
	for i := echoLen; i < len(b); i++ {
		b[i] = byte(i)
	}
	if p.To.Is4() {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

func (p Ping) isReply(b []byte, id uint16) bool {
	want := byte(echoReply6)
	if p.To.Is4() { // an IPv4 raw socket gives the IP header too
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return false
		}
		b, want = b[int(b[0]&15)*4:], echoReply4
	}
	return len(b) == echoLen+p.Size && b[0] == want && binary.BigEndian.Uint16(b[4:]) == id
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}
