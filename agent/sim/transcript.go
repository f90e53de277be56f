package sim

import (
	"fmt"
	"strings"
	"time"
)

// maxLines bounds a transcript; the oldest lines go first.
const maxLines = 5000

// line is one thing that happened.
type line struct {
	at   time.Duration
	host string // where it happened, or who sent
	to   string // who was to receive; "" for what happens on one host
	text string
	fate string // of what was sent
}

// Transcript is what happened, as a ladder: time, from → to, what, its fate.
type Transcript struct {
	lines   []line
	Dropped int // lines that were too many
}

func (t *Transcript) add(l line) {
	if len(t.lines) == maxLines {
		copy(t.lines, t.lines[1:])
		t.lines = t.lines[:maxLines-1]
		t.Dropped++
	}
	t.lines = append(t.lines, l)
}

// String is the transcript, one line for each event.
func (t *Transcript) String() string {
	var b strings.Builder
	if t.Dropped > 0 {
		fmt.Fprintf(&b, "… %d earlier lines\n", t.Dropped)
	}
	for _, l := range t.lines {
		b.WriteString(l.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func (l line) String() string {
	who := l.host
	if l.to != "" {
		who += " → " + l.to
	}
	s := fmt.Sprintf("%s  %-16s %s", stamp(l.at), who, l.text)
	if l.fate != "" {
		s += "  ⟶ " + l.fate
	}
	return s
}

// stamp is a time since the start in seconds.
func stamp(d time.Duration) string {
	return fmt.Sprintf("%11.6f", d.Seconds())
}

// note adds a line at the present moment.
func (w *World) note(l line) {
	l.at = w.now
	w.report.Transcript.add(l)
}
