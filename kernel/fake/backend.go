package fake

import (
	"net/netip"
	"sync"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/pump"
)

// Backend puts a Kernel behind kernel.Backend, in real time. Wire takes what
// Send puts on the wire; Deliver takes what arrives.
type Backend struct {
	*pump.Pump
	wire    func(*Datagram)
	deliver func(Packet)

	mu     sync.Mutex
	kernel *Kernel
	timer  *time.Timer
	closed bool
}

// NewBackend makes a Backend. Either function may be nil; both are called
// without a lock held, from the goroutine that called Send or Receive.
func NewBackend(k *Kernel, wire func(*Datagram), deliver func(Packet)) *Backend {
	b := &Backend{kernel: k, wire: wire, deliver: deliver}
	b.timer = time.AfterFunc(time.Hour, b.tick)
	b.Pump = pump.New(b.apply)
	return b
}

// Name is "fake".
func (b *Backend) Name() string { return "fake" }

// Capabilities are the Kernel's.
func (b *Backend) Capabilities() kernel.Capabilities { return b.kernel.Capabilities }

// Bypass does nothing: the agent's own datagrams do not pass here.
func (b *Backend) Bypass(kernel.Socket) error { return nil }

// AttachEncap does nothing: datagrams have ports of their own.
func (b *Backend) AttachEncap(kernel.Socket) error { return nil }

// ReceiveEncap drops the packet: no ESP of the real world is understood here.
func (b *Backend) ReceiveEncap(netip.AddrPort, netip.AddrPort, []byte) {}

// With calls f with the Kernel, which nobody else uses meanwhile, and emits
// the events that f returns.
func (b *Backend) With(f func(k *Kernel, now time.Time) []kernel.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Emit(f(b.kernel, time.Now())...)
	b.schedule()
}

// Send sends a packet of this host.
func (b *Backend) Send(p Packet) {
	var d *Datagram
	b.With(func(k *Kernel, now time.Time) (events []kernel.Event) {
		d, events = k.Output(now, p)
		return events
	})
	if d != nil && b.wire != nil {
		b.wire(d)
	}
}

// Receive takes a datagram from the wire.
func (b *Backend) Receive(d *Datagram) {
	var p *Packet
	b.With(func(k *Kernel, now time.Time) (events []kernel.Event) {
		p, events = k.Input(now, d)
		return events
	})
	if p != nil && b.deliver != nil {
		b.deliver(*p)
	}
}

// Close ends the Backend; the Kernel stays as it is.
func (b *Backend) Close() error {
	b.mu.Lock()
	b.closed = true
	b.timer.Stop()
	b.mu.Unlock()
	b.Pump.Close()
	return nil
}

func (b *Backend) apply(r kernel.Request) kernel.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.schedule()
	return b.kernel.Apply(time.Now(), r)
}

func (b *Backend) tick() {
	b.With(func(k *Kernel, now time.Time) []kernel.Event { return k.Tick(now) })
}

// schedule sets the timer to the Kernel's deadline.
func (b *Backend) schedule() {
	if next, ok := b.kernel.Deadline(); ok && !b.closed {
		b.timer.Reset(max(time.Until(next), 0))
	}
}
