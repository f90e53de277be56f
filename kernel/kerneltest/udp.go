package kerneltest

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// UDP opens real sockets for a Host: one to send from and two that listen on
// Port and OpenPort. It must be called where the host's addresses are, as in
// its network namespace. The sockets are closed with the test.
func UDP(t *testing.T, local, remote netip.Addr) (send func(port uint16, text string), received <-chan string, err error) {
	texts := make(chan string, 256)
	for _, port := range []uint16{Port, OpenPort} {
		c, err := listen(t, local, port)
		if err != nil {
			return nil, nil, err
		}
		go func() {
			buf := make([]byte, 2048)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return // closed
				}
				select {
				case texts <- string(buf[:n]):
				default: // a test that does not read has no use for more
				}
			}
		}()
	}
	from, err := listen(t, local, 0)
	if err != nil {
		return nil, nil, err
	}
	send = func(port uint16, text string) {
		// A kernel may refuse what a policy holds back; the suite sees that
		// nothing arrives.
		_, _ = from.WriteToUDPAddrPort([]byte(text), netip.AddrPortFrom(remote, port))
	}
	return send, texts, nil
}

func listen(t *testing.T, local netip.Addr, port uint16) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
	if err != nil {
		return nil, fmt.Errorf("a socket for test packets: %w", err)
	}
	t.Cleanup(func() { c.Close() })
	return c, nil
}
