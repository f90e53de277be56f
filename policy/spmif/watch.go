package spmif

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Event is one line of WATCH.
type Event struct {
	Time   time.Time         `json:"time"`
	Area   string            `json:"area"` // which part of the agent it is from
	Tag    string            `json:"tag"`
	Reason string            `json:"reason,omitempty"`
	Text   string            `json:"text"`
	Attrs  map[string]string `json:"attrs,omitempty"`
}

// line is the event as JSON of one line. What does not fit loses its
// attributes, then the end of its text.
func (e Event) line() string {
	for {
		raw, err := json.Marshal(e)
		if err != nil { // a time beyond the year 9999
			e.Time = time.Time{}
			continue
		}
		switch {
		case len(raw) <= maxText:
			return string(raw)
		case e.Attrs != nil:
			e.Attrs = nil
		case len(e.Text) > 0:
			e.Text = e.Text[:cut(e.Text, len(e.Text)/2)]
		default: // nobody's reason is so long
			e.Area, e.Tag, e.Reason = clip(e.Area), clip(e.Tag), clip(e.Reason)
		}
	}
}

func clip(text string) string {
	const limit = 32
	text = text[:cut(text, limit)]
	if !utf8.ValidString(text) {
		return ""
	}
	return text
}

// watch carries out WATCH, an extension: from now on the caller hands in events
// with Event, until the client says anything else. The reply begins with a line
// that says that the watch stands.
func (s *Session) watch(out []byte, args [][]byte) []byte {
	if len(args) != 0 {
		return syntaxError(out)
	}
	s.watching, s.missed = true, 0
	return fmt.Appendf(out, "%03d-%s\r\n", int(OK), "Watching")
}

// Watching tells whether the client wants events.
func (s *Session) Watching() bool { return s.watching && !s.closed }

// Event is what to send for an event; nothing unless the client is watching.
func (s *Session) Event(e Event) []byte {
	if !s.Watching() {
		return nil
	}
	return fmt.Appendf(nil, "%03d-%s\r\n", int(OK), oneLine(e.line()))
}

// Missed counts events that the client did not take fast enough; the last line
// of the reply says how many there were.
func (s *Session) Missed(n uint64) { s.missed += n }

// endWatch ends the reply to WATCH.
func (s *Session) endWatch(out []byte) []byte {
	if !s.watching {
		return out
	}
	s.watching = false
	return appendReply(out, OK, fmt.Sprintf("Watched, missed %d", s.missed))
}
