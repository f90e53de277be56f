package userspace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest/netlab"
)

// childVariable makes this test binary run as a child process.
const childVariable = "RACOON2_USERSPACE_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "no-tun":
		hideTUN()
		startOnly()
	case "no-privilege":
		must(childT{}, syscall.Setgid(65534), syscall.Setuid(65534))
		startOnly()
	case "start":
		startOnly()
	default:
		protect(os.Getenv(childVariable)[0])
	}
}

// hideTUN makes the child see what a container without the device sees.
func hideTUN() {
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("none", "/dev/net", "tmpfs", 0, "")
	}
	must(childT{}, err)
}

// startOnly starts and closes a Backend.
func startOnly() {
	b, err := New(Options{})
	must(childT{}, err)
	must(childT{}, b.Close())
	fmt.Println("started")
	os.Exit(0)
}

// protect is the child of TestCrash: host a, until its standard input ends.
func protect(generation byte) {
	b, err := New(Options{Settle: 100 * time.Millisecond})
	must(childT{}, err)
	h := &testHost{t: childT{}, backend: b}
	for _, w := range crashTunnels {
		h.policies(w, w.selector())
		h.sas(w, true, generation)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	must(childT{}, b.Close())
	os.Exit(0)
}

// childT is a tb that ends the process.
type childT struct{}

func (childT) Helper()        {}
func (childT) Cleanup(func()) {}

func (childT) Fatal(a ...any) {
	fmt.Println(a...)
	os.Exit(1)
}

func (t childT) Fatalf(format string, a ...any) { t.Fatal(fmt.Sprintf(format, a...)) }

// crashTunnels are what the child protects.
var crashTunnels = []tunnel{
	{mode: kernel.Transport, local: "10.9.0.1", peer: "10.9.0.2", inner: "10.9.0.1/32", outer: "10.9.0.2/32", reqID: 1},
	{mode: kernel.Transport, local: "fd09::1", peer: "fd09::2", inner: "fd09::1/128", outer: "fd09::2/128", reqID: 2},
}

// process is a child that protects.
type process struct {
	*netlab.Cmd
	stdin io.Closer
}

func startChild(t *testing.T, ns *netlab.NS, generation string) *process {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := ns.Command(context.Background(), self)
	cmd.Env = append(os.Environ(), childVariable+"="+generation)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("child says %q, %v", line, err)
	}
	return &process{cmd, stdin}
}

// A process that is killed leaves a block behind; the next one takes over; an
// orderly end opens everything.
func TestCrash(t *testing.T) {
	_, na, nb := hostPair(t)
	b := start(t, nb, Options{})
	for _, w := range crashTunnels {
		b.policies(w.reversed(), w.selector().Reverse())
		b.sas(w.reversed(), false, 'x')
	}
	wire, err := nb.Capture("eth0")
	must(t, err)
	all := func(want bool, when string) {
		t.Helper()
		for _, w := range crashTunnels {
			p := ping(w.peer)
			err := na.Ping(p)
			if want != (err == nil) {
				t.Errorf("%s: %v", when, err)
			}
			if !want && !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("%s: %v, want unreachable", when, err)
			}
		}
		if n := wire.Count(netlab.Clear); n != 0 {
			t.Errorf("%s: %d clear packets on the wire", when, n)
		}
	}
	first := startChild(t, na, "x")
	all(true, "protected")
	must(t, first.Process.Kill())
	_ = first.Wait()
	all(false, "after the kill")
	injected(t, nb, na, false, "after the kill")
	wire.Reset()

	second := startChild(t, na, "y")
	for _, w := range crashTunnels {
		b.sas(w.reversed(), false, 'y')
	}
	all(true, "after the restart")
	time.Sleep(200 * time.Millisecond) // what the first one left is settled
	all(true, "after the takeover")
	injected(t, nb, na, false, "after the takeover")
	wire.Reset()

	must(t, second.stdin.Close(), second.Wait())
	must(t, b.backend.Close())
	for _, w := range crashTunnels {
		must(t, na.Ping(ping(w.peer)))
	}
	injected(t, nb, na, true, "after an orderly end")
	leftovers(t, na)
	leftovers(t, nb)
}

// injected sends clear datagrams from the wire and wants them delivered, or not.
func injected(t *testing.T, from, to *netlab.NS, want bool, when string) {
	t.Helper()
	for _, c := range []struct{ src, dst string }{{"10.9.0.2", "10.9.0.1"}, {"fd09::2", "fd09::1"}} {
		src, dst := netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst)
		if got := delivered(t, from, to, src, dst, 4711); got != want {
			t.Errorf("%s: clear datagram to %s delivered: %v, want %v", when, dst, got, want)
		}
	}
}

// delivered injects a clear datagram and says whether a socket gets it. A
// second datagram, from an address that no policy covers, shows that the first
// one would have been there by now.
func delivered(t *testing.T, from, to *netlab.NS, src, dst netip.Addr, port uint16) bool {
	t.Helper()
	var fd int
	must(t, to.Do(func() (err error) {
		family := unix.AF_INET
		if dst.Is6() {
			family = unix.AF_INET6
		}
		fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
		return unix.Bind(fd, sockaddr(netip.AddrPortFrom(dst, port)))
	}))
	defer unix.Close(fd)
	control := netip.MustParseAddr("10.9.0.99")
	if dst.Is6() {
		control = netip.MustParseAddr("fd09::99")
	}
	must(t, from.InjectIP("eth0", to, "eth0", netlab.UDPPacket(src, dst, 1234, port, []byte("clear"))))
	must(t, from.InjectIP("eth0", to, "eth0", netlab.UDPPacket(control, dst, 1234, port, []byte("control"))))
	buf := make([]byte, 100)
	n, err := unix.Read(fd, buf)
	if err != nil {
		t.Fatalf("not even the control datagram came to %s: %v", dst, err)
	}
	return string(buf[:n]) == "clear"
}

// leftovers looks for rules, routes and tables that should be gone.
func leftovers(t *testing.T, ns *netlab.NS) {
	t.Helper()
	must(t, ns.Do(func() error {
		rules, routes, chains, err := installedHere()
		if err != nil {
			return err
		}
		if len(rules) > 0 || len(routes) > 0 || len(chains) > 0 {
			return fmt.Errorf("left behind: rules %v, routes %v, chains %v", rules, routes, chains)
		}
		return nil
	}))
}

// A host that lacks something says so in one sentence, and nothing is left.
func TestCannotStart(t *testing.T) {
	lab := netlab.ForTest(t)
	ns, err := lab.Namespace("bare")
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	for _, c := range []struct {
		mode, want string
	}{
		{"start", "started"},
		{"no-tun", "userspace: no TUN device: /dev/net/tun is missing"},
		{"no-privilege", "CAP_NET_ADMIN"},
	} {
		cmd := ns.Command(context.Background(), self)
		cmd.Env = append(os.Environ(), childVariable+"="+c.mode)
		out, err := cmd.CombinedOutput()
		if text := string(out); !strings.Contains(text, c.want) || strings.Count(text, "\n") != 1 || (err == nil) != (c.want == "started") {
			t.Errorf("%s: %q, %v; want %q", c.mode, out, err, c.want)
		}
		leftovers(t, ns)
	}
	first := start(t, ns, Options{})
	err = ns.Do(func() error { _, err := New(Options{}); return err })
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second instance in a namespace: %v", err)
	}
	must(t, first.backend.Close())
	leftovers(t, ns)
}

// What a killed process changed for strict reverse-path filters is changed back by
// the next one: at its end, or at once where no filter is strict any more.
func TestCrashRestoresSysctl(t *testing.T) {
	const valid, strict = "net/ipv4/conf/all/src_valid_mark", "net/ipv4/conf/eth0/rp_filter"
	for _, still := range []bool{true, false} {
		_, na, _ := hostPair(t)
		must(t, na.Sysctl(strict, "1"))
		value := func(when, want string) {
			t.Helper()
			if v, err := na.ReadSysctl(valid); v != want || err != nil {
				t.Errorf("strict %v, %s: src_valid_mark is %q, %v", still, when, v, err)
			}
		}
		child := startChild(t, na, "x")
		must(t, child.Process.Kill())
		_ = child.Wait()
		value("after the kill", "1")
		during := "1"
		if !still {
			must(t, na.Sysctl(strict, "0"))
			during = "0"
		}
		again := startChild(t, na, "y")
		value("while the next one runs", during)
		must(t, again.stdin.Close(), again.Wait())
		value("at the end", "0")
		leftovers(t, na)
	}
	// What was so before stays.
	_, na, _ := hostPair(t)
	must(t, na.Sysctl(strict, "1"), na.Sysctl(valid, "1"))
	child := startChild(t, na, "x")
	must(t, child.stdin.Close(), child.Wait())
	if v, err := na.ReadSysctl(valid); v != "1" || err != nil {
		t.Errorf("src_valid_mark was 1, and is %q, %v", v, err)
	}
}
