package logging

import (
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
)

// destination is where lines go. One goroutine writes; Close may come at any time.
type destination interface {
	io.Closer
	write(line) error
	stamped() bool // puts the time in front itself
}

// The names of the destinations that are not files.
const (
	Stderr = "stderr"
	Syslog = "syslog"
)

func openDestination(name string) (destination, error) {
	switch name {
	case "", Stderr:
		return stream{os.Stderr}, nil
	case Syslog:
		w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "racoon2")
		if err != nil {
			return nil, fmt.Errorf("log: no syslog daemon answers: %w", err)
		}
		return daemon{w}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return file{f}, nil
}

// stream is standard error: never closed.
type stream struct{ w io.Writer }

func (s stream) write(l line) error {
	_, err := s.w.Write(l.text)
	return err
}
func (stream) stamped() bool { return false }
func (stream) Close() error  { return nil }

// file is a log file, appended to.
type file struct{ f *os.File }

func (f file) write(l line) error {
	_, err := f.f.Write(l.text)
	return err
}
func (file) stamped() bool  { return false }
func (f file) Close() error { return f.f.Close() }

// daemon is syslog, facility daemon; the priority follows the tag as in the
// original.
type daemon struct{ w *syslog.Writer }

func (d daemon) write(l line) error {
	text, level := string(l.text), l.level
	switch {
	case level >= LevelCritical:
		return d.w.Crit(text)
	case level >= slog.LevelError-1:
		return d.w.Err(text)
	case level >= slog.LevelWarn-1:
		return d.w.Warning(text)
	case level >= slog.LevelInfo:
		return d.w.Info(text)
	default:
		return d.w.Debug(text)
	}
}
func (daemon) stamped() bool  { return true }
func (d daemon) Close() error { return d.w.Close() }
