// Package logging is the agent's log: lines with the tags of the original
// racoon2 over log/slog, as text or JSON, to standard error, a file or syslog.
// Level and destination can be changed while the agent runs.
//
// It never decides what is logged, and it never sees a secret: cores leave
// keys out of their events, and packets are dumped as they were on the wire,
// where everything secret is sealed. Text from a peer is quoted, so that no
// peer can forge a line. Lines of one reason are limited in rate; a later line
// says how many were left out.
//
// Known limit: writing is synchronous, so a destination that blocks (a pipe
// nobody reads) blocks the agent.
package logging

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
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
	level  slog.LevelVar
	format Format
	now    func() time.Time
	limit  *limiter

	mu   sync.Mutex
	name string // of the destination
	out  destination
}

// Open opens the destination. The error names it.
func Open(o Options) (*Log, error) {
	switch o.Format {
	case "":
		o.Format = Text
	case Text, JSON:
	default:
		return nil, fmt.Errorf("log format %q is neither text nor json", o.Format)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	out, err := openDestination(o.Destination)
	if err != nil {
		return nil, err
	}
	l := &Log{format: o.Format, now: o.Now, limit: newLimiter(), name: o.Destination, out: out}
	l.level.Set(levelOf(o.Level))
	return l, nil
}

// Logger returns a slog.Logger whose lines carry the area ("ikev2", "agent").
// slog's levels become INFO, INTERNAL_WARN and INTERNAL_ERR.
func (l *Log) Logger(area string) *slog.Logger {
	return slog.New(&handler{log: l, area: area})
}

// Trace writes a core's event, unless too many with its reason came lately.
func (l *Log) Trace(area string, e trace.Event) {
	level := levelOf(e.Tag)
	if level < l.level.Level() {
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
	r := slog.NewRecord(now, level, e.Text, 0)
	r.AddAttrs(attrs...)
	_ = (&handler{log: l, area: area}).Handle(context.Background(), r)
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
	old := l.out
	l.name, l.out = name, out
	l.mu.Unlock()
	return old.Close()
}

// Reopen opens the destination again, as after a file was moved away by
// logrotate.
func (l *Log) Reopen() error {
	l.mu.Lock()
	name := l.name
	l.mu.Unlock()
	return l.SetDestination(name)
}

// Close closes the destination.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Close()
}

func (l *Log) write(level slog.Level, line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.write(level, line)
}

// stamped says whether the destination puts the time in front itself.
func (l *Log) stamped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.stamped()
}
