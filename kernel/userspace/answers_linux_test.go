package userspace

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// raw is a socket that is not bound, as Bypass sees it.
type raw struct{ syscall.RawConn }

func (raw) LocalPort() uint16 { return 0 }
func (raw) IPv6() bool        { return false }
func (raw) WriteFrom([]byte, netip.Addr, netip.AddrPort) error {
	return net.ErrClosed
}

// echoes answers over UDP and TCP, at every address.
func echoes(t *testing.T, ns *netlab.NS) {
	t.Helper()
	must(t, ns.Do(func() error {
		u, err := net.ListenPacket("udp", ":88")
		if err != nil {
			return err
		}
		t.Cleanup(func() { u.Close() })
		l, err := net.Listen("tcp", ":88")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for buf := make([]byte, 100); ; {
				n, from, err := u.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = u.WriteTo(buf[:n], from)
			}
		}()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.Copy(c, c)
				c.Close()
			}
		}()
		return nil
	}))
}

// ask sends a line and wants it back.
func ask(ns *netlab.NS, d net.Dialer, network, to string) error {
	return ns.Do(func() error {
		c, err := d.Dial(network, net.JoinHostPort(to, "88"))
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello\n")); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(d.Timeout)); err != nil {
			return err
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil && line != "hello\n" {
			return fmt.Errorf("the answer is %q", line)
		}
		return err
	})
}

// The agent asks a server whose address a policy protects: its own sockets get
// their answers, other programs' do not, with a strict reverse-path filter too.
func TestAnswersToOwnSockets(t *testing.T) {
	for _, filter := range []string{"0", "1"} {
		t.Run("rp_filter "+filter, func(t *testing.T) {
			_, na, nb := hostPair(t)
			must(t, na.Sysctl("net/ipv4/conf/eth0/rp_filter", filter))
			a := start(t, na, Options{})
			for _, w := range hostTunnels {
				a.policies(w, w.selector())
			}
			if w := a.backend.Warnings(); len(w) != 0 {
				t.Errorf("warnings %q", w)
			}
			echoes(t, nb)
			own := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
				return a.backend.Bypass(raw{c})
			}}
			for _, to := range []string{"10.9.0.2", "fd09::2"} {
				for _, network := range []string{"udp", "tcp"} {
					if err := ask(na, own, network, to); err != nil {
						t.Errorf("the agent has no answer from %s over %s: %v", to, network, err)
					}
					if err := ask(na, net.Dialer{Timeout: 300 * time.Millisecond}, network, to); err == nil {
						t.Errorf("another program has an answer from %s over %s", to, network)
					}
				}
			}
			injected(t, nb, na, false, "while the agent may ask")
		})
	}
}

// Without nf_tables' match of sockets the guard stands all the same, and says
// what does not work.
func TestGuardWithoutSocketMatch(t *testing.T) {
	_, na, nb := hostPair(t)
	a := start(t, na, Options{})
	h := a.backend.host.(*linuxHost)
	h.guard.deaf = "for a test"
	for _, w := range hostTunnels {
		a.policies(w, w.selector())
	}
	injected(t, nb, na, false, "with policies")
	if w := a.backend.Warnings(); len(w) != 1 {
		t.Errorf("warnings %q", w)
	}
}
