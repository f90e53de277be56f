package netlab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// pair is two namespaces joined by a veth pair: a 10.9.0.1, fd09::1; b …2.
func pair(t *testing.T) (lab *Lab, a, b *NS) {
	t.Helper()
	lab = ForTest(t)
	a, err := lab.Namespace("a")
	must(t, err)
	b, err = lab.Namespace("b")
	must(t, err,
		lab.Join(a, "eth0", b, "eth0"),
		a.Address("eth0", "10.9.0.1/24", "fd09::1/64"),
		b.Address("eth0", "10.9.0.2/24", "fd09::2/64"))
	return lab, a, b
}

func TestPingAndCapture(t *testing.T) {
	_, a, b := pair(t)
	c, err := b.Capture("eth0")
	must(t, err)
	for _, to := range []string{"10.9.0.2", "fd09::2"} {
		must(t, a.Ping(Ping{To: netip.MustParseAddr(to), Size: 100}))
	}
	out, in := 0, 0
	for _, f := range c.Stop() {
		switch {
		case f.Kind != Clear:
		case f.Outgoing:
			out++
		default:
			in++
		}
	}
	if in != 2 || out != 2 {
		t.Errorf("captured %d requests and %d replies, want 2 and 2", in, out)
	}
}

func TestPingFails(t *testing.T) {
	_, a, _ := pair(t)
	err := a.Ping(Ping{To: netip.MustParseAddr("10.8.0.1"), Timeout: time.Second})
	if !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("no route: %v", err)
	}
	err = a.Ping(Ping{To: netip.MustParseAddr("10.9.0.2"), Size: 3000, Whole: true})
	if !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("too big: %v", err)
	}
	must(t, a.Ping(Ping{To: netip.MustParseAddr("10.9.0.2"), Size: 3000}))
}

func TestInject(t *testing.T) {
	_, a, b := pair(t)
	c, err := b.Capture("eth0")
	must(t, err)
	src, dst := netip.MustParseAddr("10.9.0.77"), netip.MustParseAddr("10.9.0.2")
	must(t, a.InjectIP("eth0", b, "eth0", UDPPacket(src, dst, 1111, 2222, []byte("from the wire"))))
	deadline := time.Now().Add(2 * time.Second)
	for c.Count(Clear) == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	for _, f := range c.Stop() {
		if f.Src == src && f.DstPort == 2222 && string(f.Payload) == "from the wire" {
			return
		}
	}
	t.Error("the injected packet was not seen")
}

func TestCommandAndPublish(t *testing.T) {
	_, a, _ := pair(t)
	a.Name = fmt.Sprintf("netlab-test-%d", os.Getpid())
	must(t, a.Publish())
	if _, err := os.Stat("/run/netns/" + a.Name); err != nil {
		t.Error(err)
	}
	out, err := a.Command(context.Background(), "cat", "/proc/net/dev").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "eth0") {
		t.Errorf("interfaces of the namespace: %q, %v", out, err)
	}
	if got, err := a.ReadSysctl("net/ipv6/conf/all/accept_dad"); got != "0" || err != nil {
		t.Errorf("accept_dad %q, %v", got, err)
	}
}

// TestMasquerade: inside – nat – outside. What leaves has the NAT's address and
// a port of its range.
func TestMasquerade(t *testing.T) {
	lab := ForTest(t)
	in, err := lab.Namespace("in")
	must(t, err)
	nat, err := lab.Namespace("nat")
	must(t, err)
	out, err := lab.Namespace("out")
	must(t, err,
		lab.Join(in, "eth0", nat, "in"), lab.Join(nat, "out", out, "eth0"),
		in.Address("eth0", "10.1.0.2/24"), nat.Address("in", "10.1.0.1/24"),
		nat.Address("out", "192.0.2.1/24"), out.Address("eth0", "192.0.2.2/24"),
		in.Route("0.0.0.0/0", "10.1.0.1"), nat.Forwarding(), nat.Masquerade("out", 20000, 20010))
	c, err := out.Capture("eth0")
	must(t, err)
	must(t, in.Ping(Ping{To: netip.MustParseAddr("192.0.2.2")}))
	must(t, in.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte("hello"), 0, &unix.SockaddrInet4{Port: 7, Addr: [4]byte{192, 0, 2, 2}})
	}))
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) {
		for _, f := range c.Frames() {
			if f.Proto == unix.IPPROTO_UDP && f.DstPort == 7 {
				if f.Src != netip.MustParseAddr("192.0.2.1") || f.SrcPort < 20000 || f.SrcPort > 20010 {
					t.Fatalf("left as %s port %d", f.Src, f.SrcPort)
				}
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("no datagram seen outside")
}

func TestExitInside(t *testing.T) {
	_, a, _ := pair(t)
	err := a.Do(func() error { leave(); return nil })
	if err == nil {
		t.Error("a function that did not return gave no error")
	}
}

func leave() {
	// Goexit is what a failing test does; a panic ends the process.
	runtime.Goexit()
}
