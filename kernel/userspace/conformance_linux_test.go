package userspace

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
	"racoon2/kernel/kerneltest/netlab"
)

func TestConformance(t *testing.T) {
	for _, family := range []struct{ name, a, b, second string }{
		{"IPv4", "10.9.0.1", "10.9.0.2", "10.9.0.11"},
		{"IPv6", "fd09::1", "fd09::2", "fd09::11"},
	} {
		t.Run(family.name, func(t *testing.T) {
			t.Parallel() // namespaces keep them apart
			a, b := netip.MustParseAddr(family.a), netip.MustParseAddr(family.b)
			kerneltest.Run(t, func(t *testing.T) (*kerneltest.Host, *kerneltest.Host) {
				_, na, nb := hostPair(t)
				must(t, na.Address("eth0", "10.9.0.11/24", "fd09::11/64"))
				ha, hb := conforming(t, na, a, b), conforming(t, nb, b, a)
				ha.Second = netip.MustParseAddr(family.second)
				ha.Send, hb.Send = synchronous(ha, hb), synchronous(hb, ha)
				return ha, hb
			})
		})
	}
}

func conforming(t *testing.T, ns *netlab.NS, local, remote netip.Addr) *kerneltest.Host {
	h := &kerneltest.Host{Addr: local, Timed: true}
	h.Backend = start(t, ns, Options{}).backend
	must(t, ns.Do(func() (err error) {
		h.Send, h.Received, err = kerneltest.UDP(t, local, remote)
		return err
	}))
	return h
}

// synchronous makes a host's Send return when the packet has gone all its way,
// as it does where the packet path is a kernel's: the suite compares the order of
// packets that go through the backends with that of packets that do not.
func synchronous(from, to *kerneltest.Host) func(uint16, string) {
	send, out, in := from.Send, from.Backend.(*Backend), to.Backend.(*Backend)
	return func(port uint16, text string) {
		sent, protected, arrived := out.counted("out_"), out.Counters()["out_protected"], in.counted("in_")
		send(port, text)
		if port != kerneltest.Port || !out.captures() {
			return
		}
		waitUntil(func() bool { return out.counted("out_") > sent })
		if out.Counters()["out_protected"] > protected {
			waitUntil(func() bool { return in.counted("in_") > arrived })
		}
	}
}

// captures says whether any packets are led to the device.
func (b *Backend) captures() bool {
	for _, p := range b.core.policies() {
		if p.Direction == kernel.Out && p.Action != kernel.Bypass {
			return true
		}
	}
	return false
}

// counted is the sum of the counters with a prefix.
func (b *Backend) counted(prefix string) (n uint64) {
	for name, v := range b.Counters() {
		if strings.HasPrefix(name, prefix) {
			n += v
		}
	}
	return n
}

// waitUntil waits for a condition that another goroutine makes true.
func waitUntil(done func() bool) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Microsecond) {
		if done() {
			return true
		}
	}
	return false
}
