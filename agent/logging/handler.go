package logging

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxLine bounds one line; what is longer is cut, as syslog daemons would.
const maxLine = 8192

// handler is the slog.Handler of one area.
type handler struct {
	log   *Log
	area  string
	attrs []slog.Attr
	group string // prefix of the keys, "a.b."
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.log.level.Level() }

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(c.attrs[:len(c.attrs):len(c.attrs)], prefixed(h.group, attrs)...)
	return &c
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.group += name + "."
	return &c
}

func prefixed(group string, attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: group + a.Key, Value: a.Value}
	}
	return out
}

// Handle implements slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.attrs[:len(h.attrs):len(h.attrs)]
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, slog.Attr{Key: h.group + a.Key, Value: a.Value})
		return true
	})
	if r.Time.IsZero() {
		r.Time = h.log.now()
	}
	h.log.write(entry{r.Time, r.Level, h.area, r.Message, attrs}, toLog, nil)
	return nil
}

// entry is what one line says.
type entry struct {
	at    time.Time
	level slog.Level
	area  string
	text  string
	attrs []slog.Attr
}

// line formats the entry; stamped says that the time is put in front elsewhere.
func (e entry) line(asJSON, stamped bool) []byte {
	if asJSON {
		return append(e.object(), '\n')
	}
	b := e.plain(stamped)
	if len(b) > maxLine {
		b = b[:maxLine]
		for len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		b = append(b[:len(b)-1], "…"...)
	}
	return append(b, '\n')
}

// plain writes a line as the original's plog does.
func (e entry) plain(stamped bool) []byte {
	b := make([]byte, 0, 160)
	if !stamped {
		b = e.at.AppendFormat(b, time.DateTime)
		b = append(b, ' ')
	}
	b = append(b, '[')
	b = append(b, tagOf(e.level).String()...)
	b = append(b, "]: "...)
	b = append(b, e.area...)
	b = append(b, ": "...)
	b = append(b, printable(e.text)...)
	for _, a := range e.attrs {
		b = append(b, ' ')
		b = append(b, printable(a.Key)...)
		b = append(b, '=')
		b = append(b, quoted(a.Value.Resolve().String())...)
	}
	return b
}

// object writes one JSON object; the keys of the attributes stand beside time,
// tag, area and msg.
func (e entry) object() []byte {
	b := make([]byte, 0, 256)
	b = append(b, `{"time":`...)
	b = appendJSON(b, e.at.Format(time.RFC3339Nano))
	b = append(b, `,"tag":`...)
	b = appendJSON(b, tagOf(e.level).String())
	b = append(b, `,"area":`...)
	b = appendJSON(b, e.area)
	b = append(b, `,"msg":`...)
	b = appendJSON(b, e.text)
	for _, a := range e.attrs {
		b = append(b, ',')
		b = appendJSON(b, a.Key)
		b = append(b, ':')
		b = appendValue(b, a.Value.Resolve())
	}
	return append(b, '}')
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	default:
		return appendJSON(b, v.String())
	}
}

func appendJSON(b []byte, s string) []byte {
	out, err := json.Marshal(s)
	if err != nil { // a string always marshals
		return append(b, `""`...)
	}
	return append(b, out...)
}

// printable replaces what could end the line or steer a terminal.
func printable(s string) string {
	if !strings.ContainsFunc(s, steering) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// quoted puts a value in quotes where it would not read as one word.
func quoted(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return steering(r) || r == ' ' || r == '"' || r == '='
	}) {
		return strconv.Quote(s)
	}
	return s
}

func steering(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
