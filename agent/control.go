package agent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"racoon2/policy/spmif"
)

// The bounds of the control interface.
const (
	maxSessions   = 64 // at once on the unix sockets, and as many over TCP; more are closed at once
	controlIdle   = 10 * time.Minute
	controlWrite  = 10 * time.Second // a client that does not read is cut off
	controlBuffer = 2048
	controlRate   = 200             // commands a second of one session; faster ones wait
	controlBurst  = 2000            // commands before that counts
	refusedWait   = 2 * time.Second // after a log-in that failed, before the session goes on
)

// control serves the spmif protocol on its listeners.
type control struct {
	log      *slog.Logger
	handler  spmif.Handler
	watchers *watchers
	password []byte
	made     string // password file that this agent has made and removes
	idle     time.Duration

	mu        sync.Mutex
	closed    bool
	ending    chan struct{} // closed with it
	listeners []net.Listener
	conns     map[net.Conn]struct{}
	full      bool // and the log says so, once
	wg        sync.WaitGroup
}

func newControl(log *slog.Logger, h spmif.Handler, password []byte) *control {
	return &control{log: log, handler: h, password: password, idle: controlIdle, ending: make(chan struct{}), conns: make(map[net.Conn]struct{})}
}

// listen takes over a bound listener.
func (c *control) listen(l net.Listener) { c.listeners = append(c.listeners, l) }

// serve accepts sessions on all listeners.
func (c *control) serve() {
	for _, l := range c.listeners {
		c.wg.Go(func() {
			defer lastWords(c.log)
			c.accept(l)
		})
	}
}

func (c *control) accept(l net.Listener) {
	failing := false
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			failing = false
			c.admit(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of descriptors, most likely: wait for some to be given back.
			if !failing {
				c.log.Warn("control interface does not accept", "error", err)
			}
			failing = true
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// admit starts a session if there is room for one. Everybody on the host can open
// sessions over TCP, and must not keep out those who come by the unix socket.
func (c *control) admit(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	network := conn.LocalAddr().Network()
	if c.closed || c.sessions(network) >= maxSessions {
		conn.Close()
		if !c.closed && !c.full {
			c.full = true
			c.log.Warn("control interface has no room for another session; racoon2 status may be refused until some end", "network", network, "sessions", maxSessions)
		}
		return
	}
	c.full = false
	c.conns[conn] = struct{}{}
	c.wg.Go(func() {
		defer lastWords(c.log)
		defer func() {
			conn.Close()
			c.mu.Lock()
			delete(c.conns, conn)
			c.mu.Unlock()
		}()
		if err := c.session(conn); err != nil {
			c.log.Debug("control session ended", "error", err)
		}
	})
}

// sessions counts those of one network; mu is held.
func (c *control) sessions(network string) (n int) {
	for conn := range c.conns {
		if conn.LocalAddr().Network() == network {
			n++
		}
	}
	return n
}

// session talks to one client until either side has enough.
func (c *control) session(conn net.Conn) error {
	s, err := spmif.NewSession(time.Now(), c.handler, c.password, rand.Reader, spmif.Options{IdleTime: c.idle})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := write(conn, s.Greeting()); err != nil {
		return err
	}
	w := watching{session: s, conn: conn, from: c.watchers}
	defer w.end()
	buf := make([]byte, controlBuffer)
	began, refused := time.Now(), false
	for {
		if ahead := s.Commands() - controlBurst - int(time.Since(began).Seconds()*controlRate); ahead > 0 && !c.wait(time.Duration(ahead)*time.Second/controlRate) {
			return nil
		}
		if s.Refused() && !refused {
			if refused = true; !c.wait(refusedWait) {
				return nil
			}
		}
		deadline := w.deadline()
		if err := conn.SetReadDeadline(deadline); err != nil {
			return err
		}
		n, err := conn.Read(buf)
		var end bool
		switch {
		case n > 0:
			end, err = w.input(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			end, err = w.timeout()
		}
		if err != nil || end {
			return err
		}
	}
}

// wait has a session wait; false when all end.
func (c *control) wait(d time.Duration) bool {
	select {
	case <-c.ending:
		return false
	case <-time.After(min(d, controlIdle)):
		return true
	}
}

func write(conn net.Conn, out []byte) error {
	if len(out) == 0 {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(controlWrite)); err != nil {
		return err
	}
	_, err := conn.Write(out)
	return err
}

// close ends all sessions and returns when they have ended.
func (c *control) close() {
	c.mu.Lock()
	if !c.closed {
		close(c.ending)
	}
	c.closed = true
	for _, l := range c.listeners {
		l.Close()
	}
	for conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
	clear(c.password)
	if c.made != "" {
		os.Remove(c.made)
	}
}

// listenUnix binds a unix socket that only this user can reach: its folder
// belongs to us and is closed to all others, as the original demands. A socket
// that nobody serves any more is replaced.
func listenUnix(path string) (net.Listener, error) {
	if err := privateFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// privateFolder makes the folder if it is missing, and checks it.
func privateFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("folder of the control socket: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("folder of the control socket: %w", err)
	}
	switch st, ok := info.Sys().(*syscall.Stat_t); {
	case !info.IsDir():
		return fmt.Errorf("%s, where the control socket goes, is not a folder", dir)
	case ok && st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%s, where the control socket goes, belongs to user %d, not to this one (%d)", dir, st.Uid, os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s, where the control socket goes, is open to others (mode %04o): chmod 700 it", dir, info.Mode().Perm())
	}
	return nil
}

// clearStale removes a socket that nobody listens on.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("control socket: %s is there and is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("control socket %s is served by another program: does another racoon2 run?", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// listenTCP binds a TCP control socket. The password proves the client, but
// nothing protects the stream, so only loopback addresses are taken.
func listenTCP(addr netip.AddrPort) (net.Listener, error) {
	if !addr.Addr().IsLoopback() {
		return nil, fmt.Errorf("control socket: %v is not a loopback address, and the stream is not encrypted", addr)
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// makePassword writes a new random password file, readable by this user only,
// and returns its content.
func makePassword(path string) ([]byte, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("password file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	password := []byte(rand.Text())
	if _, err := f.Write(password); err != nil {
		f.Close()
		return nil, fmt.Errorf("password file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	return password, nil
}
