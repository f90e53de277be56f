package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/policy/spmif"
)

// toyHandler answers with what cannot be mistaken.
type toyHandler struct {
	spmif.Names
	spmif.Changes
}

func (toyHandler) SelectorOf(spid uint32) (string, bool) { return "tokyo_out", spid == 7 }
func (toyHandler) Policies() []spmif.PolicyEntry {
	return []spmif.PolicyEntry{{Selector: "tokyo_out", SPID: 7}}
}
func (toyHandler) Stats() [9]uint64                 { return [9]uint64{1} }
func (toyHandler) Status() (json.RawMessage, error) { return json.RawMessage(`{"version":"toy"}`), nil }
func (toyHandler) SAs() ([]spmif.SAEntry, error)    { return nil, nil }
func (toyHandler) FlushSA(remote string) (int, int, error) {
	if remote != "" {
		return 0, 0, spmif.ErrNotFound
	}
	return 1, 2, nil
}

// serveToy serves a control socket in a folder of its own.
func serveToy(t *testing.T) (c *control, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "spmif")
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	c = newControl(slog.New(slog.DiscardHandler), toyHandler{}, []byte("secret"))
	c.listen(l)
	c.serve()
	t.Cleanup(c.close)
	return c, path
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestControlSession(t *testing.T) {
	_, path := serveToy(t)
	client := spmif.NewClient(dial(t, path))
	if err := client.Login([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	if name, err := client.SLID(7); err != nil || name != "tokyo_out" {
		t.Errorf("SLID: %q, %v", name, err)
	}
	if status, err := client.Status(); err != nil || string(status) != `{"version":"toy"}` {
		t.Errorf("STATUS: %s, %v", status, err)
	}
	if ike, children, err := client.SAFlush(""); err != nil || ike != 1 || children != 2 {
		t.Errorf("SA FLUSH: %d, %d, %v", ike, children, err)
	}
	if _, _, err := client.SAFlush("nobody"); !errors.Is(err, spmif.ErrNotFound) {
		t.Errorf("SA FLUSH nobody: %v", err)
	}
	if err := client.Quit(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v", info.Mode(), err)
	}
}

func TestControlWrongPassword(t *testing.T) {
	_, path := serveToy(t)
	if err := spmif.NewClient(dial(t, path)).Login([]byte("wrong")); err == nil {
		t.Error("a wrong password was taken")
	}
}

// Who guesses, or asks without end, is slowed down.
func TestControlRate(t *testing.T) {
	_, path := serveToy(t)
	conn := dial(t, path)
	if err := spmif.NewClient(conn).Login([]byte("wrong")); err == nil {
		t.Error("a wrong password was taken")
	}
	start := time.Now()
	if _, err := conn.Write([]byte("QUIT\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil || time.Since(start) < refusedWait-100*time.Millisecond {
		t.Errorf("a refused client is served after %v: %v", time.Since(start), err)
	}

	conn = dial(t, path)
	client := spmif.NewClient(conn)
	if err := client.Login([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	const more = controlRate
	for range controlBurst + more + controlRate/10 {
		if _, err := client.SLID(7); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("%d commands in %v", controlBurst+more, took)
	}
}

func TestControlSessionsAreBounded(t *testing.T) {
	_, path := serveToy(t)
	buf := make([]byte, 100)
	for range maxSessions {
		if _, err := dial(t, path).Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dial(t, path).Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("one session too many: %v", err)
	}
}

func TestControlIdle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "spmif")
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	c := newControl(slog.New(slog.DiscardHandler), toyHandler{}, []byte("secret"))
	c.idle = 20 * time.Millisecond
	c.listen(l)
	c.serve()
	t.Cleanup(c.close)
	conn := dial(t, path)
	client := spmif.NewClient(conn)
	if err := client.Login([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("an idle session is not closed: %v", err)
	}
}

func TestControlEndsItsSessions(t *testing.T) {
	c, path := serveToy(t)
	conn := dial(t, path)
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	c.close()
	if _, err := conn.Read(make([]byte, 100)); err == nil {
		t.Error("a session outlives the control interface")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	if !bytes.Equal(c.password, make([]byte, 6)) {
		t.Error("the password stays in memory")
	}
}

func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(private, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	served := filepath.Join(private, "served")
	l, err := listenUnix(served)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, test := range []struct{ path, want string }{
		{filepath.Join(open, "spmif"), "is open to others (mode 0755): chmod 700 it"},
		{filepath.Join(dir, "none", "deeper", "spmif"), "no such file or directory"},
		{plain, "is there and is not a socket"},
		{filepath.Join(plain, "spmif"), "is not a folder"},
		{served, "does another racoon2 run?"},
	} {
		if l, err := listenUnix(test.path); err == nil {
			l.Close()
			t.Errorf("%s: opened", test.path)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", test.path, err, test.want)
		}
	}
}

func TestListenUnixReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "spmif")
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenTCP(t *testing.T) {
	l, err := listenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := listenTCP(netip.MustParseAddrPort("0.0.0.0:0")); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("all addresses: %v", err)
	}
}

func TestMakePassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pwd")
	first, err := makePassword(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := makePassword(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) < 16 || bytes.Equal(first, second) {
		t.Errorf("passwords %q and %q", first, second)
	}
	read, err := ReadSecret(path)
	if err != nil || !bytes.Equal(read, second) {
		t.Errorf("read back %q, %v", read, err)
	}
}

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, make([]byte, size), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, test := range []struct{ path, want string }{
		{write("good", 5, 0o600), ""},
		{write("readonly", 5, 0o400), ""},
		{write("group", 5, 0o640), "its mode is 0640"},
		{write("long", maxSecret+1, 0o600), "longer than 4096 octets"},
		{dir, "not a regular file"},
		{filepath.Join(dir, "none"), "no such file"},
	} {
		secret, err := ReadSecret(test.path)
		switch {
		case test.want == "" && (err != nil || len(secret) != 5):
			t.Errorf("%s: %d octets, %v", test.path, len(secret), err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v; want %q", test.path, err, test.want)
		case err != nil && strings.Contains(err.Error(), dir):
			t.Errorf("the error repeats the path: %v", err)
		}
	}
}
