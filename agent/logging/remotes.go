package logging

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"racoon2/kernel/trace"
)

// Remote is what is special about the log of one remote. What is logged about
// the remote stays in the agent's log, too.
type Remote struct {
	Level trace.Tag // lowest that is logged about the remote
	File  string    // of its own; "" for none: what Level allows goes to the log
}

// remotes are the remotes with something special; immutable.
type remotes struct {
	byName map[string]*Remote
	byPeer map[netip.Addr]*Remote
}

// SetRemotes changes which remotes have something special about their log. peers
// are the addresses by which a datagram is known to be a remote's.
func (l *Log) SetRemotes(special map[string]Remote, peers map[netip.Addr]string) {
	if len(special) == 0 {
		l.remotes.Store(nil)
		return
	}
	r := &remotes{byName: make(map[string]*Remote), byPeer: make(map[netip.Addr]*Remote)}
	for name, one := range special {
		r.byName[name] = &one
	}
	for addr, name := range peers {
		if one := r.byName[name]; one != nil {
			r.byPeer[addr] = one
		}
	}
	l.remotes.Store(r)
}

// named finds the remote that attributes name; nil where nothing is special.
func (r *remotes) named(attrs []trace.Attr) *Remote {
	if r == nil {
		return nil
	}
	for _, a := range attrs {
		if a.Key == "remote" {
			return r.byName[a.Value]
		}
	}
	return nil
}

// at finds the remote with an address.
func (r *remotes) at(peer netip.Addr) *Remote {
	if r == nil {
		return nil
	}
	return r.byPeer[peer.Unmap()]
}

// places are where a line goes.
type places uint8

const (
	toLog places = 1 << iota
	toFile
)

// places says where a line of a level goes, with lowest the log's own level.
func (r *Remote) places(level, lowest slog.Level) (to places) {
	if level >= lowest {
		to = toLog
	}
	if r == nil || level < levelOf(r.Level) {
		return to
	}
	if r.File == "" {
		return toLog
	}
	return to | toFile
}

// maxFiles bounds the files of remotes that are open at once.
const maxFiles = 128

// remoteFiles is the destination of lines about remotes: a file for each, opened
// when there is something to write.
type remoteFiles struct {
	failed func(path string, err error) // told once for each path

	mu     sync.Mutex
	closed bool
	open   map[string]*os.File
	recent []string // of open, the last used last
	broken map[string]bool
}

func (r *remoteFiles) stamped() bool { return false }

func (r *remoteFiles) write(l line) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fs.ErrClosed
	}
	f, err := r.file(l.file)
	if err == nil {
		_, err = f.Write(l.text)
	}
	if err != nil && !r.broken[l.file] {
		if r.broken == nil {
			r.broken = make(map[string]bool)
		}
		r.broken[l.file] = true
		r.failed(l.file, err)
	}
	return err
}

// file finds or opens a file.
func (r *remoteFiles) file(path string) (*os.File, error) {
	if at := slices.Index(r.recent, path); at >= 0 {
		r.recent = append(slices.Delete(r.recent, at, at+1), path)
		return r.open[path], nil
	}
	f, err := OpenRemoteFile(path)
	if err != nil {
		return nil, err
	}
	if len(r.recent) >= maxFiles {
		oldest := r.recent[0]
		r.open[oldest].Close()
		delete(r.open, oldest)
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	if r.open == nil {
		r.open = make(map[string]*os.File)
	}
	r.open[path] = f
	r.recent = append(r.recent, path)
	return f, nil
}

// Close closes all files.
func (r *remoteFiles) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var failed []error
	for _, f := range r.open {
		failed = append(failed, f.Close())
	}
	r.open, r.recent = nil, nil
	return errors.Join(failed...)
}

// OpenRemoteFile opens a file for what is logged about a remote, for this user
// alone. It is not taken through a symbolic link, and must be a regular file: a
// pipe would hold up the files of the other remotes. The error does not repeat
// the path.
func OpenRemoteFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
			err = errors.New("it is not a regular file")
		}
		if err != nil {
			f.Close()
		}
	}
	switch e := (*fs.PathError)(nil); {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.ELOOP):
		return nil, errors.New("it is a symbolic link")
	case errors.As(err, &e):
		return nil, fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return nil, err
}
