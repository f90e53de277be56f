package logging

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/trace"
)

// blocked is a log whose destination nobody reads: a pipe, with its other end.
func blocked(t *testing.T) (l *Log, reader *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	l, err = Open(Options{Level: trace.Info, Destination: path})
	if err != nil {
		t.Fatal(err)
	}
	return l, reader
}

// longLine fills a pipe's own buffer soon.
const longLine = "a line of some length, so that the pipe's own buffer is soon full"

// A destination that nobody reads holds up nobody; what is lost is said, and
// counted, when it is read again.
func TestBlockedDestination(t *testing.T) {
	l, reader := blocked(t)
	log := l.Logger("agent")
	const lines = 3 * maxWaiting
	began := time.Now()
	for range lines {
		log.Info(longLine)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	if l.Lost() == 0 {
		t.Error("nothing is counted as lost")
	}
	if l.Flush(time.Millisecond) {
		t.Error("all is written though nobody reads")
	}
	var got strings.Builder
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for !strings.Contains(got.String(), "lines are missing here") || strings.Count(got.String(), "\n")+int(l.Lost()) < lines {
			n, err := reader.Read(buf)
			if err != nil {
				t.Error(err)
				return
			}
			got.Write(buf[:n])
		}
	})
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A log that is stuck for good can be left.
func TestCloseOfABlockedDestination(t *testing.T) {
	l, _ := blocked(t)
	for range 4096 {
		l.Logger("agent").Info(longLine)
	}
	second := filepath.Join(t.TempDir(), "file")
	if err := l.SetDestination(second); err != nil {
		t.Fatal(err)
	}
	l.Logger("agent").Log(t.Context(), LevelCritical, "the last words")
	b, err := os.ReadFile(second)
	if err != nil || !strings.Contains(string(b), "the last words") {
		t.Errorf("%v, %d octets in the second destination", err, len(b))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A CRITICAL line is out before the call returns; others are at the end.
func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(Options{Level: trace.Info, Destination: path})
	if err != nil {
		t.Fatal(err)
	}
	l.Trace("ikev2", trace.Event{Tag: trace.Critical, Text: "over"})
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "over") {
		t.Errorf("%v, %q", err, b)
	}
	for range 1000 {
		l.Logger("agent").Info("at the end")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || strings.Count(string(b), "at the end") != 1000 {
		t.Errorf("%v, %d lines", err, strings.Count(string(b), "at the end"))
	}
	l.Logger("agent").Info("after the end")
	if l.Lost() != 1 {
		t.Errorf("%d lines lost, want the one after the end", l.Lost())
	}
}
