package dns

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The bounds of clients over TCP.
const (
	maxConns       = 256
	maxConnsClient = 32
	maxOutstanding = 64 // questions of one connection; then it has to wait
	idleTime       = 10 * time.Second
	writeTime      = 10 * time.Second
	acceptPause    = 50 * time.Millisecond // after accept has failed, for want of descriptors perhaps
)

// tcpSlots counts connections.
type tcpSlots struct {
	mu    sync.Mutex
	all   int
	conns map[netip.Addr]int
}

// clientOf is one client: who has an address of an IPv6 /64 has them all, but for
// fe80::/64, which all hosts of a link share.
func clientOf(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if p, err := a.Prefix(64); err == nil && a.Is6() && !a.IsLinkLocalUnicast() {
		return p.Addr()
	}
	return a
}

// take says whether one more connection of a client fits.
func (s *tcpSlots) take(a netip.Addr) bool {
	a = clientOf(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxConns || s.conns[a] >= maxConnsClient {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[netip.Addr]int)
	}
	s.all++
	s.conns[a]++
	return true
}

func (s *tcpSlots) give(a netip.Addr) {
	a = clientOf(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.conns[a]--; s.conns[a] == 0 {
		delete(s.conns, a)
	}
}

// tcpListener serves clients on one TCP address.
type tcpListener struct {
	proxy *Proxy
	l     net.Listener
	work  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func (p *Proxy) listenTCP(a netip.AddrPort) (*tcpListener, error) {
	lc := net.ListenConfig{Control: p.c.Control}
	l, err := lc.Listen(p.ctx, network("tcp", a), a.String())
	if err != nil {
		return nil, err
	}
	t := &tcpListener{proxy: p, l: l, conns: make(map[net.Conn]struct{})}
	t.work.Go(t.run)
	return t, nil
}

// close ends the listener with its connections and waits for them.
func (t *tcpListener) close() {
	_ = t.l.Close()
	t.mu.Lock()
	t.closed = true
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.work.Wait()
}

func (t *tcpListener) run() {
	for {
		conn, err := t.l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || t.proxy.ctx.Err() != nil {
				return
			}
			select {
			case <-t.proxy.ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		from, ok := conn.RemoteAddr().(*net.TCPAddr)
		if !ok || !t.proxy.slots.take(from.AddrPort().Addr()) {
			t.proxy.counters.refusedTCP.Add(1)
			_ = conn.Close()
			continue
		}
		t.start(conn, from.AddrPort().Addr())
	}
}

// start serves one connection.
func (t *tcpListener) start(conn net.Conn, from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.proxy.slots.give(from)
		_ = conn.Close()
		return
	}
	t.conns[conn] = struct{}{}
	c := &tcpConn{
		conn: conn, answers: make(chan []byte, maxOutstanding),
		room: make(chan struct{}, maxOutstanding), ended: make(chan struct{}),
	}
	t.work.Go(func() {
		writer := make(chan struct{})
		go func() { defer close(writer); c.write() }()
		c.read(t.proxy, from)
		// The client may have shut down its side only: what is owed is written.
		c.drain(t.proxy)
		close(c.ended)
		<-writer
		_ = conn.Close()
		t.mu.Lock()
		delete(t.conns, conn)
		t.mu.Unlock()
		t.proxy.slots.give(from)
	})
}

// tcpConn is one connection of a client.
type tcpConn struct {
	conn    net.Conn
	answers chan []byte   // has room for all that room lets through
	room    chan struct{} // one for each question without answer
	ended   chan struct{}
}

// read takes questions until the client has no more, or says nothing for long.
func (c *tcpConn) read(p *Proxy, from netip.Addr) {
	buf := make([]byte, 2+maxQuery)
	for {
		// RFC 7766 §6.2.3: idle connections may be closed.
		if c.conn.SetReadDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		if _, err := io.ReadFull(c.conn, buf[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(buf))
		if size < headerSize || size > maxQuery {
			p.counters.malformed.Add(1)
			return
		}
		if _, err := io.ReadFull(c.conn, buf[:size]); err != nil {
			return
		}
		select {
		case c.room <- struct{}{}:
		case <-p.ctx.Done():
			return
		}
		q := p.clients.Get().(*client)
		q.tcp = c
		p.serve(q, buf[:size], from)
	}
}

// send queues an answer; there is room for one to every question.
func (c *tcpConn) send(msg []byte) {
	select {
	case c.answers <- msg:
	case <-c.ended:
	}
}

// finished says that a question is done with.
func (c *tcpConn) finished() { <-c.room }

// drain waits until all questions are done with, for as long as that can take.
func (c *tcpConn) drain(p *Proxy) {
	timer := time.NewTimer(askTime)
	defer timer.Stop()
	for range maxOutstanding {
		select {
		case c.room <- struct{}{}:
		case <-timer.C:
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// write sends answers, each with its length in one piece (RFC 7766 §8). After
// an error it only takes them off the queue.
func (c *tcpConn) write() {
	var failed bool
	for {
		var msg []byte
		select {
		case msg = <-c.answers:
		case <-c.ended:
			select { // an answer may have come just before
			case msg = <-c.answers:
			default:
				return
			}
		}
		if failed || len(msg) > maxMessage {
			continue
		}
		framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(msg)), uint16(len(msg)))
		framed = append(framed, msg...)
		failed = c.conn.SetWriteDeadline(time.Now().Add(writeTime)) != nil
		if !failed {
			_, err := c.conn.Write(framed)
			failed = err != nil
		}
		if failed {
			_ = c.conn.Close() // reading ends, too
		}
	}
}
