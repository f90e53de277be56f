package agent

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"racoon2/policy/spmif"
)

// lockedBuffer takes a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestStrangersOverTCP: who takes all sessions that there are over TCP keeps nobody out who
// comes by the unix socket, and does not fill the log.
func TestStrangersOverTCP(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "spmif")
	unix, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := listenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	c := newControl(slog.New(slog.NewTextHandler(&log, nil)), toyHandler{}, []byte("secret"))
	c.listen(unix)
	c.listen(tcp)
	c.serve()
	t.Cleanup(c.close)
	refused := 0
	for range maxSessions + 50 {
		conn, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if n, _ := conn.Read(make([]byte, 16)); n == 0 {
			refused++
		}
	}
	if refused != 50 {
		t.Errorf("%d sessions over TCP were refused, want 50", refused)
	}
	if err := spmif.NewClient(dial(t, path)).Login([]byte("secret")); err != nil {
		t.Errorf("the unix socket: %v", err)
	}
	if n := strings.Count(log.String(), "no room"); n != 1 {
		t.Errorf("the log has %d lines about it", n)
	}
}
