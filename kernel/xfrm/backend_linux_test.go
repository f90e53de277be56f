package xfrm

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
	"racoon2/kernel/kerneltest/netlab"
)

// TestVM runs this package's tests once more on a kernel that has ESP.
func TestVM(t *testing.T) {
	if os.Getenv("RACOON2_IN_VM") != "" {
		return // this is the machine
	}
	if testing.Short() {
		t.Skip("the virtual machine is for long runs")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("needs QEMU (Debian's qemu-system-x86)")
	}
	binary := filepath.Join(t.TempDir(), "xfrm.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // the machine has no libraries
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	vm := exec.Command("../../testdata/vm/run.sh", "-t", "600", "-e", "RACOON2_IN_VM=1",
		"-f", "testdata:/root/testdata", "-f", binary+":/root/xfrm.test", "./xfrm.test", "-test.v")
	out, err := vm.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestConformance") || strings.Contains(string(out), "left to TestVM") {
		t.Errorf("in the virtual machine: %v\n%s", err, out)
	}
}

func TestConformance(t *testing.T) {
	netlab.ForTest(t)
	if !withESP(t) {
		return
	}
	for family, addrs := range map[string][3]string{
		"IPv4": {"192.0.2.1/24", "192.0.2.2/24", "192.0.2.11/24"},
		"IPv6": {"2001:db8::1/64", "2001:db8::2/64", "2001:db8::11/64"},
	} {
		t.Run(family, func(t *testing.T) {
			kerneltest.Run(t, func(t *testing.T) (a, b *kerneltest.Host) {
				l := newLab(t, addrs[0], addrs[1])
				if err := l.ns[0].Address("eth0", addrs[2]); err != nil {
					t.Fatal(err)
				}
				a, b = l.hosts()
				a.Second = netip.MustParsePrefix(addrs[2]).Addr()
				return a, b
			})
		})
	}
}

// TestPolicies does what every kernel with NETLINK_XFRM can, ESP or not.
func TestPolicies(t *testing.T) {
	l := newLab4(t)
	for _, p := range []kernel.Policy{tunnelPolicy(), transportPolicy(), usePolicy(), blockPolicy, allowPolicy} {
		p.ID = l.must(0, kernel.AddPolicy{Policy: p}).Policy
		if p.ID == 0 {
			t.Errorf("%v has no number", p)
		}
		if r := l.result(0, kernel.AddPolicy{Policy: p}); !errors.Is(r.Err, kernel.ErrExists) {
			t.Errorf("%v again: %v", p, r.Err)
		}
		p.Priority++
		if id := l.must(0, kernel.UpdatePolicy{Policy: p}).Policy; id != p.ID {
			t.Errorf("%v has the number %d after an update", p, id)
		}
	}
	if n := len(l.must(0, kernel.DumpPolicy{}).Policies); n != 5 {
		t.Errorf("%d policies", n)
	}
	for _, p := range l.must(0, kernel.DumpPolicy{}).Policies {
		l.must(0, kernel.DeletePolicy{Selector: p.Selector, Direction: p.Direction, Priority: p.Priority})
	}
	r := l.result(0, kernel.DeletePolicy{Selector: nets, Direction: kernel.Out})
	if !errors.Is(r.Err, kernel.ErrNotFound) {
		t.Error(r.Err)
	}
	// A family of its own for the tunnel's end points.
	six := tunnelPolicy()
	six.Templates[0].Src, six.Templates[0].Dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	l.must(0, kernel.AddPolicy{Policy: six})
	if got := l.must(0, kernel.DumpPolicy{}).Policies; len(got) != 1 || got[0].Templates[0] != six.Templates[0] {
		t.Errorf("%+v", got)
	}
}

func TestReservations(t *testing.T) {
	l := newLab4(t)
	op := kernel.GetSPI{Src: l.addrs[1], Dst: l.addrs[0], Proto: kernel.ESP, Mode: kernel.Tunnel, ReqID: 5}
	seen := map[kernel.SPI]bool{}
	for range 16 {
		spi := l.must(0, op).SPI
		if spi < lowestSPI || seen[spi] {
			t.Errorf("SPI %v", spi)
		}
		seen[spi] = true
	}
	if n := len(l.must(0, kernel.DumpSA{}).SAs); n != 0 {
		t.Errorf("%d reservations are dumped as SAs", n)
	}
	for spi := range seen {
		id := kernel.SAID{Dst: l.addrs[0], Proto: kernel.ESP, SPI: spi}
		if r := l.result(0, kernel.GetSA{ID: id}); !errors.Is(r.Err, kernel.ErrNotFound) {
			t.Errorf("a reservation is an SA: %v", r.Err)
		}
		l.must(0, kernel.DeleteSA{ID: id})
		if r := l.result(0, kernel.DeleteSA{ID: id}); !errors.Is(r.Err, kernel.ErrNotFound) {
			t.Errorf("deleted twice: %v", r.Err)
		}
	}
	l.must(0, kernel.FlushSA{Proto: kernel.ESP})
	l.must(0, kernel.FlushSA{})
}

func TestAcquire(t *testing.T) {
	for _, addrs := range [][2]string{{"192.0.2.1/24", "192.0.2.2/24"}, {"2001:db8::1/64", "2001:db8::2/64"}} {
		l := newLab(t, addrs[0], addrs[1])
		p := l.protected()
		id := l.must(0, kernel.AddPolicy{Policy: p}).Policy
		a, b := l.hosts()
		a.Send(kerneltest.Port, "protected")
		e, ok := l.event(0).(kernel.Acquire)
		if !ok || e.Policy != id || e.Template != p.Templates[0] || !p.Selector.Matches(e.Packet) || e.Packet.SrcPort.Any() {
			t.Errorf("event %+v", e)
		}
		a.Send(kerneltest.OpenPort, "open")
		if got := <-b.Received; got != "open" {
			t.Errorf("%q arrived", got)
		}
	}
}

// socket is an agent's socket for the tests.
type socket struct{ *net.UDPConn }

func (s socket) Control(f func(fd uintptr)) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

func (s socket) LocalPort() uint16 {
	return s.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func (s socket) IPv6() bool { return !s.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Is4() }

func (s socket) WriteFrom([]byte, netip.Addr, netip.AddrPort) error { return errors.ErrUnsupported }

func TestBypass(t *testing.T) {
	for _, addrs := range [][2]string{{"192.0.2.1/24", "192.0.2.2/24"}, {"2001:db8::1/64", "2001:db8::2/64"}} {
		l := newLab(t, addrs[0], addrs[1])
		_, b := l.hosts()
		l.must(0, kernel.AddPolicy{Policy: l.protected()})
		in := l.protected()
		in.Direction = kernel.In
		l.must(1, kernel.AddPolicy{Policy: in})
		var s socket
		l.do(0, func() (err error) {
			s.UDPConn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.addrs[0], 0)))
			return err
		})
		defer s.Close()
		to := netip.AddrPortFrom(l.addrs[1], kerneltest.Port)
		_, _ = s.WriteToUDPAddrPort([]byte("held back"), to)
		if e, ok := l.event(0).(kernel.Acquire); !ok {
			t.Errorf("event %+v", e)
		}
		if err := l.backends[0].Bypass(s); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteToUDPAddrPort([]byte("past the policy, dropped there"), to); err != nil {
			t.Error(err)
		}
		l.must(1, kernel.DeletePolicy{Selector: in.Selector, Direction: kernel.In})
		if _, err := s.WriteToUDPAddrPort([]byte("bypassed"), to); err != nil {
			t.Error(err)
		}
		if got := <-b.Received; got != "bypassed" {
			t.Errorf("%q arrived", got)
		}
		s.Close()
		if err := l.backends[0].Bypass(s); err == nil {
			t.Error("a closed socket was exempted")
		}
		if err := l.backends[0].AttachEncap(s); err == nil {
			t.Error("a closed socket was attached")
		}
	}
}

// TestOthersChanges: what somebody else does is told, and what this Backend
// does is not.
func TestOthersChanges(t *testing.T) {
	l := newLab4(t)
	other := &lab{t: t, ns: l.ns, addrs: l.addrs}
	l.do(0, func() (err error) {
		other.backends[0], err = New()
		return err
	})
	defer other.backends[0].Close()
	for len(l.backends[0].Events()) > 0 { // the other one tried its algorithms
		<-l.backends[0].Events()
	}
	want := []kernel.Event{
		kernel.PolicyDeleted{ID: l.must(0, kernel.AddPolicy{Policy: tunnelPolicy()}).Policy, Selector: nets, Direction: kernel.Out},
		kernel.Flushed{Proto: kernel.ESP},
		kernel.Flushed{},
	}
	other.must(0, kernel.DeletePolicy{Selector: nets, Direction: kernel.Out})
	for _, proto := range []kernel.Protocol{kernel.ESP, 0} {
		// An empty database has nothing to tell of.
		other.must(0, kernel.GetSPI{Src: l.addrs[1], Dst: l.addrs[0], Proto: kernel.ESP, Mode: kernel.Tunnel})
		other.must(0, kernel.FlushSA{Proto: proto})
	}
	for _, w := range want {
		got := l.event(0)
		for {
			if _, tried := got.(kernel.Deleted); !tried {
				break
			}
			got = l.event(0)
		}
		if got != w {
			t.Errorf("%+v, want %+v", got, w)
		}
	}
}

func TestProbe(t *testing.T) {
	l := newLab4(t)
	c := l.backends[0].Capabilities()
	l.do(0, func() error {
		err := Probe()
		if (err == nil) != (len(c.Encr) > 0) {
			t.Errorf("Probe says %v, the backend has %v and %v", err, c.Encr, c.Integ)
		}
		if err != nil && !errors.Is(err, kernel.ErrUnsupported) {
			t.Errorf("without ESP Probe says: %v", err)
		}
		return nil
	})
	if l.backends[0].Name() != "xfrm" || c.ClearInbound != "" || !c.Forward {
		t.Errorf("%s: %+v", l.backends[0].Name(), c)
	}
	if r := l.result(0, nil); !errors.Is(r.Err, kernel.ErrUnsupported) {
		t.Error(r.Err)
	}
	l.backends[0].ReceiveEncap(netip.AddrPort{}, netip.AddrPort{}, nil)
	if n := l.backends[0].Stray(); n != 1 {
		t.Errorf("%d stray packets", n)
	}
}

func TestNewWithoutPrivilege(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give it up")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- err
			return
		}
		b, err := New()
		if err == nil {
			b.Close()
			err = errors.New("a Backend without CAP_NET_ADMIN")
		} else if errors.Is(err, unix.EPERM) {
			err = nil
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
