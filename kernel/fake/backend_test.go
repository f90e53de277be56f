package fake

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
)

// newPair makes two fake hosts joined by a wire.
func newPair(t *testing.T) (a, b *kerneltest.Host) {
	received := make(chan string, 100)
	var sent []string // by packet ID
	var backends [2]*Backend
	for i, name := range []string{"a", "b"} {
		backends[i] = NewBackend(New(name),
			func(d *Datagram) { backends[1-i].Receive(d) },
			func(p Packet) { received <- sent[p.ID] })
		t.Cleanup(func() { backends[i].Close() })
	}
	a = &kerneltest.Host{Backend: backends[0], Addr: addrA, Second: netip.MustParseAddr("192.0.2.11"), Timed: true}
	b = &kerneltest.Host{Backend: backends[1], Addr: addrB, Timed: true, Received: received}
	a.Send = func(port uint16, text string) {
		sent = append(sent, text)
		p := packet(a.Addr.String(), b.Addr.String(), uint64(len(sent)-1))
		p.Selector.DstPort = kernel.Port(port)
		p.Octets = uint64(len(text))
		backends[0].Send(p)
	}
	return a, b
}

func TestConformance(t *testing.T) { kerneltest.Run(t, newPair) }

func TestBackendSocketsAndEvents(t *testing.T) {
	b := NewBackend(New("a"), nil, nil)
	if b.Name() != "fake" || b.Bypass(nil) != nil || b.AttachEncap(nil) != nil {
		t.Error("a fake backend refuses a socket")
	}
	b.ReceiveEncap(netip.AddrPort{}, netip.AddrPort{}, nil)
	b.Send(packet("192.0.2.1", "192.0.2.2", 1))
	b.Receive(&Datagram{Inner: packet("192.0.2.1", "192.0.2.2", 1)})
	b.With(func(*Kernel, time.Time) []kernel.Event { return []kernel.Event{kernel.Flushed{}} })
	if e := <-b.Events(); e != (kernel.Flushed{}) {
		t.Errorf("event %v", e)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.With(func(*Kernel, time.Time) []kernel.Event { return nil })
}
