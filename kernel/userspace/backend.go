package userspace

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/pump"
)

// Mark is the packet mark (SO_MARK) of the agent's own sockets, by which their
// packets pass the rules and guards.
const Mark = 0x4950

// Options are a Backend's settings; the zero Options are good ones.
type Options struct {
	// Device is the TUN device's name; "" is "racoon2".
	Device string
	// MTU is the largest packet of the device, in octets; 0 is 1500.
	MTU int
	// IKEPorts are the UDP ports that the inbound guard leaves open; none
	// given are 500 and 4500.
	IKEPorts []uint16
	// Settle is how long, after the last change of a policy, the blocks that a
	// crashed instance left stay in force; 0 is five seconds.
	Settle time.Duration
}

func (o Options) withDefaults() Options {
	if o.Device == "" {
		o.Device = "racoon2"
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	if len(o.IKEPorts) == 0 {
		o.IKEPorts = []uint16{500, 4500}
	}
	if o.Settle == 0 {
		o.Settle = 5 * time.Second
	}
	return o
}

func (o Options) check() error {
	switch {
	case len(o.Device) > 15:
		return fmt.Errorf("userspace: device name %q is longer than 15 characters", o.Device)
	case o.MTU < minMTU6 || o.MTU > 65535:
		return fmt.Errorf("userspace: MTU %d is not from %d to 65535", o.MTU, minMTU6)
	}
	return nil
}

// host is the system that a Backend runs on. Its methods may be called from
// several goroutines.
type host interface {
	start()                        // begin to call the Backend
	deliver(packet []byte) error   // hand a packet to the host's own stack
	sendESP(out *outgoing) error   // as IP protocol 50
	sendClear(p *packet) error     // past all policies
	pathMTU(peer netip.Addr) int   // octets of a packet to the peer
	apply(p []kernel.Policy) error // capture and guard what policies say
	settle() error                 // remove what a crashed instance left
	exempt(kernel.Socket) error    // from rules and guards

	// carry prepares a socket for ESP in UDP, and says what it is bound to.
	carry(kernel.Socket) (netip.Addr, error)
	clearInbound() string // why clear packets are not guarded against; ""
	warnings() []string
	close() error
}

// Backend carries ESP in this process. It implements kernel.Backend.
type Backend struct {
	*pump.Pump
	core    *core
	host    host
	options Options

	stop    chan struct{}
	kick    chan struct{} // a deadline may have changed
	running sync.WaitGroup
	closing sync.Once
	closed  error

	mu    sync.RWMutex
	encap []attached

	settleMu sync.Mutex
	settleAt time.Time // zero: done

	sender  scratch // of the goroutine that carries out requests
	senderO outgoing
	icmp    limiter
	buffers sync.Pool // *scratch
}

// scratch is room for one packet with what ESP adds.
type scratch [headroom + maxPacket + tailroom + maxFront]byte

// maxPacket is the largest IP packet.
const maxPacket = 65535

// newBackend starts a Backend; open makes the host, which calls the Backend
// when packets come.
func newBackend(o Options, open func(*Backend, Options) (host, error)) (*Backend, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &Backend{
		options: o,
		stop:    make(chan struct{}),
		kick:    make(chan struct{}, 1),
		buffers: sync.Pool{New: func() any { return new(scratch) }},
	}
	b.core = newCore(b.emit)
	b.Pump = pump.New(b.do)
	b.settleAt = time.Now().Add(o.Settle)
	h, err := open(b, o)
	if err != nil {
		b.Pump.Close()
		return nil, err
	}
	b.host = h
	h.start()
	b.running.Go(b.clock)
	return b, nil
}

// Name is "userspace".
func (b *Backend) Name() string { return "userspace" }

// Capabilities says what this backend can do on this host.
func (b *Backend) Capabilities() kernel.Capabilities {
	c := capabilities
	c.ClearInbound = b.host.clearInbound()
	return c
}

// Warnings are what an operator should know about this host: sentences, none
// when all is well.
func (b *Backend) Warnings() []string { return b.host.warnings() }

// Counters is what the packet path counted since the start, by name.
func (b *Backend) Counters() map[string]uint64 { return b.core.counts.values() }

// fromWire takes an ESP, AH or IPComp packet that arrived.
func (b *Backend) fromWire(from *arrival, octets []byte, s *scratch) {
	packet := b.core.inbound(time.Now(), from, octets, s[:])
	if packet == nil {
		return
	}
	if err := b.host.deliver(packet); err != nil {
		b.core.counts.add(inFailed)
	}
}

// fromHost takes a packet, s[headroom:headroom+n], that the host routed to the device.
func (b *Backend) fromHost(s *scratch, n int, out *outgoing) {
	var err error
	switch b.core.outbound(time.Now(), s[:], n, out) {
	case sendESP:
		err = b.transmit(out)
	case sendClear:
		b.core.counts.add(outClear)
		err = b.host.sendClear(&out.packet)
		if errors.Is(err, errTooBig) && out.packet.dontFragment {
			out.mtu = max(b.host.pathMTU(out.packet.dst()), minMTU4)
			b.refuse(out)
			return
		}
	case tooBig:
		b.refuse(out)
	}
	if err != nil {
		b.core.counts.add(outFailed)
	}
}

// errTooBig says that a packet does not fit the link that it would leave by.
var errTooBig = errors.New("packet is too big for the link")

// refuse tells a packet's sender that it is too big.
func (b *Backend) refuse(out *outgoing) {
	if !b.icmp.allow(time.Now()) {
		return
	}
	if message := tooBigMessage(&out.packet, out.mtu); message != nil {
		_ = b.host.deliver(message) // the sender will try again, and be told again
	}
}

// do carries out one request; the pump calls it from one goroutine.
func (b *Backend) do(r kernel.Request) kernel.Result {
	now := time.Now()
	defer b.wake()
	switch op := r.Op.(type) {
	case kernel.AddPolicy, kernel.UpdatePolicy, kernel.DeletePolicy, kernel.Migrate:
		return b.changePolicy(now, r)
	case kernel.AddSA:
		reqID, direction := op.SA.ReqID, op.SA.Direction
		result := b.core.apply(now, r, b.host.pathMTU)
		if result.Err == nil && direction == kernel.Out {
			b.sendWaiting(now, reqID)
		}
		return result
	}
	return b.core.apply(now, r, b.host.pathMTU)
}

// changePolicy changes the SPD and what the host captures and guards. A policy
// that the host cannot carry out is not kept.
func (b *Backend) changePolicy(now time.Time, r kernel.Request) kernel.Result {
	b.settleMu.Lock()
	if !b.settleAt.IsZero() {
		b.settleAt = now.Add(b.options.Settle)
	}
	b.settleMu.Unlock()
	result := b.core.apply(now, r, b.host.pathMTU)
	if result.Err != nil {
		return result
	}
	err := b.host.apply(b.core.policies())
	if err == nil {
		return result
	}
	result.Err = fmt.Errorf("userspace: policy: %w", err)
	if op, ok := r.Op.(kernel.AddPolicy); ok {
		b.core.apply(now, kernel.Request{Op: kernel.DeletePolicy{
			Selector: op.Policy.Selector, Direction: op.Policy.Direction,
		}}, b.host.pathMTU)
		if again := b.host.apply(b.core.policies()); again != nil {
			result.Err = errors.Join(result.Err, again)
		}
	}
	return result
}

// sendWaiting sends what waited for an SA.
func (b *Backend) sendWaiting(now time.Time, reqID uint32) {
	for _, packet := range b.core.waiting(now, reqID) {
		n := copy(b.sender[headroom:headroom+maxPacket], packet)
		b.fromHost(&b.sender, n, &b.senderO)
	}
}

// emit passes events on; one that ended an SA makes the clock clear it away.
func (b *Backend) emit(events ...kernel.Event) {
	b.Pump.Emit(events...)
	for _, e := range events {
		if e, ok := e.(kernel.Expire); ok && e.Hard {
			b.wake()
		}
	}
}

func (b *Backend) wake() {
	select {
	case b.kick <- struct{}{}:
	default: // it is going to look anyway
	}
}

// clock lets time pass for the core, and ends the takeover.
func (b *Backend) clock() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-b.kick:
		case <-timer.C:
		}
		next := b.core.tick(time.Now())
		if at := b.settled(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(max(time.Until(next), 0))
		}
	}
}

// settled ends the takeover when its time has come; otherwise it says when.
func (b *Backend) settled() time.Time {
	b.settleMu.Lock()
	defer b.settleMu.Unlock()
	if b.settleAt.IsZero() || time.Now().Before(b.settleAt) {
		return b.settleAt
	}
	b.settleAt = time.Time{}
	_ = b.host.settle() // a host that cannot says so in its warnings
	return b.settleAt
}

// Close ends the packet path and removes the device, its routes, rules and
// guards. It may be called again.
func (b *Backend) Close() error {
	b.closing.Do(func() {
		close(b.stop)
		b.running.Wait()
		b.Pump.Close()
		b.closed = b.host.close()
	})
	return b.closed
}
