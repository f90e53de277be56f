package xfrm

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
	"racoon2/kernel/kerneltest/netlab"
)

// lab is two namespaces joined by a veth pair, each with a backend.
type lab struct {
	t        *testing.T
	ns       [2]*netlab.NS
	addrs    [2]netip.Addr
	backends [2]*Backend
}

func newLab(t *testing.T, addrs ...string) *lab {
	t.Helper()
	l := &lab{t: t}
	net := netlab.ForTest(t)
	for i, name := range []string{"xa", "xb"} {
		ns, err := net.Namespace(name)
		if err != nil {
			t.Fatal(err)
		}
		l.ns[i] = ns
	}
	if err := net.Join(l.ns[0], "eth0", l.ns[1], "eth0"); err != nil {
		t.Fatal(err)
	}
	for i, a := range addrs {
		p := netip.MustParsePrefix(a)
		l.addrs[i] = p.Addr()
		if err := l.ns[i].Address("eth0", a); err != nil {
			t.Fatal(err)
		}
		l.do(i, func() (err error) {
			l.backends[i], err = New()
			return err
		})
		t.Cleanup(func() {
			if err := l.backends[i].Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return l
}

func newLab4(t *testing.T) *lab { return newLab(t, "192.0.2.1/24", "192.0.2.2/24") }

func (l *lab) do(i int, f func() error) {
	l.t.Helper()
	if err := l.ns[i].Do(f); err != nil {
		l.t.Fatal(err)
	}
}

// must does an operation that has to succeed.
func (l *lab) must(i int, op kernel.Op) kernel.Result {
	l.t.Helper()
	r := l.result(i, op)
	if r.Err != nil {
		l.t.Fatalf("%T: %v", op, r.Err)
	}
	return r
}

func (l *lab) result(i int, op kernel.Op) kernel.Result {
	l.t.Helper()
	l.backends[i].Submit(kernel.Request{Op: op})
	select {
	case r := <-l.backends[i].Results():
		return r
	case <-time.After(kerneltest.Patience):
		l.t.Fatalf("%T: no result", op)
	}
	panic("not reached")
}

func (l *lab) event(i int) kernel.Event {
	l.t.Helper()
	select {
	case e := <-l.backends[i].Events():
		return e
	case <-time.After(kerneltest.Patience):
		l.t.Fatal("no event")
	}
	panic("not reached")
}

// hosts turns the lab into what the conformance suite runs on.
func (l *lab) hosts() (a, b *kerneltest.Host) {
	l.t.Helper()
	var hosts [2]*kerneltest.Host
	for i := range hosts {
		h := &kerneltest.Host{Backend: l.backends[i], Addr: l.addrs[i], Timed: true}
		l.do(i, func() (err error) {
			h.Send, h.Received, err = kerneltest.UDP(l.t, l.addrs[i], l.addrs[1-i])
			return err
		})
		hosts[i] = h
	}
	return hosts[0], hosts[1]
}

// withESP says whether this kernel has ESP. TestVM runs what needs it in a
// virtual machine, so that nothing is left out elsewhere.
func withESP(t *testing.T) bool {
	t.Helper()
	if err := Probe(); err != nil {
		t.Logf("left to TestVM: %v", err)
		return false
	}
	return true
}

// protected is a policy for UDP to the suite's port, without an SA.
func (l *lab) protected() kernel.Policy {
	host := func(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }
	return kernel.Policy{
		Selector:  selector(host(l.addrs[0]), host(l.addrs[1]), 17, kernel.Port(kerneltest.Port)),
		Direction: kernel.Out, Action: kernel.Protect, Priority: 10,
		Templates: []kernel.Template{{
			Proto: kernel.ESP, Mode: kernel.Transport, Level: kernel.Require, ReqID: 77,
		}},
	}
}
