package cli

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// commands are all commands for users, by path.
func everyCommand(t *testing.T) map[string]*cobra.Command {
	t.Helper()
	out := make(map[string]*cobra.Command)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" || !c.IsAvailableCommand() && c.HasParent() {
			return
		}
		out[c.CommandPath()] = c
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	a := &app{out: io.Discard, err: io.Discard, progress: newProgress(io.Discard)}
	walk(a.root())
	return out
}

// Every command is explained, with an example that begins with it.
func TestEveryCommandHasAnExample(t *testing.T) {
	for path, c := range everyCommand(t) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short text %q", path, c.Short)
		}
		if c.Example == "" {
			t.Errorf("%s has no example", path)
		}
		for _, line := range strings.Split(c.Example, "\n") {
			if !strings.HasPrefix(line, "  "+path) && !strings.HasPrefix(line, "  # ") && !strings.HasPrefix(line, "      ") {
				t.Errorf("%s: the example %q is another command's", path, line)
			}
			if len(line) > width {
				t.Errorf("%s: the example is too wide: %q", path, line)
			}
		}
	}
}

// Help fits a terminal.
func TestHelpFits(t *testing.T) {
	for path := range everyCommand(t) {
		_, out, _ := run(append(strings.Fields(path)[1:], "--help")...)
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%s --help: %d columns: %s", path, n, line)
			}
		}
	}
}

// The pages say what the exit statuses are, and the program's has a table.
func TestExitManual(t *testing.T) {
	commands := everyCommand(t)
	for _, e := range exits {
		if e.command != "" && commands[e.command] == nil {
			t.Errorf("there is no command %s", e.command)
		}
	}
	root := manual(commands["racoon2"])
	for _, want := range []string{".B racoon2 check\n0: nothing to complain about, or advice alone;", ".B every other command\n0: done;", ".SH FILES", "racoon2\\-run (8)"} {
		if !strings.Contains(root, want) {
			t.Errorf("racoon2(8) lacks %q:\n%s", want, root)
		}
	}
	if page := manual(commands["racoon2 run"]); !strings.Contains(page, ".SH SCRIPTS") || !strings.Contains(page, "UPPER_LAYER_PROTOCOL") || !strings.Contains(page, "could not start") {
		t.Errorf("racoon2-run(8):\n%s", page)
	}
}

func TestCompletion(t *testing.T) {
	conf := configure(t, t.TempDir())
	for words, want := range map[string][]string{
		"up": {"tokyo_out"}, "down": {"tokyo_out"}, "sa show": {"tokyo", "tokyo_out"}, "sa flush": {"tokyo"},
		"policy add": {"tokyo_in", "tokyo_out"}, "policy delete": {"tokyo_in", "tokyo_out"},
		"psk generate --format": {"base64", "hex"}, "config convert --from": {"ipsec", "racoon", "swanctl"},
		"config new --auth": {"cert", "kink", "psk"}, "config explain": directiveNames(),
		"up tokyo_out": nil, "run --log-format": {"json", "text"}, "check --kernel": {"auto", "userspace", "xfrm"},
	} {
		var out bytes.Buffer
		args := append([]string{"__complete", "-c", conf}, strings.Fields(words)...)
		if status := Main(append(args, ""), &out, io.Discard); status != statusDone {
			t.Errorf("%s: status %d", words, status)
		}
		var got []string
		for _, line := range strings.Fields(out.String()) {
			if !strings.HasPrefix(line, ":") {
				got = append(got, line)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s completes to %v, want %v", words, got, want)
		}
	}
}

// lockedBuffer is written by another goroutine.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What takes long is said, after two seconds and then again, until it is done.
func TestProgress(t *testing.T) {
	var out lockedBuffer
	ticks, asked := make(chan time.Time), make(chan time.Duration, 8)
	p := newProgress(io.Discard)
	if p.out != nil {
		t.Error("something that is no terminal is written to")
	}
	p.out = &out
	p.wait = func(d time.Duration) (<-chan time.Time, func() bool) {
		asked <- d
		return ticks, func() bool { return true }
	}
	p.begin()
	for i, want := range []time.Duration{progressFirst, progressNext, progressNext} {
		if d := <-asked; d != want {
			t.Errorf("waits %v, want %v", d, want)
		}
		p.now([]string{"", "waiting for the agent at /run/x", ""}[i])
		ticks <- time.Time{}
	}
	<-asked
	p.end()
	if got := out.String(); got != "racoon2: waiting for the agent at /run/x (0s)\n" {
		t.Errorf("said %q", got)
	}
}
