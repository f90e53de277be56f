package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"racoon2/resolver"
)

// The bounds of questions to upstreams.
const (
	askTime    = 10 * time.Second // the core has given up on it by then
	maxForged  = 64               // wrong answers before a question goes over TCP
	portTries  = 8
	firstPort  = 1024
	dialTime   = 5 * time.Second
	streamIdle = 10 * time.Second
)

// upstreams asks servers.
type upstreams struct {
	proxy *Proxy

	mu      sync.Mutex
	streams map[resolver.Upstream]*streamSlot
	closed  bool
}

func newUpstreams(p *Proxy) *upstreams {
	return &upstreams{proxy: p, streams: make(map[resolver.Upstream]*streamSlot)}
}

// ask puts a question to a server: over TLS where it has a name for that, else
// over UDP, and over TCP where UDP does not serve.
func (u *upstreams) ask(ctx context.Context, up resolver.Upstream, q resolver.Question) (resolver.Answer, error) {
	a, err := newAsked(u.proxy.c.Rand, q, up.TLSName != "")
	if err != nil {
		return resolver.Answer{}, err
	}
	var msg []byte
	if up.TLSName == "" {
		msg, err = u.overUDP(ctx, up.Addr, a)
	} else {
		err = errOverTCP
	}
	if errors.Is(err, errOverTCP) {
		msg, err = u.overStream(ctx, up, a)
	}
	if err != nil {
		return resolver.Answer{}, err
	}
	return convert(msg, q)
}

// errOverTCP says that a question has to go over TCP.
var errOverTCP = errors.New("the question has to go over TCP")

// overUDP asks from a socket of its own. The kernel passes on only what comes
// from the server's address and port.
func (u *upstreams) overUDP(ctx context.Context, server netip.AddrPort, a *asked) ([]byte, error) {
	conn, err := u.dialUDP(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(a.msg); err != nil {
		return nil, err
	}
	buf := make([]byte, maxQuery)
	for wrong := 0; wrong < maxForged; {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		switch a.match(buf[:n]) {
		case fitting:
			return buf[:n], nil
		case fittingCut, otherCase:
			u.proxy.counters.overTCP.Add(1)
			return nil, errOverTCP
		case foreign:
			wrong++
			u.proxy.counters.forged.Add(1)
		}
	}
	u.proxy.counters.overTCP.Add(1)
	return nil, errOverTCP
}

// dialUDP connects a socket on a random port (RFC 5452 §9.2: of all that there
// are), or on the kernel's choice when the random ones are taken.
func (u *upstreams) dialUDP(ctx context.Context, server netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: u.proxy.c.Control}
	for range portTries {
		var octets [2]byte
		if _, err := io.ReadFull(u.proxy.c.Rand, octets[:]); err != nil {
			return nil, fmt.Errorf("no random port: %w", err)
		}
		port := int(binary.BigEndian.Uint16(octets[:]))
		if port < firstPort {
			continue
		}
		d.LocalAddr = &net.UDPAddr{Port: port}
		if conn, err := d.DialContext(ctx, network("udp", server), server.String()); err == nil {
			return conn, nil
		}
	}
	d.LocalAddr = nil
	return d.DialContext(ctx, network("udp", server), server.String())
}

// overStream asks over TCP or TLS, on the connection that there is. One that
// the server has closed meanwhile is replaced once (RFC 7766 §6.2.4).
func (u *upstreams) overStream(ctx context.Context, up resolver.Upstream, a *asked) ([]byte, error) {
	slot := u.slot(up)
	if slot == nil {
		return nil, errClosed
	}
	for try := 0; ; try++ {
		s, reused, err := slot.get(ctx, u, up)
		if err != nil {
			return nil, err
		}
		msg, err := s.exchange(ctx, u.proxy.c.Rand, a)
		if err != nil && reused && try == 0 && ctx.Err() == nil {
			continue
		}
		return msg, err
	}
}

// slot is the place of a server's connection.
func (u *upstreams) slot(up resolver.Upstream) *streamSlot {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil
	}
	up.Trusted = false // is no matter of the connection
	s := u.streams[up]
	if s == nil {
		if len(u.streams) >= maxSlots {
			u.dropIdle()
		}
		s = &streamSlot{busy: make(chan struct{}, 1)}
		u.streams[up] = s
	}
	return s
}

// maxSlots bounds the servers whose connections are remembered.
const maxSlots = 128

// dropIdle forgets servers without a connection.
func (u *upstreams) dropIdle() {
	for up, s := range u.streams {
		select {
		case s.busy <- struct{}{}:
			if s.stream == nil || s.stream.dead() {
				delete(u.streams, up)
			}
			<-s.busy
		default:
		}
	}
}

// close ends all connections.
func (u *upstreams) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, s := range u.streams {
		s.busy <- struct{}{}
		if s.stream != nil {
			s.stream.end(errClosed)
		}
		<-s.busy
	}
}
