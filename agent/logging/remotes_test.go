package logging

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/trace"
)

// about is an event about a remote.
func about(remote string, tag trace.Tag, text string) trace.Event {
	return trace.Event{Tag: tag, Text: text, Attrs: []trace.Attr{{Key: "peer", Value: "10.0.0.2"}, {Key: "remote", Value: remote}}}
}

func content(t *testing.T, l *Log, path string) string {
	t.Helper()
	if !l.Flush(time.Minute) {
		t.Fatal("the log is not written")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRemoteWithAFile(t *testing.T) {
	l, read := open(t, Options{Level: trace.Info})
	own := filepath.Join(t.TempDir(), "tokyo")
	l.SetRemotes(map[string]Remote{"tokyo": {Level: trace.Info, File: own}}, nil)
	l.Trace("ikev2", about("tokyo", trace.Info, "up"))
	l.Trace("ikev2", about("tokyo", trace.Debug, "detail"))
	l.Trace("ikev2", about("kyoto", trace.Info, "another"))
	if got := content(t, l, own); !strings.Contains(got, "[INFO]: ikev2: up peer=10.0.0.2 remote=tokyo\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("its own file holds %q", got)
	}
	if got := read(); !strings.Contains(got, "up peer") || !strings.Contains(got, "another") || strings.Contains(got, "detail") {
		t.Errorf("the log holds %q", got)
	}
	info, err := os.Stat(own)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// One remote can be debugged alone, in a file of its own or in the log.
func TestRemoteDebugged(t *testing.T) {
	for _, inFile := range []bool{true, false} {
		l, read := open(t, Options{Level: trace.Info})
		special := Remote{Level: trace.Debug}
		if inFile {
			special.File = filepath.Join(t.TempDir(), "tokyo")
		}
		peer, other := netip.MustParseAddrPort("10.0.0.2:500"), netip.MustParseAddrPort("10.0.0.3:500")
		l.SetRemotes(map[string]Remote{"tokyo": special}, map[netip.Addr]string{peer.Addr(): "tokyo"})
		l.Trace("ikev2", about("tokyo", trace.Debug, "detail"))
		l.Trace("ikev2", about("kyoto", trace.Debug, "of another"))
		l.Packet("agent", "received", other, peer, []byte{0xab})
		l.Packet("agent", "received", peer, other, []byte{0xcd})
		log, where := read(), ""
		if inFile {
			where = content(t, l, special.File)
			if log != "" {
				t.Errorf("the log holds %q", log)
			}
		} else {
			where = log
		}
		if !strings.Contains(where, "detail") || !strings.Contains(where, "hex=ab") || strings.Count(where, "\n") != 2 {
			t.Errorf("file %v: %q", inFile, where)
		}
		l.SetRemotes(nil, nil)
		l.Trace("ikev2", about("tokyo", trace.Debug, "no more"))
		if strings.Contains(read(), "no more") {
			t.Error("it is still debugged")
		}
	}
}

// The file of a remote is reopened with the log, in the format of the log.
func TestRemoteFileIsReopened(t *testing.T) {
	l, _ := open(t, Options{Level: trace.Info})
	own := filepath.Join(t.TempDir(), "tokyo")
	l.SetRemotes(map[string]Remote{"tokyo": {Level: trace.Info, File: own}}, nil)
	l.Trace("ikev2", about("tokyo", trace.Info, "one"))
	l.Flush(time.Minute)
	if err := os.Rename(own, own+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := l.SetFormat(JSON); err != nil {
		t.Fatal(err)
	}
	l.Trace("ikev2", about("tokyo", trace.Info, "two"))
	if got := content(t, l, own); !strings.HasPrefix(got, "{") || !strings.Contains(got, `"msg":"two"`) {
		t.Errorf("the new file holds %q", got)
	}
	if got := content(t, l, own+".1"); !strings.Contains(got, "one") || strings.Contains(got, "two") {
		t.Errorf("the old file holds %q", got)
	}
}

// What is no plain file is not written to, which is said once.
func TestRemoteFileRefused(t *testing.T) {
	dir := t.TempDir()
	link, pipe, plain := filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "plain")
	if err := os.Symlink(plain, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		link: "symbolic link", pipe: "", dir: "", filepath.Join(dir, "none", "x"): "no such file",
	} {
		l, read := open(t, Options{Level: trace.Info})
		l.SetRemotes(map[string]Remote{"tokyo": {File: path}}, nil)
		for range 3 {
			l.Trace("ikev2", about("tokyo", trace.Info, "x"))
		}
		l.Flush(time.Minute)
		got := read()
		if strings.Count(got, "cannot be written") != 1 || !strings.Contains(got, want) || strings.Count(got, "ikev2: x") != 3 {
			t.Errorf("%s: %s", filepath.Base(path), got)
		}
	}
	if _, err := os.Stat(plain); err == nil {
		t.Error("the link's target was made")
	}
}

// However many remotes have files, few are open.
func TestRemoteFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, Options{Level: trace.Info})
	special := map[string]Remote{}
	for i := range 2 * maxFiles {
		special[fmt.Sprint(i)] = Remote{Level: trace.Info, File: filepath.Join(dir, fmt.Sprint(i))}
	}
	l.SetRemotes(special, nil)
	for range 2 {
		for name := range special {
			l.Trace("ikev2", about(name, trace.Info, "for "+name))
		}
	}
	l.Flush(time.Minute)
	for name, one := range special {
		if got := content(t, l, one.File); strings.Count(got, "for "+name+" ") != 2 {
			t.Errorf("%s holds %q", name, got)
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if len(fds) > maxFiles+64 {
		t.Errorf("%d descriptors are open", len(fds))
	}
}
