package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// The time after which a command says that it is still at it, and how often.
const (
	progressFirst = 2 * time.Second
	progressNext  = 5 * time.Second
)

// progress tells somebody at a terminal what takes so long.
type progress struct {
	out  io.Writer // nil says nothing
	wait func(time.Duration) (<-chan time.Time, func() bool)

	mu    sync.Mutex
	doing string
	stop  chan struct{}
	wg    sync.WaitGroup
}

// newProgress says something only on a terminal: what a script reads of standard
// error stays as it was.
func newProgress(stderr io.Writer) *progress {
	p := &progress{wait: func(d time.Duration) (<-chan time.Time, func() bool) {
		t := time.NewTimer(d)
		return t.C, t.Stop
	}}
	if f, ok := stderr.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.out = stderr
		}
	}
	return p
}

// begin starts to watch the time; end stops.
func (p *progress) begin() {
	if p.out == nil {
		return
	}
	p.stop = make(chan struct{})
	began := time.Now()
	p.wg.Go(func() {
		for d := progressFirst; ; d = progressNext {
			passed, stop := p.wait(d)
			select {
			case <-p.stop:
				stop()
				return
			case <-passed:
			}
			p.mu.Lock()
			if p.doing != "" {
				fmt.Fprintf(p.out, "racoon2: %s (%v)\n", p.doing, time.Since(began).Round(time.Second))
			}
			p.mu.Unlock()
		}
	})
}

func (p *progress) end() {
	if p.stop != nil {
		close(p.stop)
		p.wg.Wait()
		p.stop = nil
	}
}

// now says what the command is at; "" for something that may take its time.
func (p *progress) now(doing string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = doing
}
