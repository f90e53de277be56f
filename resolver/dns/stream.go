package dns

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"racoon2/resolver"
)

// streamSlot holds a server's connection; who holds busy may change it.
type streamSlot struct {
	busy   chan struct{}
	stream *stream
}

// get returns the connection to a server, or makes one.
func (s *streamSlot) get(ctx context.Context, u *upstreams, up resolver.Upstream) (_ *stream, reused bool, _ error) {
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	defer func() { <-s.busy }()
	if s.stream != nil && !s.stream.dead() {
		return s.stream, true, nil
	}
	conn, err := u.dialStream(ctx, up)
	if err != nil {
		return nil, false, err
	}
	s.stream = &stream{conn: conn, waiting: make(map[uint16]*waiter)}
	u.proxy.work.Go(s.stream.read)
	return s.stream, false, nil
}

// dialStream connects over TCP, or TLS with the server's name in its
// certificate (RFC 8310 §8.1).
func (u *upstreams) dialStream(ctx context.Context, up resolver.Upstream) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	d := net.Dialer{Control: u.proxy.c.Control}
	conn, err := d.DialContext(ctx, network("tcp", up.Addr), up.Addr.String())
	if err != nil || up.TLSName == "" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{
		ServerName: up.TLSName, RootCAs: u.proxy.c.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"dot"},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with %v as %s: %w", up.Addr, up.TLSName, err), conn.Close())
	}
	return secure, nil
}

// maxShared bounds the questions that share a connection.
const maxShared = 512

// stream is a connection to a server that questions share.
type stream struct {
	conn    net.Conn
	writing sync.Mutex

	mu      sync.Mutex
	waiting map[uint16]*waiter
	err     error // why it has ended
}

// waiter is one question on a connection.
type waiter struct {
	asked  *asked
	answer chan []byte // closed when the connection ends
}

func (s *stream) dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// end closes the connection; who waits goes away empty.
func (s *stream) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = why
	_ = s.conn.Close()
	for _, w := range s.waiting {
		close(w.answer)
	}
	clear(s.waiting)
}

// exchange puts one question and waits for its answer.
func (s *stream) exchange(ctx context.Context, rand io.Reader, a *asked) ([]byte, error) {
	w := &waiter{asked: a, answer: make(chan []byte, 1)}
	id, err := s.enter(rand, w)
	if err != nil {
		return nil, err
	}
	defer s.leave(id, w)
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(a.msg)), uint16(len(a.msg)))
	framed = append(framed, a.msg...)
	s.writing.Lock()
	err = s.conn.SetWriteDeadline(time.Now().Add(dialTime))
	if err == nil {
		_, err = s.conn.Write(framed)
	}
	s.writing.Unlock()
	if err != nil {
		s.end(err)
		return nil, err
	}
	select {
	case msg, ok := <-w.answer:
		if ok {
			return msg, nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, fmt.Errorf("the connection has ended: %w", s.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enter finds an ID that is free on this connection.
func (s *stream) enter(rand io.Reader, w *waiter) (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, fmt.Errorf("the connection has ended: %w", s.err)
	}
	if len(s.waiting) >= maxShared {
		return 0, fmt.Errorf("more than %d questions wait on the connection", maxShared)
	}
	for {
		var octets [2]byte
		if _, err := io.ReadFull(rand, octets[:]); err != nil {
			return 0, fmt.Errorf("no random ID: %w", err)
		}
		id := binary.BigEndian.Uint16(octets[:])
		if s.waiting[id] == nil {
			w.asked.setID(id)
			s.waiting[id] = w
			return id, s.conn.SetReadDeadline(time.Now().Add(streamIdle))
		}
	}
}

func (s *stream) leave(id uint16, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] == w {
		delete(s.waiting, id)
	}
}

// read hands answers to those who wait, until the connection ends or is idle.
func (s *stream) read() {
	var size [2]byte
	for {
		if _, err := io.ReadFull(s.conn, size[:]); err != nil {
			s.end(err)
			return
		}
		msg := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(s.conn, msg); err != nil {
			s.end(err)
			return
		}
		s.hand(msg)
	}
}

// hand gives an answer to the question that it fits. Letters of another case do
// not matter here: the connection protects the question.
func (s *stream) hand(msg []byte) {
	if len(msg) < headerSize {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := binary.BigEndian.Uint16(msg)
	w := s.waiting[id]
	if w == nil || w.asked.match(msg) == foreign {
		return
	}
	delete(s.waiting, id)
	w.answer <- msg
}
