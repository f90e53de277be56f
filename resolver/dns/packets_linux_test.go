package dns

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStopAfterClose: a reader that has ended by itself has closed its descriptor, whose
// number may be that of another socket when the listener is stopped.
func TestStopAfterClose(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	io, err := newPackets(conn, false, false)
	if err != nil {
		t.Fatal(err)
	}
	number := io.(*waitingPackets).fd
	io.close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(number)
	if fd != number {
		if err := unix.Dup3(fd, number, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
	if err := unix.Bind(number, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	io.stop()
	// One that is shut down says at once that nothing comes any more.
	timeout := unix.NsecToTimeval(int64(50 * time.Millisecond))
	if err := unix.SetsockoptTimeval(number, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	if n, _, err := unix.Recvfrom(number, make([]byte, 64), 0); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("another socket is shut down: %d octets, %v", n, err)
	}
}
