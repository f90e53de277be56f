// Package logging is the agent's log: lines with the tags of the original
// racoon2 over log/slog, as text or JSON, to standard error, a file or syslog.
// Level, format and destination can be changed while the agent runs. A remote can
// have a level and a file of its own beside it.
//
// Nobody waits for a line to be written: lines wait in bounded queues, each
// written by a goroutine of its own, one for the log and one for the files of
// remotes. A destination that does not keep up loses lines, which are counted and
// said. Only a CRITICAL line waits, for a moment, until it is out.
//
// It never decides what is logged, and it never sees a secret: cores leave
// keys out of their events, and packets are dumped as they were on the wire,
// where everything secret is sealed. Text from a peer is quoted, so that no
// peer can forge a line. Lines of one reason are limited in rate; a later line
// says how many were left out.
package logging

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"racoon2/kernel/trace"
)

// Format is how a line is written.
type Format string

// The formats.
const (
	Text Format = "text" // YYYY-MM-DD HH:MM:SS [TAG]: area: message key=value …
	JSON Format = "json" // one object a line
)

// Options is what a Log is opened with.
type Options struct {
	Level       trace.Tag // lines below it are not written; the zero value is Debug
	Format      Format    // "" is Text
	Destination string    // "" and "stderr", "syslog", or the path of a file
	Now         func() time.Time
}

// Log is an open log. Its methods may be called from any goroutine.
type Log struct {
	level   slog.LevelVar
	json    atomic.Bool
	now     func() time.Time
	limit   *limiter
	remotes atomic.Pointer[remotes] // nil: none has a log of its own

	out   *queue // to the destination
	files *queue // to the files of remotes

	mu   sync.Mutex
	name string // of the destination
}

// Open opens the destination. The error names it.
func Open(o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Log{now: o.Now, limit: newLimiter(), name: o.Destination}
	if err := l.SetFormat(o.Format); err != nil {
		return nil, err
	}
	out, err := openDestination(o.Destination)
	if err != nil {
		return nil, err
	}
	l.level.Set(levelOf(o.Level))
	l.out = newQueue(out, l.lost)
	l.files = newQueue(&remoteFiles{failed: l.fileFailed}, nil)
	return l, nil
}

// SetFormat changes how lines are written; "" is Text.
func (l *Log) SetFormat(f Format) error {
	switch f {
	case "", Text, JSON:
		l.json.Store(f == JSON)
		return nil
	}
	return fmt.Errorf("log format %q is neither text nor json", f)
}

// Logger returns a slog.Logger whose lines carry the area ("ikev2", "agent").
// slog's levels become INFO, INTERNAL_WARN and INTERNAL_ERR.
func (l *Log) Logger(area string) *slog.Logger {
	return slog.New(&handler{log: l, area: area})
}

// Trace writes a core's event, unless too many with its reason came lately.
func (l *Log) Trace(area string, e trace.Event) {
	level := levelOf(e.Tag)
	own := l.remotes.Load().named(e.Attrs)
	to := own.places(level, l.level.Level())
	if to == 0 {
		return
	}
	now := l.now()
	left, ok := l.limit.allow(now, area, e.Reason, e.Tag)
	if !ok {
		return
	}
	attrs := make([]slog.Attr, 0, len(e.Attrs)+2)
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	for _, a := range e.Attrs {
		attrs = append(attrs, slog.String(a.Key, a.Value))
	}
	if left > 0 {
		attrs = append(attrs, slog.Uint64("not_logged", left))
	}
	l.write(entry{now, level, area, e.Text, attrs}, to, own)
}

// Debugging says whether debug lines are written: packet dumps are costly to make.
func (l *Log) Debugging() bool { return l.level.Level() <= levelOf(trace.Debug) }

// Level returns the lowest tag that is written.
func (l *Log) Level() trace.Tag { return tagOf(l.level.Level()) }

// SetLevel changes the lowest tag that is written.
func (l *Log) SetLevel(t trace.Tag) { l.level.Set(levelOf(t)) }

// Louder writes one kind of line more, Quieter one less: errors, warnings,
// information, debugging. Both return the new level.
func (l *Log) Louder() trace.Tag { return l.step(-1) }

// Quieter is the opposite of Louder.
func (l *Log) Quieter() trace.Tag { return l.step(+1) }

// steps are the levels that Louder and Quieter walk through.
var steps = [...]trace.Tag{trace.Debug, trace.Info, trace.ProtoWarn, trace.ProtoErr}

func (l *Log) step(by int) trace.Tag {
	at := 0
	for i, t := range steps {
		if l.level.Level() >= levelOf(t) {
			at = i
		}
	}
	at = min(max(at+by, 0), len(steps)-1)
	l.SetLevel(steps[at])
	return steps[at]
}

// SetDestination opens another destination and closes the one before. On an
// error nothing changes.
func (l *Log) SetDestination(name string) error {
	out, err := openDestination(name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.name = name
	l.out.turn(out)
	return nil
}

// Reopen opens the destination again, and the files of remotes, as after
// logrotate has moved them away.
func (l *Log) Reopen() error {
	l.files.turn(&remoteFiles{failed: l.fileFailed})
	l.mu.Lock()
	name := l.name
	l.mu.Unlock()
	return l.SetDestination(name)
}

// closeTime is how long a destination has to take what waits when the log is closed.
const closeTime = 2 * time.Second

// Close writes what waits, unless the destination takes too long, and closes the
// destination. What is logged afterwards is lost.
func (l *Log) Close() error {
	return errors.Join(l.files.close(closeTime), l.out.close(closeTime))
}

// Flush waits until everything logged so far is written. It reports whether that
// was so within the time.
func (l *Log) Flush(within time.Duration) bool {
	until := time.Now().Add(within)
	return l.out.flush(within) && l.files.flush(time.Until(until))
}

// Lost is the number of lines that no destination took.
func (l *Log) Lost() uint64 { return l.out.dropped.Load() + l.files.dropped.Load() }

// criticalTime is how long a CRITICAL line is waited for: it may be the last one.
const criticalTime = time.Second

// write formats an entry for the places that it goes to.
func (l *Log) write(e entry, to places, own *Remote) {
	asJSON := l.json.Load()
	if to&toLog != 0 {
		l.out.add(line{level: e.level, text: e.line(asJSON, l.stamped())})
	}
	if to&toFile != 0 {
		l.files.add(line{level: e.level, text: e.line(asJSON, false), file: own.File})
	}
	if e.level >= LevelCritical {
		l.Flush(criticalTime)
	}
}

// lost makes the line that says how many are missing.
func (l *Log) lost(lines uint64) line {
	e := entry{l.now(), slog.LevelWarn, "log", "lines are missing here: the log's destination did not keep up", []slog.Attr{slog.Uint64("lines", lines)}}
	return line{level: e.level, text: e.line(l.json.Load(), l.stamped())}
}

// fileFailed says in the log that a remote's file takes nothing.
func (l *Log) fileFailed(path string, err error) {
	l.Logger("log").Warn("the log file of a remote cannot be written", "file", path, "error", err)
}

// stamped says whether the destination puts the time in front itself.
func (l *Log) stamped() bool { return l.out.stamped.Load() }
